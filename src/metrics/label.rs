//! What the limiter counts with, for one label of an upstream.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::endpoint::Lazy;
use super::families::{Budget, Class, Families, LabelClient, Mismatch, Odd, Refused};

/// The series of one label of an upstream.
#[derive(Debug)]
pub struct LabelMetrics {
    families: Families,
    upstream: Arc<str>,
    label: Arc<str>,
    clients: Box<[ClientTokens]>,
    wait: Lazy<Histogram>,
    queue: Lazy<Gauge>,
}

#[derive(Debug)]
struct ClientTokens {
    name: Arc<str>,
    spent: Lazy<Counter>,
    saved: Lazy<Counter>,
}

impl LabelMetrics {
    pub(super) fn new(
        families: &Families,
        upstream: &str,
        label: &str,
        clients: &[Arc<str>],
    ) -> Self {
        let clients = clients
            .iter()
            .map(|name| ClientTokens {
                name: Arc::clone(name),
                spent: Lazy::new(),
                saved: Lazy::new(),
            })
            .collect();
        Self {
            families: families.clone(),
            upstream: upstream.into(),
            label: label.into(),
            clients,
            wait: Lazy::new(),
            queue: Lazy::new(),
        }
    }

    /// What a window ("second", "minute", "day") allows, and what is left of it; set when they
    /// change or before encoding.
    pub fn budget(&self, window: &'static str, limit: u64, remaining: u64) {
        let labels = self.window(window);
        self.families.budget_limit.get_or_create(&labels).set(gauge(limit));
        self.families.budget_remaining.get_or_create(&labels).set(gauge(remaining));
    }

    /// A token left.
    pub fn spent(&self, client: usize) {
        if let Some(client) = self.clients.get(client) {
            let series = || self.families.limit_spent.get_or_create_owned(&self.client(client));
            client.spent.get_or_init(series).inc();
        }
    }

    /// A hit or a collapsed request kept a token.
    pub fn saved(&self, client: usize) {
        if let Some(client) = self.clients.get(client) {
            let series = || self.families.limit_saved.get_or_create_owned(&self.client(client));
            client.saved.get_or_init(series).inc();
        }
    }

    /// A request was refused. `reason` is one of a closed set.
    pub fn refused(&self, client: usize, reason: &'static str) {
        if let Some(labels) = self.reason(client, reason) {
            self.families.limit_refused.get_or_create(&labels).inc();
        }
    }

    /// A request was let through that would have waited, or been refused for this reason.
    pub fn observed(&self, client: usize, reason: &'static str) {
        if let Some(labels) = self.reason(client, reason) {
            self.families.limit_observed.get_or_create(&labels).inc();
        }
    }

    /// Something of the upstream's word was not taken as it stands. `hint` is one of a closed set.
    pub fn odd(&self, hint: &'static str) {
        let (upstream, label) = (Arc::clone(&self.upstream), Arc::clone(&self.label));
        self.families.hints.get_or_create(&Odd { upstream, label, hint }).inc();
    }

    /// The upstream counts a request under another label of ours, or under none.
    pub fn mismatched(&self, category: Option<&str>) {
        let labels = Mismatch {
            upstream: Arc::clone(&self.upstream),
            label: Arc::clone(&self.label),
            category: category.unwrap_or("other").into(),
        };
        self.families.mismatches.get_or_create(&labels).inc();
    }

    /// The pace as a part of the figure, and how long the label is still closed; set before
    /// encoding.
    pub fn pace(&self, ratio: f64, closed: Duration) {
        self.families.limit_pace.get_or_create(&self.class()).set(ratio);
        let closed = i64::try_from(closed.as_secs()).unwrap_or(i64::MAX);
        self.families.limit_closed.get_or_create(&self.class()).set(closed);
    }

    /// How long a request waited for its token.
    pub fn waited(&self, seconds: f64) {
        self.wait
            .get_or_init(|| self.families.limit_wait.get_or_create_owned(&self.class()))
            .observe(seconds);
    }

    /// How many wait; set when it changes or before encoding.
    pub fn queue(&self, waiting: usize) {
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.queue
            .get_or_init(|| self.families.limit_queue.get_or_create_owned(&self.class()))
            .set(waiting);
    }

    /// The upstream answered 429 all the same, because of this window.
    pub fn throttled(&self, window: &'static str) {
        self.families.throttled.get_or_create(&self.window(window)).inc();
    }

    /// The label is not configured any more: its gauges are not shown as if it were.
    pub fn retire(&self) {
        for window in ["second", "minute", "day"] {
            self.families.budget_limit.remove(&self.window(window));
            self.families.budget_remaining.remove(&self.window(window));
        }
        self.families.limit_queue.remove(&self.class());
        self.families.limit_pace.remove(&self.class());
        self.families.limit_closed.remove(&self.class());
    }

    fn reason(&self, client: usize, reason: &'static str) -> Option<Refused> {
        let client = self.clients.get(client)?;
        Some(Refused {
            upstream: Arc::clone(&self.upstream),
            label: Arc::clone(&self.label),
            client: Arc::clone(&client.name),
            reason,
        })
    }

    fn class(&self) -> Class {
        Class { upstream: Arc::clone(&self.upstream), label: Arc::clone(&self.label) }
    }

    fn client(&self, client: &ClientTokens) -> LabelClient {
        LabelClient {
            upstream: Arc::clone(&self.upstream),
            label: Arc::clone(&self.label),
            client: Arc::clone(&client.name),
        }
    }

    fn window(&self, window: &'static str) -> Budget {
        Budget { upstream: Arc::clone(&self.upstream), label: Arc::clone(&self.label), window }
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
