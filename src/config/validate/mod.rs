//! From what is written to what cannot be wrong: every fault is found, none stops the search.
//!
//! Functions return what could be understood and report the rest; the caller throws everything
//! away if anything was reported, so a placeholder never leaves this module.

mod auth;
mod cache_rule;
mod clients;
mod endpoints;
mod listing;
mod names;
mod parameters;
mod quota;
mod reach;
mod secret;
mod served;
mod server;
mod template;
mod upstreams;
mod url;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fault::Report;
use super::raw::Raw;
use super::settings::Settings;
use crate::preset::Preset;

/// What a configuration may ask about the machine it is read on. Nothing is changed there.
pub(super) trait Outside {
    /// An environment variable, which may hold a secret.
    fn variable(&self, name: &str) -> Option<String>;
    /// A file, which may hold a secret; or why it cannot be read.
    fn file(&self, path: &str) -> Result<SecretFile, String>;
    /// A file that may be as large as a bundle of certificates; or why it cannot be read.
    fn bundle(&self, path: &str) -> Result<SecretFile, String>;
    /// Where that directory is or could be made; or why it cannot be one.
    fn directory(&self, path: &str) -> Result<PathBuf, String>;
}

/// A file that holds a secret.
pub(super) struct SecretFile {
    pub(super) text: String,
    pub(super) world_readable: bool,
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
    Settings {
        server,
        admin,
        log: server::log(&raw.log, report),
        cache: server::cache(&raw.cache, report),
        clients: clients::all(&raw.clients, &upstreams, &secrets, report),
        upstreams,
        digest: String::new(),
    }
}

/// SHA-256 as lower-case hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.iter_mut().zip(digest.as_ref()).for_each(|(out, byte)| *out = *byte);
    out
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
