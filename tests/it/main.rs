//! The gateway from outside: real sockets, a simulated account, and in places the real binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests are tests"
)]

mod admin;
mod architecture;
mod auth;
mod cache_respect;
mod cli;
mod clients;
mod feedback;
mod generic;
mod limiter;
mod listing;
mod promises;
mod purge;
mod purge_effects;
mod readme;
mod reload;
mod support;
mod upstream_faults;
mod upstream_replicas;
mod upstream_way;
