//! A kept connection that the upstream was closing just then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;

use super::{GOOD, gateway};
use crate::support::scripted::{Act, Scripted, say};

/// Answers the first request of each connection, and closes at the second; of the first
/// connection only, if `once`.
async fn closing(once: bool) -> Scripted {
    let first = AtomicBool::new(true);
    Scripted::start(move |_, _| {
        let again = first.swap(false, Ordering::SeqCst) || !once;
        if again { vec![say(GOOD), Act::Next, Act::Close] } else { vec![say(GOOD)] }
    })
    .await
}

#[tokio::test]
async fn a_get_is_asked_again_once_on_a_new_connection_and_a_post_is_not() {
    for (method, again) in [(Method::GET, true), (Method::PUT, true), (Method::POST, false)] {
        let upstream = closing(true).await;
        let running = gateway(upstream.address, "").await;
        assert_eq!(running.get("/passed/1").await.status, 200);
        let answer = running.client().request(method.clone(), "/passed/2", "x").await;
        let asked: Vec<_> = upstream.asked.lock().unwrap().iter().map(|(_, n)| *n).collect();
        if again {
            assert_eq!((answer.status, answer.text()), (200, "good"), "{method}");
            assert_eq!(asked, [0, 0, 1], "{method}: max_retries = 0, and on a new connection");
        } else {
            answer.problem(502, "upstream-failed");
            assert_eq!(asked, [0, 0], "{method}");
        }
    }
}

#[tokio::test]
async fn a_new_connection_that_closes_as_well_is_the_end_of_it() {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let upstream = Scripted::start(move |_, _| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        if n == 0 { vec![say(GOOD), Act::Next, Act::Close] } else { vec![Act::Close] }
    })
    .await;
    let running = gateway(upstream.address, "").await;
    assert_eq!(running.get("/passed/1").await.status, 200);
    running.get("/passed/2").await.problem(502, "upstream-failed");
    assert_eq!(upstream.asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn every_such_attempt_pays() {
    let upstream = closing(true).await;
    let running = gateway(
        upstream.address,
        "[[upstreams.a.endpoints]]\nid = \"paid\"\npath = \"/paid/{n}\"\nlabel = \"l\"\n\
         [upstreams.a.labels.l]\nper_second = 100",
    )
    .await;
    for n in 0..2 {
        assert_eq!(running.get(&format!("/paid/{n}")).await.status, 200);
    }
    let spent = running.metrics().await.sum("weir_limit_spent_total", &[("label", "l")]);
    assert_eq!((spent, upstream.asked.lock().unwrap().len()), (3, 3));
}

#[tokio::test]
async fn the_second_attempt_is_on_a_new_connection_however_many_are_kept() {
    let upstream = Scripted::start(|_, _| {
        // So slowly that several are asked at a time.
        let slowly = Act::Drip(GOOD.into(), std::time::Duration::from_millis(2));
        vec![slowly, Act::Next, Act::Close]
    })
    .await;
    let running = gateway(upstream.address, "").await;
    let asks = (0..4).map(|n| {
        let client = running.client();
        async move { client.get(&format!("/passed/{n}")).await.status }
    });
    assert_eq!(crate::support::join_all(asks.collect::<Vec<_>>()).await, [200; 4]);
    assert_eq!(running.get("/passed/5").await.text(), "good");
    let asked: Vec<_> = upstream.asked.lock().unwrap().iter().map(|(_, n)| *n).collect();
    assert_eq!((asked.len(), asked.last()), (6, Some(&4)), "{asked:?}");
}

#[tokio::test]
async fn what_comes_late_after_an_answer_does_not_harm_the_next() {
    for late in ["late", "\r\n", "\n", "0\r\n\r\n"] {
        for (method, status) in [(Method::GET, 200), (Method::POST, 502)] {
            let late = format!("{late}{GOOD}");
            let upstream = Scripted::start(move |_, connection| match connection {
                0 => vec![say(GOOD), Act::Next, say(&late), Act::Hang],
                _ => vec![say(GOOD)],
            })
            .await;
            let running = gateway(upstream.address, "").await;
            assert_eq!(running.get("/passed/1").await.status, 200);
            let answer = running.client().request(method.clone(), "/passed/2", "x").await;
            assert_eq!(answer.status, status, "{method}");
        }
    }
}

#[tokio::test]
async fn what_comes_while_nothing_is_asked_closes_the_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = gateway(listener.local_addr().unwrap(), "").await;
    let client = running.client();
    let asking = tokio::spawn(async move { client.get("/passed/1").await.status });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(GOOD.as_bytes()).await.unwrap();
    assert_eq!(asking.await.unwrap(), 200);
    stream.write_all(GOOD.as_bytes()).await.unwrap();
    let closed = tokio::time::timeout(std::time::Duration::from_secs(10), stream.read_u8()).await;
    assert!(closed.unwrap().is_err(), "closed, and nothing more was asked");
}
