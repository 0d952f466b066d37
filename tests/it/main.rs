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
mod identity;
mod limiter;
mod listing;
mod promises;
mod purge;
mod purge_effects;
mod readme;
mod reload;
mod restart;
mod support;
mod systemd;
mod tls;
mod upstream_faults;
mod upstream_replicas;
mod upstream_way;
mod watch;
mod wire;
mod wire_http2;
mod wire_http2_windows;
