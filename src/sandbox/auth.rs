//! Who may ask: an API JWT signed with the account's secret, or a token of its OAuth endpoint.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Options;
use super::answer::Answer;
use super::query::pairs;
use crate::secret::Secret;

/// How far ahead of our clock the `iat` of a JWT may lie.
const LEEWAY: u64 = 10;
/// What an OAuth token lives, in seconds.
const EXPIRES_IN: u64 = 3_599;

/// Why a request is not authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Invalid,
    Expired,
}

/// The claims of an API JWT; all are required.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
}

/// The account's credentials.
pub(super) struct Gatekeeper {
    api_key: String,
    api_secret: Secret,
    client_id: String,
    client_secret: Secret,
    account_id: String,
    tokens: hmac::Key,
    /// Tokens of an earlier epoch are revoked.
    epoch: AtomicU32,
}

impl Gatekeeper {
    pub(super) fn new(options: &Options) -> Self {
        let key = format!("oauth token/{}", options.client_secret.expose());
        Self {
            api_key: options.api_key.clone(),
            api_secret: options.api_secret.clone(),
            client_id: options.client_id.clone(),
            client_secret: options.client_secret.clone(),
            account_id: options.account_id.clone(),
            tokens: hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
            epoch: AtomicU32::new(0),
        }
    }

    /// Whether these headers authorize a request at `now` (seconds since 1970).
    pub(super) fn check(&self, headers: &HeaderMap, now: u64) -> Result<(), Refusal> {
        let token = credentials(headers, "bearer").ok_or(Refusal::Invalid)?;
        let expires = if token.contains('.') { self.jwt(token, now)? } else { self.oauth(token)? };
        if now < expires { Ok(()) } else { Err(Refusal::Expired) }
    }

    /// Refuses every OAuth token issued so far.
    pub(super) fn revoke(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// A JWT that authorizes from `now` on for an hour.
    pub(super) fn mint(&self, now: u64) -> Option<String> {
        let claims = Claims { iss: self.api_key.clone(), iat: now, exp: now + 3_600 };
        let key = jsonwebtoken::EncodingKey::from_secret(self.api_secret.expose().as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::new(Algorithm::HS256), &claims, &key).ok()
    }

    /// Answers `POST /oauth/token`; the parameters stand in the query or in the form.
    pub(super) fn token(&self, headers: &HeaderMap, query: &str, form: &str, now: u64) -> Answer {
        let given: Vec<_> = pairs(query).into_iter().chain(pairs(form)).collect();
        let find = |name: &str| {
            given.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
        };
        if !self.client(headers) {
            return refused(
                StatusCode::UNAUTHORIZED,
                "Invalid client_id or client_secret",
                "invalid_client",
            );
        }
        match find("grant_type") {
            Some("client_credentials") => {}
            Some("account_credentials") if find("account_id") == Some(&self.account_id) => {}
            Some("account_credentials") => {
                return refused(StatusCode::BAD_REQUEST, "Bad Request", "invalid_request");
            }
            _ => {
                return refused(
                    StatusCode::BAD_REQUEST,
                    "unsupported grant type",
                    "unsupported_grant_type",
                );
            }
        }
        let body = json!({
            "access_token": self.issue(now + EXPIRES_IN),
            "token_type": "bearer",
            "expires_in": EXPIRES_IN,
            "scope": "videosdk",
        });
        Answer::json(StatusCode::OK, body.to_string())
    }

    fn client(&self, headers: &HeaderMap) -> bool {
        let expected = format!("{}:{}", self.client_id, self.client_secret.expose());
        let given = credentials(headers, "basic").and_then(|text| STANDARD.decode(text).ok());
        given.is_some_and(|given| given == expected.as_bytes())
    }

    fn jwt(&self, token: &str, now: u64) -> Result<u64, Refusal> {
        // The claims are compared with the sandbox's clock, which the library does not know.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let key = DecodingKey::from_secret(self.api_secret.expose().as_bytes());
        let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation);
        let claims = decoded.map_err(|_invalid| Refusal::Invalid)?.claims;
        let sound =
            claims.iss == self.api_key && claims.iat <= now + LEEWAY && claims.iat < claims.exp;
        if sound { Ok(claims.exp) } else { Err(Refusal::Invalid) }
    }

    fn issue(&self, expires: u64) -> String {
        let mut bytes = expires.to_be_bytes().to_vec();
        bytes.extend(self.epoch.load(Ordering::Relaxed).to_be_bytes());
        let signature = hmac::sign(&self.tokens, &bytes);
        bytes.extend(signature.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn oauth(&self, token: &str) -> Result<u64, Refusal> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_invalid| Refusal::Invalid)?;
        let (payload, signature) = bytes.split_at_checked(12).ok_or(Refusal::Invalid)?;
        hmac::verify(&self.tokens, payload, signature).map_err(|_invalid| Refusal::Invalid)?;
        let (expires, epoch) = payload.split_first_chunk().ok_or(Refusal::Invalid)?;
        if epoch != self.epoch.load(Ordering::Relaxed).to_be_bytes() {
            return Err(Refusal::Invalid);
        }
        Ok(u64::from_be_bytes(*expires))
    }
}

impl std::fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gatekeeper").field("api_key", &self.api_key).finish_non_exhaustive()
    }
}

fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, credentials) =
        headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
}

fn refused(status: StatusCode, reason: &str, error: &str) -> Answer {
    Answer::json(status, json!({ "reason": reason, "error": error }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_728_046_800;

    fn gatekeeper() -> Gatekeeper {
        Gatekeeper::new(&Options::default())
    }

    fn authorization(value: &str) -> HeaderMap {
        [(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
    }

    fn jwt(algorithm: Algorithm, claims: &serde_json::Value, secret: &str) -> HeaderMap {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let token =
            jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), claims, &key).unwrap();
        authorization(&format!("Bearer {token}"))
    }

    #[test]
    fn a_jwt_must_be_signed_by_us_for_us_and_for_now() {
        let claims = |iss: &str, iat: u64, exp: u64| json!({ "iss": iss, "iat": iat, "exp": exp });
        let good = claims("sandbox-key", NOW, NOW + 60);
        for (headers, expected) in [
            (jwt(Algorithm::HS256, &good, "sandbox-secret"), Ok(())),
            (
                jwt(
                    Algorithm::HS256,
                    &claims("sandbox-key", NOW + LEEWAY, NOW + 60),
                    "sandbox-secret",
                ),
                Ok(()),
            ),
            (jwt(Algorithm::HS256, &good, "other-secret"), Err(Refusal::Invalid)),
            (jwt(Algorithm::HS384, &good, "sandbox-secret"), Err(Refusal::Invalid)),
            (
                jwt(Algorithm::HS256, &claims("other", NOW, NOW + 60), "sandbox-secret"),
                Err(Refusal::Invalid),
            ),
            (
                jwt(Algorithm::HS256, &claims("sandbox-key", NOW + 11, NOW + 60), "sandbox-secret"),
                Err(Refusal::Invalid),
            ),
            (
                jwt(Algorithm::HS256, &claims("sandbox-key", NOW - 60, NOW), "sandbox-secret"),
                Err(Refusal::Expired),
            ),
            (
                jwt(
                    Algorithm::HS256,
                    &json!({ "iss": "sandbox-key", "exp": NOW + 60 }),
                    "sandbox-secret",
                ),
                Err(Refusal::Invalid),
            ),
            (
                jwt(
                    Algorithm::HS256,
                    &json!({ "iss": "sandbox-key", "iat": NOW }),
                    "sandbox-secret",
                ),
                Err(Refusal::Invalid),
            ),
            (authorization("Bearer nonsense"), Err(Refusal::Invalid)),
            (authorization("Basic c2FuZGJveDpzYW5kYm94"), Err(Refusal::Invalid)),
            (HeaderMap::new(), Err(Refusal::Invalid)),
        ] {
            assert_eq!(gatekeeper().check(&headers, NOW), expected, "{headers:?}");
        }
    }

    #[test]
    fn minted_tokens_are_accepted_for_an_hour() {
        let gatekeeper = gatekeeper();
        let headers = authorization(&format!("bearer {}", gatekeeper.mint(NOW).unwrap()));
        assert_eq!(gatekeeper.check(&headers, NOW + 3_599), Ok(()));
        assert_eq!(gatekeeper.check(&headers, NOW + 3_600), Err(Refusal::Expired));
    }

    fn grant(gatekeeper: &Gatekeeper, client: &str, form: &str) -> (u16, serde_json::Value) {
        let headers = authorization(&format!("Basic {}", STANDARD.encode(client)));
        let answer = gatekeeper.token(&headers, "", form, NOW);
        (answer.status.as_u16(), serde_json::from_str(&answer.body.unwrap()).unwrap())
    }

    #[test]
    fn oauth_tokens_work_until_they_expire_or_are_revoked() {
        let gatekeeper = gatekeeper();
        let client = "sandbox-client:sandbox-client-secret";
        for form in [
            "grant_type=client_credentials",
            "grant_type=account_credentials&account_id=sandbox-account",
        ] {
            let (status, body) = grant(&gatekeeper, client, form);
            assert_eq!(
                (status, &body["token_type"], &body["expires_in"]),
                (200, &json!("bearer"), &json!(3_599))
            );
            let headers =
                authorization(&format!("Bearer {}", body["access_token"].as_str().unwrap()));
            assert_eq!(gatekeeper.check(&headers, NOW + 3_598), Ok(()));
            assert_eq!(gatekeeper.check(&headers, NOW + 3_599), Err(Refusal::Expired));
            gatekeeper.revoke();
            assert_eq!(gatekeeper.check(&headers, NOW), Err(Refusal::Invalid));
        }
    }

    #[test]
    fn oauth_refuses_strangers_and_unknown_grants() {
        let good = "sandbox-client:sandbox-client-secret";
        for (client, form, status, error) in [
            ("sandbox-client:wrong", "grant_type=client_credentials", 401, "invalid_client"),
            (good, "grant_type=password", 400, "unsupported_grant_type"),
            (good, "", 400, "unsupported_grant_type"),
            (good, "grant_type=account_credentials&account_id=other", 400, "invalid_request"),
        ] {
            let (found, body) = grant(&gatekeeper(), client, form);
            assert_eq!((found, body["error"].as_str()), (status, Some(error)), "{client} {form}");
        }
    }
}
