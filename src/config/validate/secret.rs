//! Secrets, from wherever they are.

use secrecy::zeroize::Zeroizing;

use super::{Outside, shown};
use crate::config::fault::Report;
use crate::config::lines::join;
use crate::config::raw::SecretSource;
use crate::config::units::Plain;
use crate::secret::Secret;
use crate::tls::MAX_PEM_BYTES;

/// Larger files hold no secret of ours.
const MAX_BYTES: u64 = 64 << 10;

/// Resolves sources, and reports those that do not lead to a secret.
pub(super) struct Secrets<'a> {
    pub(super) outside: &'a dyn Outside,
}

impl Secrets<'_> {
    /// The secret, or `None` after a report.
    pub(super) fn resolve(
        &self,
        path: &str,
        source: &SecretSource,
        report: &mut Report,
    ) -> Option<Secret> {
        let SecretSource { env, file, value } = source;
        match (env, file, value) {
            (Some(name), None, None) => self.variable(&join(path, "env"), name, report),
            (None, Some(file), None) => self.file(&join(path, "file"), file, report),
            (None, None, Some(plain)) => Self::plain(&join(path, "value"), plain, report),
            (None, None, None) => {
                let hint = r#"write { env = "NAME" } or { file = "path" }"#;
                report.lacking(path, "says nowhere to find the secret", hint);
                None
            }
            _ => {
                report.fault_try(path, "names more than one source", "keep one of them");
                None
            }
        }
    }

    /// A file of certificates, which everybody may read.
    pub(super) fn pem(&self, path: &str, file: &str, report: &mut Report) -> Option<Secret> {
        let found = self.outside.file(file, MAX_PEM_BYTES);
        let found =
            found.map_err(|why| report.fault(path, format!("{} {why}", shown::path(file)))).ok()?;
        Some(Secret::new(found.text.as_str()))
    }

    fn variable(&self, path: &str, name: &str, report: &mut Report) -> Option<Secret> {
        let found = self.outside.variable(name).map(Zeroizing::new);
        let name = shown::variable(name);
        match found.as_ref().map(|text| text.as_str()) {
            None => report.fault(path, format!("the environment variable {name} is not set")),
            Some("") => report.fault(path, format!("the environment variable {name} is empty")),
            Some(text) => return Some(Secret::new(text)),
        }
        None
    }

    /// The secret that a file holds.
    pub(super) fn file(&self, path: &str, file: &str, report: &mut Report) -> Option<Secret> {
        let found = match self.outside.file(file, MAX_BYTES) {
            Ok(found) => found,
            Err(why) => {
                report.fault(path, format!("{} {why}", shown::path(file)));
                return None;
            }
        };
        // Editors and `echo` end a file with a newline that is no part of the secret.
        let text = found.text.strip_suffix('\n').unwrap_or(&found.text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            report.fault(path, format!("{file:?} is empty"));
            return None;
        }
        for why in found.access.to_secret() {
            report.warn(path, format!("{file:?} {why}"));
        }
        Some(Secret::new(text))
    }

    fn plain(path: &str, Plain(secret): &Plain, report: &mut Report) -> Option<Secret> {
        if secret.expose().is_empty() {
            report.fault(path, "is empty");
            return None;
        }
        if !report.is_from_environment(path) {
            report.warn(path, "a secret stands in the file itself");
        }
        Some(secret.clone())
    }
}
