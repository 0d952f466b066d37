//! One connection, from its first byte to its last.

mod answer;
mod frames;
mod guard;
mod http2;
mod kept;
mod pulse;
mod sent;
mod streams;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::Service;

use self::answer::{Line, Requests, Speaks, Who};
use self::guard::Guard;
use self::pulse::{Metered, Pulse};
use super::Server;
use crate::http::{Body, BoxError};
use crate::metrics::Cut;
use crate::peer::PeerAddr;
use crate::policy::patience::{Patience, Verdict};
use crate::serve::drain::{Drain, NOTICE, Phase};
use crate::serve::sniff::{Version, sniff};
use crate::serve::socket::{Rewind, Socket, Wire};
use crate::serve::tls::{Secured, Tls};

/// Read and write buffers of one HTTP/1 connection, and what one HTTP/2 stream may have unsent.
const MAX_BUFFER: usize = 64 * 1024;

/// Field lines that hyper reads without an allocation of its own.
const HYPER_FIELDS: usize = 100;

/// After so long with nothing to do, an HTTP/1 connection gives back all that hyper holds for it.
const PARK_AFTER: Duration = Duration::from_millis(300);

/// After our last byte, bytes still arriving are thrown away for so long, up to so many.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// What becomes of an HTTP/1 connection.
enum Next<I> {
    /// It has nothing to do, and waits without hyper.
    Rests(Guard<Metered<I>>),
    Closes(I),
    IsReset(I),
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    pub(super) async fn connection(self: Arc<Self>, socket: Socket, peer: PeerAddr) {
        if let Err(error) = socket.prepare() {
            tracing::debug!(%error, ?peer, "connection lost before its first byte");
            return;
        }
        match self.tls.clone() {
            // Boxed, so that a connection in the clear is not charged for it.
            Some(tls) => Box::pin(self.secured(&tls, socket, peer)).await,
            None => self.begin(socket, None, Who { peer, certificate: None }).await,
        }
    }

    /// The first bytes tell which HTTP it is, unless that is agreed already. They have to come in time
    /// either way.
    async fn begin<I: Wire>(self: Arc<Self>, stream: I, agreed: Option<Version>, who: Who) {
        let mut stream = Rewind::new(stream);
        let found = tokio::select! {
            biased;
            found = sniff(&mut stream, self.limits.patience.head) => found,
            () = last_look(&self.drain) => return,
        };
        match found {
            Ok(Some(version)) => self.speak(agreed.unwrap_or(version), stream, who).await,
            Ok(None) => linger(stream, &self.drain).await,
            Err(error) => tracing::debug!(%error, peer = ?who.peer, "connection lost"),
        }
    }

    /// The handshake tells which HTTP it is, and who asks.
    async fn secured(self: Arc<Self>, tls: &Tls, socket: Socket, peer: PeerAddr) {
        let handshake = tokio::time::timeout(self.limits.patience.head, tls.accept(socket));
        let shaken = tokio::select! {
            biased;
            shaken = handshake => shaken,
            () = last_look(&self.drain) => return,
        };
        match shaken {
            Ok(Ok(Secured { stream, version, certificate })) => {
                self.begin(stream, Some(version), Who { peer, certificate }).await;
            }
            Ok(Err((error, socket))) => {
                tracing::debug!(%error, ?peer, "no TLS with this client");
                linger(socket, &self.drain).await;
            }
            Err(_elapsed) => tracing::debug!(?peer, "no TLS with this client in time"),
        }
    }

    /// Everything from here on is HTTP, over whatever it is.
    async fn speak<I: Wire>(self: Arc<Self>, version: Version, stream: I, who: Who) {
        match version {
            Version::Http1 => self.http1(stream, who).await,
            // Boxed, so that an idle connection is charged for the protocol it speaks alone.
            Version::Http2 => Box::pin(self.http2(stream, who)).await,
        }
    }

    async fn http1<I: Wire>(self: Arc<Self>, stream: I, who: Who) {
        let pulse = Arc::new(Pulse::new(&self.clock));
        let line = Arc::new(Line::new(who, Speaks::Http1(self.drain.clone())));
        let metered = Metered::new(stream, Arc::clone(&pulse));
        let mut guard =
            Guard::new(metered, self.limits.head, Arc::clone(&line), Arc::clone(&pulse));
        loop {
            // Boxed, so that a connection at rest is not charged for hyper's buffers.
            match Box::pin(Arc::clone(&self).active(guard, &line, &pulse)).await {
                Next::Rests(at_rest) => guard = at_rest,
                Next::Closes(stream) => return linger(stream, &self.drain).await,
                Next::IsReset(stream) => return stream.reset(),
            }
            if !wakes(&mut guard, &pulse, self.limits.patience, &self.drain).await {
                return linger(guard.into_inner().into_inner(), &self.drain).await;
            }
        }
    }

    /// As long as it has something to do, and a moment longer.
    async fn active<I: Wire>(
        self: Arc<Self>,
        guard: Guard<Metered<I>>,
        line: &Arc<Line>,
        pulse: &Arc<Pulse>,
    ) -> Next<I> {
        let mut builder = http1::Builder::new();
        builder
            .max_header_size(self.limits.head.head_bytes)
            .max_buf_size(MAX_BUFFER.max(self.limits.head.head_bytes))
            .keep_alive(true)
            .half_close(false);
        if self.limits.head.fields > HYPER_FIELDS {
            builder.max_headers(self.limits.head.fields);
        }
        let requests = Requests::new(self.service.clone(), Arc::clone(line), Arc::clone(pulse));
        let mut connection = builder.serve_connection(TokioIo::new(guard), requests);
        let mut closing = pin!(self.drain.reached(Phase::Closing));
        let mut look = pin!(tokio::time::sleep(PARK_AFTER));
        let mut leaving = false;
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, peer = ?line.peer(), "connection ended early");
                    }
                    break;
                }
                () = closing.as_mut(), if !leaving => {
                    leaving = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                () = look.as_mut() => {
                    let signs = pulse.signs();
                    if !leaving && signs.idle.is_some_and(|idle| idle >= PARK_AFTER) {
                        return at_rest(connection.into_parts());
                    }
                    let again = match self.limits.patience.judge(&signs) {
                        Verdict::LookAgain(time) => time.min(PARK_AFTER),
                        Verdict::Idle => {
                            leaving = true;
                            Pin::new(&mut connection).graceful_shutdown();
                            PARK_AFTER
                        }
                        Verdict::HeadLate => {
                            if line.head_is_late() {
                                self.metrics.cut(Cut::Head);
                            }
                            PARK_AFTER
                        }
                        Verdict::Stalled => {
                            self.metrics.cut(Cut::Stalled);
                            let stream = connection.into_parts().io.into_inner();
                            return Next::IsReset(stream.into_inner().into_inner());
                        }
                    };
                    look.set(tokio::time::sleep(again));
                }
            }
        }
        let stream = connection.into_parts().io.into_inner().into_inner().into_inner();
        if line.is_reset() { Next::IsReset(stream) } else { Next::Closes(stream) }
    }
}

/// Until there is something to do again; `false` when there will not be.
async fn wakes<I: Wire>(
    guard: &mut Guard<Metered<I>>,
    pulse: &Pulse,
    patience: Patience,
    drain: &Drain,
) -> bool {
    let rested = pulse.signs().idle.unwrap_or_default();
    tokio::select! {
        biased;
        filled = guard.filled() => filled.unwrap_or(false),
        () = tokio::time::sleep(patience.idle.saturating_sub(rested)) => false,
        () = last_look(drain) => false,
    }
}

/// What hyper held is given back. It holds no bytes of a request: it was shown none.
fn at_rest<I, S>(parts: http1::Parts<TokioIo<Guard<Metered<I>>>, S>) -> Next<I> {
    let guard = parts.io.into_inner();
    if parts.read_buf.is_empty() && guard.is_at_rest() {
        return Next::Rests(guard);
    }
    Next::Closes(guard.into_inner().into_inner())
}

/// A connection that came out of the kernel's queue at the last moment may have sent its request
/// already; the bytes show up a moment later.
async fn last_look(drain: &Drain) {
    drain.reached(Phase::Closing).await;
    tokio::time::sleep(NOTICE).await;
}

/// Closes so that our last answer arrives: the kernel resets a connection that is closed with
/// bytes unread, and a reset overtakes an answer (431, 413) the client has not read yet.
async fn linger<I: Wire>(mut stream: I, drain: &Drain) {
    let discard = async {
        // Over TLS this writes, and the client may not read.
        if stream.shutdown().await.is_err() || drain.has_reached(Phase::Closing) {
            return;
        }
        let mut buffer = vec![0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    if tokio::time::timeout(LINGER, discard).await.is_err() {
        tracing::trace!("the client keeps its side open");
    }
}
