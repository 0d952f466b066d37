//! Pure decisions: no IO, no clock, no async, no logging, no globals.
//!
//! `now` is a parameter and the last one; answers are enums; the caller acts in one `match`.

pub mod credential;
pub mod endpoint;
pub mod quota;
