//! State, each behind one face.

pub mod limiter;
