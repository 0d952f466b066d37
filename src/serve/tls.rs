//! The handshake with a client.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate;
use super::sniff::Version;
use super::socket::Socket;
use crate::peer::PeerCertificate;

/// What a listener shows its clients. Clones share it; a connection keeps what it began with.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ArcSwap<ServerConfig>>);

/// A connection after its handshake.
pub(super) struct Secured {
    pub(super) stream: TlsStream<Socket>,
    pub(super) version: Version,
    pub(super) certificate: Option<PeerCertificate>,
}

impl Tls {
    /// Begins with this.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(ArcSwap::new(config)))
    }

    /// Connections from now on see this.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    /// A handshake that failed gives the socket back, on which the client is told why.
    pub(super) async fn accept(&self, socket: Socket) -> Result<Secured, (io::Error, Socket)> {
        let acceptor = TlsAcceptor::from(self.0.load_full());
        let stream = acceptor.accept(socket).into_fallible().await?;
        let session = stream.get_ref().1;
        let version = match session.alpn_protocol() {
            Some(b"h2") => Version::Http2,
            // Who does not say speaks HTTP/1 (RFC 9113, section 3.2: HTTP/2 has to be agreed on).
            _ => Version::Http1,
        };
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        let certificate = shown.map(certificate::names);
        Ok(Secured { stream, version, certificate })
    }
}
