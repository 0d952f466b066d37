//! Builds the parts once, runs the servers, reloads, drains.

mod build;
mod purge;
mod status;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::config::Settings;
use crate::config::settings::LogFormat;
use crate::layers::cache::Limits as CacheLimits;
use crate::layers::observe::Witness;
use crate::metrics::Metrics;
use crate::serve::admin::Desk;
use crate::serve::{AdminService, Drain, Finished, Limits, serve};
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
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The parts cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The access log has no thread to be written from.
    #[error("cannot start the access log: {0}")]
    AccessLog(io::Error),
    /// The new configuration changes what cannot change while running.
    #[error("{0} changed: that needs a restart")]
    NeedsRestart(&'static str),
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    public: SocketAddr,
    admin: SocketAddr,
    settings: Arc<ArcSwap<Settings>>,
    budgets: Arc<Budgets>,
    witness: Arc<Witness>,
    drain: Drain,
    admin_drain: Drain,
}

/// The admin listener serves a scraper, a probe and a person.
const ADMIN_CONNECTIONS: usize = 64;

impl Gateway {
    /// Binds both listeners and serves until [`Gateway::stop`]. Needs a tokio runtime.
    pub async fn start(
        settings: Settings,
        clock: Clock,
        access_sink: Option<AccessSink>,
    ) -> Result<Self, GatewayFailure> {
        let metrics = Arc::new(Metrics::new());
        let public = bind("server.listen", settings.server.listen).await?;
        let admin = bind("admin.listen", settings.admin.listen).await?;
        let budgets = match &settings.server.state_dir {
            Some(directory) => Budgets::kept(directory, clock.clone()).map_err(BuildError::from)?,
            None => Budgets::new(clock.clone()),
        };
        let world = build::world(&settings, &metrics, &clock, &budgets, None)?;

        let access_log = access_sink
            .filter(|_| settings.log.access)
            .map(|sink| {
                let format = log_format(settings.log.format);
                AccessLog::new(sink, format, metrics.access_log_dropped.clone())
            })
            .transpose()
            .map_err(GatewayFailure::AccessLog)?;
        let witness = Arc::new(Witness {
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
        };
        let (drain, admin_drain) = (Drain::new(), Drain::new());
        let limits = Limits {
            header_timeout: settings.server.header_timeout,
            max_header_bytes: settings.server.max_header_bytes,
            max_connections: settings.server.max_connections,
        };
        let gateway = Self {
            public: address(&public, settings.server.listen),
            admin: address(&admin, settings.admin.listen),
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            budgets: Arc::new(budgets),
            witness: Arc::clone(&witness),
            drain: drain.clone(),
            admin_drain: admin_drain.clone(),
        };
        let connections = metrics.connections.clone();
        tokio::spawn(serve(public, stack(&parts), limits, drain.clone(), connections));
        let admin_service = AdminService::new(metrics, gateway.desk(&parts), drain);
        let limits = Limits { max_connections: ADMIN_CONNECTIONS, ..limits };
        tokio::spawn(serve(admin, admin_service, limits, admin_drain, Gauge::default()));
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
            token: Arc::new(move || settings.load().admin.token.clone()),
        }
    }

    /// The public listener's address; tells the port where the configuration said 0.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// The admin listener's address.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Takes another configuration, whole or not at all. Cache, budgets, connections and counters
    /// are kept.
    pub fn reload(&self, settings: Settings) -> Result<(), GatewayFailure> {
        let old = self.settings.load_full();
        let Witness { clock, metrics, world, .. } = &*self.witness;
        let outcome = build::changes_need_restart(&old, &settings).and_then(|()| {
            let (budgets, previous) = (&self.budgets, world.load());
            Ok(build::world(&settings, metrics, clock, budgets, Some(&previous))?)
        });
        metrics.config_reloaded(if outcome.is_ok() { "ok" } else { "refused" });
        let retired = world.swap(Arc::new(outcome?));
        status::retire(metrics, &retired, &world.load());
        self.settings.store(Arc::new(settings));
        Ok(())
    }

    /// A new configuration file could not even be read; it counts as a refused reload.
    pub fn reload_refused(&self) {
        self.witness.metrics.config_reloaded("refused");
    }

    /// Whoever still waits for a token when most of the time is gone is told so, and not cut off.
    async fn refuse_the_queue(&self, deadline: Duration) -> Infallible {
        tokio::time::sleep(deadline.mul_f32(QUEUE_SHARE)).await;
        self.budgets.drain();
        std::future::pending().await
    }

    /// Stops: readiness turns, listeners close, requests in flight and queued are answered, and
    /// whoever is left at `server.drain_timeout` is cut off.
    pub async fn stop(self) -> Finished {
        let deadline = self.settings.load().server.drain_timeout;
        let finished = tokio::select! {
            finished = self.drain.finish(deadline) => finished,
            never = self.refuse_the_queue(deadline) => match never {},
        };
        let budgets = Arc::clone(&self.budgets);
        if tokio::task::spawn_blocking(move || budgets.close()).await.is_err() {
            tracing::error!("what was spent today was not written down");
        }
        self.admin_drain.finish(Duration::from_secs(1)).await;
        if let Some(log) = &self.witness.access_log {
            log.flush();
        }
        finished
    }
}

/// Of the drain's time, how much those who wait for a token may use up.
const QUEUE_SHARE: f32 = 0.75;

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, GatewayFailure> {
    let failed = |source| GatewayFailure::Bind { key, address, source };
    TcpListener::bind(address).await.map_err(failed)
}

fn address(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

/// The log's format in the configuration's words, in telemetry's words.
pub fn log_format(format: LogFormat) -> Format {
    match format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Pretty => Format::Pretty,
        LogFormat::Json => Format::Json,
    }
}
