//! From settings to a world.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tower::retry::budget::TpsBudget;

use super::GatewayFailure;
use crate::clock::Clock;
use crate::config::Settings;
use crate::config::settings::{ClientSettings, UpstreamSettings};
use crate::metrics::Metrics;
use crate::policy::credential::AuthScheme;
use crate::policy::endpoint::{Priority, Weight};
use crate::policy::fair_queue::Share;
use crate::policy::route::{RouteConflict, RouteTable};
use crate::store::credential::Credential;
use crate::store::limiter::Limiter;
use crate::upstream::{Options, UpstreamClient, UpstreamError, token_exchange};
use crate::world::{Client, Clients, Label, Route, Site, Table, Upstream, World};

/// Why the parts cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up.
    #[error("cannot prepare connections to upstreams: {0}")]
    Upstream(#[from] UpstreamError),
    /// Validation let a conflict through.
    #[error("endpoints of upstream {upstream} conflict: {conflict}")]
    Routes {
        /// Which.
        upstream: String,
        /// How.
        conflict: RouteConflict,
    },
}

/// The name under which anonymous callers are counted.
const ANONYMOUS: &str = "anonymous";
const UNROUTED: &str = "none";
/// Callers without a key, or with one that nobody has.
const UNKNOWN: &str = "unknown";

/// Second and later attempts may make up a fifth of all requests to an upstream, or one a second
/// where there are few (over ten seconds).
const RETRY_WINDOW: Duration = Duration::from_secs(10);
const RETRIES_PER_SECOND: u32 = 1;
const RETRY_SHARE: f32 = 0.2;

/// Builds what the settings say. What the previous world has spent, it has spent in the next.
pub(super) fn world(
    settings: &Settings,
    metrics: &Metrics,
    clock: &Clock,
    previous: Option<&World>,
) -> Result<World, BuildError> {
    let names = client_names(&settings.clients);
    let mut sites = Vec::new();
    for upstream in &settings.upstreams {
        let old = previous.and_then(|world| world.upstream(&upstream.id));
        let table = Arc::new(table(upstream, metrics, &names, clock, old)?);
        let site = |mount: &String| Site { mount: mount.clone(), table: Arc::clone(&table) };
        sites.extend(upstream.mounts.iter().map(site));
    }
    sites.sort_by_key(|site| std::cmp::Reverse(site.mount.len()));
    let server = &settings.server;
    Ok(World {
        clients: clients(&settings.clients, clock, previous),
        sites,
        unrouted: metrics.endpoint(UNROUTED, UNROUTED, &names),
        unknown_client: names.len() - 1,
        digest: settings.digest.clone(),
        request_timeout: server.request_timeout,
        max_body_bytes: server.max_body_bytes,
        max_in_flight: server.max_in_flight,
    })
}

/// What cannot change while running.
pub(super) fn changes_need_restart(old: &Settings, new: &Settings) -> Result<(), GatewayFailure> {
    let same_budget = |a: &UpstreamSettings| {
        let b = new.upstreams.iter().find(|b| b.id == a.id);
        // One that is gone could come back, with a budget that knows nothing of the day.
        let unlimited = a.labels.is_empty() && a.pools.is_empty();
        b.map_or(unlimited, |b| a.labels == b.labels && a.pools == b.pools)
    };
    let changed = [
        ("server.listen", old.server.listen != new.server.listen),
        ("admin.listen", old.admin.listen != new.admin.listen),
        ("server.workers", old.server.workers != new.server.workers),
        ("server.header_timeout", old.server.header_timeout != new.server.header_timeout),
        ("server.max_header_bytes", old.server.max_header_bytes != new.server.max_header_bytes),
        ("server.max_connections", old.server.max_connections != new.server.max_connections),
        ("log.level", old.log.level != new.log.level),
        ("log.format", old.log.format != new.log.format),
        ("log.access", old.log.access != new.log.access),
        ("cache.max_bytes", old.cache.max_bytes != new.cache.max_bytes),
        ("cache.max_entry_bytes", old.cache.max_entry_bytes != new.cache.max_entry_bytes),
        ("labels or pools", !old.upstreams.iter().all(same_budget)),
    ];
    match changed.into_iter().find(|(_, changed)| *changed) {
        Some((what, _)) => Err(GatewayFailure::NeedsRestart(what)),
        None => Ok(()),
    }
}

fn client_names(clients: &[ClientSettings]) -> Vec<Arc<str>> {
    // Last, so that its index is the number of clients.
    let configured = clients.iter().map(|client| client.name.as_str().into());
    let anonymous = clients.is_empty().then(|| ANONYMOUS.into());
    configured.chain(anonymous).chain([UNKNOWN.into()]).collect()
}

fn clients(settings: &[ClientSettings], clock: &Clock, previous: Option<&World>) -> Clients {
    if settings.is_empty() {
        let share = Share { client: 0, weight: Weight::MIN, priority: Priority::Normal };
        return Clients::Anonymous(Arc::new(Client::new(ANONYMOUS.into(), share, None, clock)));
    }
    let client = |(index, client): (usize, &ClientSettings)| {
        let share = Share { client: index, weight: client.weight, priority: client.priority };
        let quota = client.quota.map(|quota| (quota.per_second, quota.burst));
        let built = Client::new(client.name.as_str().into(), share, quota, clock);
        let old = previous.and_then(|world| world.clients.named(&client.name));
        (client.key_sha256, Arc::new(built.continuing(old)))
    };
    Clients::Keyed(settings.iter().enumerate().map(client).collect::<HashMap<_, _>>())
}

fn table(
    settings: &UpstreamSettings,
    metrics: &Metrics,
    names: &[Arc<str>],
    clock: &Clock,
    old: Option<&Arc<Upstream>>,
) -> Result<Table, BuildError> {
    let id = settings.id.as_str();
    let routes = RouteTable::new(&settings.endpoints)
        .map_err(|conflict| BuildError::Routes { upstream: id.to_owned(), conflict })?;
    let upstream = Arc::new(upstream(settings, metrics, names, clock, old)?);
    let endpoints = settings.endpoints.iter().map(|endpoint| {
        let label = endpoint.label.as_ref();
        Arc::new(Route {
            spelling: settings.spelling,
            label: label.and_then(|id| upstream.labels.iter().find(|l| l.spec.id == *id)).cloned(),
            metrics: metrics.endpoint(id, endpoint.id.as_str(), names),
            upstream: Arc::clone(&upstream),
            endpoint: endpoint.clone(),
        })
    });
    let endpoints = endpoints.collect();
    Ok(Table { spelling: settings.spelling, routes, endpoints })
}

fn upstream(
    settings: &UpstreamSettings,
    metrics: &Metrics,
    names: &[Arc<str>],
    clock: &Clock,
    old: Option<&Arc<Upstream>>,
) -> Result<Upstream, BuildError> {
    let options = Options {
        connect_timeout: settings.connect_timeout,
        first_byte_timeout: settings.first_byte_timeout,
        total_timeout: settings.total_timeout,
        idle_timeout: settings.idle_timeout,
        http2_prior_knowledge: settings.http2_prior_knowledge,
    };
    let client = match old {
        Some(old) if old.options == options => old.client.clone(),
        _ => UpstreamClient::new(options)?,
    };
    let limiter = match old {
        Some(old) => old.limiter.clone(),
        None => Limiter::new(&settings.labels, &settings.pools, clock.clone()),
    };
    let labels = settings.labels.iter().filter_map(|spec| {
        let label = Label {
            index: limiter.label(&spec.id)?,
            metrics: metrics.label(settings.id.as_str(), spec.id.as_str(), names),
            spec: spec.clone(),
        };
        Some(Arc::new(label))
    });
    let labels = labels.collect();
    let (id, scheme) = (settings.credential.clone(), settings.auth.clone());
    Ok(Upstream {
        id: settings.id.clone(),
        base_url: settings.base_url.to_string().trim_end_matches('/').to_owned(),
        authorized: !matches!(scheme, AuthScheme::None),
        credential: Credential::new(id, scheme, clock.clone(), token_exchange()?),
        limiter,
        labels,
        options,
        client,
        max_retries: settings.max_retries,
        retry_budget: TpsBudget::new(RETRY_WINDOW, RETRIES_PER_SECOND, RETRY_SHARE),
        retries: metrics.retries(settings.id.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Env, from_text};

    fn settings(upstream: &str, per_second: u32, more: &str) -> Settings {
        let text = format!(
            "{more}\n[upstreams.{upstream}]\nbase_url = \"http://127.0.0.1:9\"\n\
             [upstreams.{upstream}.auth]\nkind = \"none\"\n\
             [upstreams.{upstream}.labels.heavy]\nper_second = {per_second}\n\
             [[upstreams.{upstream}.endpoints]]\nid = \"x\"\npath = \"/x\"\nlabel = \"heavy\"\n"
        );
        from_text("test.toml", &text, &Env::new()).unwrap().settings
    }

    #[test]
    fn a_reload_forgets_no_budget_and_changes_nothing_silently() {
        let old = settings("a", 5, "");
        for (new, changed) in [
            (settings("a", 5, ""), None),
            (settings("a", 5, "[server]\nrequest_timeout = \"9s\""), None),
            (settings("a", 6, ""), Some("labels or pools")),
            (settings("b", 5, ""), Some("labels or pools")),
            (settings("a", 5, "[log]\nlevel = \"debug\""), Some("log.level")),
            (settings("a", 5, "[log]\naccess = false"), Some("log.access")),
            (settings("a", 5, "[server]\nmax_connections = 7"), Some("server.max_connections")),
        ] {
            let refused = match changes_need_restart(&old, &new) {
                Err(GatewayFailure::NeedsRestart(what)) => Some(what),
                _ => None,
            };
            assert_eq!(refused, changed);
        }
    }
}
