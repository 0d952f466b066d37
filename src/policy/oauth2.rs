//! The token endpoint's language (RFC 6749): what is asked, and what an answer means.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::credential::Grant;
use crate::secret::Secret;

/// What is assumed where the endpoint does not say.
const DEFAULT_LIFETIME: Duration = Duration::from_hours(1);

/// A longer promise is not relied on.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);

const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A value as `application/x-www-form-urlencoded` wants it.
pub fn form_encode(value: &str) -> String {
    utf8_percent_encode(value, FORM).to_string()
}

impl Grant {
    /// The body of the request for a token.
    pub fn form(&self) -> String {
        let (kind, extra) = match self {
            Self::ClientCredentials { scope } => {
                ("client_credentials", scope.as_ref().map(|scope| ("scope", scope)))
            }
            Self::AccountCredentials { account_id } => {
                ("account_credentials", Some(("account_id", account_id)))
            }
        };
        let extra = extra.map(|(name, value)| format!("&{name}={}", form_encode(value)));
        format!("grant_type={kind}{}", extra.unwrap_or_default())
    }
}

/// The user-pass of Basic client authentication: RFC 6749, section 2.3.1 has both parts
/// form-encoded first, so that a colon in the id cannot end it.
pub fn client_user_pass(client_id: &Secret, client_secret: &Secret) -> Secret {
    let (id, secret) = (client_id.expose(), client_secret.expose());
    // At most three characters for each: what has to move to grow leaves copies behind.
    let mut text = String::with_capacity((id.len() + secret.len()) * 3 + 1);
    text.extend(utf8_percent_encode(id, FORM));
    text.push(':');
    text.extend(utf8_percent_encode(secret, FORM));
    Secret::new(text)
}

/// A usable answer of the token endpoint.
#[derive(Clone, Debug)]
pub struct TokenAnswer {
    /// The bearer token.
    pub token: Secret,
    /// How long it lives, counted from when it was asked for.
    pub lifetime: Duration,
}

impl TokenAnswer {
    /// Reads a 200 answer's body; nothing if it holds no bearer token that lives.
    ///
    /// A missing `token_type` passes for "bearer", and `expires_in` may be text: both are seen.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let answer: Answer = serde_json::from_slice(body).ok()?;
        let token = answer.access_token.filter(|token| !token.expose().is_empty())?;
        let bearer = match &answer.token_type {
            Value::Null => true,
            kind => kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")),
        };
        let lifetime = lifetime(&answer.expires_in)?;
        bearer.then_some(Self { token, lifetime })
    }
}

/// As it comes; the token goes straight to where it is wiped.
#[derive(Deserialize)]
struct Answer {
    access_token: Option<Secret>,
    #[serde(default)]
    token_type: Value,
    #[serde(default)]
    expires_in: Value,
}

/// Never longer than promised; a token that is already dead is none.
fn lifetime(expires_in: &Value) -> Option<Duration> {
    let seconds = match expires_in {
        Value::Null => return Some(DEFAULT_LIFETIME),
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // not true of NaN, which must not get as far as a Duration
    (seconds >= 1.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST_LIFETIME.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn grants_are_forms() {
        for (grant, form) in [
            (Grant::ClientCredentials { scope: None }, "grant_type=client_credentials"),
            (
                Grant::ClientCredentials { scope: Some("a:read b&c".into()) },
                "grant_type=client_credentials&scope=a%3Aread%20b%26c",
            ),
            (
                Grant::AccountCredentials { account_id: "Ab_-1=".into() },
                "grant_type=account_credentials&account_id=Ab_-1%3D",
            ),
        ] {
            assert_eq!(grant.form(), form);
        }
    }

    #[test]
    fn a_colon_in_the_id_does_not_end_it() {
        let user_pass = client_user_pass(&Secret::new("a:b"), &Secret::new("c d"));
        assert_eq!(user_pass.expose(), "a%3Ab:c%20d");
    }

    #[test]
    fn answers_and_how_long_they_hold() {
        for (body, seconds) in [
            (r#"{"access_token":"t","token_type":"bearer","expires_in":3599}"#, Some(3599)),
            (r#"{"access_token":"t","token_type":"Bearer"}"#, Some(3600)),
            (r#"{"access_token":"t","expires_in":null}"#, Some(3600)),
            (r#"{"access_token":"t","expires_in":"1800"}"#, Some(1800)),
            (r#"{"access_token":"t","expires_in":9e99}"#, Some(86_400)),
            (r#"{"access_token":"t","expires_in":0}"#, None),
            (r#"{"access_token":"t","expires_in":-5}"#, None),
            (r#"{"access_token":"t","expires_in":"NaN"}"#, None),
            (r#"{"access_token":"t","expires_in":[1]}"#, None),
            (r#"{"access_token":"t","token_type":"mac"}"#, None),
            (r#"{"access_token":""}"#, None),
            (r#"{"access_token":7}"#, None),
            (r#"{"error":"invalid_client"}"#, None),
            ("[]", None),
            ("<html>", None),
        ] {
            let answer = TokenAnswer::parse(body.as_bytes());
            assert_eq!(answer.as_ref().map(|a| a.lifetime.as_secs()), seconds, "{body}");
            assert!(answer.is_none_or(|a| a.token.expose() == "t"));
        }
    }

    proptest! {
        #[test]
        fn any_number_is_survived(expires_in in any::<f64>(), body in ".*") {
            TokenAnswer::parse(body.as_bytes());
            let body = serde_json::json!({"access_token": "t", "expires_in": expires_in}).to_string();
            if let Some(answer) = TokenAnswer::parse(body.as_bytes()) {
                prop_assert!(answer.lifetime <= LONGEST_LIFETIME);
                prop_assert!(!expires_in.is_finite() || answer.lifetime.as_secs_f64() <= expires_in + 1e-6);
            }
        }
    }
}
