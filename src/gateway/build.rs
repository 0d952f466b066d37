//! From settings to a world.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use foldhash::quality::RandomState;
use tower::retry::budget::TpsBudget;

use super::{GatewayFailure, clients};
use crate::clock::Clock;
use crate::config::Settings;
use crate::config::settings::{ClientSettings, UpstreamSettings};
use crate::metrics::Metrics;
use crate::policy::cache_key::{KeyRoot, KeySeed};
use crate::policy::credential::AuthScheme;
use crate::policy::endpoint::EndpointId;
use crate::policy::quota::LabelSpec;
use crate::policy::route::{RouteConflict, RouteTable};
use crate::policy::share::ANONYMOUS;
use crate::store::credential::Credential;
use crate::store::ledger::LedgerError;
use crate::store::limiter::{Budgets, Limiter, Needs};
use crate::telemetry::Rare;
use crate::upstream::{Counts, UpstreamClient, UpstreamError, token_exchange};
use crate::world::{Label, Route, Site, Table, Upstream, World};

/// Why the parts cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up.
    #[error("cannot prepare connections to upstreams: {0}")]
    Upstream(#[from] UpstreamError),
    /// What was spent today cannot be known.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Validation let a conflict through.
    #[error("endpoints of upstream {upstream} conflict: {conflict}")]
    Routes {
        /// Which.
        upstream: String,
        /// How.
        conflict: RouteConflict,
    },
}

const UNROUTED: &str = "none";
/// Callers without a key, or with one that nobody has.
const UNKNOWN: &str = "unknown";

/// Second and later attempts may make up a fifth of all requests to an upstream, or one a second
/// where there are few (over ten seconds).
const RETRY_WINDOW: Duration = Duration::from_secs(10);
const RETRIES_PER_SECOND: u32 = 1;
const RETRY_SHARE: f32 = 0.2;

/// How often the log says that refreshing fails.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Builds what the settings say. What has been spent is found again in `budgets`, whose figures
/// are the last thing to change: whatever fails, fails before.
pub fn world(
    settings: &Settings,
    metrics: &Metrics,
    clock: &Clock,
    budgets: &Budgets,
    previous: Option<&World>,
) -> Result<World, BuildError> {
    let key_seed = match previous {
        Some(previous) => previous.key_seed.clone(),
        None => KeySeed::of(&RandomState::default()),
    };
    let names = client_names(&settings.clients);
    let tools = Tools { metrics, clock, names, key_seed, previous };
    budgets.prepare(settings.upstreams.iter().map(needs))?;
    let ways = settings.upstreams.iter().map(|upstream| {
        way(upstream, previous.and_then(|world| world.upstream(&upstream.id)), &tools)
    });
    let ways = ways.collect::<Result<Vec<_>, _>>()?;
    // From here on nothing fails.
    let (mut sites, mut first) = (Vec::new(), 0);
    for (settings, way) in settings.upstreams.iter().zip(ways) {
        let table = Arc::new(table(settings, way, budgets.adopt(needs(settings)), &tools, first));
        first += settings.endpoints.len();
        let site = |mount: &String| Site { mount: mount.clone(), table: Arc::clone(&table) };
        sites.extend(settings.mounts.iter().map(site));
    }
    let Tools { names, key_seed, .. } = tools;
    sites.sort_by_key(|site| std::cmp::Reverse(site.mount.len()));
    let server = &settings.server;
    Ok(World {
        clients: clients::all(settings, clock, previous),
        sites,
        unrouted: metrics.endpoint(UNROUTED, UNROUTED, &names),
        unknown_client: names.len() - 1,
        digest: settings.digest.clone(),
        key_seed,
        request_timeout: server.request_timeout,
        max_body_bytes: server.max_body_bytes,
        max_in_flight: server.max_in_flight,
    })
}

fn needs(settings: &UpstreamSettings) -> Needs<'_> {
    Needs { upstream: &settings.id, labels: &settings.labels, pools: &settings.pools }
}

/// What cannot change while running.
pub(super) fn changes_need_restart(old: &Settings, new: &Settings) -> Result<(), GatewayFailure> {
    let (ours, theirs) = (old.server.limits, new.server.limits);
    let changed = [
        ("server.listen", old.server.listen != new.server.listen),
        ("server.reuse_port", old.server.reuse_port != new.server.reuse_port),
        ("server.unix_mode", old.server.unix_mode != new.server.unix_mode),
        ("server.tls", old.server.tls.is_some() != new.server.tls.is_some()),
        ("admin.listen", old.admin.listen != new.admin.listen),
        ("admin.tls", old.admin.tls.is_some() != new.admin.tls.is_some()),
        ("server.workers", old.server.workers != new.server.workers),
        ("server.header_timeout", ours.patience.head != theirs.patience.head),
        ("server.max_header_bytes", ours.head.head_bytes != theirs.head.head_bytes),
        ("server.limits", ours.without_neighbours() != theirs.without_neighbours()),
        ("server.trusted_proxies", old.server.trusted_proxies != new.server.trusted_proxies),
        ("server.via", old.server.via != new.server.via),
        ("server.max_connections", old.server.max_connections != new.server.max_connections),
        ("log.level", old.log.level != new.log.level),
        ("log.format", old.log.format != new.log.format),
        ("log.access", old.log.access != new.log.access),
        ("cache.max_bytes", old.cache.max_bytes != new.cache.max_bytes),
        ("cache.max_fetching_bytes", old.cache.max_fetching_bytes != new.cache.max_fetching_bytes),
        ("cache.max_entry_bytes", old.cache.max_entry_bytes != new.cache.max_entry_bytes),
        (
            "cache.remember_uncacheable",
            old.cache.remember_uncacheable != new.cache.remember_uncacheable,
        ),
        ("cache.remember_failure", old.cache.remember_failure != new.cache.remember_failure),
        ("server.state_dir", old.server.state_dir != new.server.state_dir),
        ("server.allow_core_dumps", old.server.allow_core_dumps != new.server.allow_core_dumps),
    ];
    let changed: Vec<_> =
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect();
    if changed.is_empty() { Ok(()) } else { Err(GatewayFailure::NeedsRestart(changed.join(", "))) }
}

fn client_names(clients: &[ClientSettings]) -> Vec<Arc<str>> {
    // Last, so that its index is the number of clients.
    let configured = clients.iter().map(|client| client.name.as_str().into());
    let anonymous = clients.is_empty().then(|| ANONYMOUS.into());
    configured.chain(anonymous).chain([UNKNOWN.into()]).collect()
}

/// What all parts of a world are built with.
struct Tools<'t> {
    metrics: &'t Metrics,
    clock: &'t Clock,
    /// Of the clients, for metrics.
    names: Vec<Arc<str>>,
    key_seed: KeySeed,
    previous: Option<&'t World>,
}

impl Tools<'_> {
    /// The one that keys in memory have already, if there is one: then they are quickly compared.
    fn key_root(&self, upstream: &Upstream, endpoint: &EndpointId) -> Arc<KeyRoot> {
        let credential = upstream.credential.id().clone();
        let (id, endpoint) = (upstream.id.clone(), endpoint.clone());
        let root = KeyRoot::new(id, credential, endpoint, &self.key_seed);
        let table = self.previous.and_then(|world| world.table(&upstream.id));
        let mut known = table.into_iter().flat_map(|table| &table.endpoints);
        let known = known.find(|route| *route.key_root == root);
        known.map_or_else(|| Arc::new(root), |route| Arc::clone(&route.key_root))
    }
}

/// Everything of an upstream that may fail to be built.
struct Way {
    routes: RouteTable,
    client: UpstreamClient,
    credential: Credential,
}

fn way(
    settings: &UpstreamSettings,
    old: Option<&Arc<Upstream>>,
    tools: &Tools<'_>,
) -> Result<Way, BuildError> {
    let routes = RouteTable::new(&settings.endpoints);
    let upstream = settings.id.to_string();
    let routes = routes.map_err(|conflict| BuildError::Routes { upstream, conflict })?;
    let client = match old {
        Some(old) if *old.client.reach() == settings.reach => old.client.clone(),
        _ => {
            let (id, reach) = (settings.id.as_str(), settings.reach.clone());
            let counts = Counts {
                ejections: tools.metrics.ejections(id),
                healthy: tools.metrics.health_checks(id, "healthy"),
                unhealthy: tools.metrics.health_checks(id, "unhealthy"),
            };
            UpstreamClient::to(id, reach, tools.clock.clone(), counts)?
        }
    };
    let (id, scheme) = (settings.credential.clone(), settings.auth.clone());
    let credential = Credential::new(
        id,
        scheme,
        tools.clock.clone(),
        token_exchange(&settings.reach.trust, settings.token_place.as_ref())?,
    );
    Ok(Way { routes, client, credential })
}

/// `first` is the number of the upstream's first endpoint among all.
fn table(
    settings: &UpstreamSettings,
    way: Way,
    limiter: Limiter,
    tools: &Tools<'_>,
    first: usize,
) -> Table {
    let Way { routes, client, credential } = way;
    let id = settings.id.as_str();
    let label = |spec: &LabelSpec| {
        let label = Label {
            index: limiter.label(&spec.id)?,
            metrics: tools.metrics.label(id, spec.id.as_str(), &tools.names),
            spec: spec.clone(),
            mismatch_told: AtomicBool::new(false),
        };
        Some(Arc::new(label))
    };
    let upstream = Arc::new(Upstream {
        id: settings.id.clone(),
        base_url: settings.base_url.to_string().trim_end_matches('/').to_owned(),
        authorized: !matches!(settings.auth, AuthScheme::None),
        credential,
        labels: settings.labels.iter().filter_map(label).collect(),
        pools: settings.pools.clone(),
        limiter,
        client,
        max_retries: settings.max_retries,
        retry_on: settings.retry_on.clone(),
        refresh_failures: Rare::new(LINE_EVERY),
        retry_budget: TpsBudget::new(RETRY_WINDOW, RETRIES_PER_SECOND, RETRY_SHARE),
        retries: tools.metrics.retries(id),
    });
    let endpoints = settings.endpoints.iter().zip(first..).map(|(endpoint, number)| {
        let label = endpoint.label.as_ref();
        Arc::new(Route {
            number,
            spelling: settings.spelling,
            label: label.and_then(|id| upstream.labels.iter().find(|l| l.spec.id == *id)).cloned(),
            metrics: tools.metrics.endpoint(id, endpoint.id.as_str(), &tools.names),
            key_root: tools.key_root(&upstream, &endpoint.id),
            upstream: Arc::clone(&upstream),
            endpoint: endpoint.clone(),
        })
    });
    let endpoints = endpoints.collect();
    Table { spelling: settings.spelling, routes, endpoints }
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
            (settings("a", 6, ""), None),
            (settings("b", 5, ""), None),
            (settings("a", 5, "[server]\nmin_drain = \"1s\""), None),
            (settings("a", 5, "[server]\nlisten = \"unix:a\""), Some("server.listen")),
            (settings("a", 5, "[server]\nreuse_port = true"), Some("server.reuse_port")),
            (settings("a", 5, "[server]\nunix_mode = \"0600\""), Some("server.unix_mode")),
            (settings("a", 5, "[log]\nlevel = \"debug\""), Some("log.level")),
            (settings("a", 5, "[log]\naccess = false"), Some("log.access")),
            (settings("a", 5, "[server]\nmax_connections = 7"), Some("server.max_connections")),
            (
                settings("a", 5, "[server]\nvia = \"x\"\nheader_timeout = \"9s\"\nworkers = 3"),
                Some("server.workers, server.header_timeout, server.via"),
            ),
            (settings("a", 5, "[server.limits]\nmax_fields = 9"), Some("server.limits")),
        ] {
            let refused = match changes_need_restart(&old, &new) {
                Err(GatewayFailure::NeedsRestart(what)) => Some(what),
                _ => None,
            };
            assert_eq!(refused.as_deref(), changed);
        }
    }

    #[tokio::test]
    async fn what_is_in_memory_is_found_again_after_a_reload() {
        let (clock, metrics) = (Clock::system(), Metrics::new());
        let budgets = Budgets::new(clock.clone());
        let build = |settings: &Settings, old| world(settings, &metrics, &clock, &budgets, old);
        let old = build(&settings("a", 5, ""), None).unwrap();
        let new = build(&settings("a", 6, ""), Some(&old)).unwrap();
        let other = build(&settings("b", 5, ""), Some(&old)).unwrap();
        let again = build(&settings("a", 5, ""), Some(&other)).unwrap();
        let [old, new, other, again] = [&old, &new, &other, &again].map(|world| {
            let found = world.locate(&http::Method::GET, "/x", Some("b=1"), |_| {});
            let (route, parameters) = found.unwrap();
            route.key(None, parameters)
        });
        let known = std::collections::HashSet::from([old]);
        assert!(known.contains(&new), "of the same endpoint");
        assert!(!known.contains(&other));
        assert!(known.contains(&again), "of one that was not there for a while");
    }
}
