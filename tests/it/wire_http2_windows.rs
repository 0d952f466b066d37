//! Clients over HTTP/2 that do not open their windows for answers which are over for us.

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::time::MissedTickBehavior;
use weir::clock::Clock;

use crate::support::gateway::Running;
use crate::support::raw::Raw;
use crate::support::upstream::answer;
use crate::support::{PATIENCE, Upstream, until};
use crate::wire::before;
use crate::wire_http2::{Asking, ask, connect, cut, get, headers_frame};

/// What is kept of an answer may be kept for 1.1 s, and a quarter longer.
const HASTY: &str = r#"
limits = { stall_timeout = "300ms", least_rate = "100KiB" }
"#;
const ALLOWED: Duration = Duration::from_millis(1100);

/// `/7` is answered with 7 bytes.
async fn sized() -> Upstream {
    Upstream::start(|request| {
        answer(200, "", &"x".repeat(request.target[1..].parse().unwrap_or_default()))
    })
    .await
}

async fn open(gateway: &Running) -> u64 {
    gateway.metrics().await.sum("weir_connections", &[])
}

async fn ask_many(asking: &Asking, target: &str, times: usize) -> Vec<RecvStream> {
    let mut bodies = Vec::new();
    for _ in 0..times {
        bodies.push(ask(asking, get(target, &[])).await.unwrap().into_body());
    }
    bodies
}

/// Goes on asking, and getting answers, until the connection is cut off.
async fn is_cut_off(gateway: &Running, asking: &Asking) {
    let clock = Clock::system();
    let began = clock.now();
    until("it is cut off", async || {
        match ask(asking, get("/0", &[])).await {
            Ok(told) => assert_eq!(told.status(), 200),
            Err(_) => return Some(()),
        }
        None
    })
    .await;
    assert!(clock.now() - began > ALLOWED / 2, "it had time");
    until("it is counted, and gone", async || {
        (cut(gateway, "stalled").await == 1 && open(gateway).await == 0).then_some(())
    })
    .await;
}

/// Goes on asking for longer than anything may be kept, and getting answers.
async fn is_not_cut_off(gateway: &Running, asking: &Asking) {
    let clock = Clock::system();
    let began = clock.now();
    while clock.now() - began < ALLOWED * 2 {
        assert_eq!(ask(asking, get("/0", &[])).await.unwrap().status(), 200);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(cut(gateway, "stalled").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_over_and_not_taken_end_the_connection_whatever_else_it_asks() {
    let upstream = sized().await;
    for (window, target, times) in [(1, "/9", 100), (1, "/9", 1), (1, "/4000", 100)] {
        let gateway = before(&upstream, HASTY).await;
        let asking = connect(&gateway, window).await;
        let _kept = ask_many(&asking, target, times).await;
        is_cut_off(&gateway, &asking).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_may_the_connections_own_window_stay_shut() {
    let upstream = sized().await;
    let gateway = before(&upstream, HASTY).await;
    let asking = connect(&gateway, 1 << 20).await;
    // The window of a connection is 65,535 bytes: of the last answer a part goes.
    let _kept = ask_many(&asking, "/10000", 7).await;
    is_cut_off(&gateway, &asking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_half_a_request_is_no_exception() {
    let upstream = sized().await;
    let gateway = before(&upstream, HASTY).await;
    let asking = connect(&gateway, 1).await;
    let mut ready = asking.clone().ready().await.unwrap();
    let request = Request::post("http://a/9").body(()).unwrap();
    let (told, mut sent) = ready.send_request(request, false).unwrap();
    sent.send_data(Bytes::from_static(b"x"), false).unwrap();
    let told = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    assert_eq!(told.status(), 408);
    is_cut_off(&gateway, &asking).await;
}

/// Reads to the end, so many bytes every so often.
async fn reads(mut body: RecvStream, every: Duration) -> Result<usize, h2::Error> {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut read = 0;
    while let Some(piece) = body.data().await {
        ticks.tick().await;
        let piece = piece?.len();
        read += piece;
        body.flow_control().release_capacity(piece)?;
    }
    Ok(read)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_opens_byte_by_byte_is_shut() {
    let upstream = sized().await;
    let gateway = before(&upstream, HASTY).await;
    let asking = connect(&gateway, 1).await;
    let kept = ask_many(&asking, "/4000", 1).await.pop().unwrap();
    let reading = tokio::spawn(reads(kept, Duration::from_millis(5)));
    is_cut_off(&gateway, &asking).await;
    assert!(reading.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_reads_to_the_end() {
    let upstream = sized().await;
    let gateway = before(&upstream, HASTY).await;
    let asking = connect(&gateway, 16 * 1024).await;
    // Answers that have been taken are not held against anybody, however they were written.
    for size in [1, 100, 255, 256, 1023, 1024, 16_383, 16_384, 16_385, 40_000] {
        let body = ask_many(&asking, &format!("/{size}"), 1).await.pop().unwrap();
        assert_eq!(reads(body, Duration::from_millis(1)).await.unwrap(), size);
    }
    // A piece each tick, for longer than anything may be kept.
    let large = ask_many(&asking, "/250000", 1).await.pop().unwrap();
    let reading = tokio::spawn(reads(large, Duration::from_millis(40)));
    is_not_cut_off(&gateway, &asking).await;
    assert_eq!(reading.await.unwrap().unwrap(), 250_000);
    is_not_cut_off(&gateway, &asking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_or_takes_what_it_left_goes_on() {
    let upstream = sized().await;
    let gateway = before(&upstream, HASTY).await;
    let asking = connect(&gateway, 1).await;
    // Dropped: RST_STREAM.
    drop(ask_many(&asking, "/9", 50).await);
    let late = ask_many(&asking, "/9", 50).await;
    for body in late {
        assert_eq!(reads(body, Duration::from_millis(1)).await.unwrap(), 9);
    }
    is_not_cut_off(&gateway, &asking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_over_is_given_up_alone() {
    let upstream = sized().await;
    for window in [0, 1, 20_000] {
        let gateway = before(&upstream, HASTY).await;
        let asking = connect(&gateway, window).await;
        let mut untaken = ask_many(&asking, "/100000", 3).await;
        is_not_cut_off(&gateway, &asking).await;
        for body in &mut untaken {
            let error = loop {
                match tokio::time::timeout(PATIENCE, body.data()).await.unwrap() {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("{window}: it was whole"),
                }
            };
            assert_eq!(error.reason(), Some(Reason::CANCEL));
        }
    }
}

/// SETTINGS_INITIAL_WINDOW_SIZE is 1.
const NARROW: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x01";
const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_client_that_says_goodbye_stay() {
    let upstream = Upstream::start(|_| answer(200, "", "too much")).await;
    let gateway = before(&upstream, HASTY).await;
    let mut raw = Raw::connect(gateway.gateway.public()).await;
    let asked = (1..100).step_by(2).flat_map(headers_frame).collect::<Vec<_>>();
    raw.write_bytes(&[NARROW, &asked, GOAWAY].concat()).await;
    until("it is cut off", async || (cut(&gateway, "stalled").await == 1).then_some(())).await;
    raw.rest().await;
}
