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
    let text = setup.config(at).replace("min_drain = \"0s\"", "min_drain = \"1s\"");
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

    /// Over HTTP/2, which has GOAWAY to say that a connection ends.
    async fn keeps_asking_http2(self: Arc<Self>, server: SocketAddr, target: String) {
        let client = Client::http2(server);
        while !self.stop.load(Ordering::Relaxed) {
            match client.try_request(http::Method::GET, &target, "").await {
                Ok(answer) => assert_eq!(answer.status, 200),
                Err(error) => {
                    assert!(was_never_served(&*error), "{error:?}");
                    continue;
                }
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The client learned of GOAWAY when it was about to send: it sends the request over another
/// connection, as after `Connection: close` (RFC 9113, section 6.8).
fn was_never_served(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let goodbye = causes.find_map(|cause| cause.downcast_ref::<h2::Error>());
    goodbye.is_some_and(|error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
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
    clients.push(tokio::spawn(Arc::clone(&seen).keeps_asking_http2(address, target)));
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

/// With a ledger there is one process at a time: connections wait in the kernel meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_one_after_the_other_loses_no_request_and_forgets_no_spend() {
    let (sandbox, text) = setup("").await;
    let state = tempfile::tempdir().unwrap();
    let server = format!("[server]\nstate_dir = \"{}\"", state.path().display());
    let text = text.replacen("127.0.0.1:0", "systemd:web", 1).replacen("[server]", &server, 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut child = Child::activate(&text, passed(&listener)).await;
    // While one runs, another with the same ledger does not.
    let (code, said) = Child::fails(&text, passed(&listener)).await;
    assert_eq!(code, Some(1), "{said}");
    let seen = Arc::new(Seen::default());
    let mut clients = Vec::new();
    for page_size in 1..=4 {
        let target = users(&sandbox.biggest_session_id(), &format!("?page_size={page_size}"));
        let seen = Arc::clone(&seen);
        clients.push(tokio::spawn(Arc::clone(&seen).keeps_asking(address, target.clone())));
        clients.push(tokio::spawn(seen.keeps_coming(address, target)));
    }
    for _ in 0..2 {
        let before = seen.answered();
        until("load", async || (seen.answered() > before + 100).then_some(())).await;
        child.signal("TERM").await;
        assert_eq!(child.ended().await, Some(0), "{}", child.said());
        child = Child::activate(&text, passed(&listener)).await;
    }
    let before = seen.answered();
    until("load", async || (seen.answered() > before + 100).then_some(())).await;
    seen.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("every request was answered");
    }
    let page = Client::new(child.admin).get("/metrics").await;
    let metrics = crate::support::Metrics::parse(page.text());
    let day = [("label", "heavy"), ("window", "day")];
    let spent = metrics.sum("weir_budget_limit", &day) - metrics.sum("weir_budget_remaining", &day);
    assert_eq!(spent, sandbox.counters().total);
    assert!(spent >= 12, "each process asked anew: {spent}");
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
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
