//! What the admin listener says: figures that are computed when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::http::whole_seconds;
use crate::layers::observe::Witness;
use crate::metrics::Metrics;
use crate::policy::day::Keeping;
use crate::policy::quota::Mode;
use crate::policy::share::{EffectiveShare, Share, effective};
use crate::serve::admin::{Refresh, Reopen, StatusSource};
use crate::store::cache::EntryCache;
use crate::store::limiter::{LabelStatus, WindowBudget};
use crate::upstream::Standing;
use crate::world::{Clients, Label, Upstream, World};

/// The `/status` page.
pub(super) fn source(witness: Arc<Witness>, entries: EntryCache) -> StatusSource {
    Arc::new(move || {
        let world = witness.world.load();
        let (count, bytes) = entries.usage();
        let shares: Vec<_> = world.clients.all().iter().map(|c| c.share.clone()).collect();
        let upstreams = world.upstreams().map(|upstream| status_of(upstream, &shares));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "config_digest": world.digest,
            "cache": { "entries": count, "bytes": bytes, "max_bytes": entries.max_bytes() },
            "clients": clients(&world.clients),
            "upstreams": upstreams.collect::<Vec<_>>(),
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
            refresh_replicas(&witness.metrics, upstream);
            for label in &upstream.labels {
                if let Some(status) = upstream.limiter.status(label.index) {
                    refresh_label(&witness.metrics, upstream, label, &status);
                }
            }
        }
    })
}

fn refresh_replicas(metrics: &Metrics, upstream: &Upstream) {
    let replicas = upstream.client.status();
    for standing in Standing::ALL {
        let count = replicas.iter().filter(|replica| replica.standing == standing).count();
        metrics.replicas(upstream.id.as_str(), standing.as_str(), count);
    }
}

fn refresh_label(metrics: &Metrics, upstream: &Upstream, label: &Label, status: &LabelStatus) {
    let budget = &status.budget;
    label.metrics.queue(budget.queued);
    for WindowBudget { limit, per, remaining } in &budget.windows {
        label.metrics.budget(window_name(*per), u64::from(*limit), *remaining as u64);
    }
    let closed = status.closed.map_or(Duration::ZERO, |(left, _)| left);
    label.metrics.pace(f64::from(status.pace) / 1000.0, closed);
    if let (Some(pool), Some(day)) = (&budget.pool, &status.day) {
        label.metrics.budget("day", u64::from(pool.limit), u64::from(pool.remaining));
        let durable = day.keeping == Keeping::Kept;
        metrics.day(upstream.id.as_str(), pool.id.as_str(), day.alarm, day.others, durable);
    }
}

/// Whatever the new world does not have any more is not shown as if it had.
pub(super) fn retire(metrics: &Metrics, old: &World, new: &World) {
    for upstream in old.upstreams() {
        let now = new.upstream(&upstream.id);
        let gone = |label: &&Arc<Label>| {
            let lengths =
                |label: &Label| label.spec.windows.iter().map(|w| w.per).collect::<Vec<_>>();
            let same = |other: &Arc<Label>| {
                let (other, label) = (&**other, &***label);
                other.spec.id == label.spec.id
                    && other.spec.pool == label.spec.pool
                    && lengths(other) == lengths(label)
            };
            !now.is_some_and(|now| now.labels.iter().any(same))
        };
        if now.is_none() {
            let id = upstream.id.as_str();
            for standing in Standing::ALL {
                metrics.forget_replicas(id, standing.as_str());
            }
        }
        upstream.labels.iter().filter(gone).for_each(|label| label.metrics.retire());
        for pool in &upstream.pools {
            if !now.is_some_and(|now| now.pools.iter().any(|other| other.id == pool.id)) {
                metrics.forget_day(upstream.id.as_str(), pool.id.as_str());
            }
        }
    }
}

/// Forgets what the upstream has said: of one label, or of all. How many there were.
pub(super) fn reopen(witness: Arc<Witness>) -> Reopen {
    Arc::new(move |upstream, label| {
        let world = witness.world.load();
        let named = |of: Option<&str>, name: &str| of.is_none_or(|of| of == name);
        let mut reopened = 0;
        for found in world.upstreams().filter(|found| named(upstream, found.id.as_str())) {
            for found_label in &found.labels {
                let id = found_label.spec.id.as_str();
                if named(label, id) {
                    found.limiter.reopen(found_label.index);
                    tracing::info!(upstream = %found.id, label = id, "reopened by the operator");
                    reopened += 1;
                }
            }
        }
        reopened
    })
}

fn window_name(per: Duration) -> &'static str {
    if per > Duration::from_secs(1) { "minute" } else { "second" }
}

fn clients(clients: &Clients) -> Value {
    clients
        .all()
        .iter()
        .map(|client| {
            json!({
                "name": &*client.name,
                "weight": client.share.weight,
                "priority": client.share.priority.as_str(),
                "daily_share": client.share.daily.map(|share| share.to_string()),
            })
        })
        .collect()
}

fn status_of(upstream: &Upstream, clients: &[Share]) -> Value {
    let label = |label: &Arc<Label>| {
        let status = upstream.limiter.status(label.index)?;
        Some(label_status(label, &status, clients, upstream))
    };
    let replicas = upstream.client.status().into_iter().map(|replica| {
        json!({
            "name": replica.name,
            "state": replica.standing.as_str(),
            "in_flight": replica.in_flight,
        })
    });
    json!({
        "name": upstream.id.as_str(),
        "base_url": upstream.base_url,
        "replicas": replicas.collect::<Vec<_>>(),
        "credential": upstream.credential.id().as_str(),
        "labels": upstream.labels.iter().filter_map(label).collect::<Vec<_>>(),
    })
}

fn label_status(
    label: &Label,
    status: &LabelStatus,
    clients: &[Share],
    upstream: &Upstream,
) -> Value {
    let windows = status.budget.windows.iter().map(|WindowBudget { limit, per, remaining }| {
        json!({ "window": window_name(*per), "limit": limit, "remaining": remaining })
    });
    let pool = status.budget.pool.as_ref().zip(status.day.as_ref()).map(|(pool, day)| {
        let spent = day.by_client.iter().map(|(client, n)| (client.to_string(), json!(n)));
        json!({
            "name": pool.id.as_str(), "limit": pool.limit, "remaining": pool.remaining,
            "resets_in_seconds": pool.resets_in.as_secs(),
            "spent": day.spent, "spent_by_others": day.others,
            "spent_by_client": spent.collect::<Map<_, _>>(),
            "alarm_percent": day.alarm, "ledger": day.keeping.as_str(),
        })
    });
    let closed = status
        .closed
        .map(|(left, why)| json!({ "for_seconds": whole_seconds(left), "why": why.as_str() }));
    let queue = status.queue.iter().map(|(client, n)| (client.to_string(), json!(n)));
    json!({
        "name": label.spec.id.as_str(),
        "mode": match status.mode { Mode::Enforce => "enforce", Mode::Observe => "observe" },
        "windows": windows.collect::<Vec<_>>(),
        "pool": pool,
        "queued": status.budget.queued,
        "queued_by_client": queue.collect::<Map<_, _>>(),
        "closed": closed,
        "probing": status.probing,
        "pace": f64::from(status.pace) / 1000.0,
        "shares": shares(label, clients, upstream),
    })
}

/// What each client gets if all of its priority want more than there is.
fn shares(label: &Label, clients: &[Share], upstream: &Upstream) -> Value {
    let pool = label.spec.pool.as_ref();
    let pool = pool.and_then(|id| upstream.pools.iter().find(|pool| pool.id == *id));
    let share = |effective: EffectiveShare| {
        let windows = effective.windows.iter();
        let windows = windows.map(|(part, per)| (window_name(*per).to_owned(), json!(part)));
        json!({
            "client": effective.share.client.as_str(),
            "priority": effective.share.priority.as_str(),
            "windows": windows.collect::<Map<_, _>>(),
            "day": effective.per_day,
        })
    };
    effective(&label.spec, pool, clients).into_iter().map(share).collect()
}
