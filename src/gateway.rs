//! Builds the parts once, runs the servers, reloads, drains.

pub mod build;
mod clients;
mod doors;
mod purge;
mod status;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use self::doors::Door;
use self::tls::Keeper;
use crate::address::Address;
use crate::clock::Clock;
use crate::config::Settings;
use crate::config::settings::{ConnectionLimits, LogFormat, Server, Tls as TlsSettings};
use crate::layers::cache::Limits as CacheLimits;
use crate::layers::observe::{Cut, CutShort, Witness};
use crate::layers::vet::Rules;
use crate::metrics::{ConnectionMetrics, Metrics};
use crate::serve::admin::{Access, Desk};
use crate::serve::{
    AdminService, Drain, Entrance, Express, Limits, PassedSockets, Refusing, serve,
};
use crate::stack::{Parts, stack};
use crate::store::cache::EntryCache;
use crate::store::limiter::Budgets;
use crate::store::purges::Purges;
use crate::telemetry::{AccessLog, Format};

pub use self::build::BuildError;

/// Where access-log lines go.
pub type AccessSink = Box<dyn io::Write + Send>;

/// Why a gateway did not start, or a new configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum GatewayFailure {
    /// An address is not to be had.
    #[error("cannot listen on {address} ({key}): {source}")]
    Bind {
        /// The configuration key that names it.
        key: &'static str,
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// Anonymous callers would be welcome on a passed socket that is not loopback.
    #[error(
        "anonymous callers on a public address ({0}, passed by whoever started this process): \
         list [[clients]], or set server.allow_anonymous = true"
    )]
    OpenToAnyone(Address),
    /// The parts cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The access log has no thread to be written from.
    #[error("cannot start the access log: {0}")]
    AccessLog(io::Error),
    /// The new configuration changes what cannot change while running.
    #[error("{0} changed: that needs a restart")]
    NeedsRestart(String),
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    public: Vec<Address>,
    admin: Vec<Address>,
    tls: Option<Arc<Keeper>>,
    admin_tls: Option<Arc<Keeper>>,
    settings: Arc<ArcSwap<Settings>>,
    /// One reload at a time.
    reloading: Mutex<()>,
    budgets: Arc<Budgets>,
    witness: Arc<Witness>,
    drain: Drain,
    admin_drain: Drain,
}

/// The admin listener serves a scraper, a probe and a person.
const ADMIN_CONNECTIONS: usize = 64;

impl Gateway {
    /// Binds both listeners and serves until [`Gateway::stop`].
    #[expect(clippy::unused_async, reason = "it needs a runtime to run on, and says so")]
    pub async fn start(
        settings: Settings,
        clock: Clock,
        access_sink: Option<AccessSink>,
    ) -> Result<Self, GatewayFailure> {
        Self::start_with(settings, clock, access_sink, PassedSockets::default())
    }

    /// The same, with sockets that whoever started this process has opened. Needs a tokio runtime.
    pub fn start_with(
        settings: Settings,
        clock: Clock,
        access_sink: Option<AccessSink>,
        passed: PassedSockets,
    ) -> Result<Self, GatewayFailure> {
        let metrics = Arc::new(Metrics::new());
        let budgets = match &settings.server.state_dir {
            Some(directory) => Budgets::kept(directory, clock.clone()).map_err(BuildError::from)?,
            None => Budgets::new(clock.clone()),
        };
        let world = build::world(&settings, &metrics, &clock, &budgets, None)?;

        let access_log = access_log(access_sink, &settings, &metrics)?;
        // Last of what may fail: nobody connects to a process that cannot serve.
        let (public, admin) = doors::open(&settings, passed)?;
        let (drain, admin_drain) = (Drain::new(), Drain::new());
        let stopping = drain.clone();
        let witness = Arc::new(Witness {
            cut: CutShort::new(move || stopping.is_killed()),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            access_log,
            world: Arc::new(ArcSwap::from_pointee(world)),
        });
        let evicted = Arc::clone(&metrics);
        let entries = EntryCache::new(
            settings.cache.max_bytes,
            clock.clone(),
            Box::new(move |cause| evicted.cache_evicted(cause)),
        );
        let parts = Parts {
            clock,
            witness: Arc::clone(&witness),
            entries,
            cache_limits: CacheLimits {
                max_entry_bytes: settings.cache.max_entry_bytes,
                max_fetching_bytes: settings.cache.max_fetching_bytes,
                remember_uncacheable: settings.cache.remember_uncacheable,
                remember_failure: settings.cache.remember_failure,
            },
            purges: Purges::default(),
            rules: Rules {
                head: settings.server.limits.head,
                name: settings.server.via.clone(),
                trusted_proxies: settings.server.trusted_proxies.clone(),
            },
            coming: settings.server.limits.patience.taking,
        };
        let limits = limits(&settings.server);
        let keeper = |listener, settings: Option<&TlsSettings>| {
            settings.map(|settings| Keeper::start(listener, settings, &metrics, &drain))
        };
        let gateway = Self {
            public: public.at.clone(),
            admin: admin.at.clone(),
            tls: keeper("server", settings.server.tls.as_ref()),
            admin_tls: keeper("admin", settings.admin.tls.as_ref()),
            reloading: Mutex::default(),
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            budgets: Arc::new(budgets),
            witness: Arc::clone(&witness),
            drain: drain.clone(),
            admin_drain: admin_drain.clone(),
        };
        let connections = metrics.connections.clone();
        let (stack, express) = stack(&parts);
        let public = entrance(public, gateway.tls.as_deref(), Some(express));
        let admin = entrance(admin, gateway.admin_tls.as_deref(), None);
        tokio::spawn(serve(public, stack, limits, drain.clone(), connections));
        let admin_service = AdminService::new(metrics, gateway.desk(&parts), drain);
        let limits = Limits { max_connections: ADMIN_CONNECTIONS, ..limits };
        let uncounted = ConnectionMetrics::default();
        tokio::spawn(serve(admin, Refusing(admin_service), limits, admin_drain, uncounted));
        Ok(gateway)
    }

    /// What the admin listener shows and does.
    fn desk(&self, Parts { witness, entries, purges, .. }: &Parts) -> Desk {
        let settings = Arc::clone(&self.settings);
        Desk {
            status: status::source(Arc::clone(witness), entries.clone()),
            refresh: status::refresh(Arc::clone(witness), entries.clone()),
            reopen: status::reopen(Arc::clone(witness)),
            purge: purge::action(Arc::clone(witness), purges.clone()),
            lock: Arc::new(move || {
                let admin = &settings.load().admin;
                admin.token.map_or_else(|| Access::Local(admin.hosts.clone()), Access::Token)
            }),
        }
    }

    /// The public listener's first address and port; tells the port where the configuration said
    /// 0. Port 0 if it listens on no port at all.
    pub fn public(&self) -> SocketAddr {
        doors::first_tcp(&self.public)
    }

    /// The admin listener's address and port; port 0 if it listens on no port at all.
    pub fn admin(&self) -> SocketAddr {
        doors::first_tcp(&self.admin)
    }

    /// Everywhere the public listener is, for people.
    pub fn public_addresses(&self) -> String {
        doors::named(&self.public)
    }

    /// Everywhere the admin listener is, for people.
    pub fn admin_addresses(&self) -> String {
        doors::named(&self.admin)
    }

    /// Takes another configuration, whole or not at all. Cache, budgets, connections and counters
    /// are kept. Blocks: it is work for a thread that may wait.
    pub fn reload(&self, settings: Settings) -> Result<(), GatewayFailure> {
        let _one_at_a_time = self.reloading.lock();
        let old = self.settings.load_full();
        let Witness { clock, metrics, world, .. } = &*self.witness;
        let possible = build::changes_need_restart(&old, &settings);
        let possible = possible.and_then(|()| doors::guard(&settings, &self.public));
        let outcome = possible.and_then(|()| {
            let (budgets, previous) = (&self.budgets, world.load());
            Ok(build::world(&settings, metrics, clock, budgets, Some(&previous))?)
        });
        metrics.config_reloaded(if outcome.is_ok() { "ok" } else { "refused" });
        let retired = world.swap(Arc::new(outcome?));
        status::retire(metrics, &retired, &world.load());
        let (server, admin) = (&settings.server, &settings.admin);
        for (keeper, tls) in [(&self.tls, &server.tls), (&self.admin_tls, &admin.tls)] {
            if let (Some(keeper), Some(tls)) = (keeper, tls) {
                keeper.adopt(tls);
            }
        }
        self.settings.store(Arc::new(settings));
        Ok(())
    }

    /// A new configuration file could not even be read; it counts as a refused reload.
    pub fn reload_refused(&self) {
        self.witness.metrics.config_reloaded("refused");
    }

    /// Whoever still waits for a token when most of the time is gone is told so, and not cut off.
    async fn refuse_the_queue(&self, notice: Duration, deadline: Duration) -> Infallible {
        let left = deadline.saturating_sub(notice);
        tokio::time::sleep(notice + left.mul_f32(QUEUE_SHARE)).await;
        self.budgets.drain();
        std::future::pending().await
    }

    /// Stops: readiness turns, and after `server.min_drain` listeners close; requests in flight and
    /// queued are answered, and whoever is left at `server.drain_timeout` is cut off.
    pub async fn stop(&self) -> Stopped {
        let server = &self.settings.load().server;
        let (notice, deadline) = (server.min_drain, server.drain_timeout);
        let finished = tokio::select! {
            finished = self.drain.finish_after(notice, deadline) => finished,
            never = self.refuse_the_queue(notice, deadline) => match never {},
        };
        let budgets = Arc::clone(&self.budgets);
        if tokio::task::spawn_blocking(move || budgets.close()).await.is_err() {
            tracing::error!("what was spent today was not written down");
        }
        self.admin_drain.finish(Duration::from_secs(1)).await;
        if let Some(log) = &self.witness.access_log {
            log.flush();
        }
        let (requests, more) = self.witness.cut.seen();
        Stopped { connections: finished.cut, requests, more }
    }
}

/// How a stop went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were cut off.
    pub connections: usize,
    /// Requests on them that were not answered to their end: the first of them.
    pub requests: Vec<Cut>,
    /// How many more of those.
    pub more: usize,
}

/// Of the drain's time, how much those who wait for a token may use up.
const QUEUE_SHARE: f32 = 0.75;

/// What the public listener allows its clients.
fn limits(server: &Server) -> Limits {
    let ConnectionLimits { patience, head, max_per_address, max_streams, frames } = server.limits;
    Limits {
        patience,
        head,
        max_streams,
        frames,
        max_connections: server.max_connections,
        max_connections_per_address: max_per_address,
    }
}

fn access_log(
    sink: Option<AccessSink>,
    settings: &Settings,
    metrics: &Metrics,
) -> Result<Option<AccessLog>, GatewayFailure> {
    let Some(sink) = sink.filter(|_| settings.log.access) else { return Ok(None) };
    let format = log_format(settings.log.format);
    let log = AccessLog::new(sink, format, metrics.access_log_dropped.clone());
    log.map(Some).map_err(GatewayFailure::AccessLog)
}

fn entrance(door: Door, keeper: Option<&Keeper>, express: Option<Arc<dyn Express>>) -> Entrance {
    Entrance { listeners: door.listeners, tls: keeper.map(Keeper::tls), express }
}

/// The log's format in the configuration's words, in telemetry's words.
pub fn log_format(format: LogFormat) -> Format {
    match format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Pretty => Format::Pretty,
        LogFormat::Json => Format::Json,
    }
}
