//! Every metric: its name, labels, buckets and help text, declared here and nowhere else.
//!
//! Labels are names out of the configuration or of a closed set in the code, never a client's
//! text. What a request counts goes through handles ([`EndpointMetrics`], [`LabelMetrics`]) that
//! are made when a configuration is loaded, so that no name is looked up while it is served.
//! A series appears when it first counts.

mod connection;
mod endpoint;
mod families;
mod label;
mod process;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use self::connection::{ConnectionMetrics, Cut};
pub use self::endpoint::{CacheLabel, CacheResult, EndpointMetrics, UpstreamStatus, WalkResult};
use self::families::Families;
pub use self::label::LabelMetrics;

/// All metrics of one gateway. There is no global registry: two gateways in one process do not mix.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    /// `weir_in_flight`
    pub in_flight: Gauge,
    /// `weir_connections`, `weir_connections_cut_total`
    pub connections: ConnectionMetrics,
    /// `weir_cache_entries`; set before encoding.
    pub cache_entries: Gauge,
    /// `weir_cache_bytes`; set before encoding.
    pub cache_bytes: Gauge,
    /// `weir_access_log_dropped_total`
    pub access_log_dropped: Counter,
}

/// The two ways of writing the same figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Prometheus text, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Face {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Declares every family. Nothing but the unlabelled ones is exposed yet.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let in_flight = gauge("weir_in_flight", "Requests that are being served");
        let open = gauge("weir_connections", "Open connections of clients");
        let connections = ConnectionMetrics::new(open, &families);
        let cache_entries = gauge("weir_cache_entries", "Answers stored in the cache");
        let cache_bytes =
            gauge("weir_cache_bytes", "Bytes stored in the cache: keys, headers and bodies");
        let access_log_dropped = Counter::default();
        registry.register(
            "weir_access_log_dropped",
            "Access log lines lost because the log was not read fast enough",
            access_log_dropped.clone(),
        );
        registry.register_collector(Box::new(process::Process));
        Self {
            registry,
            families,
            in_flight,
            connections,
            cache_entries,
            cache_bytes,
            access_log_dropped,
        }
    }

    /// The handles of one endpoint. `clients` are the names of the configured clients; methods
    /// take an index into it. The same names give the same series.
    pub fn endpoint(
        &self,
        upstream: &str,
        endpoint: &str,
        clients: &[Arc<str>],
    ) -> EndpointMetrics {
        EndpointMetrics::new(&self.families, upstream, endpoint, clients)
    }

    /// The handles of one label of an upstream; `clients` as for [`Metrics::endpoint`].
    pub fn label(&self, upstream: &str, label: &str, clients: &[Arc<str>]) -> LabelMetrics {
        LabelMetrics::new(&self.families, upstream, label, clients)
    }

    /// `weir_retries_total` of one upstream.
    pub fn retries(&self, upstream: &str) -> Counter {
        self.families.retries(upstream)
    }

    /// `weir_upstream_ejections_total` of one upstream.
    pub fn ejections(&self, upstream: &str) -> Counter {
        self.families.ejections(upstream)
    }

    /// `weir_upstream_health_checks_total` of one upstream; `result` is "healthy" or "unhealthy".
    pub fn health_checks(&self, upstream: &str, result: &'static str) -> Counter {
        self.families.health_checks(upstream, result)
    }

    /// How many replicas stand so; set before encoding.
    pub fn replicas(&self, upstream: &str, state: &'static str, count: usize) {
        self.families.replicas(upstream, state, count);
    }

    /// An upstream is not configured any more.
    pub fn forget_replicas(&self, upstream: &str, state: &'static str) {
        self.families.forget_replicas(upstream, state);
    }

    /// A day's pool: its highest alarm, what others have spent, and whether our own spend would
    /// survive a crash; set before encoding.
    pub fn day(&self, upstream: &str, pool: &str, alarm: u8, others: u32, durable: bool) {
        self.families.day(upstream, pool, alarm, others, durable);
    }

    /// A pool is not configured any more: what it was is not shown as what it is.
    pub fn forget_day(&self, upstream: &str, pool: &str) {
        self.families.forget_day(upstream, pool);
    }

    /// Counts an entry that left the cache.
    pub fn cache_evicted(&self, cause: &'static str) {
        self.families.cache_evicted(cause);
    }

    /// Counts a purge by the operator.
    pub fn cache_purged(&self, scope: &'static str, mode: &'static str) {
        self.families.cache_purged(scope, mode);
    }

    /// Counts an attempt to load a new configuration.
    pub fn config_reloaded(&self, result: &'static str) {
        self.families.config_reloaded(result);
    }

    /// Counts an attempt of a listener to take another certificate.
    pub fn tls_reloaded(&self, listener: &'static str, result: &'static str) {
        self.families.tls_reloaded(listener, result);
    }

    /// When the certificate that a listener shows ends, seconds since 1970.
    pub fn certificate_ends(&self, listener: &'static str, at: i64) {
        self.families.certificate_ends(listener, at);
    }

    /// Everything as text.
    pub fn encode(&self, face: Face) -> String {
        let mut text = String::with_capacity(16 * 1024);
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("metrics could not be written");
        }
        match face {
            Face::OpenMetrics => text,
            Face::Text => text::from_openmetrics(&text),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
