//! A forward proxy that is told CONNECT, and a TLS server behind it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What it does about a CONNECT.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Connects,
    Says(&'static str),
    Hangs,
}

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Whole heads of what it was told.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), told: Arc::default() };
        let told = Arc::clone(&proxy.told);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, mood, Arc::clone(&told)));
            }
        });
        proxy
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

async fn serve(mut client: TcpStream, mood: Mood, told: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    told.lock().unwrap().push(head);
    match mood {
        Mood::Says(answer) => client.write_all(answer.as_bytes()).await.ok(),
        Mood::Hangs => {
            while client.read_u8().await.is_ok() {}
            None
        }
        Mood::Connects => {
            // Whatever name it is told, the servers are on this machine.
            let port = target.rsplit(':').next()?;
            let mut server = TcpStream::connect(format!("127.0.0.1:{port}")).await.ok()?;
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.ok()?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
        }
    }
}

/// A certificate authority and what it signs, as PEM.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) cert: String,
    pub(crate) key: String,
    der: (CertificateDer<'static>, Vec<u8>),
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: rcgen::Issuer::new(params, key) }
    }

    pub(crate) fn sign(&self, name: &str) -> Signed {
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let der = (cert.der().clone(), key.serialize_der());
        Signed { cert: cert.pem(), key: key.serialize_pem(), der }
    }
}

/// A TLS server that answers with the name that it was asked for, and, if `clients`, only those
/// that these have signed.
pub(crate) async fn tls_server(own: &Signed, clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            use rustls::pki_types::pem::PemObject as _;
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            );
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let (cert, key) = own.der.clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let config = builder.with_single_cert(vec![cert], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let name = stream.get_ref().1.server_name().unwrap_or("nameless").to_owned();
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.ok()?);
                    }
                    let oauth = String::from_utf8_lossy(&head).starts_with("POST /token");
                    let body = if oauth {
                        "{\"access_token\":\"t\",\"expires_in\":60}".to_owned()
                    } else {
                        name.clone()
                    };
                    let kind = if oauth { "application/json" } else { "text/plain" };
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                    stream.write_all(answer.as_bytes()).await.ok()?;
                    if oauth {
                        // Its body has not been read.
                        stream.shutdown().await.ok()?;
                        return Some(());
                    }
                }
            });
        }
    });
    address
}

/// A TLS server that passes everything on, and drops the connection without a word at its end.
pub(crate) async fn tls_front(own: &Signed, behind: SocketAddr) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (cert, key) = own.der.clone();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key)))
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut server = TcpStream::connect(behind).await.unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            server.write_all(&head[..read]).await.unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).await.unwrap();
            stream.write_all(&answer).await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    address
}
