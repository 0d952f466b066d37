//! By what a client is recognised: keys, certificates, subjects of tokens. No two share one.

use std::collections::HashMap;
use std::hash::Hash;

use http::HeaderValue;

use super::secret::Secrets;
use crate::config::fault::Report;
use crate::config::raw;
use crate::policy::certificate::CertificateRule;
use crate::policy::identity::{MAX_KEY, looks_like_token};
use crate::secret::Fingerprint;

/// Keys of one client.
const MOST_KEYS: usize = 16;
/// Names, and subjects, of one client.
const MOST_NAMES: usize = 64;
/// Shorter keys can be found by trying.
const SHORT_KEY: usize = 16;

/// Recognises clients apart.
pub(super) struct Identities<'a> {
    pub(super) secrets: &'a Secrets<'a>,
    /// Whether `[server.jwt]` is there.
    pub(super) takes_tokens: bool,
    keys: HashMap<Fingerprint, String>,
    certificates: HashMap<CertificateRule, String>,
    subjects: HashMap<String, String>,
}

/// What one client is recognised by; at least one thing.
pub(super) struct Identity {
    pub(super) keys: Vec<Fingerprint>,
    pub(super) certificates: Vec<CertificateRule>,
    pub(super) subjects: Vec<String>,
}

impl<'a> Identities<'a> {
    pub(super) fn new(secrets: &'a Secrets<'a>, takes_tokens: bool) -> Self {
        let (keys, certificates, subjects) = Default::default();
        Self { secrets, takes_tokens, keys, certificates, subjects }
    }

    /// What the client at that path is recognised by.
    pub(super) fn of(
        &mut self,
        path: &str,
        raw: &raw::Client,
        report: &mut Report,
    ) -> Option<Identity> {
        let ways = [raw.keys.len(), raw.certificates.len(), raw.subjects.len()];
        if raw.key.is_none() && ways == [0; 3] {
            let hint = "write key = { sha256 = \"…\" }, keys, certificates or subjects";
            report.fault_try(&format!("{path}.key"), "is required", hint);
            return None;
        }
        for (name, many, most) in [
            ("keys", raw.keys.len() + usize::from(raw.key.is_some()), MOST_KEYS),
            ("certificates", raw.certificates.len(), MOST_NAMES),
            ("subjects", raw.subjects.len(), MOST_NAMES),
        ] {
            if many > most {
                report.fault(&format!("{path}.{name}"), format!("are more than {most}"));
            }
        }
        let first = raw.key.iter().map(|key| (format!("{path}.key"), key));
        let more = raw.keys.iter().enumerate();
        let all = first.chain(more.map(|(index, key)| (format!("{path}.keys[{index}]"), key)));
        let keys = all.filter_map(|(path, key)| self.key(&path, key, report)).collect();
        let certificates = raw.certificates.iter().enumerate().filter_map(|(index, text)| {
            self.certificate(&format!("{path}.certificates[{index}]"), text, report)
        });
        let certificates = certificates.collect();
        let subjects = raw.subjects.iter().enumerate().filter_map(|(index, subject)| {
            self.subject(&format!("{path}.subjects[{index}]"), subject, report)
        });
        let subjects = subjects.collect();
        Some(Identity { keys, certificates, subjects })
    }

    fn key(
        &mut self,
        path: &str,
        raw: &raw::ClientKey,
        report: &mut Report,
    ) -> Option<Fingerprint> {
        let (env, file, value) = (raw.env.clone(), raw.file.clone(), raw.value.clone());
        let source = raw::SecretSource { env, file, value };
        let key = match &raw.sha256 {
            None => self.plain(path, &source, report)?,
            Some(_) if source.env.is_some() || source.file.is_some() || source.value.is_some() => {
                report.fault_try(path, "names more than one source", "keep one of them");
                return None;
            }
            Some(hex) => digest(path, hex, report)?,
        };
        unique(&mut self.keys, key, path, report)
    }

    fn plain(
        &self,
        path: &str,
        source: &raw::SecretSource,
        report: &mut Report,
    ) -> Option<Fingerprint> {
        let secret = self.secrets.resolve(path, source, report)?;
        let text = secret.expose();
        if HeaderValue::from_str(text).is_err() || text != text.trim_ascii() {
            report.fault(path, "holds characters that a header cannot carry");
        }
        if text.len() > MAX_KEY {
            report.fault(path, format!("is longer than {MAX_KEY} bytes"));
        }
        if self.takes_tokens && looks_like_token(text.as_bytes()) {
            report.fault(path, "has two dots: with server.jwt it would be taken for a token");
        }
        if text.len() < SHORT_KEY {
            report.warn(path, format!("is shorter than {SHORT_KEY} bytes: it can be guessed"));
        }
        Some(Fingerprint::of(text.as_bytes()))
    }

    fn certificate(
        &mut self,
        path: &str,
        text: &str,
        report: &mut Report,
    ) -> Option<CertificateRule> {
        match CertificateRule::parse(text) {
            Ok(rule) => unique(&mut self.certificates, rule, path, report),
            Err(why) => {
                let hint = r#"write "dns:host.internal", "dns:*.internal", "uri:spiffe://…", "email:…" or "cn:…""#;
                // Never quoted: what is no name may be a key in the wrong place.
                report.fault_try(path, why, hint);
                None
            }
        }
    }

    fn subject(&mut self, path: &str, subject: &str, report: &mut Report) -> Option<String> {
        if !self.takes_tokens {
            report.fault_try(path, "is for a gateway that takes tokens", "write [server.jwt]");
            return None;
        }
        if subject.is_empty() {
            report.fault(path, "is empty");
            return None;
        }
        unique(&mut self.subjects, subject.to_owned(), path, report)
    }
}

/// Notes where it stands, or reports where it stood already.
fn unique<T: Hash + Eq + Clone>(
    seen: &mut HashMap<T, String>,
    what: T,
    path: &str,
    report: &mut Report,
) -> Option<T> {
    if let Some(first) = seen.get(&what) {
        report.fault(path, format!("is that of {first} too"));
        return None;
    }
    seen.insert(what.clone(), path.to_owned());
    Some(what)
}

fn digest(path: &str, hex: &str, report: &mut Report) -> Option<Fingerprint> {
    let digest = from_hex(hex);
    if digest.is_none() {
        let hint = "printf %s \"$KEY\" | sha256sum prints it";
        report.fault_try(&format!("{path}.sha256"), "is not 64 hex digits", hint);
    }
    digest.map(Fingerprint::from_sha256)
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let mut digits = hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    for byte in &mut out {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(out)
}
