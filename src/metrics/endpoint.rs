//! What a request counts with at its endpoint: series that are looked up once.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::families::{
    CacheRequest, Families, ListingWalk, Request, RequestDuration, UpstreamDuration,
    UpstreamRequest,
};

/// What the cache had for a request. As a metric label, [`CacheLabel`] adds "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheResult {
    /// A fresh answer.
    Hit,
    /// A stale answer that the rule allowed.
    Stale,
    /// The upstream confirmed the stored answer.
    Revalidated,
    /// Nothing; the upstream was asked.
    Miss,
    /// Nothing yet; another request's flight answered this one too.
    Collapsed,
    /// The rule says not to look.
    Bypass,
}

impl CacheResult {
    /// Every one, in the order of [`CacheResult::index`].
    pub const ALL: [Self; 6] =
        [Self::Hit, Self::Stale, Self::Revalidated, Self::Miss, Self::Collapsed, Self::Bypass];

    /// As it stands in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Bypass => "bypass",
        }
    }

    /// Its place in an array.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The `cache` label of a request: `None` for one that ended before the cache.
pub type CacheLabel = Option<CacheResult>;

const NO_CACHE: &str = "none";
const CACHE_LABELS: usize = CacheResult::ALL.len() + 1;

/// What came of a whole listing that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkResult {
    /// It was answered.
    Whole,
    /// A page of it was not: the upstream's own error was the answer.
    Refused,
    /// The day or the client's share would not pay for it, or a page found no token.
    Budget,
    /// It would not fit into the request's time, or did not.
    Time,
    /// It is longer or larger than the rule allows.
    Bound,
    /// Anything else went wrong: no answer, or one that is no page.
    Failed,
    /// The client hung up.
    Abandoned,
}

impl WalkResult {
    /// As it stands in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Refused => "refused",
            Self::Budget => "budget",
            Self::Time => "time",
            Self::Bound => "bound",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// How one attempt upstream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamStatus {
    /// With an answer.
    Code(u16),
    /// Without one: the name of the failure, out of a closed set ("connect", "timeout").
    Failed(&'static str),
}

impl UpstreamStatus {
    fn text(self) -> Cow<'static, str> {
        match self {
            Self::Code(code) => bounded(code).to_string().into(),
            Self::Failed(kind) => kind.into(),
        }
    }
}

/// Statuses whose series is kept at hand; the others are looked up.
const COMMON: [u16; 12] = [200, 201, 204, 304, 400, 401, 403, 404, 429, 502, 503, 504];

fn common_index(status: u16) -> Option<usize> {
    COMMON.iter().position(|common| *common == status)
}

/// An upstream may invent statuses; they share one series.
fn bounded(status: u16) -> u16 {
    if (100..600).contains(&status) { status } else { 599 }
}

/// A series that appears when it first counts.
pub(super) type Lazy<M> = OnceLock<M>;

fn lazies<M, const N: usize>() -> [Lazy<M>; N] {
    std::array::from_fn(|_| Lazy::new())
}

/// The series of one endpoint.
#[derive(Debug)]
pub struct EndpointMetrics {
    families: Families,
    upstream: Arc<str>,
    endpoint: Arc<str>,
    clients: Box<[ClientRequests]>,
    durations: [Lazy<Histogram>; CACHE_LABELS],
    cache: [Lazy<Counter>; CacheResult::ALL.len()],
    upstream_common: [Lazy<Counter>; COMMON.len()],
    upstream_duration: Lazy<Histogram>,
}

#[derive(Debug)]
struct ClientRequests {
    name: Arc<str>,
    common: [Lazy<Counter>; COMMON.len()],
}

impl EndpointMetrics {
    pub(super) fn new(
        families: &Families,
        upstream: &str,
        endpoint: &str,
        clients: &[Arc<str>],
    ) -> Self {
        let clients = clients
            .iter()
            .map(|name| ClientRequests { name: Arc::clone(name), common: lazies() })
            .collect();
        Self {
            families: families.clone(),
            upstream: upstream.into(),
            endpoint: endpoint.into(),
            clients,
            durations: lazies(),
            cache: lazies(),
            upstream_common: lazies(),
            upstream_duration: Lazy::new(),
        }
    }

    /// An answer. `client` is an index into the names given at construction; an index outside
    /// them counts only the duration.
    pub fn request(&self, client: usize, status: u16, cache: CacheLabel, seconds: f64) {
        self.duration(cache).observe(seconds);
        let Some(client) = self.clients.get(client) else { return };
        let series = || {
            let labels = Request {
                endpoint: Arc::clone(&self.endpoint),
                client: Arc::clone(&client.name),
                status: bounded(status),
            };
            self.families.requests.get_or_create_owned(&labels)
        };
        count(&client.common, status, series);
    }

    /// What the cache had for a request.
    pub fn cache(&self, result: CacheResult) {
        let series = || {
            let labels =
                CacheRequest { endpoint: Arc::clone(&self.endpoint), result: result.as_str() };
            self.families.cache_requests.get_or_create_owned(&labels)
        };
        if let Some(kept) = self.cache.get(result.index()) {
            kept.get_or_init(series).inc();
        }
    }

    /// A whole listing was asked for.
    pub fn walk(&self, result: WalkResult) {
        let labels = ListingWalk { endpoint: Arc::clone(&self.endpoint), result: result.as_str() };
        self.families.listing_walks.get_or_create(&labels).inc();
    }

    /// One attempt upstream.
    pub fn upstream(&self, status: UpstreamStatus, seconds: f64) {
        let series = || {
            let labels = UpstreamRequest {
                upstream: Arc::clone(&self.upstream),
                endpoint: Arc::clone(&self.endpoint),
                status: status.text(),
            };
            self.families.upstream_requests.get_or_create_owned(&labels)
        };
        match status {
            UpstreamStatus::Code(code) => count(&self.upstream_common, code, series),
            UpstreamStatus::Failed(_) => {
                series().inc();
            }
        }
        self.upstream_duration
            .get_or_init(|| {
                self.families.upstream_duration.get_or_create_owned(&UpstreamDuration {
                    upstream: Arc::clone(&self.upstream),
                    endpoint: Arc::clone(&self.endpoint),
                })
            })
            .observe(seconds);
    }

    fn duration(&self, cache: CacheLabel) -> Cow<'_, Histogram> {
        let series = || {
            self.families.request_duration.get_or_create_owned(&RequestDuration {
                endpoint: Arc::clone(&self.endpoint),
                cache: cache.map_or(NO_CACHE, CacheResult::as_str),
            })
        };
        let index = cache.map_or(CACHE_LABELS - 1, CacheResult::index);
        match self.durations.get(index) {
            Some(kept) => Cow::Borrowed(kept.get_or_init(series)),
            None => Cow::Owned(series()),
        }
    }
}

fn count(kept: &[Lazy<Counter>], status: u16, series: impl FnOnce() -> Counter) {
    match common_index(status).and_then(|index| kept.get(index)) {
        Some(kept) => kept.get_or_init(series).inc(),
        None => series().inc(),
    };
}
