//! `weir serve`: signals, reloads, and the way to a clean stop.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;

use super::process::{self, Sealed};
use super::{CONFIG, FAILURE, OK, ServeOptions, complain, supervisor};
use crate::clock::Clock;
use crate::config::settings::Server;
use crate::config::{self, Loaded};
use crate::files::{Snapshot, Watch};
use crate::gateway::{Gateway, Stopped, log_format};
use crate::serve::PassedSockets;
use crate::telemetry;

/// Between two looks at the configuration and the files that it names.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reading a file that hangs does not keep a stopped process.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Runs until told to stop.
pub(super) fn serve(options: &ServeOptions) -> u8 {
    let (sealed, sealing) = Sealed::new();
    let (file, environment) = (options.file.config.as_path(), config::environment());
    // Before there are threads.
    let passed = environment.get("LISTEN_FDNAMES").map(String::as_str);
    let passed = match PassedSockets::from_environment(passed) {
        Ok(passed) => passed,
        Err(error) => return failed(&error),
    };
    let mut hangups = match Hangups::new() {
        Ok(hangups) => hangups,
        Err(error) => return failed(&error),
    };
    let (loaded, noted) = config::load_and_note(file, &environment);
    let loaded = match loaded {
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
    let watch = Arc::new(Mutex::new(Watch::new(noted)));
    let watch = Watched { file, watch: options.watch.then_some(watch) };
    let stopped = runtime.block_on(until_stopped(loaded, passed, &watch, &mut hangups));
    runtime.shutdown_timeout(LAST_WAIT);
    match stopped {
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

async fn until_stopped(
    loaded: Loaded,
    passed: PassedSockets,
    watched: &Watched<'_>,
    early: &mut Hangups,
) -> Result<Stop, Failure> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut stop = StopSignals::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let digest = loaded.settings.digest.clone();
    let sink = Box::new(io::stdout());
    let gateway = Gateway::start_with(loaded.settings, Clock::system(), Some(sink), passed)?;
    let gateway = Arc::new(gateway);
    tracing::info!(
        listen = gateway.public_addresses(),
        admin = gateway.admin_addresses(),
        config_digest = digest,
        "weir {} is ready",
        env!("CARGO_PKG_VERSION")
    );
    supervisor::ready();
    let mut told = early.came();
    loop {
        if !std::mem::take(&mut told) {
            tokio::select! {
                () = stop.recv() => break,
                _ = hangup.recv() => {}
                () = watched.changed() => {}
            }
        }
        // One after the other; a file that takes for ever to read does not keep us from stopping.
        tokio::select! {
            () = stop.recv() => break,
            () = reload(&gateway, watched) => {}
        }
    }
    Ok(stop_gateway(&gateway, &mut stop).await)
}

/// Who asks for a reload before there is anything to reload is heard all the same, and does not end
/// the process.
struct Hangups {
    runtime: Runtime,
    signal: Signal,
}

impl Hangups {
    /// Without a thread of its own.
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let listening = runtime.block_on(async { signal(SignalKind::hangup()) });
        Ok(Self { signal: listening?, runtime })
    }

    /// Whether one has come since.
    fn came(&mut self) -> bool {
        let Self { runtime, signal } = self;
        // Driven on a thread that drives no other runtime.
        let looked = std::thread::scope(|scope| {
            let look = scope.spawn(|| {
                runtime.block_on(async {
                    tokio::task::yield_now().await;
                    signal.recv().now_or_never().is_some()
                })
            });
            look.join()
        });
        looked.unwrap_or(false)
    }
}

/// The configuration file, and what is looked at between reloads.
struct Watched<'a> {
    file: &'a Path,
    watch: Option<Arc<Mutex<Watch>>>,
}

impl Watched<'_> {
    /// Resolves when the configuration, or a file that it names, has changed and come to rest.
    async fn changed(&self) {
        let Some(watch) = &self.watch else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let watch = Arc::clone(watch);
            if spawn_blocking(move || watch.lock().look()).await.unwrap_or(false) {
                return;
            }
        }
    }
}

/// Reads files, which may take its time: never on a thread that serves.
async fn reload(gateway: &Arc<Gateway>, watched: &Watched<'_>) {
    let (gateway, file) = (Arc::clone(gateway), watched.file.to_owned());
    let reloaded = spawn_blocking(move || {
        supervisor::reloading();
        let noted = reload_now(&gateway, &file);
        supervisor::ready();
        noted
    });
    match (reloaded.await, &watched.watch) {
        // What was refused is tried again when it changes, not before.
        (Ok(noted), Some(watch)) => watch.lock().set(noted),
        (Ok(_), None) => {}
        (Err(error), _) => tracing::error!(%error, "the reload broke off, the old one goes on"),
    }
}

/// How a stop went.
pub(super) enum Stop {
    /// Everybody was answered.
    Clean,
    /// Somebody was cut off, or the wait was.
    CutShort,
}

fn reload_now(gateway: &Gateway, file: &Path) -> Snapshot {
    let (loaded, noted) = config::load_and_note(file, &config::environment());
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(faults) => {
            gateway.reload_refused();
            tracing::error!("the new configuration is refused, the old one goes on:\n{faults}");
            return noted;
        }
    };
    let Loaded { settings, warnings, .. } = loaded;
    let digest = settings.digest.clone();
    match gateway.reload(settings) {
        Ok(()) => {
            tracing::info!(config_digest = digest, "configuration reloaded");
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => {
            tracing::error!(%error, "the new configuration is refused, the old one goes on");
        }
    }
    noted
}

/// Drains; a second signal cuts it short.
pub(super) async fn stop_gateway(gateway: &Gateway, stop: &mut StopSignals) -> Stop {
    // The drain does not wait until that is heard.
    drop(spawn_blocking(supervisor::stopping));
    tracing::info!("stopping: not ready any more, and soon no connections; requests are answered");
    tokio::select! {
        stopped = gateway.stop() => {
            tracing::info!("stopped");
            let Stopped { connections, requests, more } = stopped;
            if connections == 0 {
                return Stop::Clean;
            }
            tracing::warn!(connections, ?requests, more, "cut off at server.drain_timeout");
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
