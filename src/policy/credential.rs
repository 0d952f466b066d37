//! What proves to an upstream who we are.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Uri};

use super::endpoint::id;
use crate::secret::Secret;
use std::fmt;

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
