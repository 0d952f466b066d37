//! `server.key_header` and `[server.jwt]`.

use http::{HeaderName, header};
use jsonwebtoken::Algorithm;

use super::auth::OURS;
use super::{Outside, shown};
use crate::config::fault::Report;
use crate::config::raw::{Jwt, JwtAlgorithm, Raw};
use crate::config::units::Span;
use crate::policy::identity::KeyField;
use crate::policy::jwks::KeySet;
use crate::policy::token::{Demands, TokenRules};

/// A larger key set is not one.
const MAX_JWKS_BYTES: u64 = 1 << 20;
/// Clocks that differ by more than that are wrong.
const LONGEST_LEEWAY: Span = Span::secs(300);

/// Where keys and tokens are looked for.
pub(super) fn key_field(written: &str, report: &mut Report) -> KeyField {
    let path = "server.key_header";
    let hint = r#"write "authorization" or "x-api-key""#;
    match written.parse::<HeaderName>() {
        Ok(header::AUTHORIZATION) => KeyField::Authorization,
        Ok(name) if OURS.contains(&name) || name == header::COOKIE || name == "x-request-id" => {
            report.fault_try(path, format!("{written:?} cannot carry a key"), hint);
            KeyField::Authorization
        }
        Ok(name) => KeyField::Own(name),
        Err(_) => {
            report.fault_try(path, format!("{written:?} is not a header name"), hint);
            KeyField::Authorization
        }
    }
}

/// What tokens are judged by.
pub(super) fn rules(raw: &Raw, outside: &dyn Outside, report: &mut Report) -> Option<TokenRules> {
    let jwt = raw.server.jwt.as_ref()?;
    if raw.clients.iter().all(|client| client.subjects.is_empty()) && report.is_whole("clients") {
        let hint = r#"write subjects = ["…"] under one of [[clients]]"#;
        report.fault_try("server.jwt", "no client has a subject: no token would be good", hint);
    }
    let keys = keys(jwt, outside, report);
    let text = |key: &str, value: Option<&String>, report: &mut Report| {
        let path = format!("server.jwt.{key}");
        match value.map(String::as_str) {
            None => {
                let hint = "a token for somebody else is not for us";
                report.fault_try(&path, "is required", hint);
            }
            Some("") => report.fault(&path, "is empty"),
            Some(text) => return Some(text.to_owned()),
        }
        None
    };
    let issuer = text("issuer", jwt.issuer.as_ref(), report);
    let audience = text("audience", jwt.audience.as_ref(), report);
    if jwt.claim.is_empty() {
        report.fault("server.jwt.claim", "is empty");
    }
    if jwt.leeway > LONGEST_LEEWAY {
        report.fault("server.jwt.leeway", format!("is more than {LONGEST_LEEWAY}"));
    }
    let algorithms: Vec<_> = jwt.algorithms.iter().copied().map(algorithm).collect();
    if algorithms.is_empty() {
        report.fault("server.jwt.algorithms", "is empty: no token would be good");
    }
    let keys = keys?;
    if !algorithms.iter().any(|algorithm| keys.fits(*algorithm)) {
        report.fault("server.jwt.algorithms", "no key in server.jwt.jwks is for any of them");
    }
    let (leeway, claim) = (jwt.leeway.0, jwt.claim.clone());
    let demands = Demands { issuer: issuer?, audience: audience?, leeway, claim };
    Some(TokenRules { keys, algorithms, demands })
}

fn keys(jwt: &Jwt, outside: &dyn Outside, report: &mut Report) -> Option<KeySet> {
    let path = "server.jwt.jwks";
    let Some(file) = &jwt.jwks else {
        report.fault_try(path, "is required", r#"write jwks = "jwks.json""#);
        return None;
    };
    let found = match outside.file(file, MAX_JWKS_BYTES) {
        Ok(found) => found,
        Err(why) => {
            report.fault(path, format!("{} {why}", shown::path(file)));
            return None;
        }
    };
    if let Some(why) = found.access.to_change() {
        report.warn(path, format!("{file:?} {why}"));
    }
    KeySet::parse(&found.text)
        .map_err(|why| report.fault(path, format!("{} {why}", shown::path(file))))
        .ok()
}

fn algorithm(written: JwtAlgorithm) -> Algorithm {
    match written {
        JwtAlgorithm::RS256 => Algorithm::RS256,
        JwtAlgorithm::RS384 => Algorithm::RS384,
        JwtAlgorithm::RS512 => Algorithm::RS512,
        JwtAlgorithm::PS256 => Algorithm::PS256,
        JwtAlgorithm::PS384 => Algorithm::PS384,
        JwtAlgorithm::PS512 => Algorithm::PS512,
        JwtAlgorithm::ES256 => Algorithm::ES256,
        JwtAlgorithm::ES384 => Algorithm::ES384,
        JwtAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}
