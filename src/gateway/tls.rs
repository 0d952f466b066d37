//! Keeps a listener's certificate up to date with its files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::settings::Tls as Settings;
use crate::files::{self, Snapshot, Watch};
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::serve::{Drain, Tls};
use crate::tls::{Authority, Files, Identity, MAX_PEM_BYTES, Pem};

/// Between two looks at the files. What two looks agree on is taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One listener's certificate.
#[derive(Debug)]
pub(super) struct Keeper {
    listener: &'static str,
    tls: Tls,
    metrics: Arc<Metrics>,
    files: Mutex<(Files, Watch)>,
}

impl Keeper {
    /// Begins with what the configuration brought, and looks after it until `drain` begins.
    pub(super) fn start(
        listener: &'static str,
        settings: &Settings,
        metrics: &Arc<Metrics>,
        drain: &Drain,
    ) -> Arc<Self> {
        metrics.certificate_ends(listener, settings.identity.not_after);
        let keeper = Arc::new(Self {
            listener,
            tls: Tls::new(Arc::clone(&settings.identity.config)),
            metrics: Arc::clone(metrics),
            files: Mutex::new((settings.files.clone(), Watch::new(settings.noted.clone()))),
        });
        tokio::spawn(Arc::clone(&keeper).keep(drain.clone()));
        keeper
    }

    /// For the listener.
    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// What a new configuration brings.
    pub(super) fn adopt(&self, settings: &Settings) {
        let mut files = self.files.lock();
        let (known, watch) = &mut *files;
        if *known != settings.files || !watch.knows(&settings.noted) {
            self.show(&settings.identity);
        }
        *known = settings.files.clone();
        watch.set(settings.noted.clone());
    }

    async fn keep(self: Arc<Self>, drain: Drain) {
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let keeper = Arc::clone(&self);
            // A panic in there is logged by its hook; the next look may go better.
            drop(tokio::task::spawn_blocking(move || keeper.look()).await);
        }
    }

    /// Blocks: reads files.
    fn look(&self) {
        let mut files = self.files.lock();
        let (known, watch) = &mut *files;
        if !watch.look() {
            return;
        }
        let (noted, read) = read(known);
        watch.set(noted);
        match read.and_then(|pem| Identity::new(&pem).map_err(|fault| fault.to_string())) {
            Ok(identity) => self.show(&identity),
            Err(why) => {
                self.metrics.tls_reloaded(self.listener, "refused");
                tracing::error!(
                    listener = self.listener,
                    "the new certificate is refused, the old one goes on: {why}"
                );
            }
        }
    }

    fn show(&self, identity: &Identity) {
        self.tls.replace(Arc::clone(&identity.config));
        self.metrics.tls_reloaded(self.listener, "ok");
        self.metrics.certificate_ends(self.listener, identity.not_after);
        tracing::info!(listener = self.listener, "certificate reloaded");
    }
}

/// All files are read, also after one that cannot be.
fn read(files: &Files) -> (Snapshot, Result<Pem, String>) {
    let mut noted = Snapshot::default();
    let mut text = |path: &Path| {
        let read = files::read(path, MAX_PEM_BYTES);
        noted.note_read(path, &read);
        read.map(|read| read.text).map_err(|why| format!("{} {why}", path.display()))
    };
    let (cert, key) = (text(&files.cert), text(&files.key));
    let clients = files.clients.as_ref().map(|Authority { ca, auth }| (text(ca), *auth));
    let pem = || {
        let clients = match clients {
            Some((ca, auth)) => Some(Authority { ca: ca?.to_string(), auth }),
            None => None,
        };
        Ok(Pem { cert: cert?.to_string(), key: Secret::new(key?.as_str()), clients })
    };
    (noted, pem())
}
