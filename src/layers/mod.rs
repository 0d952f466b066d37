//! One tower layer a file, in the order of the stack. No layer knows another.

pub mod admit;
pub mod authorize;
pub mod cache;
pub mod client_quota;
pub mod dispatch;
pub mod identify;
pub mod limit;
pub mod listing;
pub mod observe;
pub mod render_errors;
pub mod retry;
pub mod route;
#[cfg(test)]
pub(crate) mod testing;
pub mod vet;
