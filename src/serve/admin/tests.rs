use http_body_util::BodyExt as _;
use prometheus_client::metrics::gauge::Gauge;
use tower::ServiceExt as _;

use super::*;

struct Admin {
    service: AdminService,
    drain: Drain,
}

fn admin() -> Admin {
    let metrics = Arc::new(Metrics::new());
    let entries: Gauge = metrics.cache_entries.clone();
    let drain = Drain::new();
    let service = AdminService::new(
        metrics,
        Arc::new(|| json!({ "config": "abc" })),
        Arc::new(move || {
            entries.set(7);
        }),
        Arc::new(|upstream, label| match (upstream, label) {
            (None, None) => 4,
            (Some("zoom"), Some("heavy")) => 1,
            _ => 0,
        }),
        drain.clone(),
    );
    Admin { service, drain }
}

impl Admin {
    async fn ask(&self, method: &str, path: &str) -> (http::response::Parts, String) {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let (parts, body) = self.service.clone().oneshot(request).await.unwrap().into_parts();
        let content = body.collect().await.unwrap().to_bytes();
        (parts, String::from_utf8(content.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn metrics_are_refreshed_before_they_are_written() {
    let (parts, text) = admin().ask("GET", "/metrics").await;
    assert_eq!(parts.status, 200);
    assert_eq!(parts.headers[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.contains("weir_cache_entries 7\n"), "{text}");
}

#[tokio::test]
async fn openmetrics_is_served_when_accepted() {
    let request = Request::get("/metrics?x=1")
        .header("accept", "application/openmetrics-text; version=1.0.0")
        .body(())
        .unwrap();
    let response = admin().service.oneshot(request).await.unwrap();
    assert!(
        response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("application/openmetrics")
    );
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(text.ends_with(b"# EOF\n"));
}

#[tokio::test]
async fn readiness_turns_while_draining_and_liveness_does_not() {
    let admin = admin();
    assert_eq!(admin.ask("GET", "/readyz").await.0.status, 200);
    admin.drain.begin();
    let (parts, text) = admin.ask("GET", "/readyz").await;
    assert_eq!((parts.status.as_u16(), text.as_str()), (503, "draining\n"));
    assert_eq!(admin.ask("GET", "/livez").await.0.status, 200);
}

#[tokio::test]
async fn status_is_what_the_gateway_says() {
    let (parts, text) = admin().ask("GET", "/status").await;
    assert_eq!(parts.headers[CONTENT_TYPE], "application/json");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "config": "abc" }));
}

#[tokio::test]
async fn head_has_the_length_and_no_content() {
    let admin = admin();
    for path in ["/livez", "/status", "/nowhere"] {
        let (get, content) = admin.ask("GET", path).await;
        let (head, nothing) = admin.ask("HEAD", path).await;
        assert_eq!(nothing, "");
        assert_eq!(get.status, head.status);
        assert_eq!(get.headers, head.headers);
        assert_eq!(head.headers[CONTENT_LENGTH], content.len().to_string());
    }
}

#[tokio::test]
async fn anything_else_is_a_problem() {
    let admin = admin();
    let (parts, text) = admin.ask("GET", "/metrics/").await;
    assert_eq!(parts.status, 404);
    assert_eq!(parts.headers[CONTENT_TYPE], "application/problem+json");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["status"], 404);

    let (parts, text) = admin.ask("POST", "/metrics").await;
    assert_eq!(parts.status, 405);
    assert_eq!(parts.headers[ALLOW], "GET, HEAD");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["title"], "Method Not Allowed");
}
