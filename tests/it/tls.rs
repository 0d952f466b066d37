//! TLS on the listeners: what a client is shown, and what becomes of new files.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir::sandbox::{Options, Sandbox};

use crate::support::gateway::serve_sandbox;
use crate::support::{Child, Client, Metrics, Setup, until};
use weir::clock::Clock;

/// A certificate that vouches for itself, and its key.
struct Pair {
    cert: String,
    key: String,
}

fn pair() -> Pair {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["weir.test".to_owned()]).unwrap();
    Pair { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

impl Pair {
    fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join("cert.pem"), &self.cert).unwrap();
        std::fs::write(directory.join("key.pem"), &self.key).unwrap();
    }

    /// A connection to whoever shows this certificate.
    async fn connect(&self, at: std::net::SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("weir.test").unwrap();
        let stream = TcpStream::connect(at).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn is_shown(&self, at: std::net::SocketAddr) -> bool {
        self.connect(at).await.is_ok()
    }
}

async fn get(stream: &mut TlsStream<TcpStream>, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nhost: weir.test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            if body.len() == length.lines().next().unwrap().parse::<usize>().unwrap() {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed: {text}");
    }
}

async fn metrics(child: &Child) -> Metrics {
    Metrics::parse(Client::new(child.admin).get("/metrics").await.text())
}

async fn reloads(child: &Child, result: &str, times: u64) {
    let labels = [("listener", "server"), ("result", result)];
    until(result, async || {
        (metrics(child).await.sum("weir_tls_reloads_total", &labels) == times).then_some(())
    })
    .await;
}

/// The files appear and change as a Secret of Kubernetes does: through a link to a link.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_without_a_signal_and_a_broken_one_is_not() {
    let sandbox = Sandbox::new(Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let directory = tempfile::tempdir().unwrap();
    let mounted = |name: &str| directory.path().join(name);
    let swap = |version: &str| {
        symlink(version, mounted("..tmp")).unwrap();
        std::fs::rename(mounted("..tmp"), mounted("..data")).unwrap();
    };
    let (first, second) = (pair(), pair());
    first.write(&mounted("..1"));
    swap("..1");
    for name in ["cert.pem", "key.pem"] {
        symlink(format!("..data/{name}"), mounted(name)).unwrap();
    }
    let tables = format!(
        "[server.tls]\ncert = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n",
        directory.path().display()
    );
    let mut child = Child::serve(&Setup { tables, ..Setup::default() }.config(at)).await;
    let mut open = first.connect(child.public).await.unwrap();
    assert!(get(&mut open, "/nothing").await.starts_with("HTTP/1.1 404"));
    let ends = |metrics: Metrics| {
        metrics.sum("weir_tls_certificate_expiry_seconds", &[("listener", "server")])
    };
    assert!(ends(metrics(&child).await) > 1_700_000_000);
    assert!(Client::new(child.public).try_request(http::Method::GET, "/", "").await.is_err());

    // A key that belongs to another certificate, and half a certificate: the old one goes on.
    let mixed = Pair { cert: second.cert.clone(), key: first.key.clone() };
    mixed.write(&mounted("..2"));
    swap("..2");
    reloads(&child, "refused", 1).await;
    let half = Pair { cert: second.cert[..200].to_owned(), key: second.key.clone() };
    half.write(&mounted("..3"));
    swap("..3");
    reloads(&child, "refused", 2).await;
    assert!(first.is_shown(child.public).await && !second.is_shown(child.public).await);
    // And SIGHUP refuses them as it refuses any bad file.
    child.signal("HUP").await;
    until("refused", async || {
        let refused = [("result", "refused")];
        (metrics(&child).await.sum("weir_config_reloads_total", &refused) == 1).then_some(())
    })
    .await;

    // A good one is for new connections.
    second.write(&mounted("..4"));
    swap("..4");
    reloads(&child, "ok", 1).await;
    assert!(!first.is_shown(child.public).await && second.is_shown(child.public).await);
    assert!(get(&mut open, "/nothing").await.starts_with("HTTP/1.1 404"), "the old one stays");

    let said = child.said();
    assert!(said.contains("the new certificate is refused"), "{said}");
    for secret in [&first.key, &second.key] {
        assert!(!said.contains(secret.lines().nth(1).unwrap()), "a key is in the log");
    }
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_brings_other_files_and_the_admin_listener_has_its_own() {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (pair(), pair());
    first.write(&directory.path().join("1"));
    second.write(&directory.path().join("2"));
    let config = |server: u8, admin: u8| {
        let tls = |listener: &str, which: u8| {
            let at = directory.path().join(which.to_string());
            let at = at.display();
            format!("[{listener}.tls]\ncert = \"{at}/cert.pem\"\nkey = \"{at}/key.pem\"\n")
        };
        let tables = tls("server", server) + &tls("admin", admin);
        Setup { tables, ..Setup::default() }.config(nowhere)
    };
    let mut child = Child::serve(&config(1, 2)).await;
    assert!(first.is_shown(child.public).await && second.is_shown(child.admin).await);
    let mut admin = second.connect(child.admin).await.unwrap();
    assert!(get(&mut admin, "/readyz").await.starts_with("HTTP/1.1 200"));
    std::fs::write(&child.file, config(2, 1)).unwrap();
    child.signal("HUP").await;
    until("both are swapped", async || {
        let swapped = second.is_shown(child.public).await && first.is_shown(child.admin).await;
        swapped.then_some(())
    })
    .await;
    // To do without is another listener, and needs a restart.
    std::fs::write(&child.file, Setup::default().config(nowhere)).unwrap();
    child.signal("HUP").await;
    until("it is refused", async || {
        child.said().contains("server.tls, admin.tls changed: that needs a restart").then_some(())
    })
    .await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
}
