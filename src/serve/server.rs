//! The accept loop and what happens on one connection.
//!
//! The loop is our own, over hyper's connections, because every wait on a client has to have an
//! end: nobody holds a slot by sending nothing, half a preface, half a head, or by staying idle.

mod connection;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use super::drain::{Drain, Phase};
use super::listener::{BACKLOG, Listener, Queue};
use super::socket::Socket;
use super::tls::Tls;
use crate::clock::Clock;
use crate::http::{Body, BoxError};
use crate::peer::PeerAddr;

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

/// Where clients come in.
#[derive(Debug)]
pub struct Entrance {
    /// All sockets; they share the limits.
    pub listeners: Vec<Listener>,
    /// None: in the clear.
    pub tls: Option<Tls>,
}

impl From<TcpListener> for Entrance {
    fn from(listener: TcpListener) -> Self {
        Self { listeners: vec![listener.into()], tls: None }
    }
}

/// Serves connections until `drain` closes the listeners; [`Drain::finish`] waits for the rest.
///
/// An `Err` of the service resets the connection without an answer. `open` counts connections.
pub async fn serve<S>(
    entrance: impl Into<Entrance>,
    service: S,
    limits: Limits,
    drain: Drain,
    open: Gauge,
) where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let _held = drain.hold();
    let slots = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let Entrance { listeners, tls } = entrance.into();
    let mut doors = Doors { listeners, next: 0 };
    let server = Server { service, limits, tls, drain: drain.clone(), open };
    let clock = Clock::system();
    let mut errors = ErrorLog::default();
    let accepting = async {
        loop {
            // Before accepting: whoever finds no slot waits in the kernel, at no cost to us.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match poll_fn(|cx| doors.poll_accept(cx)).await {
                Ok((socket, peer)) => server.start(socket, peer, Some(slot)),
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
    doors.listeners.retain_mut(|listener| listener.withdraw() == Queue::Ours);
    for _ in 0..doors.listeners.len().saturating_mul(BACKLOG.into()) {
        match poll_fn(|cx| doors.poll_accept(cx)).now_or_never() {
            Some(Ok((socket, peer))) => server.start(socket, peer, None),
            Some(Err(error)) if concerns_one_client(&error) => {}
            _ => break,
        }
    }
}

/// All listeners of a server, asked in turn.
struct Doors {
    listeners: Vec<Listener>,
    next: usize,
}

impl Doors {
    /// One that is never quiet does not keep the others from being asked.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, PeerAddr)>> {
        let (first, last) = self.listeners.split_at_checked(self.next).unwrap_or_default();
        let in_turn = last.iter().chain(first);
        for (passed, listener) in in_turn.enumerate() {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                self.next = (self.next + passed + 1) % self.listeners.len().max(1);
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

#[derive(Clone)]
struct Server<S> {
    service: S,
    limits: Limits,
    tls: Option<Tls>,
    drain: Drain,
    open: Gauge,
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn start(&self, socket: Socket, peer: PeerAddr, slot: Option<OwnedSemaphorePermit>) {
        let server = self.clone();
        let open = Open::new(&self.open);
        self.drain.spawn_connection(async move {
            let _held = (slot, open);
            server.connection(socket, peer).await;
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
