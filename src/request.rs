//! The zones of the stack, as types: a layer in the wrong zone does not compile.
//!
//! None of them shows its fields, path or parameters when it is printed: ids and tokens live there.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::Full;

use crate::http::Body;
use crate::metrics::CacheResult;
use crate::policy::cache_key::CacheKey;
use crate::policy::listing::Extent;
use crate::store::flight::{Joined, Wanted};
use crate::store::limiter::Departure;
use crate::upstream::Manner;
use crate::world::{Client, Route, World};

/// Edge zone: anything a client can send.
pub struct EdgeRequest {
    /// As it came.
    pub http: http::Request<Body>,
    /// The configuration it will be answered by.
    pub world: Arc<World>,
    /// What will be said about it.
    pub record: Arc<Record>,
    /// When its time is up.
    pub deadline: Instant,
}

impl fmt::Debug for EdgeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeRequest").field("method", self.http.method()).finish_non_exhaustive()
    }
}

/// Edge zone, and we know who asks.
#[derive(Debug)]
pub struct IdentifiedRequest {
    /// As before.
    pub edge: EdgeRequest,
    /// Who.
    pub client: Arc<Client>,
}

/// Policy zone: client, endpoint and normalised parameters are known.
pub struct RoutedRequest {
    /// As it came.
    pub method: Method,
    /// What it asks for.
    pub route: Arc<Route>,
    /// Who asks.
    pub client: Arc<Client>,
    /// Tells it from every other question.
    pub key: Arc<CacheKey>,
    /// End-to-end fields, less whatever proved who the client is.
    pub headers: HeaderMap,
    /// Not read yet.
    pub body: Body,
    /// Most of it that will be read.
    pub max_body_bytes: usize,
    /// Most flights at a time.
    pub max_flights: usize,
    /// The configuration it is answered by.
    pub world: Arc<World>,
    /// When its time is up.
    pub deadline: Instant,
    /// What will be said about it.
    pub record: Arc<Record>,
    /// How much of a listing it asks for; beyond `listing` it is always a page.
    pub extent: Extent,
}

impl fmt::Debug for RoutedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (route, client) = (&self.route.endpoint.id, &self.client.name);
        let mut shown = f.debug_struct("RoutedRequest");
        shown.field("route", route).field("client", client).finish_non_exhaustive()
    }
}

/// Policy zone, past the cache: a question that the upstream has to answer, whole and repeatable.
#[derive(Clone)]
pub struct FetchRequest {
    /// For the upstream.
    pub method: Method,
    /// What it asks for.
    pub route: Arc<Route>,
    /// Who pays.
    pub client: Arc<Client>,
    /// Path and query, relative to the upstream's base URL.
    pub target: Arc<str>,
    /// For the upstream.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// When its time is up.
    pub deadline: Instant,
    /// To be told when it leaves, if it spends a token.
    pub departure: Option<Departure>,
    /// In what way it goes out.
    pub manner: Manner,
    /// Whether anybody waits for the answer; none = somebody does.
    pub wanted: Option<Wanted>,
    /// How soon it is needed.
    pub urgency: Urgency,
    /// Tells when somebody needs it sooner; none = nobody else may ask.
    pub joined: Option<Joined>,
    /// What will be said about it.
    pub record: Arc<Record>,
}

impl fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (route, client) = (&self.route.endpoint.id, &self.client.name);
        let mut shown = f.debug_struct("FetchRequest");
        shown.field("route", route).field("client", client).finish_non_exhaustive()
    }
}

/// How soon a question's answer is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody asks: as soon as the client's priority allows.
    #[default]
    Asked,
    /// Nobody asks yet: after all who do.
    Ahead,
}

/// Upstream zone: carries the secret; never logged, never stored.
pub struct SignedRequest {
    /// Where to.
    pub route: Arc<Route>,
    /// With an absolute URI and our credential.
    pub http: http::Request<Full<Bytes>>,
    /// To be told when it leaves, if it spends a token.
    pub departure: Option<Departure>,
    /// In what way it goes out.
    pub manner: Manner,
    /// What will be said about it.
    pub record: Arc<Record>,
}

impl fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest")
            .field("route", &self.route.endpoint.id)
            .finish_non_exhaustive()
    }
}

/// What is said about a request in the access log and in metrics. Layers write it as they go.
#[derive(Debug, Default)]
pub struct Record {
    client: OnceLock<Arc<Client>>,
    route: OnceLock<Arc<Route>>,
    /// 0 = none, else [`CacheResult`] + 1.
    cache: AtomicU8,
    /// Nanoseconds + 1; 0 = none.
    wait: AtomicU64,
    upstream: AtomicU64,
}

impl Record {
    /// Who asked.
    pub fn client(&self) -> Option<&Arc<Client>> {
        self.client.get()
    }

    /// What for.
    pub fn route(&self) -> Option<&Arc<Route>> {
        self.route.get()
    }

    /// What the cache had.
    pub fn cache(&self) -> Option<CacheResult> {
        let stored = self.cache.load(Ordering::Relaxed);
        stored.checked_sub(1).and_then(|index| CacheResult::ALL.get(usize::from(index)).copied())
    }

    /// How long it waited for tokens, all attempts together.
    pub fn wait(&self) -> Option<Duration> {
        load(&self.wait)
    }

    /// How long the upstream took to the answer's head, all attempts together.
    pub fn upstream(&self) -> Option<Duration> {
        load(&self.upstream)
    }

    /// Once, by `identify`.
    pub fn identified(&self, client: Arc<Client>) {
        self.client.get_or_init(|| client);
    }

    /// Once, by `route`.
    pub fn routed(&self, route: Arc<Route>) {
        self.route.get_or_init(|| route);
    }

    /// By `cache`; the last word counts.
    pub fn looked_up(&self, result: CacheResult) {
        let index = u8::try_from(result.index() + 1).unwrap_or(0);
        self.cache.store(index, Ordering::Relaxed);
    }

    /// By `limit`, once an attempt.
    pub fn waited(&self, time: Duration) {
        add(&self.wait, time);
    }

    /// By `dispatch`, once an attempt.
    pub fn answered(&self, time: Duration) {
        add(&self.upstream, time);
    }
}

fn load(cell: &AtomicU64) -> Option<Duration> {
    cell.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_nanos)
}

fn add(cell: &AtomicU64, time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2);
    let before = cell.load(Ordering::Relaxed).max(1);
    cell.store(before.saturating_add(nanos), Ordering::Relaxed);
}

/// In an answer's extensions: when the request for it left.
#[derive(Clone, Copy, Debug)]
pub struct SentAt(pub Instant);

/// In an answer's extensions: how many tokens it has cost, every attempt that left counted. Absent
/// where nothing was limited, or where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent(pub u32);
