//! Sockets: accepting connections, letting go of them, and the admin listener.

pub mod admin;
mod certificate;
pub mod drain;
mod express;
mod listener;
pub mod server;
mod sniff;
mod socket;
mod tls;
mod upload;

pub use admin::AdminService;
pub use drain::{Drain, Finished};
pub use express::{Bare, Express, Seat};
pub use listener::{Listener, PassedSockets, Sharing, SocketOptions};
pub use server::{Entrance, Limits, Refusing, serve};
pub use tls::Tls;
pub use upload::in_time;
