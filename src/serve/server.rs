//! The accept loop and what happens on one connection.
//!
//! The loop is our own, over hyper's connections, because every wait on a client has to have an
//! end: nobody holds a slot by sending nothing, half a preface, half a head, or by staying idle.

mod connection;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use super::drain::{Drain, Phase};
use crate::clock::Clock;
use crate::http::{Body, BoxError};

/// After an error that says the machine has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const ACCEPT_LOG_EVERY: Duration = Duration::from_secs(1);

/// What a listener allows its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the first byte, for a request's head, and for idling between requests.
    pub header_timeout: Duration,
    /// Largest request head; larger ones are answered 431.
    pub max_header_bytes: usize,
    /// Most connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
}

/// Serves connections until `drain` closes the listener; [`Drain::finish`] waits for the rest.
///
/// An `Err` of the service resets the connection without an answer. `open` counts connections.
pub async fn serve<S>(listener: TcpListener, service: S, limits: Limits, drain: Drain, open: Gauge)
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let _held = drain.hold();
    let slots = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let server = Server { service, limits, drain: drain.clone(), open };
    let clock = Clock::system();
    let mut errors = ErrorLog::default();
    let accepting = async {
        loop {
            // Before accepting: whoever finds no slot waits in the kernel, at no cost to us.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => server.start(stream, peer, Some(slot)),
                Err(error) if concerns_one_client(&error) => {}
                Err(error) => {
                    if let Some(silent) = errors.due(clock.now()) {
                        tracing::error!(%error, silent, "cannot accept connections");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = drain.reached(Phase::Closing) => {}
        () = accepting => {}
    }
    // For these clients the connection is made already; closing now would reset them. There are
    // no more than the kernel queues, so they need no slot.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        server.start(stream, peer, None);
    }
}

#[derive(Clone)]
struct Server<S> {
    service: S,
    limits: Limits,
    drain: Drain,
    open: Gauge,
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn start(&self, stream: TcpStream, peer: SocketAddr, slot: Option<OwnedSemaphorePermit>) {
        let server = self.clone();
        let open = Open::new(&self.open);
        self.drain.spawn_connection(async move {
            let _held = (slot, open);
            server.connection(stream, peer).await;
        });
    }
}

/// One open connection in the gauge.
struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The client gave up between its handshake and our `accept`; the next one is fine.
fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// One line a second at most: an exhausted machine fails to accept thousands of times.
#[derive(Debug, Default)]
struct ErrorLog {
    last: Option<Instant>,
    silent: u64,
}

impl ErrorLog {
    /// `Some(how many were not logged since)` when a line is due.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < ACCEPT_LOG_EVERY) {
            self.silent += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}
