//! Bad input gets a 4xx that says what is wrong, and never reaches the upstream.

use http::Method;

use crate::support::gateway::users;
use crate::support::raw::Raw;
use crate::support::{TestGateway, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_parameter_is_named_and_costs_nothing() {
    let gateway = TestGateway::start().await;
    let big = gateway.sandbox.biggest_session_id();
    for (query, parameter) in [
        ("?type=foo", "type"),
        ("?type=LIVE", "type"),
        ("?page_size=0", "page_size"),
        ("?page_size=301", "page_size"),
        ("?page_size=-1", "page_size"),
        ("?page_size=abc", "page_size"),
        ("?page_size=1.5", "page_size"),
        ("?page_size=99999999999999999999", "page_size"),
        ("?page_size=30&page_size=30", "page_size"),
        ("?type=live&type=past", "type"),
        ("?type=live&t%79pe=live", "type"),
    ] {
        let problem = gateway.get(&users(&big, query)).await.problem(400, "bad-parameter");
        assert_eq!(problem["parameter"], parameter, "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(parameter), "{query} {problem}");
    }
    let token = "x".repeat(2_000);
    let long = gateway.get(&users(&big, &format!("?next_page_token={token}"))).await;
    let problem = long.problem(400, "bad-parameter");
    assert_eq!(problem["parameter"], "next_page_token");
    assert!(!problem.to_string().contains(&token));
    let required = gateway.get("/videosdk/sessions?from=2025-10-01").await;
    assert_eq!(required.problem(400, "bad-parameter")["parameter"], "to");

    assert_eq!(gateway.asked(), 0);
    assert_eq!(gateway.left_today().await, 30_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_table_is_not_asked() {
    let gateway = TestGateway::start().await;
    let big = gateway.sandbox.biggest_session_id();
    for path in [
        "/",
        "/v2",
        "/v2/users/me",
        "/videosdk",
        "/videosdk/sessions/",
        "/_sandbox/counters",
        "/oauth/token",
        "/metrics",
        "/V2/videosdk/sessions",
        "/v2v2/videosdk/sessions",
        &format!("/videosdk/sessions/{big}/users/"),
        &format!("/videosdk/sessions/{big}/userss"),
    ] {
        gateway.get(path).await.problem(404, "unknown-endpoint");
    }
    let wrong = gateway.client().request(Method::POST, &users(&big, ""), "{}").await;
    wrong.problem(405, "method-not-allowed");
    let allow: Vec<_> = wrong.header("allow").split(", ").collect();
    assert!(allow.contains(&"GET") && allow.contains(&"HEAD"), "{allow:?}");
    assert_eq!(gateway.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_a_safe_meaning_is_refused() {
    let gateway = TestGateway::start().await;
    let big = gateway.sandbox.biggest_session_id();
    for path in [
        "/videosdk/../admin".to_owned(),
        "/videosdk/sessions/../sessions/x/users".to_owned(),
        "/videosdk/sessions/./x/users".to_owned(),
        "/videosdk/sessions/%2e%2e/users".to_owned(),
        "/videosdk/sessions/%252e%252e/users".to_owned(),
        "/videosdk/sessions/%2E%2E%2Fusers/users".to_owned(),
        "/videosdk/sessions/a%zz/users".to_owned(),
        "/videosdk/sessions/a%2/users".to_owned(),
        format!("/videosdk/sessions/{}/users", "a".repeat(9_000)),
        format!("/videosdk/sessions/{big}%ff/users"),
    ] {
        let mut raw = Raw::connect(gateway.gateway.public()).await;
        raw.get(&path).await;
        let (head, body) = raw.answer().await;
        assert_eq!(gateway.asked(), 0, "{path}: {:?}", gateway.sandbox.requests());
        assert!(head.starts_with("HTTP/1.1 4"), "{path}: {head}");
        assert!(head.contains("application/problem+json"), "{path}: {head}");
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{path}: {body}");
    }
    assert_eq!(gateway.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_answered_or_closed_and_nothing_else() {
    let gateway = TestGateway::start().await;
    for text in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        "GET * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n",
    ] {
        let mut raw = Raw::connect(gateway.gateway.public()).await;
        raw.write(text).await;
        raw.write("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let said = raw.rest().await;
        let told = ["HTTP/1.1 4", "HTTP/1.1 204 ", "HTTP/1.1 505 "];
        assert!(told.iter().any(|line| said.starts_with(line)), "{text:?}: {said}");
    }
    assert_eq!(gateway.asked(), 0);
    until("nobody is left", async || {
        let metrics = gateway.metrics().await;
        (metrics.sum("weir_in_flight", &[]) == 0).then_some(())
    })
    .await;
}
