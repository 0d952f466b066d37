//! From a file and the environment to settings that cannot be wrong.
//!
//! `raw` mirrors the file, `load` brings file, preset and environment together, `validate` turns
//! what comes of it into [`Settings`]. Every step reports all faults it finds, with file and line.

mod decode;
mod fault;
mod lines;
mod load;
mod merge;
mod permissions;
mod raw;
mod render;
mod schema;
pub mod settings;
mod shares;
mod units;
mod validate;
mod variables;

pub use fault::{Fault, Faults, Warning};
pub use load::{Loaded, environment, from_text, load, load_and_note};
pub use schema::json_schema;
pub use settings::Settings;
pub use variables::Env;

#[cfg(test)]
mod tests;
