//! One connection, from its first byte to its last.

mod answer;
mod frames;
mod guard;
mod http1;
mod pulse;
mod rest;
mod streams;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::Service;

use self::answer::{Line, Requests, Who};
use self::frames::{Found, Frames};
use self::pulse::{Metered, Pulse};
use self::streams::Streams;
use super::{Limits, Server};
use crate::http::{Body, BoxError};
use crate::metrics::Cut;
use crate::peer::PeerAddr;
use crate::policy::patience::{Signs, Verdict};
use crate::serve::drain::{Drain, NOTICE, Phase};
use crate::serve::sniff::{Version, sniff};
use crate::serve::socket::{Rewind, Socket, Wire};
use crate::serve::tls::{Secured, Tls};

/// Read and write buffers of one HTTP/1 connection, and what one HTTP/2 stream may have unsent.
const MAX_BUFFER: usize = 64 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams of one HTTP/2 connection that we reset because of what the client did; a client that
/// provokes more is made to leave.
const MAX_PROVOKED_RESETS: usize = 64;

/// After our last byte, bytes still arriving are thrown away for so long, up to so many.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

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

    async fn http2<I: Wire>(self: Arc<Self>, stream: I, who: Who) {
        let Server { service, limits, drain, metrics, clock, .. } = &*self;
        let (peer, patience) = (who.peer, limits.patience);
        let pulse = Arc::new(Pulse::new(clock));
        let streams = Streams::new(clock, patience.taking);
        let builder = http2_builder(limits, streams.clone());
        let requests =
            Requests::new(service.clone(), Arc::new(Line::new(who, None)), Arc::clone(&pulse));
        let found = Found::default();
        let metered = Metered::new(stream, Arc::clone(&pulse));
        let frames = Frames::new(metered, limits.frames, found.clone(), Arc::clone(&pulse));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(frames), requests));
        let mut draining = pin!(drain.reached(Phase::Draining));
        let mut closing = pin!(drain.reached(Phase::Closing));
        let mut idle_check = pin!(tokio::time::sleep(patience.idle));
        let mut stall_check = pin!(tokio::time::sleep(patience.taking.grace));
        let mut hurry = pin!(tokio::time::sleep(LINGER));
        let mut seen = streams.started();
        let mut leaving = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                // Who comes while we drain is served before told to leave: told at once, a client
                // that connects ahead of its requests would come again, and again.
                () = poll_fn(|cx| match draining.as_mut().poll(cx) {
                    Poll::Ready(()) if streams.started() > 0 => Poll::Ready(()),
                    Poll::Ready(()) => closing.as_mut().poll(cx),
                    Poll::Pending => Poll::Pending,
                }), if !leaving => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                    hurry.set(tokio::time::sleep(LINGER));
                }
                // hyper waits until the peer has acknowledged that we leave; a stop does not.
                () = hurry.as_mut(), if leaving => {
                    if drain.has_reached(Phase::Closing) && streams.are_done() {
                        return;
                    }
                    hurry.set(tokio::time::sleep(LINGER));
                }
                () = idle_check.as_mut() => {
                    if streams.idle_since(seen) {
                        // A peer that is alive answers GOAWAY by leaving. This one is not.
                        if leaving {
                            return;
                        }
                        leaving = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    seen = streams.started();
                    idle_check.set(tokio::time::sleep(patience.idle));
                }
                () = stall_check.as_mut() => {
                    let blocked = Signs { blocked: pulse.signs().blocked, ..Signs::default() };
                    let Verdict::LookAgain(time) = patience.judge(&blocked) else {
                        metrics.cut(Cut::Stalled);
                        return;
                    };
                    stall_check.set(tokio::time::sleep(time));
                }
            }
        };
        if let Some(why) = found.cut() {
            metrics.cut(why);
        }
        if let Err(error) = ended {
            tracing::debug!(%error, ?peer, "connection ended early");
        }
    }
}

fn http2_builder(limits: &Limits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_local_error_reset_streams(MAX_PROVOKED_RESETS)
        .max_header_list_size(u32::try_from(limits.head.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_BUFFER)
        .keep_alive_interval(limits.patience.head);
    builder
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
