//! The same over HTTP/2: heads, abuse, and clients that take nothing of what they asked for.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;

use crate::support::gateway::Running;
use crate::support::raw::Raw;
use crate::support::upstream::answer;
use crate::support::{PATIENCE, Upstream, until};
use crate::wire::{IMPATIENT, before, recorder};

pub(crate) type Asking = SendRequest<Bytes>;

pub(crate) async fn connect(gateway: &Running, window: u32) -> Asking {
    let stream = TcpStream::connect(gateway.gateway.public()).await.unwrap();
    let handshake = h2::client::Builder::new().initial_window_size(window).handshake(stream);
    let (asking, connection) = handshake.await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    asking
}

pub(crate) fn get(target: &str, fields: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::get(format!("http://a{target}")).body(()).unwrap();
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

pub(crate) async fn ask(
    asking: &Asking,
    request: Request<()>,
) -> Result<Response<RecvStream>, h2::Error> {
    let mut asking = asking.clone().ready().await?;
    let (told, _) = asking.send_request(request, true)?;
    tokio::time::timeout(PATIENCE, told).await.expect("an answer")
}

pub(crate) async fn cut(gateway: &Running, reason: &str) -> u64 {
    gateway.metrics().await.sum("weir_connections_cut_total", &[("reason", reason)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_contradicts_itself_is_refused() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    let asking = connect(&gateway, 65_535).await;
    for (fields, status) in [
        (&[("host", "a")][..], 200),
        (&[("host", "b")], 400),
        (&[("host", "a"), ("host", "a")], 400),
        (&[("host", "")], 400),
        (&[("x", " y")], 400),
        (&[("content-length", "0"), ("content-length", "0")], 400),
        (&[("via", "2.0 weir")], 508),
        (&[("x", "y"); 101], 431),
        (&[("x", "y"); 100], 200),
    ] {
        let told = ask(&asking, get("/x", fields)).await.unwrap();
        assert_eq!(told.status(), status, "{fields:?}");
    }
    assert_eq!(upstream.received().len(), 2);
    // Nothing that belongs to a connection goes on.
    let request =
        get("/x", &[("te", "trailers"), ("forwarded", "for=b"), ("x-forwarded-for", "b")]);
    assert_eq!(ask(&asking, request).await.unwrap().status(), 200);
    let went = upstream.received().pop().unwrap();
    for name in ["te", "forwarded", "x-forwarded-for", "host2"] {
        assert_eq!(went.header(name), "", "{name}");
    }
}

/// GET / of `a`, without a field, and no compression to know about.
pub(crate) fn headers_frame(stream: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 6, 1, 5];
    frame.extend(stream.to_be_bytes());
    frame.extend(b"\x82\x86\x84\x41\x01a");
    frame
}

fn reset_frame(stream: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 4, 3, 0];
    frame.extend(stream.to_be_bytes());
    frame.extend([0, 0, 0, 8]);
    frame
}

async fn in_flight(gateway: &Running) -> u64 {
    gateway.metrics().await.sum("weir_in_flight", &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_only_to_give_up_is_cut_off_and_costs_the_upstream_little() {
    let upstream = Upstream::late(PATIENCE, |_| answer(200, "", "")).await;
    let gateway = before(&upstream, "").await;
    // At once: most are given up before anybody has looked at them.
    let mut raw = Raw::connect(gateway.gateway.public()).await;
    raw.try_write(PREFACE).await;
    for stream in (1..2000).step_by(2) {
        raw.try_write(&[headers_frame(stream), reset_frame(stream)].concat()).await;
    }
    raw.rest().await;
    // One after the other, each being worked on when it is given up.
    let mut raw = Raw::connect(gateway.gateway.public()).await;
    raw.try_write(PREFACE).await;
    let mut stream = 1;
    for round in 0_u32..5 {
        let streams: Vec<u32> = (stream..).step_by(2).take(50).collect();
        stream += 100;
        raw.try_write(&streams.iter().flat_map(|id| headers_frame(*id)).collect::<Vec<_>>()).await;
        let mut cut_off = false;
        until("they are worked on", async || {
            cut_off = cut(&gateway, "resets").await == 1;
            (cut_off || in_flight(&gateway).await == 50).then_some(())
        })
        .await;
        if cut_off {
            assert!(round >= 2, "100 are free");
            assert!(upstream.received().len() <= 200, "{}", upstream.received().len());
            return;
        }
        raw.try_write(&streams.iter().flat_map(|id| reset_frame(*id)).collect::<Vec<_>>()).await;
        until("they are given up", async || (in_flight(&gateway).await == 0).then_some(())).await;
    }
    panic!("250 requests were given up, and nobody minded");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_seen_enough_of_an_answer_may_say_so_for_ever() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    let asking = connect(&gateway, 65_535).await;
    for _ in 0..500 {
        // Dropped unread: that is a RST_STREAM each.
        assert_eq!(ask(&asking, get("/x", &[])).await.unwrap().status(), 200);
    }
    assert_eq!(cut(&gateway, "resets").await, 0);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_carry_nothing_have_a_bound() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    let ping = &b"\0\0\x08\x06\0\0\0\0\x0012345678"[..];
    let (settings, priority) =
        (&b"\0\0\0\x04\0\0\0\0\0"[..], &b"\0\0\x05\x02\0\0\0\0\x03\0\0\0\x01\x07"[..]);
    for (frame, before) in [(ping, 0), (settings, 1), (priority, 2)] {
        let mut raw = Raw::connect(gateway.gateway.public()).await;
        raw.try_write(PREFACE).await;
        raw.try_write(&frame.repeat(1500)).await;
        until("it is cut off", async || {
            (cut(&gateway, "frames").await == before + 1).then_some(())
        })
        .await;
        raw.rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_nothing_is_reset_and_the_others_go_on() {
    let upstream = Upstream::start(|request| {
        answer(200, "", &"x".repeat(if request.target == "/big" { 4 << 20 } else { 0 }))
    })
    .await;
    let gateway = before(&upstream, IMPATIENT).await;
    let asking = connect(&gateway, 0).await;
    let mut big = ask(&asking, get("/big", &[])).await.unwrap().into_body();
    while let Ok(told) = ask(&asking, get("/small", &[])).await {
        assert_eq!(told.status(), 200, "the connection goes on");
        if big.flow_control().available_capacity() > 0 {
            break;
        }
        let ended = tokio::time::timeout(std::time::Duration::from_millis(20), big.data()).await;
        match ended {
            Err(_elapsed) => {}
            Ok(Some(Err(error))) => {
                assert_eq!(error.reason(), Some(Reason::CANCEL));
                return;
            }
            Ok(other) => panic!("{other:?}"),
        }
    }
    panic!("the connection ended, not the stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_told_so() {
    let upstream = recorder().await;
    let gateway = before(&upstream, IMPATIENT).await;
    let asking = connect(&gateway, 65_535).await;
    let request = Request::post("http://a/x").body(()).unwrap();
    let mut ready = asking.clone().ready().await.unwrap();
    let (told, mut body) = ready.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"x"), false).unwrap();
    let told = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    assert_eq!(told.status(), 408);
    assert_eq!(upstream.received().len(), 0);
    let trailers = HeaderMap::new();
    drop(body.send_trailers(trailers));
    assert_eq!(ask(&asking, get("/x", &[])).await.unwrap().status(), 200);
}
