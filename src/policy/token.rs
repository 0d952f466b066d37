//! What a client's token (JWT, RFC 7519) has to say to be good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::jwks::KeySet;

/// What tokens are judged by.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// Who may have signed them.
    pub keys: KeySet,
    /// How; at least one.
    pub algorithms: Vec<Algorithm>,
    /// What they have to say.
    pub demands: Demands,
}

/// What is asked of every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Who has to have issued it (`iss`).
    pub issuer: String,
    /// For whom it has to be meant (`aud`).
    pub audience: String,
    /// How far the issuer's clock may differ from ours.
    pub leeway: Duration,
    /// The claim that names the client.
    pub claim: String,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// More than anybody needs.
    #[error("the token is longer than {} bytes", super::identity::MAX_TOKEN)]
    TooLong,
    /// No JWT, or one that demands what is not understood here.
    #[error("the token is malformed")]
    Malformed,
    /// Another algorithm than those that are taken.
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    /// No key fits.
    #[error("the token is signed with a key that is not known here")]
    Key,
    /// It is not what the issuer signed.
    #[error("the token's signature is wrong")]
    Signature,
    /// It does not say until when it is good.
    #[error("the token has no expiry time")]
    Endless,
    /// It was good.
    #[error("the token has expired")]
    Expired,
    /// It will be good.
    #[error("the token is not valid yet")]
    NotYet,
    /// From somebody else.
    #[error("the token is of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// No client is called that.
    #[error("the token's subject is not known here")]
    Subject,
}

/// Who a good token speaks of, and how long it is good.
#[derive(Clone, Debug, PartialEq)]
pub struct Bearer<'t> {
    /// The value of [`Demands::claim`].
    pub subject: &'t str,
    /// Seconds since 1970, leeway included.
    pub until: f64,
}

/// Seconds since 1970.
pub fn seconds(now: SystemTime) -> f64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Demands {
    /// Judges the claims of a token whose signature is right.
    pub fn judge<'t>(
        &self,
        claims: &'t Map<String, Value>,
        now: SystemTime,
    ) -> Result<Bearer<'t>, TokenFault> {
        let (now, leeway) = (seconds(now), self.leeway.as_secs_f64());
        let number = |claim: &str| match claims.get(claim) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(TokenFault::Malformed),
        };
        let until = number("exp")?.ok_or(TokenFault::Endless)? + leeway;
        // RFC 7519, section 4.1.4: on or after that time it is not accepted.
        if now >= until {
            return Err(TokenFault::Expired);
        }
        // RFC 7519, section 4.1.5
        if number("nbf")?.is_some_and(|begins| now + leeway < begins) {
            return Err(TokenFault::NotYet);
        }
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenFault::Issuer);
        }
        // RFC 7519, section 4.1.3: one, or a list of which we have to be one.
        let is_us = |value: &Value| value.as_str() == Some(&self.audience);
        let audience = claims.get("aud");
        if !audience.is_some_and(|value| {
            is_us(value) || value.as_array().is_some_and(|list| list.iter().any(is_us))
        }) {
            return Err(TokenFault::Audience);
        }
        let subject = claims.get(&self.claim).and_then(Value::as_str).ok_or(TokenFault::Subject)?;
        Ok(Bearer { subject, until })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_763_900_000;

    fn judged(change: impl FnOnce(&mut Map<String, Value>)) -> Result<String, TokenFault> {
        let demands = Demands {
            issuer: "https://issuer".into(),
            audience: "weir".into(),
            leeway: Duration::from_secs(30),
            claim: "sub".into(),
        };
        let claims =
            json!({ "iss": "https://issuer", "aud": "weir", "sub": "svc", "exp": NOW + 60 });
        let Value::Object(mut claims) = claims else { panic!("it is an object") };
        change(&mut claims);
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        demands.judge(&claims, now).map(|bearer| bearer.subject.to_owned())
    }

    fn with(name: &str, value: &Value) -> Result<String, TokenFault> {
        judged(|claims| {
            claims.insert(name.into(), value.clone());
        })
    }

    #[test]
    fn a_token_is_good_from_then_until_then_for_us_alone() {
        let svc = Ok("svc".to_owned());
        for (name, value, expected) in [
            ("exp", json!(NOW + 1), svc.clone()),
            ("exp", json!(NOW - 29), svc.clone()),
            ("exp", json!(1_763_899_970.5), svc.clone()),
            ("exp", json!(NOW - 30), Err(TokenFault::Expired)),
            ("exp", json!(0), Err(TokenFault::Expired)),
            ("exp", json!(-1), Err(TokenFault::Expired)),
            ("exp", json!(u64::MAX), svc.clone()),
            ("exp", json!("1999999999"), Err(TokenFault::Malformed)),
            ("exp", Value::Null, Err(TokenFault::Malformed)),
            ("nbf", json!(NOW + 30), svc.clone()),
            ("nbf", json!(NOW + 31), Err(TokenFault::NotYet)),
            ("nbf", json!("now"), Err(TokenFault::Malformed)),
            ("iss", json!("https://issuer/"), Err(TokenFault::Issuer)),
            ("iss", json!(["https://issuer"]), Err(TokenFault::Issuer)),
            ("aud", json!(["other", "weir"]), svc.clone()),
            ("aud", json!(["other"]), Err(TokenFault::Audience)),
            ("aud", json!([]), Err(TokenFault::Audience)),
            ("aud", json!("Weir"), Err(TokenFault::Audience)),
            ("aud", json!({ "weir": 1 }), Err(TokenFault::Audience)),
            ("sub", json!(["svc"]), Err(TokenFault::Subject)),
            ("sub", json!("svc"), svc),
        ] {
            assert_eq!(with(name, &value), expected, "{name} {value}");
        }
        for (name, fault) in [
            ("exp", TokenFault::Endless),
            ("iss", TokenFault::Issuer),
            ("aud", TokenFault::Audience),
            ("sub", TokenFault::Subject),
        ] {
            let without = judged(|claims| {
                claims.remove(name);
            });
            assert_eq!(without, Err(fault), "{name}");
        }
    }
}
