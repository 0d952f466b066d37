//! One connection, from its first byte to its last.

mod answer;
mod streams;

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::Service;

use self::answer::{Line, Requests, Who};
use self::streams::Streams;
use super::Server;
use crate::http::{Body, BoxError};
use crate::peer::PeerAddr;
use crate::serve::drain::{Drain, NOTICE, Phase};
use crate::serve::sniff::{Version, sniff};
use crate::serve::socket::{Rewind, Socket, Wire};
use crate::serve::tls::{Secured, Tls};

/// Read and write buffers of one HTTP/1 connection, and what one HTTP/2 stream may have unsent.
const MAX_BUFFER: usize = 64 * 1024;
const MAX_STREAMS: u32 = 128;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// After our last byte, bytes still arriving are thrown away for so long, up to so many.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    pub(super) async fn connection(self, socket: Socket, peer: PeerAddr) {
        if let Err(error) = socket.prepare() {
            tracing::debug!(%error, ?peer, "connection lost before its first byte");
            return;
        }
        match self.tls.clone() {
            // Boxed, so that a connection in the clear is not charged for it.
            Some(tls) => Box::pin(self.secured(&tls, socket, peer)).await,
            None => self.plain(socket, peer).await,
        }
    }

    /// The first bytes tell which HTTP it is.
    async fn plain(self, socket: Socket, peer: PeerAddr) {
        let mut stream = Rewind::new(socket);
        let found = tokio::select! {
            biased;
            found = sniff(&mut stream, self.limits.header_timeout) => found,
            () = last_look(&self.drain) => return,
        };
        match found {
            Ok(Some(version)) => {
                self.speak(version, stream, Who { peer, certificate: None }).await;
            }
            Ok(None) => linger(stream, &self.drain).await,
            Err(error) => tracing::debug!(%error, ?peer, "connection lost"),
        }
    }

    /// The handshake tells which HTTP it is, and who asks.
    async fn secured(self, tls: &Tls, socket: Socket, peer: PeerAddr) {
        let handshake = tokio::time::timeout(self.limits.header_timeout, tls.accept(socket));
        let shaken = tokio::select! {
            biased;
            shaken = handshake => shaken,
            () = last_look(&self.drain) => return,
        };
        match shaken {
            Ok(Ok(Secured { stream, version, certificate })) => {
                self.speak(version, stream, Who { peer, certificate }).await;
            }
            Ok(Err((error, socket))) => {
                tracing::debug!(%error, ?peer, "no TLS with this client");
                linger(socket, &self.drain).await;
            }
            Err(_elapsed) => tracing::debug!(?peer, "no TLS with this client in time"),
        }
    }

    /// Everything from here on is HTTP, over whatever it is.
    async fn speak<I: Wire>(self, version: Version, stream: I, who: Who) {
        match version {
            // Boxed, so that an idle connection is charged for the protocol it speaks alone.
            Version::Http1 => Box::pin(self.http1(stream, who)).await,
            Version::Http2 => Box::pin(self.http2(stream, who)).await,
        }
    }

    async fn http1<I: Wire>(self, stream: I, who: Who) {
        let Self { service, limits, drain, .. } = self;
        let peer = who.peer;
        let line = Arc::new(Line::new(who, Some(drain.clone())));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(MAX_BUFFER.max(limits.max_header_bytes))
            .keep_alive(true)
            .half_close(false);
        let requests = Requests::new(service, Arc::clone(&line));
        let mut connection = builder.serve_connection(TokioIo::new(stream), requests);
        let undisturbed = tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            () = drain.reached(Phase::Closing) => None,
        };
        let ended = if let Some(ended) = undisturbed {
            ended
        } else {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        };
        if let Err(error) = &ended {
            tracing::debug!(%error, ?peer, "connection ended early");
        }
        let stream = connection.into_parts().io.into_inner();
        if line.is_refused() {
            stream.reset();
        } else {
            linger(stream, &drain).await;
        }
    }

    async fn http2<I: Wire>(self, stream: I, who: Who) {
        let Self { service, limits, drain, .. } = self;
        let peer = who.peer;
        let streams = Streams::default();
        let mut builder = http2::Builder::new(streams.clone());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(MAX_BUFFER)
            .keep_alive_interval(limits.header_timeout);
        let requests = Requests::new(service, Arc::new(Line::new(who, None)));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), requests));
        let mut draining = pin!(drain.reached(Phase::Draining));
        let mut closing = pin!(drain.reached(Phase::Closing));
        let mut idle_check = pin!(tokio::time::sleep(limits.header_timeout));
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
                    idle_check.set(tokio::time::sleep(limits.header_timeout));
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, ?peer, "connection ended early");
        }
    }
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
