//! What an upstream may do wrong: never an answer taken for whole that is not, nothing of it
//! stored, and the next answer is good again.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::support::gateway::{Running, start};
use crate::support::scripted::{Act, Scripted, say};
use crate::support::{Answer, clock, until};

mod cases;
mod http2;
mod leaks;
mod retried;

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";

/// A gateway whose endpoints below `/kept` are stored for a minute, and the others never.
async fn gateway(upstream: std::net::SocketAddr, keys: &str) -> Running {
    let config = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[cache]
remember_failure = "0s"
[upstreams.a]
base_url = "http://{upstream}"
max_retries = 0
first_byte_timeout = "400ms"
total_timeout = "800ms"
{keys}
[upstreams.a.auth]
kind = "none"
[[upstreams.a.endpoints]]
id = "kept"
path = "/kept/{{*rest}}"
cache = {{ mode = "override", fresh = "1m" }}
[[upstreams.a.endpoints]]
id = "passed"
method = "*"
path = "/passed/{{*rest}}"
"#
    );
    start(&config, clock()).await
}

/// Asserts that this is no answer, or one of weir's own that says so.
fn failed(name: &str, outcome: Result<Answer, Box<dyn std::error::Error + Send + Sync>>) {
    let Ok(answer) = outcome else { return };
    let code = answer.header("weir-error");
    let expected = match answer.status {
        502 => "upstream-failed",
        504 => "upstream-timeout",
        _ => panic!("{name}: passed on as good: {answer:?}"),
    };
    assert_eq!(code, expected, "{name}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_malformed_or_truncated_answer_is_taken_for_whole_or_stored() {
    let cases = Arc::new(cases::all());
    assert!(cases.len() >= 123, "{}", cases.len());
    let script = Arc::clone(&cases);
    let seen = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let upstream = Scripted::start(move |line, _| {
        let target = line.split(' ').nth(1).unwrap().to_owned();
        let case: usize = target.rsplit('/').next().unwrap().parse().unwrap();
        if seen.lock().unwrap().insert(target) {
            return script[case].1.clone();
        }
        // Else the next case might be asked on a kept connection, and then again on a new one.
        vec![say(GOOD), Act::Close]
    })
    .await;
    let running = Arc::new(gateway(upstream.address, "").await);
    let mut asking = tokio::task::JoinSet::new();
    for (number, (name, _)) in cases.iter().enumerate() {
        for kind in ["kept", "passed"] {
            let (running, name) = (Arc::clone(&running), format!("{kind}: {name}"));
            asking.spawn(async move {
                let target = format!("/{kind}/{number}");
                failed(&name, running.client().try_request(Method::GET, &target, "").await);
                let good = running.client().get(&target).await;
                assert_eq!((good.status, good.text()), (200, "good"), "{name}");
                assert!(!good.is_hit(), "{name}: something was stored");
                if kind == "kept" {
                    let again = running.client().get(&target).await;
                    assert!(again.is_hit(), "{name}: {}", again.cache_status());
                }
            });
            if asking.len() >= 16 {
                asking.join_next().await.unwrap().unwrap();
            }
        }
    }
    while let Some(done) = asking.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn an_answer_with_more_behind_it_is_neither_passed_on_nor_stored() {
    let double = format!("{GOOD}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
    let upstream = Scripted::start(move |_, _| vec![say(&double)]).await;
    let running = gateway(upstream.address, "breaker = { failures = 0 }").await;
    for target in ["/passed/1", "/kept/1", "/kept/1", "/passed/2"] {
        running.get(target).await.problem(502, "upstream-failed");
    }
    let connections = upstream.asked.lock().unwrap().iter().map(|(_, n)| *n).max().unwrap();
    assert_eq!(connections, 3, "none of the connections was used again");
}

#[tokio::test]
async fn a_few_interim_answers_a_missing_reason_and_an_old_version_are_fine() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(32);
    for (name, answer) in [
        ("32 interim answers", format!("{early}{GOOD}")),
        ("no reason", "HTTP/1.1 200\r\ncontent-length: 4\r\n\r\ngood".to_owned()),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\ngood".to_owned()),
        ("until it closes", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ngood".to_owned()),
        (
            "trailers",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nx: y\r\n\r\n"
                .to_owned(),
        ),
    ] {
        let upstream = Scripted::start(move |_, _| vec![say(&answer), Act::Close]).await;
        let running = gateway(upstream.address, "").await;
        let answer = running.get("/passed/1").await;
        assert_eq!((answer.status, answer.text()), (200, "good"), "{name}");
        assert!(answer.headers.get("x").is_none(), "{name}");
        let head = running.client().try_request(Method::HEAD, "/passed/1", "").await;
        // The body that it must not have ends the connection, and nothing else.
        assert!(head.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn a_black_hole_is_answered_in_time_and_stale_where_the_rule_allows() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let upstream = Scripted::start(move |line, _| {
        let good =
            line.contains("/stale") && first.swap(false, std::sync::atomic::Ordering::SeqCst);
        if good { vec![say(GOOD)] } else { vec![Act::Hang] }
    })
    .await;
    let running = gateway(
        upstream.address,
        "[[upstreams.a.endpoints]]\nid = \"stale\"\npath = \"/stale\"\n\
         cache = { mode = \"override\", fresh = \"1s\", stale_if_error = \"1h\" }",
    )
    .await;
    let begun = running.clock.now();
    running.get("/passed/1").await.problem(504, "upstream-timeout");
    let took = running.clock.now() - begun;
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Many at once are no reason either to ask for nothing else.
    let asks = (0..20).map(|n| {
        let client = running.client();
        async move { client.get(&format!("/passed/many/{n}")).await }
    });
    for silent in crate::support::join_all(asks.collect::<Vec<_>>()).await {
        silent.problem(504, "upstream-timeout");
    }
    assert_eq!(running.get("/stale").await.text(), "good");
    running.clock.advance(Duration::from_secs(10));
    let stale = running.get("/stale").await;
    assert_eq!((stale.status, stale.text()), (200, "good"));
    assert!(stale.cache_status().contains("upstream-timeout"), "{}", stale.cache_status());
}

/// The gauge of what is being served.
async fn at_rest(running: &Running) {
    until("nothing is under way", async || {
        let metrics = running.metrics().await;
        (metrics.sum("weir_in_flight", &[]) == 0).then_some(())
    })
    .await;
}
