//! `weir serve`: signals, reloads, and the way to a clean stop.

use std::io;
use std::path::Path;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::process::{self, Sealed};
use super::{CONFIG, FAILURE, OK, complain};
use crate::clock::Clock;
use crate::config::settings::Server;
use crate::config::{self, Loaded};
use crate::gateway::{Gateway, log_format};
use crate::telemetry;

/// Runs until told to stop.
pub(super) fn serve(file: &Path) -> u8 {
    let (sealed, sealing) = Sealed::new();
    let loaded = match config::load(file, &config::environment()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            complain(&faults.to_string());
            return CONFIG;
        }
    };
    let log = &loaded.settings.log;
    if let Err(error) = telemetry::init(&log.level, log_format(log.format)) {
        complain(&error.to_string());
        return CONFIG;
    }
    settle_process(&loaded.settings.server, sealed, sealing);
    let runtime = match runtime(loaded.settings.server.workers) {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(until_stopped(loaded, file)) {
        Ok(Stop::Clean) => OK,
        Ok(Stop::CutShort) => FAILURE,
        Err(error) => failed(&*error),
    }
}

/// What cannot be had is no reason not to serve.
fn settle_process(server: &Server, sealed: Sealed, sealing: io::Result<()>) {
    let done =
        if server.allow_core_dumps { sealed.open() } else { sealing.and_then(|()| Sealed::keep()) };
    if let Err(error) = done {
        tracing::warn!(%error, "server.allow_core_dumps cannot be kept");
    }
    if let Err(why) = process::raise_file_limit(server.max_connections) {
        tracing::warn!("{why}");
    }
}

/// One work-stealing runtime; `workers` of 0 = one a core.
pub(super) fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

pub(super) fn failed(error: &dyn std::error::Error) -> u8 {
    complain(&format!("weir: {error}"));
    FAILURE
}

type Failure = Box<dyn std::error::Error>;

async fn until_stopped(loaded: Loaded, file: &Path) -> Result<Stop, Failure> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut stop = StopSignals::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let digest = loaded.settings.digest.clone();
    let sink = Box::new(io::stdout());
    let gateway = Gateway::start(loaded.settings, Clock::system(), Some(sink)).await?;
    tracing::info!(listen = %gateway.public(), admin = %gateway.admin(), config_digest = digest,
        "weir {} is ready", env!("CARGO_PKG_VERSION"));
    loop {
        tokio::select! {
            () = stop.recv() => break,
            _ = hangup.recv() => reload(&gateway, file),
        }
    }
    Ok(stop_gateway(gateway, &mut stop).await)
}

/// How a stop went.
pub(super) enum Stop {
    /// Everybody was answered.
    Clean,
    /// Somebody was cut off, or the wait was.
    CutShort,
}

fn reload(gateway: &Gateway, file: &Path) {
    let loaded = match config::load(file, &config::environment()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            gateway.reload_refused();
            tracing::error!("the new configuration is refused, the old one goes on:\n{faults}");
            return;
        }
    };
    let digest = loaded.settings.digest.clone();
    match gateway.reload(loaded.settings) {
        Ok(()) => tracing::info!(config_digest = digest, "configuration reloaded"),
        Err(error) => {
            tracing::error!(%error, "the new configuration is refused, the old one goes on");
        }
    }
}

/// Drains; a second signal cuts it short.
pub(super) async fn stop_gateway(gateway: Gateway, stop: &mut StopSignals) -> Stop {
    tracing::info!("stopping: requests in flight are answered, new ones are not accepted");
    tokio::select! {
        finished = gateway.stop() => {
            tracing::info!("stopped");
            if finished.cut == 0 {
                return Stop::Clean;
            }
            tracing::warn!(connections = finished.cut, "cut off at server.drain_timeout");
        }
        () = stop.recv() => tracing::warn!("told to stop again: not waiting any longer"),
    }
    Stop::CutShort
}

/// SIGTERM and SIGINT.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
