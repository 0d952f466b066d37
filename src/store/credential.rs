//! The credential of one upstream: gets a token ready, injects it, and renews it.
//!
//! A JWT is minted here in microseconds, so whoever needs one mints it. An OAuth2 token costs a
//! round trip, see the submodule. All others never change.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use jsonwebtoken::EncodingKey;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::policy::credential::{AuthScheme, CredentialId, JwtClaims, TokenLife, TokenState};
use crate::secret::Secret;

mod oauth2;

use oauth2::OAuth2;

/// One bounded exchange with a token endpoint. The error is a label, so that nothing secret can
/// be in it.
pub type TokenClient = Arc<
    dyn Fn(
            http::Request<Full<Bytes>>,
        ) -> BoxFuture<'static, Result<http::Response<Bytes>, &'static str>>
        + Send
        + Sync,
>;

/// Why a request cannot be authorized. No message holds a secret or a token endpoint's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It refused.
    #[error("the token endpoint answered with status {status}")]
    TokenEndpoint {
        /// Its answer's status.
        status: u16,
    },
    /// It could not be asked.
    #[error("the token endpoint cannot be reached ({0})")]
    TokenEndpointUnreachable(&'static str),
    /// It agreed, but gave nothing to use.
    #[error("the token endpoint's answer holds no usable bearer token")]
    BadTokenAnswer,
    /// The caller's time ran out first.
    #[error("no token arrived before the request's deadline")]
    Deadline,
    /// The JWT could not be made.
    #[error("the JWT cannot be signed")]
    Sign,
    /// Control characters or the like in a configured secret or a fetched token.
    #[error("the credential cannot be sent in a header")]
    NotAHeaderValue,
    /// [`Credential::ready`] was not awaited, or too long ago.
    #[error("no usable token at hand")]
    NotReady,
}

impl AuthError {
    /// For metric and log labels.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TokenEndpoint { .. } => "token_endpoint",
            Self::TokenEndpointUnreachable(_) => "token_endpoint_unreachable",
            Self::BadTokenAnswer => "bad_token_answer",
            Self::Deadline => "deadline",
            Self::Sign => "sign",
            Self::NotAHeaderValue => "not_a_header_value",
            Self::NotReady => "not_ready",
        }
    }
}

/// Tells one token of a credential from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

/// Whether another attempt could fare better than the one that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewable {
    /// Yes, with the next token: await [`Credential::ready`] first.
    Retry,
    /// No.
    Final,
}

/// The credential of one upstream. Clones share it.
#[derive(Clone)]
pub struct Credential(Arc<Inner>);

struct Inner {
    id: CredentialId,
    kind: &'static str,
    clock: Clock,
    /// Where the secret goes.
    header: HeaderName,
    source: Source,
}

enum Source {
    Nothing,
    Fixed(Result<HeaderValue, AuthError>),
    Jwt(Jwt),
    OAuth2(Arc<OAuth2>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("id", &self.0.id).field("kind", &self.0.kind).finish()
    }
}

impl Credential {
    /// Prepares what can be prepared; nothing is sent before the first [`ready`](Self::ready).
    pub fn new(id: CredentialId, scheme: AuthScheme, clock: Clock, http: TokenClient) -> Self {
        let kind = scheme.kind();
        let mut name = header::AUTHORIZATION;
        let source = match scheme {
            AuthScheme::None => Source::Nothing,
            AuthScheme::Bearer { token } => Source::Fixed(bearer(token.expose())),
            AuthScheme::Basic { username, password } => {
                let user_pass = [username.expose(), password.expose()].join(":");
                Source::Fixed(basic(&Secret::new(user_pass)))
            }
            AuthScheme::Header { name: own, value } => {
                name = own;
                Source::Fixed(sensitive(value.expose()))
            }
            AuthScheme::Jwt { key, secret, lifetime } => {
                Source::Jwt(Jwt { key, secret, lifetime, slot: Mutex::default() })
            }
            AuthScheme::OAuth2 { token_url, client_id, client_secret, grant } => {
                let asks = oauth2::Asks::new(token_url, &client_id, &client_secret, &grant);
                Source::OAuth2(Arc::new(OAuth2::new(id.clone(), asks, clock.clone(), http)))
            }
        };
        Self(Arc::new(Inner { id, kind, clock, header: name, source }))
    }

    /// Its name.
    pub fn id(&self) -> &CredentialId {
        &self.0.id
    }

    /// Makes sure that there is a usable token, waiting for one until `deadline` if need be.
    pub async fn ready(&self, deadline: Instant) -> Result<(), AuthError> {
        match &self.0.source {
            Source::Nothing => Ok(()),
            Source::Fixed(value) => value.as_ref().map(|_| ()).map_err(|&error| error),
            Source::Jwt(jwt) => jwt.token(self.0.clock.wall()).map(|_| ()),
            Source::OAuth2(oauth2) => oauth2.ready(deadline).await,
        }
    }

    /// Puts our credential in the place of every one that the client sent.
    ///
    /// The client's are removed even where ours is not to be had. Where there is none of ours by
    /// rule, `Authorization` is between the client and the upstream.
    pub fn apply(&self, headers: &mut HeaderMap) -> Result<Generation, AuthError> {
        headers.remove(header::PROXY_AUTHORIZATION);
        headers.remove(header::COOKIE);
        if let Source::Nothing = &self.0.source {
            return Ok(Generation(0));
        }
        headers.remove(header::AUTHORIZATION);
        headers.remove(&self.0.header);
        let (value, generation) = match &self.0.source {
            Source::Nothing => return Ok(Generation(0)),
            Source::Fixed(value) => (value.clone()?, Generation(0)),
            Source::Jwt(jwt) => jwt.token(self.0.clock.wall())?,
            Source::OAuth2(oauth2) => oauth2.token().ok_or(AuthError::NotReady)?,
        };
        headers.insert(self.0.header.clone(), value);
        Ok(generation)
    }

    /// The upstream answered 401 to this token.
    ///
    /// However many callers report the same one, it is renewed once.
    pub fn reject(&self, generation: Generation) -> Renewable {
        match &self.0.source {
            Source::Nothing | Source::Fixed(_) => Renewable::Final,
            Source::Jwt(jwt) => {
                jwt.slot.lock().discard(generation);
                Renewable::Retry
            }
            Source::OAuth2(oauth2) => oauth2.reject(generation),
        }
    }
}

struct Jwt {
    key: Secret,
    secret: Secret,
    lifetime: Duration,
    slot: Mutex<Slot>,
}

impl Jwt {
    fn token(&self, now: SystemTime) -> Result<(HeaderValue, Generation), AuthError> {
        let mut slot = self.slot.lock();
        if slot.state(now) != TokenState::Fresh {
            let value = self.mint(now)?;
            slot.put(value, TokenLife::minted(self.lifetime, now));
        }
        slot.usable(now).ok_or(AuthError::NotReady)
    }

    fn mint(&self, now: SystemTime) -> Result<HeaderValue, AuthError> {
        let claims = JwtClaims::new(&self.key, self.lifetime, now);
        let key = EncodingKey::from_secret(self.secret.expose().as_bytes());
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        let signed = jsonwebtoken::encode(&header, &claims, &key);
        bearer(Secret::new(signed.map_err(|_no_detail_may_leak| AuthError::Sign)?).expose())
    }
}

/// The token in use.
#[derive(Default)]
struct Slot {
    current: Option<(HeaderValue, TokenLife)>,
    /// Counts the tokens there have been; the current one's generation.
    generation: u64,
}

impl Slot {
    fn state(&self, now: SystemTime) -> TokenState {
        self.current.as_ref().map_or(TokenState::Expired, |(_, life)| life.state(now))
    }

    fn usable(&self, now: SystemTime) -> Option<(HeaderValue, Generation)> {
        let (value, life) = self.current.as_ref()?;
        (life.state(now) != TokenState::Expired)
            .then(|| (value.clone(), Generation(self.generation)))
    }

    fn put(&mut self, value: HeaderValue, life: TokenLife) {
        self.generation += 1;
        self.current = Some((value, life));
    }

    /// Whether it still stands for the token of this generation.
    fn holds(&self, generation: Generation) -> bool {
        self.current.is_some() && self.generation == generation.0
    }

    fn discard(&mut self, generation: Generation) {
        if self.holds(generation) {
            self.current = None;
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, AuthError> {
    // Put together by `join`, which knows the length: what has to move to grow leaves copies.
    sensitive(Secret::new(["Bearer", token].join(" ")).expose())
}

fn basic(user_pass: &Secret) -> Result<HeaderValue, AuthError> {
    let encoded = Secret::new(STANDARD.encode(user_pass.expose()));
    sensitive(Secret::new(["Basic", encoded.expose()].join(" ")).expose())
}

/// The field's own copy lives as long as the field and cannot be wiped: it is shared with every
/// request that carries it.
fn sensitive(text: &str) -> Result<HeaderValue, AuthError> {
    let mut value = HeaderValue::from_str(text).map_err(|_bytes| AuthError::NotAHeaderValue)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
