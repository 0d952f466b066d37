use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;
use crate::layers::testing::{Rig, answer, code, field, send, text};
use crate::request::Record;

/// An upstream on a port of its own that answers with the head it was sent.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                let mut seen = format!("{} {}\n", request.method(), request.uri());
                for (name, value) in request.headers() {
                    seen = format!("{seen}{name}: {}\n", value.to_str().unwrap());
                }
                let fields = [
                    ("connection", "x-hop"),
                    ("x-hop", "1"),
                    ("keep-alive", "timeout=5"),
                    ("proxy-connection", "x"),
                    ("x-own", "2"),
                ];
                Ok::<_, Infallible>(answer(200, &fields, seen))
            });
            let io = TokioIo::new(socket);
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(async move {
                drop(server.serve_connection(io, service).await);
            });
        }
    });
    base
}

fn request(rig: &Rig, base: &str, record: &Arc<Record>) -> SignedRequest {
    let http = Request::get(format!("{base}/v2/things/a?x=%2F")).header("via", "1.0 before");
    let http = http.body(Full::new(Bytes::new())).unwrap();
    SignedRequest {
        route: Arc::clone(&rig.route),
        http,
        manner: crate::upstream::Manner::default(),
        departure: None,
        record: Arc::clone(record),
    }
}

#[tokio::test]
async fn the_request_goes_out_signed_by_us_and_the_answer_comes_in_end_to_end() {
    let (rig, base, record) = (Rig::new(), echo().await, Arc::<Record>::default());
    let before = rig.clock.now();
    let dispatch = Dispatch::new(rig.clock.clone(), HeaderValue::from_static("1.1 weir"));
    let answer: Response<Body> = send(&dispatch, request(&rig, &base, &record)).await.unwrap();
    let SentAt(sent_at) = *answer.extensions().get().unwrap();
    assert!(sent_at >= before && sent_at <= rig.clock.now());
    assert!(record.upstream().is_some());
    assert_eq!(field(&answer, "x-own"), "2");
    for hop_by_hop in ["connection", "x-hop", "keep-alive", "proxy-connection"] {
        assert!(!answer.headers().contains_key(hop_by_hop), "{hop_by_hop}");
    }
    let seen = text(answer).await;
    let agent = concat!("user-agent: weir/", env!("CARGO_PKG_VERSION"));
    for line in ["GET /v2/things/a?x=%2F", "via: 1.0 before", "via: 1.1 weir", agent] {
        assert!(seen.lines().any(|seen| seen == line), "{line} is not in {seen}");
    }
    let series =
        "weir_upstream_requests_total{upstream=\"zoom\",endpoint=\"things\",status=\"200\"}";
    assert_eq!(rig.counted(series), 1);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_counted_by_what_went_wrong() {
    let (rig, record) = (Rig::new(), Arc::<Record>::default());
    // Bound and let go: nobody listens there.
    let base = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let outcome = send(
        &Dispatch::new(rig.clock.clone(), HeaderValue::from_static("1.1 weir")),
        request(&rig, &base, &record),
    )
    .await;
    assert_eq!(code(&outcome), "upstream-failed");
    let series =
        "weir_upstream_requests_total{upstream=\"zoom\",endpoint=\"things\",status=\"connect\"}";
    assert_eq!(rig.counted(series), 1);
    assert!(record.upstream().is_some());
}
