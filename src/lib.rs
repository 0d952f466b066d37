//! weir

pub mod clock;
pub mod config;
pub mod http;
pub mod policy;
pub mod secret;
pub mod store;
