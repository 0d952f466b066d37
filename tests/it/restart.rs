//! One process takes the place of another, and no request is lost.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir::sandbox::{Options, Plan, Sandbox};

use crate::support::gateway::{serve_sandbox, users};
use crate::support::raw::Raw;
use crate::support::{Child, Client, Setup, until};
use weir::clock::Clock;

async fn setup(server: &str) -> (Sandbox, String) {
    let account = Options { plan: Plan::Business, ..Options::default() };
    let sandbox = Sandbox::new(account.clone(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let setup = Setup { account, server: server.into(), ..Setup::default() };
    let text = setup.config(at).replace("min_drain = \"0s\"", "min_drain = \"300ms\"");
    (sandbox, text)
}

/// What all clients together have seen.
#[derive(Debug, Default)]
struct Seen {
    answered: AtomicU64,
    told_to_leave: AtomicU64,
    stop: std::sync::atomic::AtomicBool,
}

impl Seen {
    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Asks over one connection for as long as it may, and over another only after an answer that
    /// said so. Every request has to be answered 200.
    async fn keeps_asking(self: Arc<Self>, server: SocketAddr, target: String) {
        while !self.stop.load(Ordering::Relaxed) {
            let mut raw = Raw::connect(server).await;
            loop {
                raw.get(&target).await;
                let (head, _) = raw.answer().await;
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                self.answered.fetch_add(1, Ordering::Relaxed);
                if head.to_ascii_lowercase().contains("connection: close") {
                    self.told_to_leave.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
        }
    }

    /// A connection for every request.
    async fn keeps_coming(self: Arc<Self>, server: SocketAddr, target: String) {
        while !self.stop.load(Ordering::Relaxed) {
            let mut raw = Raw::connect(server).await;
            raw.write(&format!("GET {target} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n"))
                .await;
            let said = raw.rest().await;
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn passed(listener: &TcpListener) -> Vec<(&'static str, std::os::fd::OwnedFd)> {
    vec![("web", listener.try_clone().unwrap().into())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_passed_sockets_loses_no_request() {
    let (sandbox, text) = setup("").await;
    let text = text.replacen("127.0.0.1:0", "systemd:web", 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut first = Child::activate(&text, passed(&listener)).await;
    assert_eq!(first.public, address);
    let seen = Arc::new(Seen::default());
    let target = users(&sandbox.biggest_session_id(), "");
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (seen, target) = (Arc::clone(&seen), target.clone());
        clients.push(tokio::spawn(Arc::clone(&seen).keeps_asking(address, target.clone())));
        clients.push(tokio::spawn(seen.keeps_coming(address, target)));
    }
    let mut children = Vec::new();
    for _ in 0..3 {
        let before = seen.answered();
        until("load", async || (seen.answered() > before + 100).then_some(())).await;
        let second = Child::activate(&text, passed(&listener)).await;
        first.signal("TERM").await;
        assert_eq!(first.ended().await, Some(0), "{}", first.said());
        assert!(!first.said().contains("cut off"), "{}", first.said());
        children.push(std::mem::replace(&mut first, second));
    }
    let before = seen.answered();
    until("load", async || (seen.answered() > before + 100).then_some(())).await;
    seen.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("every request was answered");
    }
    assert!(seen.told_to_leave.load(Ordering::Relaxed) >= 4, "{seen:?}");
    first.signal("TERM").await;
    assert_eq!(first.ended().await, Some(0));
    // The socket was never ours to close.
    assert!(tokio::net::TcpStream::connect(address).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_sockets_can_be_passed() {
    let (_sandbox, text) = setup("").await;
    let text = text.replacen("127.0.0.1:0", "systemd", 1).replace("127.0.0.1:0", "systemd:admin");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.sock");
    let (web, admin) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (at, admin_at) = (web.local_addr().unwrap(), admin.local_addr().unwrap());
    let sockets = vec![("", web.into()), ("admin", admin.into()), ("x", unix.into())];
    let mut child = Child::activate(&text, sockets).await;
    assert_eq!((child.public, child.admin), (at, admin_at));
    assert_eq!(Client::new(admin_at).get("/readyz").await.status, 200);
    Client::new(at).get("/nothing").await.problem(404, "unknown-endpoint");
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 404"), "{said}");
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    assert!(path.exists(), "whoever made it keeps it");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_port_if_they_say_so() {
    let (sandbox, text) = setup("reuse_port = true").await;
    let mut first = Child::serve(&text).await;
    let at = first.public;
    let same = text.replacen("127.0.0.1:0", &at.to_string(), 1);
    let mut second = Child::serve(&same).await;
    assert_eq!(second.public, at);
    let target = users(&sandbox.biggest_session_id(), "");
    let answered = async |child: &Child| {
        let page = Client::new(child.admin).get("/metrics").await;
        let metrics = crate::support::Metrics::parse(page.text());
        metrics.sum("weir_requests_total", &[("status", "200")])
    };
    // The kernel distributes connections.
    until("both answer", async || {
        assert_eq!(Client::new(at).get(&target).await.status, 200);
        (answered(&first).await > 0 && answered(&second).await > 0).then_some(())
    })
    .await;
    first.signal("TERM").await;
    assert_eq!(first.ended().await, Some(0));
    for _ in 0..5 {
        assert_eq!(Client::new(at).get(&target).await.status, 200);
    }
    second.signal("TERM").await;
    assert_eq!(second.ended().await, Some(0));
}
