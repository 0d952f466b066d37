//! From a file and the environment to settings that cannot be wrong.

pub mod settings;

pub use settings::Settings;
