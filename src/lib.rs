//! weir

pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod gateway;
pub mod http;
pub mod layers;
pub mod metrics;
pub mod policy;
pub mod preset;
pub mod request;
pub mod sandbox;
pub mod secret;
pub mod serve;
pub mod stack;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod world;
