//! `[upstreams.NAME.auth]`: every kind demands its own keys and forbids the others'.

use std::str::FromStr as _;
use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::hmac;
use http::{HeaderName, HeaderValue, Uri, header};

use super::hex;
use super::secret::Secrets;
use super::url::absolute_url;
use crate::config::fault::Report;
use crate::config::raw::{Auth, AuthKind, GrantKind, SecretSource};
use crate::config::units::Span;
use crate::policy::credential::{AuthScheme, CredentialId, Grant};
use crate::secret::Secret;

const DEFAULT_LIFETIME: Duration = Duration::from_hours(1);
/// Below this a token would be renewed more often than it is used.
const SHORTEST_LIFETIME: Duration = Duration::from_mins(1);
const LONGEST_LIFETIME: Duration = Duration::from_hours(48);

/// Headers of the connection and of the message are not the operator's to set.
pub(super) const OURS: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    header::VIA,
];

/// How requests of an upstream are authorized.
pub(super) fn scheme(
    path: &str,
    raw: Option<&Auth>,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<AuthScheme> {
    let Some(kind) = raw.and_then(|raw| raw.kind) else {
        let hint = "write jwt, bearer, basic, header, oauth2 or none";
        report.fault_try(&format!("{path}.kind"), "is required", hint);
        return None;
    };
    let raw = raw?;
    forbid_others(path, kind, raw, report);
    let mut reader = Reader { path, secrets, report };
    match kind {
        AuthKind::None => Some(AuthScheme::None),
        AuthKind::Jwt => reader.jwt(raw),
        AuthKind::Bearer => reader.bearer(raw),
        AuthKind::Basic => reader.basic(raw),
        AuthKind::Header => reader.header(raw),
        AuthKind::OAuth2 => reader.oauth2(raw),
    }
}

/// A name for the credential that is safe to log, and another one for another account.
pub(super) fn credential(upstream: &str, base_url: &Uri, scheme: &AuthScheme) -> CredentialId {
    let account = match scheme {
        AuthScheme::None => "",
        AuthScheme::Jwt { key, .. } => key.expose(),
        AuthScheme::Bearer { token } => token.expose(),
        AuthScheme::Basic { username, .. } => username.expose(),
        AuthScheme::Header { value, .. } => value.expose(),
        AuthScheme::OAuth2 { client_id, .. } => client_id.expose(),
    };
    let asked = match scheme {
        AuthScheme::OAuth2 { grant, token_url, .. } => format!("{token_url} {grant:?}"),
        _ => String::new(),
    };
    let whole = [scheme.kind(), &base_url.to_string(), account, &asked].join("\0");
    // Keyed, because the name is shown and a weak token could be guessed from a plain digest.
    let print = hmac::sign(process_key(), whole.as_bytes());
    let print = hex(print.as_ref().get(..6).unwrap_or_default());
    CredentialId::new(format!("{upstream}-{print}"))
}

fn process_key() -> &'static hmac::Key {
    static KEY: OnceLock<hmac::Key> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut bytes = [0; 32];
        // Of the kernel: the library's own generator takes as long to begin as all else together.
        let filled = getrandom::fill(&mut bytes);
        debug_assert!(filled.is_ok(), "a machine without randomness cannot speak TLS either");
        hmac::Key::new(hmac::HMAC_SHA256, &bytes)
    })
}

/// Every optional key, whether it is written, and whose it is.
fn forbid_others(path: &str, kind: AuthKind, raw: &Auth, report: &mut Report) {
    let keys = [
        ("key", raw.key.is_some(), AuthKind::Jwt),
        ("secret", raw.secret.is_some(), AuthKind::Jwt),
        ("lifetime", raw.lifetime.is_some(), AuthKind::Jwt),
        ("token", raw.token.is_some(), AuthKind::Bearer),
        ("username", raw.username.is_some(), AuthKind::Basic),
        ("password", raw.password.is_some(), AuthKind::Basic),
        ("name", raw.name.is_some(), AuthKind::Header),
        ("value", raw.value.is_some(), AuthKind::Header),
        ("token_url", raw.token_url.is_some(), AuthKind::OAuth2),
        ("client_id", raw.client_id.is_some(), AuthKind::OAuth2),
        ("client_secret", raw.client_secret.is_some(), AuthKind::OAuth2),
        ("grant", raw.grant.is_some(), AuthKind::OAuth2),
        ("account_id", raw.account_id.is_some(), AuthKind::OAuth2),
        ("scope", raw.scope.is_some(), AuthKind::OAuth2),
    ];
    for (key, written, owner) in keys {
        if written && owner != kind {
            let (owner, kind) = (kind_name(owner), kind_name(kind));
            let why = format!("is a key of kind = {owner:?}, and the kind is {kind:?}");
            report.fault(&format!("{path}.{key}"), why);
        }
    }
}

fn kind_name(kind: AuthKind) -> &'static str {
    match kind {
        AuthKind::Jwt => "jwt",
        AuthKind::Bearer => "bearer",
        AuthKind::Basic => "basic",
        AuthKind::Header => "header",
        AuthKind::OAuth2 => "oauth2",
        AuthKind::None => "none",
    }
}

struct Reader<'a> {
    path: &'a str,
    secrets: &'a Secrets<'a>,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn jwt(&mut self, raw: &Auth) -> Option<AuthScheme> {
        let key = self.secret("key", raw.key.as_ref());
        let secret = self.secret("secret", raw.secret.as_ref());
        let lifetime = raw.lifetime.map_or(DEFAULT_LIFETIME, |Span(lifetime)| lifetime);
        if !(SHORTEST_LIFETIME..=LONGEST_LIFETIME).contains(&lifetime) {
            self.fault("lifetime", "is not between 1m and 48h");
        }
        Some(AuthScheme::Jwt { key: key?, secret: secret?, lifetime })
    }

    fn bearer(&mut self, raw: &Auth) -> Option<AuthScheme> {
        let token = self.secret("token", raw.token.as_ref());
        Some(AuthScheme::Bearer { token: self.sendable("token", token)? })
    }

    fn basic(&mut self, raw: &Auth) -> Option<AuthScheme> {
        let username = self.secret("username", raw.username.as_ref());
        let password = self.secret("password", raw.password.as_ref());
        if username.as_ref().is_some_and(|name| name.expose().contains(':')) {
            self.fault("username", "contains a colon, which basic credentials cannot carry");
        }
        Some(AuthScheme::Basic { username: username?, password: password? })
    }

    fn header(&mut self, raw: &Auth) -> Option<AuthScheme> {
        let name = self.header_name(raw.name.as_deref());
        let value = self.secret("value", raw.value.as_ref());
        let value = self.sendable("value", value);
        Some(AuthScheme::Header { name: name?, value: value? })
    }

    fn header_name(&mut self, name: Option<&str>) -> Option<HeaderName> {
        let name = self.text("name", name)?;
        match HeaderName::from_str(&name) {
            Ok(name) if OURS.contains(&name) => {
                self.fault("name", &format!("{name:?} cannot carry a credential"));
                None
            }
            Ok(name) => Some(name),
            Err(_) => {
                self.fault("name", &format!("{name:?} is not a header name"));
                None
            }
        }
    }

    fn oauth2(&mut self, raw: &Auth) -> Option<AuthScheme> {
        let token_url = self.text("token_url", raw.token_url.as_ref().map(|url| url.0.as_str()));
        let url_path = format!("{}.token_url", self.path);
        let token_url = token_url.and_then(|url| absolute_url(&url_path, &url, self.report));
        let client_id = self.secret("client_id", raw.client_id.as_ref());
        let client_secret = self.secret("client_secret", raw.client_secret.as_ref());
        let grant = self.grant(raw);
        let (token_url, client_id) = (token_url?, client_id?);
        Some(AuthScheme::OAuth2 {
            token_url,
            client_id,
            client_secret: client_secret?,
            grant: grant?,
        })
    }

    fn grant(&mut self, raw: &Auth) -> Option<Grant> {
        match raw.grant.unwrap_or(GrantKind::ClientCredentials) {
            GrantKind::ClientCredentials => {
                if raw.account_id.is_some() {
                    self.fault("account_id", r#"is for grant = "account_credentials""#);
                }
                Some(Grant::ClientCredentials { scope: raw.scope.clone() })
            }
            GrantKind::AccountCredentials => {
                if raw.scope.is_some() {
                    self.fault("scope", r#"is for grant = "client_credentials""#);
                }
                let account_id = self.text("account_id", raw.account_id.as_deref())?;
                Some(Grant::AccountCredentials { account_id })
            }
        }
    }

    fn secret(&mut self, key: &str, source: Option<&SecretSource>) -> Option<Secret> {
        let path = format!("{}.{key}", self.path);
        let Some(source) = source else {
            self.report.fault_try(&path, "is required", r#"write { env = "NAME" }"#);
            return None;
        };
        self.secrets.resolve(&path, source, self.report)
    }

    /// A secret that goes into a header as it stands.
    fn sendable(&mut self, key: &str, secret: Option<Secret>) -> Option<Secret> {
        let secret = secret?;
        if HeaderValue::from_str(secret.expose()).is_err() {
            self.fault(key, "holds characters that a header cannot carry");
            return None;
        }
        Some(secret)
    }

    fn text(&mut self, key: &str, text: Option<&str>) -> Option<String> {
        match text {
            None => self.fault(key, "is required"),
            Some("") => self.fault(key, "is empty"),
            Some(text) => return Some(text.to_owned()),
        }
        None
    }

    fn fault(&mut self, key: &str, why: &str) {
        self.report.fault(&format!("{}.{key}", self.path), why);
    }
}
