//! APIs that weir knows by heart, as data.
//!
//! A preset is the same table that an operator would write under `[upstreams.NAME]`, so it takes
//! the same way through validation; what an operator writes goes over it.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Table;

use crate::policy::endpoint::Spelling;

/// The names an upstream's `preset` may have.
pub const NAMES: [&str; 1] = ["zoom-video-sdk"];

/// An API known by heart.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The plan assumed where none is configured.
    pub default_plan: String,
    /// How its ids are spelt in paths.
    pub spelling: Spelling,
    /// Further path prefixes under which clients find it, below its mount.
    pub mount_aliases: Vec<String>,
    /// Keys of `[upstreams.NAME]`: base URL and endpoints.
    pub upstream: Table,
    /// By plan, more keys of `[upstreams.NAME]`: labels and pools.
    pub plans: BTreeMap<String, Table>,
}

/// The preset of that name.
pub fn find(name: &str) -> Option<Preset> {
    let text = match name {
        "zoom-video-sdk" => include_str!("zoom_video_sdk.toml"),
        _ => return None,
    };
    toml::from_str(text).ok()
}

#[cfg(test)]
mod tests;
