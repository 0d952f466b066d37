//! weir: a caching reverse proxy and API gateway that spends a rate-limited API's budget once for
//! everybody.
//!
//! # How a request travels
//!
//! 1. `main` hands over to [`cli`], which loads the [`config`]uration and starts a [`gateway`].
//! 2. The [`gateway`] builds the parts once: the [`world`] (clients, routes, upstreams), the
//!    [`store`] (entries, flights, budgets, credentials), the [`stack`], and lets [`serve`] accept
//!    connections.
//! 3. The [`stack`] lists every one of the [`layers`] in the order a request meets it. On its way
//!    down a request changes its type ([`request`]), so that no layer can stand in the wrong place.
//!    Most requests turn round in [`layers::cache`].
//! 4. What is left goes out through [`upstream`], and the answer climbs back up. What failed below
//!    is an [`error::GatewayError`]; [`layers::render_errors`] makes it an answer.
//!
//! Decisions are in [`policy`]: pure functions of what they are given, `now` included. Time enters
//! in [`clock`]. [`preset`] knows APIs by heart; [`sandbox`] simulates one, and knows nothing of
//! the gateway.
//!
//! Imports point down this list only; a test holds every `use` against it:
//! `cli > gateway > stack > {layers, serve} > request > {world, error} > {config, store, upstream}
//! > {preset, sandbox} > policy > {clock, http, metrics, peer, secret, telemetry}`.

pub mod cli;
pub mod gateway;
pub mod stack;

pub mod layers;
pub mod serve;

pub mod error;
pub mod request;
pub mod world;

pub mod config;
pub mod store;
pub mod upstream;

pub mod policy;
pub mod preset;
pub mod sandbox;

pub mod clock;
pub mod http;
pub mod metrics;
pub mod peer;
pub mod secret;
pub mod telemetry;
