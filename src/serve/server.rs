//! The accept loop and what happens on one connection.
//!
//! The loop is our own, over hyper's connections, because every wait on a client has to have an
//! end: nobody holds a slot by sending nothing, half a preface, half a head, or by staying idle.

mod addresses;
mod connection;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{Either, Ready, ready};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use self::addresses::Addresses;
use super::drain::{Drain, Phase};
use super::express::Express;
use super::listener::{BACKLOG, Listener, Queue};
use super::socket::Socket;
use super::tls::Tls;
use crate::clock::Clock;
use crate::error::GatewayError;
use crate::http::{Body, BoxError};
use crate::metrics::{ConnectionMetrics, Cut};
use crate::peer::PeerAddr;
use crate::policy::frames::FrameLimits;
use crate::policy::framing::{Fault, HeadLimits};
use crate::policy::patience::{LeastRate, Patience};

/// After an error that says the machine has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const ACCEPT_LOG_EVERY: Duration = Duration::from_secs(1);

/// What a listener allows its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long they may be silent: before their first byte, within a head, between requests, and
    /// while there is an answer to take.
    pub patience: Patience,
    /// What a request's head may be.
    pub head: HeadLimits,
    /// Streams of one HTTP/2 connection at a time.
    pub max_streams: u32,
    /// What the frames of one HTTP/2 connection may cost.
    pub frames: FrameLimits,
    /// Most connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Most connections of one address at a time; more are closed at once.
    pub max_connections_per_address: usize,
}

impl Default for Limits {
    /// For a server that nobody has written a configuration for.
    fn default() -> Self {
        Self {
            patience: Patience {
                head: Duration::from_secs(10),
                idle: Duration::from_mins(1),
                taking: LeastRate {
                    grace: Duration::from_secs(20),
                    per_second: NonZeroU64::new(1024),
                },
            },
            head: HeadLimits {
                head_bytes: 64 * 1024,
                uri_bytes: 8 * 1024,
                field_bytes: 16 * 1024,
                fields: 100,
            },
            max_streams: 128,
            frames: FrameLimits { resets: 100, idle_frames: 1000 },
            max_connections: 10_000,
            max_connections_per_address: 10_000,
        }
    }
}

/// Where clients come in.
#[derive(Debug)]
pub struct Entrance {
    /// All sockets; they share the limits.
    pub listeners: Vec<Listener>,
    /// None: in the clear.
    pub tls: Option<Tls>,
    /// Answers what can be answered at once; none = the service answers everything.
    pub express: Option<Arc<dyn Express>>,
}

impl From<TcpListener> for Entrance {
    fn from(listener: TcpListener) -> Self {
        Self { listeners: vec![listener.into()], tls: None, express: None }
    }
}

/// Serves connections until `drain` closes the listeners; [`Drain::finish`] waits for the rest.
///
/// An `Err` of the service resets the connection without an answer. What is no request reaches it
/// as one with a [`Fault`] in its extensions, which it has to refuse: see [`Refusing`].
pub async fn serve<S>(
    entrance: impl Into<Entrance>,
    service: S,
    limits: Limits,
    drain: Drain,
    metrics: ConnectionMetrics,
) where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    let _held = drain.hold();
    let slots = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let Entrance { listeners, tls, express } = entrance.into();
    let mut doors = Doors { listeners, next: 0 };
    let clock = Clock::system();
    let server = Arc::new(Server {
        service,
        limits,
        tls,
        express,
        drain: drain.clone(),
        metrics,
        addresses: Addresses::new(limits.max_connections_per_address),
        clock: clock.clone(),
    });
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

/// A service that is not asked about what is no request.
#[derive(Clone, Debug)]
pub struct Refusing<S>(pub S);

impl<S> Service<Request<Incoming>> for Refusing<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Body>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let Some(fault) = request.extensions().get::<Fault>() else {
            return Either::Right(self.0.call(request));
        };
        let mut answer = Response::new(Body::from(fault.to_string()));
        *answer.status_mut() = GatewayError::from(*fault).row().status;
        Either::Left(ready(Ok(answer)))
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

/// What all connections share.
struct Server<S> {
    service: S,
    limits: Limits,
    tls: Option<Tls>,
    express: Option<Arc<dyn Express>>,
    drain: Drain,
    metrics: ConnectionMetrics,
    addresses: Addresses,
    clock: Clock,
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn start(self: &Arc<Self>, socket: Socket, peer: PeerAddr, slot: Option<OwnedSemaphorePermit>) {
        let Some(place) = self.addresses.place(peer) else {
            self.metrics.cut(Cut::Address);
            return;
        };
        let server = Arc::clone(self);
        let open = Open::new(&self.metrics);
        self.drain.spawn_connection(async move {
            let _held = (slot, open, place);
            server.connection(socket, peer).await;
        });
    }
}

/// One open connection in the gauge.
struct Open(ConnectionMetrics);

impl Open {
    fn new(metrics: &ConnectionMetrics) -> Self {
        metrics.open.inc();
        Self(metrics.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.dec();
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
