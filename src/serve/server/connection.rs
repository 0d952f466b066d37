//! One connection, from its first byte to its last.

mod answer;
mod frames;
mod guard;
mod http1;
mod http2;
mod kept;
mod pulse;
mod rest;
mod sent;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::Service;

use self::answer::Who;
use super::Server;
use crate::http::{Body, BoxError};
use crate::peer::PeerAddr;
use crate::serve::drain::{Drain, NOTICE, Phase};
use crate::serve::sniff::{Version, sniff};
use crate::serve::socket::{Rewind, Socket, Wire};
use crate::serve::tls::{Secured, Tls};

/// Read and write buffers of one HTTP/1 connection, and what one HTTP/2 stream may have unsent.
const MAX_BUFFER: usize = 64 * 1024;

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
