//! What the admin listener says: figures that are computed when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::layers::observe::Witness;
use crate::serve::admin::{Refresh, StatusSource};
use crate::store::cache::EntryCache;
use crate::store::limiter::Budget;
use crate::world::{Clients, Label, Upstream, World};

/// The `/status` page.
pub(super) fn source(witness: Arc<Witness>, entries: EntryCache) -> StatusSource {
    Arc::new(move || {
        let world = witness.world.load();
        let (count, bytes) = entries.usage();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "config_digest": world.digest,
            "cache": { "entries": count, "bytes": bytes, "max_bytes": entries.max_bytes() },
            "clients": clients(&world.clients),
            "upstreams": world.upstreams().map(|upstream| status_of(upstream)).collect::<Vec<_>>(),
        })
    })
}

/// Sets the gauges that follow from state.
pub(super) fn refresh(witness: Arc<Witness>, entries: EntryCache) -> Refresh {
    Arc::new(move || {
        let (count, bytes) = entries.usage();
        witness.metrics.cache_entries.set(i64::try_from(count).unwrap_or(i64::MAX));
        witness.metrics.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let world: &World = &witness.world.load();
        for upstream in world.upstreams() {
            for label in &upstream.labels {
                let budget = upstream.limiter.budget(label.index);
                label.metrics.queue(budget.queued);
                for (limit, per, left) in &budget.windows {
                    label.metrics.budget(window_name(*per), u64::from(*limit), *left as u64);
                }
                if let Some((_, per_day, left, _)) = &budget.pool {
                    label.metrics.budget("day", u64::from(*per_day), u64::from(*left));
                }
            }
        }
    })
}

fn window_name(per: Duration) -> &'static str {
    if per > Duration::from_secs(1) { "minute" } else { "second" }
}

fn clients(clients: &Clients) -> Value {
    let mut list: Vec<_> = match clients {
        Clients::Anonymous(client) => vec![client],
        Clients::Keyed(by_key) => by_key.values().collect(),
    };
    list.sort_by_key(|client| client.index);
    list.iter()
        .map(|client| {
            json!({
                "name": &*client.name,
                "weight": client.share.weight,
                "priority": client.share.priority.as_str(),
            })
        })
        .collect()
}

fn status_of(upstream: &Upstream) -> Value {
    let label = |label: &Arc<Label>| label_status(label, &upstream.limiter.budget(label.index));
    json!({
        "name": upstream.id.as_str(),
        "base_url": upstream.base_url,
        "credential": upstream.credential.id().as_str(),
        "labels": upstream.labels.iter().map(label).collect::<Vec<_>>(),
    })
}

fn label_status(label: &Label, budget: &Budget) -> Value {
    let windows = budget.windows.iter().map(|(limit, per, left)| {
        json!({ "window": window_name(*per), "limit": limit, "remaining": left })
    });
    let pool = budget.pool.as_ref().map(|(name, per_day, left, resets_in)| {
        json!({
            "name": name, "limit": per_day, "remaining": left,
            "resets_in_seconds": resets_in.as_secs(),
        })
    });
    json!({
        "name": label.spec.id.as_str(),
        "windows": windows.collect::<Vec<_>>(),
        "pool": pool,
        "queued": budget.queued,
    })
}
