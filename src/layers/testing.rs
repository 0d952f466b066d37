//! What the tests of the layers share: one upstream, one client, and a service that stands for
//! everything below a layer.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use tower::Layer as _;
use tower::retry::budget::TpsBudget;

use super::cache::{CacheLayer, Caching, Limits};
use crate::clock::Clock;
use crate::error::GatewayError;
use crate::http::Body;
use crate::metrics::{Face, Metrics};
use crate::policy::breaker::Rules;
use crate::policy::cache_key::{KeyRoot, KeySeed};
use crate::policy::certificate::Holders;
use crate::policy::credential::{AuthScheme, CredentialId};
use crate::policy::endpoint::{
    CacheRule, Endpoint, EndpointId, KeyRule, Lifetimes, Methods, Override, PageTokenRule,
    Priority, SetCookie, Spelling, UpstreamId, Weight,
};
use crate::policy::identity::KeyField;
use crate::policy::listing::Extent;
use crate::policy::params::Canonical;
use crate::policy::quota::{LabelId, LabelSpec, Mode, PoolId, PoolSpec, WindowSpec};
use crate::policy::reach::{Place, Reach};
use crate::policy::route::RouteTable;
use crate::policy::share::{ClientId, Reserve, Share};
use crate::policy::trust::Trust;
use crate::request::{EdgeRequest, FetchRequest, Record, RoutedRequest, Urgency};
use crate::secret::Fingerprint;
use crate::store::cache::EntryCache;
use crate::store::credential::{Credential, TokenClient};
use crate::store::limiter::Limiter;
use crate::store::purges::Purges;
use crate::upstream::{Counts, Manner, Options, UpstreamClient};
use crate::world::{Client, Clients, Label, Proofs, Roster, Route, Site, Table, Upstream, World};

mod fake;
pub(crate) use fake::{Fake, answer, code, field, send, settle, start, text};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Answer = Result<Response<Body>, GatewayError>;

/// What a [`Rig`] is made from.
pub(crate) struct Setup {
    pub(crate) base_url: String,
    pub(crate) cache: CacheRule,
    pub(crate) page_token: Option<PageTokenRule>,
    pub(crate) label: Option<LabelSpec>,
    pub(crate) per_day: u32,
    pub(crate) auth: AuthScheme,
    pub(crate) tokens: TokenClient,
    pub(crate) max_retries: u32,
    /// How many replicas there are.
    pub(crate) replicas: usize,
    pub(crate) retry_budget: TpsBudget,
    pub(crate) quota: Option<(u32, u32)>,
    pub(crate) reserve: Reserve,
    /// The names of all clients, for their metrics.
    pub(crate) clients: Vec<Arc<str>>,
    /// What the wall clock reads at first.
    pub(crate) starts: SystemTime,
}

pub(crate) fn seconds(fresh: u64, swr: u64, sie: u64) -> CacheRule {
    CacheRule::Override(Override {
        lifetimes: Lifetimes {
            fresh: Duration::from_secs(fresh),
            stale_while_revalidate: Duration::from_secs(swr),
            stale_if_error: Duration::from_secs(sie),
        },
        by_status: Vec::new(),
        vary_by_client: false,
        set_cookie: SetCookie::Strip,
        refresh_ahead: None,
    })
}

/// So many a second, in any sliding one, and nobody waits longer than `max_wait`.
pub(crate) fn label(per_second: u32, max_wait: Duration) -> LabelSpec {
    let limit = NonZeroU32::new(per_second).unwrap();
    LabelSpec {
        id: LabelId::new("heavy"),
        windows: vec![WindowSpec { limit, per: SECOND }],
        burst: limit,
        pool: Some(PoolId::new("daily")),
        max_wait,
        max_queue: 100,
        mode: Mode::Enforce,
    }
}

pub(crate) fn share(client: &str) -> Share {
    let (client, weight) = (ClientId::new(client), Weight::MIN);
    Share { client, weight, priority: Priority::Normal, daily: None }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            base_url: "http://upstream.test/v2".to_owned(),
            cache: seconds(10, 30, 600),
            page_token: None,
            label: Some(label(10, 5 * SECOND)),
            per_day: 1000,
            auth: AuthScheme::None,
            tokens: Arc::new(|_| Box::pin(async { Err("refused") })),
            max_retries: 1,
            replicas: 1,
            retry_budget: TpsBudget::new(10 * SECOND, 1, 0.2),
            quota: None,
            reserve: Reserve::default(),
            clients: vec!["console".into()],
            starts: SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 20_000 + 43_200),
        }
    }
}

/// An endpoint `GET /things/{id}` of one upstream, and one client.
pub(crate) struct Rig {
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) route: Arc<Route>,
    pub(crate) client: Arc<Client>,
    pub(crate) purges: Purges,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let clock = Clock::starting_at(setup.starts);
        let metrics = Arc::new(Metrics::new());
        let endpoint = Endpoint {
            label: setup.label.as_ref().map(|label| label.id.clone()),
            cache: setup.cache.clone(),
            page_token: setup.page_token.clone(),
            ..endpoint("things", Methods::Listed(vec![Method::GET]), "/things/{id}")
        };
        let share = share("console");
        let positive = |n| NonZeroU32::new(n).unwrap();
        let quota = setup.quota.map(|(rate, burst)| (positive(rate), positive(burst)));
        let client = Arc::new(Client::new(0, share, quota, &clock));
        let upstream = upstream("zoom", setup, &metrics, &clock);
        let route = route(&upstream, endpoint, &metrics);
        Self { clock, metrics, route, client, purges: Purges::default() }
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.route.upstream
    }

    /// What is left of the second and of the day.
    pub(crate) fn left(&self) -> (usize, u32) {
        let label = self.route.label.as_ref().unwrap();
        let budget = self.upstream().limiter.budget(label.index);
        (budget.windows[0].remaining, budget.pool.unwrap().remaining)
    }

    /// Reads one series; 0 if it has not appeared.
    pub(crate) fn counted(&self, series: &str) -> u64 {
        let text = self.metrics.encode(Face::Text);
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    pub(crate) fn spent(&self) -> u64 {
        self.tokens("spent")
    }

    pub(crate) fn saved(&self) -> u64 {
        self.tokens("saved")
    }

    fn tokens(&self, what: &str) -> u64 {
        self.counted(&format!(
            "weir_limit_{what}_total{{upstream=\"zoom\",label=\"heavy\",client=\"console\"}}"
        ))
    }

    pub(crate) fn ask(&self, method: Method, id: &str) -> RoutedRequest {
        let key = self.route.key(None, Canonical::of(&[("id", id)], &[]));
        RoutedRequest {
            method,
            route: Arc::clone(&self.route),
            client: Arc::clone(&self.client),
            key: Arc::new(key),
            headers: HeaderMap::new(),
            body: Body::Empty,
            max_body_bytes: 16,
            max_flights: 100,
            world: Arc::new(self.world()),
            deadline: self.clock.now() + 30 * SECOND,
            record: Arc::default(),
            extent: Extent::Page,
        }
    }

    pub(crate) fn get(&self) -> RoutedRequest {
        self.ask(Method::GET, "a")
    }

    pub(crate) fn fetch(&self, method: Method) -> FetchRequest {
        FetchRequest {
            method,
            route: Arc::clone(&self.route),
            client: Arc::clone(&self.client),
            target: "/things/a".into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: self.clock.now() + 30 * SECOND,
            departure: None,
            manner: Manner::default(),
            wanted: None,
            urgency: Urgency::Asked,
            joined: None,
            record: Arc::default(),
        }
    }

    /// A cache that holds bodies of up to 64 bytes.
    pub(crate) fn cached<S>(&self, inner: S) -> Caching<S> {
        let entries = EntryCache::new(1 << 20, self.clock.clone(), Box::new(|_| {}));
        let limits = Limits {
            max_entry_bytes: 64,
            max_fetching_bytes: usize::MAX,
            remember_uncacheable: 60 * SECOND,
            remember_failure: SECOND,
        };
        CacheLayer::new(entries, self.purges.clone(), self.clock.clone(), limits).layer(inner)
    }

    /// A world in which this endpoint is all there is, at the root.
    pub(crate) fn world(&self) -> World {
        let site = site("", vec![Arc::clone(&self.route)]);
        self.world_of(vec![site], Clients::Anonymous(Arc::clone(&self.client)))
    }

    pub(crate) fn world_of(&self, sites: Vec<Site>, clients: Clients) -> World {
        World {
            clients,
            sites,
            unrouted: self.metrics.endpoint("none", "none", &["console".into(), "unknown".into()]),
            unknown_client: 1,
            digest: String::new(),
            key_seed: KeySeed::fixed(),
            request_timeout: 30 * SECOND,
            max_body_bytes: 16,
            max_in_flight: 2,
        }
    }

    pub(crate) fn edge(&self, world: World, http: http::Request<Body>) -> EdgeRequest {
        EdgeRequest {
            http,
            world: Arc::new(world),
            record: Arc::new(Record::default()),
            deadline: self.clock.now() + 30 * SECOND,
        }
    }
}

/// Clients by their keys.
pub(crate) fn keyed(clients: &[(&str, Arc<Client>)]) -> Clients {
    let proofs = Proofs {
        field: KeyField::Authorization,
        keys: clients.iter().map(|(key, _)| Fingerprint::of(key.as_bytes())).zip(0..).collect(),
        certificates: Holders::default(),
        tokens: None,
    };
    let all = clients.iter().map(|(_, client)| Arc::clone(client));
    Clients::Keyed(Box::new(Roster::new(all.collect(), proofs)))
}

pub(crate) fn endpoint(id: &str, methods: Methods, path: &str) -> Endpoint {
    Endpoint {
        id: EndpointId::new(id),
        methods,
        path: path.to_owned(),
        label: None,
        parameters: Vec::new(),
        key: KeyRule::Every,
        cache: CacheRule::Off,
        when: Vec::new(),
        page_token: None,
    }
}

pub(crate) fn upstream(
    name: &str,
    setup: Setup,
    metrics: &Metrics,
    clock: &Clock,
) -> Arc<Upstream> {
    let pool = PoolSpec {
        id: PoolId::new("daily"),
        per_day: NonZeroU32::new(setup.per_day).unwrap(),
        resets_at: Duration::ZERO,
        reserve: setup.reserve,
    };
    let specs: Vec<LabelSpec> = setup.label.into_iter().collect();
    let limiter =
        Limiter::new(UpstreamId::new(name), &specs, std::slice::from_ref(&pool), clock.clone());
    let label = |spec: LabelSpec| Label {
        index: limiter.label(&spec.id).unwrap(),
        metrics: metrics.label(name, spec.id.as_str(), &setup.clients),
        spec,
        mismatch_told: AtomicBool::new(false),
    };
    let labels = specs.into_iter().map(label).map(Arc::new).collect();
    let options = Options {
        connect_timeout: 5 * SECOND,
        first_byte_timeout: 10 * SECOND,
        total_timeout: 30 * SECOND,
        idle_timeout: 60 * SECOND,
        http2_prior_knowledge: false,
    };
    let id = CredentialId::new("account");
    Arc::new(Upstream {
        id: UpstreamId::new(name),
        base_url: setup.base_url,
        authorized: !matches!(setup.auth, AuthScheme::None),
        credential: Credential::new(id, setup.auth, clock.clone(), setup.tokens),
        limiter,
        labels,
        pools: vec![pool],
        client: UpstreamClient::to(
            name,
            reach(options, setup.replicas),
            clock.clone(),
            Counts::default(),
        )
        .unwrap(),
        max_retries: setup.max_retries,
        retry_on: vec![StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE],
        refresh_failures: crate::telemetry::Rare::new(SECOND),
        retry_budget: setup.retry_budget,
        retries: metrics.retries(name),
    })
}

/// So many replicas, none of which is ever left alone; one is where each request says.
fn reach(options: Options, replicas: usize) -> Reach {
    let place = |n| {
        let url: http::Uri = format!("http://replica{n}.test").parse().unwrap();
        Place { authority: url.authority().unwrap().clone(), url, egress: None }
    };
    Reach {
        options,
        trust: Trust::default(),
        places: (0..replicas).filter(|_| replicas > 1).map(place).collect(),
        resolve: None,
        breaker: Rules { failures: u32::MAX, open: SECOND, open_max: SECOND },
        health: None,
        faults: Vec::new(),
    }
}

pub(crate) fn route(upstream: &Arc<Upstream>, endpoint: Endpoint, metrics: &Metrics) -> Arc<Route> {
    let label = endpoint.label.as_ref();
    let (id, credential) = (upstream.id.clone(), upstream.credential.id().clone());
    let key_root = KeyRoot::new(id, credential, endpoint.id.clone(), &KeySeed::fixed());
    Arc::new(Route {
        number: 0,
        key_root: Arc::new(key_root),
        spelling: Spelling::Plain,
        label: label.and_then(|id| upstream.labels.iter().find(|l| l.spec.id == *id)).cloned(),
        metrics: metrics.endpoint(upstream.id.as_str(), endpoint.id.as_str(), &["console".into()]),
        upstream: Arc::clone(upstream),
        endpoint,
    })
}

pub(crate) fn site(mount: &str, routes: Vec<Arc<Route>>) -> Site {
    let endpoints: Vec<Endpoint> = routes.iter().map(|route| route.endpoint.clone()).collect();
    let table = Table {
        spelling: Spelling::Plain,
        routes: RouteTable::new(&endpoints).unwrap(),
        endpoints: routes,
    };
    Site { mount: mount.to_owned(), table: Arc::new(table) }
}
