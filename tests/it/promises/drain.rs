//! SIGTERM: every request that was accepted is answered, and the process ends by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir::sandbox::{Options, Plan, Sandbox};

use crate::support::gateway::{serve_sandbox, users};
use crate::support::raw::Raw;
use crate::support::upstream::answer;
use crate::support::{Child, Client, Setup, Upstream, until};
use weir::clock::Clock;

async fn sandbox() -> (Sandbox, std::net::SocketAddr) {
    let account = Options { plan: Plan::Business, ..Options::default() };
    let sandbox = Sandbox::new(account, Clock::system());
    let address = serve_sandbox(&sandbox).await;
    (sandbox, address)
}

fn config(at: std::net::SocketAddr) -> String {
    let account = Options { plan: Plan::Business, ..Options::default() };
    Setup { account, ..Setup::default() }.config(at)
}

/// Asks until it is told that the connection ends: a client that heeds this loses nothing.
async fn polls(server: std::net::SocketAddr, target: String, answered: Arc<AtomicU64>) {
    let mut raw = Raw::connect(server).await;
    loop {
        raw.get(&target).await;
        let (head, _) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        answered.fetch_add(1, Ordering::Relaxed);
        if head.to_ascii_lowercase().contains("connection: close") {
            return;
        }
        // Idle between two requests: closed in this moment, the next one would be lost.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_request_is_answered() {
    let (sandbox, at) = sandbox().await;
    sandbox.set_latency(Duration::from_millis(50));
    let mut child = Child::serve(&config(at)).await;
    let big = sandbox.biggest_session_id();
    let answered = Arc::new(AtomicU64::new(0));
    // Half of them are hits, half are fetched anew all the time.
    let clients: Vec<_> = (0..16)
        .map(|index| {
            let target = match index % 2 {
                0 => users(&big, ""),
                _ => format!("/videosdk/sessions/{big}/livestream"),
            };
            tokio::spawn(polls(child.public, target, Arc::clone(&answered)))
        })
        .collect();
    until("load", async || (answered.load(Ordering::Relaxed) > 200).then_some(())).await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0), "{}", child.said());
    for client in clients {
        client.await.expect("every request was answered");
    }
    let said = child.said();
    assert!(said.contains("stopped") && !said.contains("cut off"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_upstream_or_for_a_token_is_answered() {
    let (sandbox, at) = sandbox().await;
    sandbox.set_latency(Duration::from_millis(800));
    let mut child = Child::serve(&config(at)).await;
    let big = sandbox.biggest_session_id();
    // More than a second's worth: the last twenty are in the queue when the signal comes.
    let mut waiting = Vec::new();
    for page_size in 1..=60 {
        let mut raw = Raw::connect(child.public).await;
        raw.get(&users(&big, &format!("?page_size={page_size}"))).await;
        waiting.push(raw);
    }
    let admin = Client::new(child.admin);
    until("all wait", async || {
        let metrics = admin.get("/metrics").await;
        let metrics = crate::support::Metrics::parse(metrics.text());
        (metrics.sum("weir_in_flight", &[]) == 60
            && metrics.sum("weir_limit_queue", &[("label", "heavy")]) > 0)
            .then_some(())
    })
    .await;
    child.signal("TERM").await;
    until("readiness turns", async || {
        let answer = admin.try_request(http::Method::GET, "/readyz", "").await;
        answer.map_or(true, |answer| answer.status == 503).then_some(())
    })
    .await;
    for mut raw in waiting {
        let (head, body) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str::<serde_json::Value>(&body).expect("a whole answer");
    }
    assert_eq!(child.ended().await, Some(0));
    assert!(tokio::net::TcpStream::connect(child.public).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_by_its_deadline() {
    let (sandbox, at) = sandbox().await;
    sandbox.set_latency(Duration::from_secs(60));
    let setup = Setup { server: "drain_timeout = \"300ms\"".into(), ..Setup::default() };
    let mut child = Child::serve(&setup.config(at)).await;
    let mut raw = Raw::connect(child.public).await;
    raw.get(&users(&sandbox.biggest_session_id(), "")).await;
    until("it is asked", async || (sandbox.counters().total == 1).then_some(())).await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(1), "somebody was not answered");
    let said = child.said();
    let line = said.lines().find(|line| line.contains("cut off")).expect("it says so");
    // Who, and what for; nothing of what the client wrote.
    for expected in ["client anonymous", "endpoint list-session-users", "peer 127.0.0.1:", "age 0."]
    {
        assert!(line.contains(expected), "{expected}: {line}");
    }
    assert!(!line.contains("/videosdk"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_sixteen_are_named() {
    let (sandbox, at) = sandbox().await;
    sandbox.set_latency(Duration::from_secs(60));
    let server = "min_drain = \"0s\"\ndrain_timeout = \"300ms\"";
    let mut child = Child::serve(&config(at).replace("min_drain = \"0s\"", server)).await;
    let mut waiting = Vec::new();
    for page_size in 1..=20 {
        let mut raw = Raw::connect(child.public).await;
        raw.get(&users(&sandbox.biggest_session_id(), &format!("?page_size={page_size}"))).await;
        waiting.push(raw);
    }
    let admin = Client::new(child.admin);
    until("all wait", async || {
        let metrics = admin.get("/metrics").await;
        let metrics = crate::support::Metrics::parse(metrics.text());
        (metrics.sum("weir_in_flight", &[]) == 20).then_some(())
    })
    .await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(1));
    let said = child.said();
    let line = said.lines().find(|line| line.contains("cut off")).expect("it says so");
    assert_eq!(line.matches("client anonymous").count(), 16, "{line}");
    assert!(line.contains("\"more\":4") && line.contains("\"connections\":20"), "{line}");
}

/// Half an answer is worse than none to whoever does not look: the log says whose it was.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_off_within_an_answer_is_named_too() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/whole" => answer(200, "", "whole"),
        _ => "HTTP/1.1 200 X\r\ncontent-length: 9000000\r\n\r\nthe beginning".to_owned(),
    })
    .await;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nmin_drain = \"0s\"\ndrain_timeout = \"300ms\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
         [upstreams.u]\nbase_url = \"http://{}\"\nauth = {{ kind = \"none\" }}\n\
         [[upstreams.u.endpoints]]\nid = \"everything\"\npath = \"/{{*rest}}\"\n",
        upstream.address
    );
    let mut child = Child::serve(&text).await;
    assert_eq!(Client::new(child.public).get("/whole").await.text(), "whole");
    let mut stream = tokio::net::TcpStream::connect(child.public).await.unwrap();
    stream.write_all(b"GET /secret-path?q=1 HTTP/1.1\r\nhost: weir\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"the beginning") {
        assert!(stream.read_buf(&mut said).await.unwrap() > 0);
    }
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(1));
    let said = child.said();
    let line = said.lines().find(|line| line.contains("cut off")).expect("it says so");
    let expected = format!(
        "[client anonymous endpoint everything peer {} age 0.",
        stream.local_addr().unwrap()
    );
    assert!(line.contains(&expected) && line.contains("\"more\":0"), "{line}");
    assert_eq!(line.matches("client ").count(), 1, "{line}");
    assert!(!line.contains("secret"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn until_everybody_has_heard_new_connections_are_served() {
    let (sandbox, at) = sandbox().await;
    let setup = Setup { server: String::new(), ..Setup::default() };
    let text = setup.config(at).replace("min_drain = \"0s\"", "min_drain = \"1s\"");
    let mut child = Child::serve(&text).await;
    let target = users(&sandbox.biggest_session_id(), "");
    assert_eq!(Client::new(child.public).get(&target).await.status, 200);
    let began = Clock::system().now();
    child.signal("TERM").await;
    let admin = Client::new(child.admin);
    until("readiness turns", async || (admin.get("/readyz").await.status == 503).then_some(()))
        .await;
    // Not ready, and still there.
    let mut served = 0;
    while let Ok(stream) = tokio::net::TcpStream::connect(child.public).await {
        drop(stream);
        let client = Client::new(child.public);
        match client.try_request(http::Method::GET, &target, "").await {
            Ok(answer) => {
                assert_eq!((answer.status, answer.header("connection")), (200, "close"));
                served += 1;
            }
            // Between its connecting and the listener's end.
            Err(_) => break,
        }
    }
    let lasted = Clock::system().now() - began;
    assert!(served >= 3, "{served}");
    assert!(lasted >= Duration::from_millis(900), "{lasted:?}");
    assert_eq!(child.ended().await, Some(0));
}
