//! How an upstream is reached: where its replicas are, by what way, whom to trust there, and how
//! long to wait.

use std::time::Duration;

use http::uri::Authority;
use http::{StatusCode, Uri};

use super::breaker::Rules;
use super::trust::Trust;
use crate::secret::Secret;

/// How long an upstream may take, and what it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a connection (name, TCP and TLS) may take.
    pub connect_timeout: Duration,
    /// From having a connection until the answer's head.
    pub first_byte_timeout: Duration,
    /// From the call until the end of the answer.
    pub total_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Speak HTTP/2 only, without negotiation.
    pub http2_prior_knowledge: bool,
}

/// More replicas of one upstream are not asked.
pub const MAX_REPLICAS: usize = 64;

/// Everything there is to know before the first request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// How long it may take.
    pub options: Options,
    /// Who is believed to be it.
    pub trust: Trust,
    /// Where it is; none = where each request's URI says.
    pub places: Vec<Place>,
    /// How often the one place's name is looked up, each address being a replica of its own.
    pub resolve: Option<Duration>,
    /// When a replica is left alone.
    pub breaker: Rules,
    /// Whether replicas are asked how they are.
    pub health: Option<Health>,
    /// Statuses that count as a replica's failure where there are several.
    pub faults: Vec<StatusCode>,
}

/// One of several addresses that answer alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Scheme, authority and path prefix.
    pub url: Uri,
    /// Its authority.
    pub authority: Authority,
    /// What lies between.
    pub egress: Option<Egress>,
}

/// A proxy on the way out, to which weir says CONNECT.
#[derive(Clone)]
pub struct Egress {
    /// `http://host:port`
    pub proxy: Uri,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<Secret>,
}

impl PartialEq for Egress {
    fn eq(&self, other: &Self) -> bool {
        let plain =
            |egress: &Self| egress.authorization.clone().map(|secret| secret.expose().to_owned());
        self.proxy == other.proxy && plain(self) == plain(other)
    }
}

impl Eq for Egress {}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

/// How replicas are asked how they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Path and query, as they stand.
    pub path: String,
    /// How often each is asked.
    pub interval: Duration,
    /// How long one may take to answer.
    pub timeout: Duration,
    /// So many bad answers in a row, and it is down.
    pub unhealthy: u32,
    /// So many good answers in a row, and it is back.
    pub healthy: u32,
}
