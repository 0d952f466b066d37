//! What proves to an upstream who we are, and how long it may be used.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderName, Uri};
use serde::{Serialize, Serializer};

use super::id::id;
use crate::secret::Secret;

/// The name of a credential; safe to log. Entries are never shared between two of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(Arc<str>);
id!(CredentialId);

/// How requests are authorized.
#[derive(Clone, Debug)]
pub enum AuthScheme {
    /// Not at all.
    None,
    /// A JWT minted here (HS256; `iss` = key).
    Jwt {
        /// The `iss` claim.
        key: Secret,
        /// Signs.
        secret: Secret,
        /// `exp` - now at minting.
        lifetime: Duration,
    },
    /// `Authorization: Bearer` with a fixed token.
    Bearer {
        /// The token.
        token: Secret,
    },
    /// `Authorization: Basic` (RFC 7617).
    Basic {
        /// User id; no colon.
        username: Secret,
        /// Password.
        password: Secret,
    },
    /// A fixed value in a header of the upstream's choosing.
    Header {
        /// Which.
        name: HeaderName,
        /// Its value.
        value: Secret,
    },
    /// A bearer token fetched from a token endpoint (RFC 6749).
    OAuth2 {
        /// Absolute http(s) URI.
        token_url: Uri,
        /// Sent as Basic user id.
        client_id: Secret,
        /// Sent as Basic password.
        client_secret: Secret,
        /// What is asked for.
        grant: Grant,
    },
}

/// What is asked of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// RFC 6749, section 4.4.
    ClientCredentials {
        /// Space-separated, if any.
        scope: Option<String>,
    },
    /// Zoom's server-to-server grant.
    AccountCredentials {
        /// The account.
        account_id: String,
    },
}

impl AuthScheme {
    /// As written in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Jwt { .. } => "jwt",
            Self::Bearer { .. } => "bearer",
            Self::Basic { .. } => "basic",
            Self::Header { .. } => "header",
            Self::OAuth2 { .. } => "oauth2",
        }
    }
}

/// How far the upstream's clock may be behind ours: JWTs are dated back by it, and a token that
/// seems to come from further in the future tells that our clock was set back.
pub const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// What a JWT's lifetime may be. Shorter and it would be minted for every few requests; longer and
/// a leaked one is as good as the secret. Zoom suggests at most an hour.
pub const JWT_LIFETIME: RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(48);

/// A token is renewed while it has this much left, if it lives long enough.
const MIN_LEFT: Duration = Duration::from_mins(1);

/// A token is not injected so close to its end that it could expire on the way.
const IN_TRANSIT: Duration = Duration::from_secs(10);

/// The claims of a minted JWT. `Debug` masks the key.
#[derive(Debug, Serialize)]
pub struct JwtClaims<'a> {
    #[serde(serialize_with = "expose")]
    iss: &'a Secret,
    iat: u64,
    exp: u64,
}

fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

impl<'a> JwtClaims<'a> {
    /// `iat` is [`CLOCK_SKEW`] ago, `exp` is in `lifetime`, held within [`JWT_LIFETIME`].
    pub fn new(key: &'a Secret, lifetime: Duration, now: SystemTime) -> Self {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            iss: key,
            iat: now.saturating_sub(CLOCK_SKEW).as_secs(),
            exp: now.saturating_add(jwt_lifetime(lifetime)).as_secs(),
        }
    }
}

fn jwt_lifetime(lifetime: Duration) -> Duration {
    lifetime.clamp(*JWT_LIFETIME.start(), *JWT_LIFETIME.end())
}

/// What may be done with a token now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Use it.
    Fresh,
    /// Use it, and get the next one.
    RenewSoon,
    /// Do not use it.
    Expired,
}

/// From when until when a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife {
    begins: SystemTime,
    renew: SystemTime,
    ends: SystemTime,
}

impl TokenLife {
    /// Of a JWT minted now: renewed at 80 % of its life.
    pub fn minted(lifetime: Duration, now: SystemTime) -> Self {
        Self::new(jwt_lifetime(lifetime), 0.8, now)
    }

    /// Of a token that was asked for at `now`: renewed at 75 to 85 % of its life, as `jitter`
    /// (0 to 1) says, so that several gateways do not all renew at once.
    pub fn fetched(lifetime: Duration, jitter: f64, now: SystemTime) -> Self {
        Self::new(lifetime, 0.75 + 0.1 * fraction(jitter), now)
    }

    fn new(lifetime: Duration, renew_at: f64, now: SystemTime) -> Self {
        let latest = lifetime.saturating_sub(MIN_LEFT).max(lifetime / 2);
        let guard = IN_TRANSIT.min(lifetime / 10);
        let after = |span: Duration| now.checked_add(span).unwrap_or(now);
        Self {
            begins: now,
            renew: after(lifetime.mul_f64(renew_at).min(latest)),
            ends: after(lifetime.saturating_sub(guard)),
        }
    }

    /// What may be done with it now.
    pub fn state(&self, now: SystemTime) -> TokenState {
        let set_back = self.begins.duration_since(now).is_ok_and(|by| by > CLOCK_SKEW);
        if now >= self.ends || set_back {
            TokenState::Expired
        } else if now >= self.renew {
            TokenState::RenewSoon
        } else {
            TokenState::Fresh
        }
    }
}

/// Jitter within its bounds; a NaN would make the durations it scales panic.
fn fraction(jitter: f64) -> f64 {
    if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) }
}

/// For how long a failure to get a token answers for the next attempts, where no token is left.
pub const FAILURE_MEMORY: Duration = Duration::from_secs(1);

/// The longest pause between attempts while the old token still serves.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Renewals that failed in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedRenewal {
    last: Instant,
    times: u32,
    pause: Duration,
}

impl FailedRenewal {
    /// One more: the pause doubles from a second to half a minute, shortened by up to half as
    /// `jitter` (0 to 1) says.
    pub fn after(previous: Option<&Self>, jitter: f64, now: Instant) -> Self {
        let times = previous.map_or(0, |failed| failed.times).saturating_add(1);
        let doubled = FAILURE_MEMORY.saturating_mul(1 << (times - 1).min(5)).min(LONGEST_PAUSE);
        let pause = doubled.mul_f64(1.0 - 0.5 * fraction(jitter));
        Self { last: now, times, pause }
    }
}

/// What a caller who needs a token does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPlan {
    /// Uses the one there is.
    Use,
    /// Uses the one there is, and has the next one fetched behind its back.
    UseAndRenew,
    /// Waits for the next one.
    Await,
    /// Takes the last failure for an answer.
    Refuse,
}

impl TokenPlan {
    /// Decides; a token that does not exist is an expired one.
    pub fn of(token: TokenState, failed: Option<&FailedRenewal>, now: Instant) -> Self {
        let within = |pause| failed.is_some_and(|f| now.saturating_duration_since(f.last) < pause);
        match token {
            TokenState::Fresh => Self::Use,
            TokenState::RenewSoon if within(failed.map_or(Duration::ZERO, |f| f.pause)) => {
                Self::Use
            }
            TokenState::RenewSoon => Self::UseAndRenew,
            TokenState::Expired if within(FAILURE_MEMORY) => Self::Refuse,
            TokenState::Expired => Self::Await,
        }
    }
}

#[cfg(test)]
mod tests;
