//! Faults, over real HTTP/1.1 where it matters.

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::json;

use super::*;
use crate::http::Body;

#[tokio::test(start_paused = true)]
async fn a_status_fault_costs_a_token_and_does_nothing_else() {
    let sandbox = sandbox();
    let id = sandbox.session_id(IdKind::Slash);
    let path = format!("/v2/videosdk/sessions/{}/status", twice(&id));
    let order = "/_sandbox/fault?kind=status&status=503&count=1&endpoint=sessionStatus";
    assert_eq!(steer(&sandbox, Method::POST, order).await.0, 200);
    assert_eq!(get(&sandbox, &users_path(&id)).await.status(), 200);
    let failed = send(&sandbox, request(&sandbox, Method::PUT, &path)).await;
    assert_eq!(read(&failed), (503, json!({ "code": 503, "message": "Service Unavailable" })));
    assert_eq!(sandbox.counters().label(Label::Light).unwrap().admitted, 1);
    assert_eq!(get(&sandbox, &users_path(&id)).await.status(), 200);
    assert_eq!(send(&sandbox, request(&sandbox, Method::PUT, &path)).await.status(), 204);
}

#[tokio::test(start_paused = true)]
async fn missing_headers_and_garbage_are_as_ordered() {
    let sandbox = with(Options {
        figures: Some(Figures { heavy: 1, ..Plan::Pro.figures() }),
        ..Options::default()
    });
    let path = users_path(&sandbox.biggest_session_id());
    sandbox.inject(Fault::new(FaultKind::Garbage, 1));
    let garbage = get(&sandbox, &path).await;
    assert_eq!(
        (garbage.status().as_u16(), std::str::from_utf8(garbage.body()).is_err()),
        (200, true)
    );
    sandbox.inject(Fault::new(FaultKind::MissingHeaders, 1));
    let refused = get(&sandbox, &path).await;
    assert_eq!((refused.status().as_u16(), refused.headers().len()), (429, 0));
}

/// One request over a real HTTP/1.1 connection.
async fn over_http1(sandbox: &Sandbox) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let service = TowerToHyperService::new(sandbox.clone());
    tokio::spawn(
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service),
    );
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(client)).await?;
    tokio::spawn(connection);
    let path = users_path(&sandbox.biggest_session_id());
    sender.send_request(request(sandbox, Method::GET, &path)).await
}

#[tokio::test(start_paused = true)]
async fn a_reset_drops_the_connection_without_an_answer() {
    let sandbox = sandbox();
    sandbox.inject(Fault::new(FaultKind::Reset, 1));
    assert!(over_http1(&sandbox).await.unwrap_err().is_incomplete_message());
    assert_eq!(sandbox.counters().with_status(0), 1);
    assert_eq!(over_http1(&sandbox).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_has_a_head_and_half_a_body() {
    let sandbox = sandbox();
    sandbox.inject(Fault::new(FaultKind::Truncate, 1));
    let mut answer = over_http1(&sandbox).await.unwrap();
    let promised: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let mut received = 0;
    let error = loop {
        match answer.body_mut().frame().await {
            Some(Ok(frame)) => received += frame.into_data().unwrap().len(),
            Some(Err(error)) => break error,
            None => panic!("the body ended well"),
        }
    };
    assert!(received > 0 && received < promised, "{received} of {promised}: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_holds_the_request_and_then_drops_it() {
    let sandbox = sandbox();
    sandbox.inject(Fault::new(FaultKind::Timeout, 1));
    let before = sandbox.clock().now();
    let path = users_path(&sandbox.biggest_session_id());
    let held = sandbox.clone().oneshot(request(&sandbox, Method::GET, &path)).await;
    assert_eq!(held.map(|answer: Response<Body>| answer.status()), Err(SandboxError::Reset));
    assert_eq!(sandbox.clock().now() - before, Duration::from_mins(10));
}
