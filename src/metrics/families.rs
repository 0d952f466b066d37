//! The families that have labels.
//!
//! prometheus-client writes a counter's `_total` and the full stop of a help text by itself.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// From a hit (some tens of microseconds) to an upstream that is about to time out.
const DURATION_BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A queue that drains by the second: finer where `max_wait` usually lies.
const WAIT_BUCKETS: [f64; 13] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

fn duration_histogram() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

fn wait_histogram() -> Histogram {
    Histogram::new(WAIT_BUCKETS)
}

/// A family of histograms; the constructor is a plain function so that the type has a name.
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $name {
            $(pub(super) $field: $kind,)+
        }
    )+};
}

labels! {
    Request { endpoint: Arc<str>, client: Arc<str>, status: u16 }
    RequestDuration { endpoint: Arc<str>, cache: &'static str }
    ListingWalk { endpoint: Arc<str>, result: &'static str }
    CacheRequest { endpoint: Arc<str>, result: &'static str }
    UpstreamRequest { upstream: Arc<str>, endpoint: Arc<str>, status: UpstreamStatusText }
    UpstreamDuration { upstream: Arc<str>, endpoint: Arc<str> }
    Budget { upstream: Arc<str>, label: Arc<str>, window: &'static str }
    LabelClient { upstream: Arc<str>, label: Arc<str>, client: Arc<str> }
    Refused { upstream: Arc<str>, label: Arc<str>, client: Arc<str>, reason: &'static str }
    Odd { upstream: Arc<str>, label: Arc<str>, hint: &'static str }
    Mismatch { upstream: Arc<str>, label: Arc<str>, category: Arc<str> }
    Pool { upstream: Arc<str>, pool: Arc<str> }
    Class { upstream: Arc<str>, label: Arc<str> }
    Retried { upstream: Arc<str> }
    Eviction { cause: &'static str }
    Replicas { upstream: Arc<str>, state: &'static str }
    Checked { upstream: Arc<str>, result: &'static str }
    Purge { scope: &'static str, mode: &'static str }
    Reload { result: &'static str }
    Reason { reason: &'static str }
    TlsReload { listener: &'static str, result: &'static str }
    Listening { listener: &'static str }
    Build { version: &'static str }
}

/// An HTTP status or the name of what went wrong instead.
pub(super) type UpstreamStatusText = std::borrow::Cow<'static, str>;

#[derive(Clone, Debug)]
pub(super) struct Families {
    pub(super) requests: Family<Request, Counter>,
    pub(super) request_duration: Histograms<RequestDuration>,
    pub(super) cache_requests: Family<CacheRequest, Counter>,
    pub(super) listing_walks: Family<ListingWalk, Counter>,
    pub(super) upstream_requests: Family<UpstreamRequest, Counter>,
    pub(super) upstream_duration: Histograms<UpstreamDuration>,
    pub(super) budget_limit: Family<Budget, Gauge>,
    pub(super) budget_remaining: Family<Budget, Gauge>,
    pub(super) limit_spent: Family<LabelClient, Counter>,
    pub(super) limit_saved: Family<LabelClient, Counter>,
    pub(super) limit_wait: Histograms<Class>,
    pub(super) limit_refused: Family<Refused, Counter>,
    pub(super) limit_queue: Family<Class, Gauge>,
    pub(super) throttled: Family<Budget, Counter>,
    pub(super) limit_observed: Family<Refused, Counter>,
    pub(super) limit_pace: Family<Class, Gauge<f64, AtomicU64>>,
    pub(super) limit_closed: Family<Class, Gauge>,
    pub(super) hints: Family<Odd, Counter>,
    pub(super) mismatches: Family<Mismatch, Counter>,
    budget_alarm: Family<Pool, Gauge>,
    budget_others: Family<Pool, Gauge>,
    budget_durable: Family<Pool, Gauge>,
    retries: Family<Retried, Counter>,
    replicas: Family<Replicas, Gauge>,
    ejections: Family<Retried, Counter>,
    health_checks: Family<Checked, Counter>,
    cache_evictions: Family<Eviction, Counter>,
    cache_purges: Family<Purge, Counter>,
    config_reloads: Family<Reload, Counter>,
    connections_cut: Family<Reason, Counter>,
    tls_reloads: Family<TlsReload, Counter>,
    certificate_expiry: Family<Listening, Gauge>,
}

/// Registers a family under its name and help, and gives it back.
fn declare<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, family: M) -> M {
    registry.register(name, help, family.clone());
    family
}

impl Families {
    #[rustfmt::skip]
    pub(super) fn register(registry: &mut Registry) -> Self {
        let r = registry;
        let build = Build { version: env!("CARGO_PKG_VERSION") };
        declare(r, "weir_build_info", "The version that is running; always 1", Family::<Build, Gauge>::default())
            .get_or_create(&build).set(1);
        Self {
            requests: declare(r, "weir_requests", "Requests answered", Family::default()),
            request_duration: declare(r, "weir_request_duration_seconds", "Time from a request's head to its answer's head, queueing included",
                Histograms::new_with_constructor(duration_histogram)),
            cache_requests: declare(r, "weir_cache_requests", "Requests by what the cache had for them", Family::default()),
            listing_walks: declare(r, "weir_listing_walks", "Whole listings that were asked for, by what came of it", Family::default()),
            upstream_requests: declare(r, "weir_upstream_requests", "Requests sent upstream, each attempt counted", Family::default()),
            upstream_duration: declare(r, "weir_upstream_duration_seconds", "Time from sending a request upstream to its answer's head",
                Histograms::new_with_constructor(duration_histogram)),
            budget_limit: declare(r, "weir_budget_limit", "Requests a window of a label allows", Family::default()),
            budget_remaining: declare(r, "weir_budget_remaining", "Requests a window of a label still allows", Family::default()),
            limit_spent: declare(r, "weir_limit_spent", "Tokens spent", Family::default()),
            limit_saved: declare(r, "weir_limit_saved", "Tokens that hits and collapsed requests did not spend", Family::default()),
            limit_wait: declare(r, "weir_limit_wait_seconds", "Time requests waited for a token",
                Histograms::new_with_constructor(wait_histogram)),
            limit_refused: declare(r, "weir_limit_refused", "Requests the limiter refused", Family::default()),
            limit_queue: declare(r, "weir_limit_queue", "Requests that wait for a token", Family::default()),
            throttled: declare(r, "weir_upstream_throttled", "Answers 429 that the upstream sent all the same", Family::default()),
            limit_observed: declare(r, "weir_limit_observed", "What a label in mode observe would have done: wait, or refuse for this reason", Family::default()),
            limit_pace: declare(r, "weir_limit_pace_ratio", "The part of a label's figure that is used; less than 1 after an upstream's 429", Family::default()),
            limit_closed: declare(r, "weir_limit_closed_seconds", "For how long the upstream's word still closes a label or its day", Family::default()),
            hints: declare(r, "weir_upstream_hints", "Rate-limit fields of the upstream that were not taken as they stand", Family::default()),
            mismatches: declare(r, "weir_label_mismatch", "Answers that the upstream counts in another category than their label", Family::default()),
            budget_alarm: declare(r, "weir_budget_alarm_percent", "The highest alarm of the day: 0, 50, 80 or 95 percent of the pool spent", Family::default()),
            budget_others: declare(r, "weir_budget_others", "What others have spent of the day's pool by the upstream's own count", Family::default()),
            budget_durable: declare(r, "weir_budget_durable", "Whether what is spent today would survive a crash: 1 or 0", Family::default()),
            retries: declare(r, "weir_retries", "Second and later attempts", Family::default()),
            replicas: declare(r, "weir_upstream_replicas", "Replicas of an upstream by whether they are asked", Family::default()),
            ejections: declare(r, "weir_upstream_ejections", "How often a replica failed so often that it was left alone for a while", Family::default()),
            health_checks: declare(r, "weir_upstream_health_checks", "How often a replica was asked how it is, by what it said", Family::default()),
            cache_evictions: declare(r, "weir_cache_evictions", "Entries that left the cache", Family::default()),
            cache_purges: declare(r, "weir_cache_purges", "Purges by the operator, not counting what they hit", Family::default()),
            config_reloads: declare(r, "weir_config_reloads", "Attempts to load a new configuration", Family::default()),
            connections_cut: declare(r, "weir_connections_cut", "Connections that were cut off or not taken", Family::default()),
            tls_reloads: declare(r, "weir_tls_reloads", "Attempts to take another certificate", Family::default()),
            certificate_expiry: declare(r, "weir_tls_certificate_expiry_seconds", "When a listener's certificate ends, seconds since 1970", Family::default()),
        }
    }

    pub(super) fn connections_cut(&self, reason: &'static str) -> Counter {
        self.connections_cut.get_or_create_owned(&Reason { reason })
    }

    pub(super) fn retries(&self, upstream: &str) -> Counter {
        self.retries.get_or_create_owned(&Retried { upstream: upstream.into() })
    }

    pub(super) fn replicas(&self, upstream: &str, state: &'static str, count: usize) {
        let labels = Replicas { upstream: upstream.into(), state };
        self.replicas.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn forget_replicas(&self, upstream: &str, state: &'static str) {
        self.replicas.remove(&Replicas { upstream: upstream.into(), state });
    }

    pub(super) fn ejections(&self, upstream: &str) -> Counter {
        self.ejections.get_or_create_owned(&Retried { upstream: upstream.into() })
    }

    pub(super) fn health_checks(&self, upstream: &str, result: &'static str) -> Counter {
        self.health_checks.get_or_create_owned(&Checked { upstream: upstream.into(), result })
    }

    /// The day of a pool; set before encoding.
    pub(super) fn day(&self, upstream: &str, pool: &str, alarm: u8, others: u32, durable: bool) {
        let labels = Pool { upstream: upstream.into(), pool: pool.into() };
        self.budget_alarm.get_or_create(&labels).set(alarm.into());
        self.budget_others.get_or_create(&labels).set(others.into());
        self.budget_durable.get_or_create(&labels).set(durable.into());
    }

    /// A pool is not configured any more.
    pub(super) fn forget_day(&self, upstream: &str, pool: &str) {
        let labels = Pool { upstream: upstream.into(), pool: pool.into() };
        for family in [&self.budget_alarm, &self.budget_others, &self.budget_durable] {
            family.remove(&labels);
        }
    }

    pub(super) fn tls_reloaded(&self, listener: &'static str, result: &'static str) {
        self.tls_reloads.get_or_create(&TlsReload { listener, result }).inc();
    }

    pub(super) fn certificate_ends(&self, listener: &'static str, at: i64) {
        self.certificate_expiry.get_or_create(&Listening { listener }).set(at);
    }

    pub(super) fn cache_evicted(&self, cause: &'static str) {
        self.cache_evictions.get_or_create(&Eviction { cause }).inc();
    }

    pub(super) fn cache_purged(&self, scope: &'static str, mode: &'static str) {
        self.cache_purges.get_or_create(&Purge { scope, mode }).inc();
    }

    pub(super) fn config_reloaded(&self, result: &'static str) {
        self.config_reloads.get_or_create(&Reload { result }).inc();
    }
}
