//! TLS on the listener.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::secret::Secret;
use crate::tls::{Authority, ClientAuth, Identity, Pem};

/// Vouches for servers and clients.
struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
struct Pair(String, String);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pair(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Pair(params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A server's, which asks clients for certificates of this authority.
    fn identity(&self, auth: Option<ClientAuth>) -> Arc<rustls::ServerConfig> {
        let Pair(cert, key) = self.pair("weir.test");
        let clients = auth.map(|auth| Authority { ca: self.0.pem(), auth });
        Identity::new(&Pem { cert, key: Secret::new(key), clients }).unwrap().config
    }

    fn client(&self, alpn: &[&[u8]], own: Option<&Pair>) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            Some(Pair(cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![cert], key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

async fn secured(limits: Limits, config: Arc<rustls::ServerConfig>) -> (Fixture, Tls) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Tls::new(config);
    let entrance =
        Entrance { listeners: vec![listener.into()], tls: Some(tls.clone()), express: None };
    (start_at(entrance, address, limits), tls)
}

impl Fixture {
    async fn handshake(&self, client: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("weir.test").unwrap();
        client.connect(name, self.connect().await).await
    }

    /// The answer to one request, or why there is none. A refused certificate shows up only when
    /// something is read (TLS 1.3).
    async fn ask(&self, client: &TlsConnector) -> io::Result<String> {
        let mut stream = self.handshake(client).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n").await?;
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("closed")?;
        Ok(String::from_utf8(bytes).unwrap())
    }
}

#[tokio::test]
async fn alpn_decides_the_version() {
    let ca = Ca::new();
    let (fixture, _) = secured(limits(), ca.identity(None)).await;
    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let text = fixture.ask(&ca.client(alpn, None)).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }
    let stream = fixture.handshake(&ca.client(&[b"h2", b"http/1.1"], None)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = http2_client(stream).await;
    let response = client.send_request(http2_get("/")).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    // Nothing in common is refused (RFC 7301, section 3.2), and so is what is no TLS.
    assert!(fixture.handshake(&ca.client(&[b"spdy/1"], None)).await.is_err());
    // Who says more than is read of it is told so too, and not reset.
    let mut plain = fixture.send(&GET.repeat(10_000)).await;
    let mut bytes = Vec::new();
    timeout(PATIENCE, plain.read_to_end(&mut bytes)).await.expect("closed").expect("no reset");
    assert!(!bytes.is_empty());
    assert!(!bytes.starts_with(b"HTTP/"), "{bytes:?}");
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_let_go_and_holds_a_slot_meanwhile() {
    let ca = Ca::new();
    let limits = Limits { max_connections: 1, ..impatient() };
    let (fixture, _) = secured(limits, ca.identity(None)).await;
    // Nothing, one byte, the beginning of a record, half a hello.
    for said in
        [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"]
    {
        let mut slow = fixture.send(said).await;
        let mut bytes = Vec::new();
        drop(timeout(PATIENCE, slow.read_to_end(&mut bytes)).await.expect("closed"));
        assert_eq!(bytes, b"", "after {said:?}");
    }
    let holder = fixture.send(b"\x16").await;
    let until_held = async {
        while fixture.open.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, until_held).await.unwrap();
    let client = ca.client(&[], None);
    let text = fixture.ask(&client).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    // Its slot was free only after the holder had been let go.
    let mut holder = holder;
    let gone = timeout(Duration::ZERO, holder.read_u8()).await;
    assert!(gone.is_ok_and(|read| read.is_err()), "two at a time");
    // And after the handshake the same patience begins for the request.
    let mut silent = fixture.handshake(&client).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, silent.read_to_end(&mut bytes)).await.expect("closed").unwrap();
    assert_eq!(bytes, b"");
}

#[tokio::test]
async fn a_verified_client_is_known_by_its_names_and_nobody_else_is() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (good, bad) = (ca.pair("console.internal"), other.pair("console.internal"));
    let known = "[Dns(\"console.internal\"), CommonName(\"rcgen self signed cert\")]";
    for (auth, own, expected) in [
        (Some(ClientAuth::Required), Some(&good), Some(known)),
        (Some(ClientAuth::Optional), Some(&good), Some(known)),
        (Some(ClientAuth::Optional), None, Some("")),
        (None, Some(&good), Some("")),
        (Some(ClientAuth::Required), None, None),
        (Some(ClientAuth::Required), Some(&bad), None),
        (Some(ClientAuth::Optional), Some(&bad), None),
    ] {
        let (fixture, _) = secured(limits(), ca.identity(auth)).await;
        let answered = fixture.ask(&ca.client(&[], own)).await;
        match (answered, expected) {
            (Ok(text), Some("")) => assert!(!text.contains("Dns"), "{text}"),
            (Ok(text), Some(names)) => assert!(text.ends_with(names), "{text}"),
            (Err(error), None) => {
                // The alert arrives: a client is told what is wrong with it.
                assert!(error.to_string().contains("alert"), "{error}");
            }
            (answered, _) => panic!("{auth:?} {}: {answered:?}", own.is_some()),
        }
    }
}

#[tokio::test]
async fn another_certificate_is_for_new_connections() {
    let (old, new) = (Ca::new(), Ca::new());
    let (fixture, tls) = secured(limits(), old.identity(None)).await;
    let mut open = fixture.handshake(&old.client(&[], None)).await.unwrap();
    open.write_all(GET).await.unwrap();
    assert!(answer(&mut open).await.starts_with("HTTP/1.1 200"));
    tls.replace(new.identity(Some(ClientAuth::Required)));
    assert!(fixture.handshake(&old.client(&[], None)).await.is_err(), "the old certificate");
    assert!(fixture.ask(&new.client(&[], None)).await.is_err(), "clients need one now");
    let own = new.pair("a.internal");
    assert!(fixture.ask(&new.client(&[], Some(&own))).await.unwrap().contains("a.internal"));
    open.write_all(GET).await.unwrap();
    assert!(answer(&mut open).await.starts_with("HTTP/1.1 200"), "the old connection stays");
}

#[tokio::test]
async fn a_drain_answers_over_tls_and_waits_for_no_handshake() {
    let ca = Ca::new();
    let (mut fixture, _) = secured(limits(), ca.identity(None)).await;
    let mut busy = fixture.handshake(&ca.client(&[], None)).await.unwrap();
    busy.write_all(b"GET /held HTTP/1.1\r\nHost: weir\r\n\r\n").await.unwrap();
    assert_eq!(fixture.begun().await, "/held");
    let _half = fixture.send(b"\x16\x03\x01").await;
    let drain = fixture.drain.clone();
    let finish = tokio::spawn(async move { drain.finish(PATIENCE).await });
    timeout(PATIENCE, &mut fixture.server).await.unwrap().unwrap();
    fixture.release.add_permits(1);
    let text = rest(&mut busy).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("connection: close"), "{text}");
    assert_eq!(finish.await.unwrap(), Finished::default());
}
