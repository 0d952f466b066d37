//! Sockets: accepting connections, letting go of them, and the admin listener.

pub mod admin;
pub mod drain;
pub mod server;
mod sniff;

pub use admin::AdminService;
pub use drain::{Drain, Finished};
pub use server::{Limits, serve};
