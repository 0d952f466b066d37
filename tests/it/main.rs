//! The gateway from outside: shape, promises, wire.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may panic"
)]

mod architecture;
mod readme;
