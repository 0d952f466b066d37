//! From what is written to what cannot be wrong: every fault is found, none stops the search.
//!
//! Functions return what could be understood and report the rest; the caller throws everything
//! away if anything was reported, so a placeholder never leaves this module.

mod auth;
mod cache_rule;
mod clients;
mod doors;
mod endpoints;
mod identity;
mod jwt;
mod limits;
mod listen;
mod listing;
mod names;
mod parameters;
mod permission;
mod quota;
mod reach;
mod secret;
mod served;
mod server;
mod shown;
mod template;
mod tls;
mod upstreams;
mod url;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use self::identity::Identities;
use super::fault::Report;
use super::raw::Raw;
use super::settings::Settings;
use crate::files::{Access, Text, sha256};
use crate::preset::Preset;

/// What a configuration may ask about the machine it is read on. Nothing is changed there.
pub(super) trait Outside {
    /// An environment variable, which may hold a secret.
    fn variable(&self, name: &str) -> Option<String>;
    /// A file of at most so many bytes, which may hold a secret; or why it cannot be read.
    fn file(&self, path: &str, max_bytes: u64) -> Result<Text, String>;
    /// A directory that is there or could be made; or why it cannot be one.
    fn directory(&self, path: &str) -> Result<Directory, String>;
    /// Where relative paths begin.
    fn base(&self) -> &Path;
    /// What time it is.
    fn now(&self) -> SystemTime;
}

/// A directory, and what its permissions allow others if it is there.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) access: Option<Access>,
}

/// Validates everything. The digest is left to the caller, who knows the effective text.
pub(super) fn settings(
    raw: &Raw,
    presets: &BTreeMap<String, Preset>,
    outside: &dyn Outside,
    report: &mut Report,
) -> Settings {
    let secrets = secret::Secrets { outside };
    let (server, admin) = server::listeners(raw, &secrets, report);
    let upstreams = upstreams::all(&raw.upstreams, presets, &secrets, report);
    if raw.clients.is_empty() && report.is_whole("clients") {
        served::check_anonymous(&upstreams, report);
    }
    let mut identities = Identities::new(&secrets, raw.server.jwt.is_some());
    let settings = Settings {
        server,
        admin,
        log: server::log(&raw.log, report),
        cache: server::cache(&raw.cache, report),
        clients: clients::all(&raw.clients, &upstreams, &mut identities, report),
        upstreams,
        digest: String::new(),
    };
    doors::warn(&settings, report);
    settings
}

/// SHA-256 as lower-case hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
