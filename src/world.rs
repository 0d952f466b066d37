//! What the configuration has become: clients, routes and upstreams, ready for use.
//!
//! A request takes the current world with it and sees no other. A reload builds the next one.

pub mod locate;
mod roster;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::NotKeyed;
use governor::{Quota, RateLimiter};
use http::StatusCode;
use tower::retry::budget::TpsBudget;

use crate::clock::Clock;
use crate::metrics::{EndpointMetrics, LabelMetrics};
use crate::policy::cache_key::{KeyRoot, KeySeed};
use crate::policy::endpoint::{Endpoint, Spelling, UpstreamId};
use crate::policy::permission::EndpointSet;
use crate::policy::quota::{LabelSpec, PoolSpec};
use crate::policy::route::RouteTable;
use crate::policy::share::Share;
use crate::store::credential::Credential;
use crate::store::limiter::{LabelIndex, Limiter};
use crate::store::meter::Arrival;
use crate::telemetry::Rare;
use crate::upstream::UpstreamClient;

pub use self::roster::{Proofs, Roster};

/// Everything a request needs to find its way.
#[derive(Debug)]
pub struct World {
    /// Who may call.
    pub clients: Clients,
    /// Where to, the longest mount first.
    pub sites: Vec<Site>,
    /// Counts what matched no endpoint.
    pub unrouted: EndpointMetrics,
    /// Index of those who did not say who they are, for per-client metrics.
    pub unknown_client: usize,
    /// Tells two configurations apart.
    pub digest: String,
    /// What all keys are hashed with, also those of the worlds before.
    pub key_seed: KeySeed,
    /// The whole request, queueing included.
    pub request_timeout: Duration,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Most requests at a time.
    pub max_in_flight: usize,
}

impl World {
    /// Every upstream once, however many mounts it has.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let mut seen: Vec<&UpstreamId> = Vec::new();
        self.sites.iter().filter_map(|site| site.table.endpoints.first()).filter_map(move |route| {
            let new = !seen.contains(&&route.upstream.id);
            seen.push(&route.upstream.id);
            new.then_some(&route.upstream)
        })
    }

    /// An upstream by name.
    pub fn upstream(&self, id: &UpstreamId) -> Option<&Arc<Upstream>> {
        self.upstreams().find(|upstream| upstream.id == *id)
    }
}

/// Who may call.
#[derive(Debug)]
pub enum Clients {
    /// Everybody, under one name.
    Anonymous(Arc<Client>),
    /// Whoever proves to be one of these.
    Keyed(Box<Roster>),
}

/// An internal service that calls weir.
pub struct Client {
    /// Its position in the configuration; index into per-client metrics.
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// Its weight, priority and part of the day.
    pub share: Share,
    endpoints: EndpointSet,
    figures: Option<(NonZeroU32, NonZeroU32)>,
    quota: Option<Arc<OwnShare>>,
}

impl Clients {
    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[Arc<Client>] {
        match self {
            Self::Anonymous(client) => std::slice::from_ref(client),
            Self::Keyed(roster) => roster.all(),
        }
    }

    /// A client by name.
    pub fn named(&self, name: &str) -> Option<&Arc<Client>> {
        self.all().iter().find(|client| &*client.name == name)
    }
}

/// A client's own share of requests.
#[derive(Debug)]
struct OwnShare {
    meter: RateLimiter<NotKeyed, Arrival, MonotonicClock, NoOpMiddleware<Duration>>,
    arrival: Arrival,
    period: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Client {
    /// `index` is its position in the configuration, `quota` requests a second and burst.
    pub fn new(
        index: usize,
        share: Share,
        quota: Option<(NonZeroU32, NonZeroU32)>,
        clock: &Clock,
    ) -> Self {
        let figures = quota;
        let quota = quota.map(|(per_second, burst)| {
            let clock = MonotonicClock { clock: clock.clone(), epoch: clock.now() };
            let quota = Quota::per_second(per_second).allow_burst(burst);
            let (arrival, period) = (Arrival::default(), quota.replenish_interval());
            let meter = RateLimiter::new(quota, arrival.clone(), clock);
            Arc::new(OwnShare { meter, arrival, period })
        });
        let (name, endpoints) = (share.client.as_str().into(), EndpointSet::All);
        Self { index, name, share, endpoints, figures, quota }
    }

    /// The same client, which may ask these endpoints alone.
    pub fn limited_to(self, endpoints: EndpointSet) -> Self {
        Self { endpoints, ..self }
    }

    /// Whether it may ask this endpoint.
    pub fn may_ask(&self, route: &Route) -> bool {
        self.endpoints.holds(route.number)
    }

    /// The same client after a reload: what it has spent of an unchanged share stays spent.
    pub fn continuing(self, old: Option<&Arc<Self>>) -> Self {
        match old.filter(|old| old.figures == self.figures) {
            Some(old) => Self { quota: old.quota.clone(), ..self },
            None => self,
        }
    }

    /// Takes one of the client's own share, or says when there will be one.
    pub fn check_quota(&self) -> Result<(), Duration> {
        let Some(quota) = &self.quota else { return Ok(()) };
        let checked = quota.meter.check();
        checked.map_err(|refused| refused.wait_time_from(quota.meter.clock().now()))
    }

    /// Whether it has a share of its own.
    pub fn has_quota(&self) -> bool {
        self.quota.is_some()
    }

    /// Gives one back, for a request that was refused after all.
    pub fn give_back_quota(&self) {
        if let Some(quota) = &self.quota {
            quota.arrival.give_back(quota.period);
        }
    }
}

/// Our clock, as governor wants to see it.
#[derive(Clone, Debug)]
pub struct MonotonicClock {
    clock: Clock,
    epoch: Instant,
}

impl GovernorClock for MonotonicClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.epoch)
    }
}

/// An upstream as clients find it: where it is mounted, and what it answers to.
#[derive(Debug)]
pub struct Site {
    /// Path prefix without trailing slash; `""` is the root.
    pub mount: String,
    /// The upstream's table.
    pub table: Arc<Table>,
}

/// What an upstream answers to.
#[derive(Debug)]
pub struct Table {
    /// How path parameters are spelt.
    pub spelling: Spelling,
    /// Method and path to index.
    pub routes: RouteTable,
    /// By index.
    pub endpoints: Vec<Arc<Route>>,
}

/// An endpoint with everything that acts for it.
#[derive(Debug)]
pub struct Route {
    /// Its rules.
    pub endpoint: Endpoint,
    /// Its place among the endpoints of all upstreams.
    pub number: usize,
    /// How its path parameters are spelt towards the upstream.
    pub spelling: Spelling,
    /// Where it leads.
    pub upstream: Arc<Upstream>,
    /// What tells its answers from those of all other endpoints.
    pub key_root: Arc<KeyRoot>,
    /// What it spends from, if anything.
    pub label: Option<Arc<Label>>,
    /// What it counts with.
    pub metrics: EndpointMetrics,
}

/// A rate-limit class with everything that acts for it.
#[derive(Debug)]
pub struct Label {
    /// Its figures.
    pub spec: LabelSpec,
    /// Its place in the limiter.
    pub index: LabelIndex,
    /// What it counts with.
    pub metrics: LabelMetrics,
    /// Whether it has been said that the upstream counts its requests under another name.
    pub mismatch_told: AtomicBool,
}

/// An API weir forwards to.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub id: UpstreamId,
    /// Scheme, authority and path prefix (no trailing slash), to which targets are appended.
    pub base_url: String,
    /// What proves who we are.
    pub credential: Credential,
    /// Whether a credential goes with requests at all.
    pub authorized: bool,
    /// Its budget.
    pub limiter: Limiter,
    /// Its labels.
    pub labels: Vec<Arc<Label>>,
    /// The pools that they share.
    pub pools: Vec<PoolSpec>,
    /// Its replicas and the connections to them.
    pub client: UpstreamClient,
    /// Second and later attempts of one request.
    pub max_retries: u32,
    /// Answers after which a request is sent again.
    pub retry_on: Vec<StatusCode>,
    /// How often the log says that a refresh nobody asked for has failed.
    pub refresh_failures: Rare,
    /// Second and later attempts of all requests together.
    pub retry_budget: TpsBudget,
    /// Counts them.
    pub retries: prometheus_client::metrics::counter::Counter,
}
