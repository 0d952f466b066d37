//! State, each behind one face.

pub mod cache;
pub mod chains;
pub mod credential;
pub mod encode;
pub mod entry;
pub mod flight;
pub mod ledger;
pub mod limiter;
pub mod meter;
pub mod moment;
pub mod purges;
pub mod token;
