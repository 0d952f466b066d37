use std::sync::Mutex;

use http_body_util::BodyExt as _;
use prometheus_client::metrics::gauge::Gauge;
use tower::ServiceExt as _;

use super::*;

struct Admin {
    service: AdminService,
    drain: Drain,
    token: Arc<Mutex<Option<Fingerprint>>>,
}

fn admin() -> Admin {
    let metrics = Arc::new(Metrics::new());
    let entries: Gauge = metrics.cache_entries.clone();
    let drain = Drain::new();
    let token = Arc::new(Mutex::new(None));
    let desk = Desk {
        status: Arc::new(|| json!({ "config": "abc" })),
        refresh: Arc::new(move || {
            entries.set(7);
        }),
        reopen: Arc::new(|upstream, label| match (upstream, label) {
            (None, None) => 4,
            (Some("zoom"), Some("heavy")) => 1,
            _ => 0,
        }),
        purge: Arc::new(|order| match &order.of {
            Of::Tag { tag, .. } if tag == "none" => Err(Refusal::Unknown("no tag".to_owned())),
            of => Ok(json!({ "purged": of.as_str(), "mode": order.mode.as_str() })),
        }),
        lock: Arc::new({
            let token: Arc<Mutex<Option<Fingerprint>>> = Arc::clone(&token);
            move || {
                let token = *token.lock().unwrap();
                token.map_or_else(|| Access::Local(vec!["ours".to_owned()]), Access::Token)
            }
        }),
    };
    Admin { service: AdminService::new(metrics, desk, drain.clone()), drain, token }
}

impl Admin {
    async fn ask(&self, method: &str, path: &str) -> (http::response::Parts, String) {
        self.ask_with(method, path, "").await
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
    ) -> (http::response::Parts, String) {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:9090");
        let mut request = request.body(()).unwrap();
        if !authorization.is_empty() {
            request.headers_mut().insert(AUTHORIZATION, authorization.parse().unwrap());
        }
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

#[tokio::test]
async fn what_is_purged_is_told_and_what_makes_no_sense_is_a_problem() {
    let admin = admin();
    for (method, path, status, told) in [
        ("POST", "/purge?all=true&mode=soft", 200, r#"{"mode":"soft","purged":"all"}"#),
        ("POST", "/purge?tag=none", 404, "no tag"),
        ("POST", "/purge", 400, "POST /purge?url="),
        ("POST", "/purge?tag=a&mode=x", 400, "mode is soft or hard."),
        ("GET", "/purge?all=true", 405, "POST"),
        ("DELETE", "/purge?all=true", 405, "POST"),
    ] {
        let (parts, text) = admin.ask(method, path).await;
        assert_eq!(parts.status, status, "{method} {path}: {text}");
        assert!(text.contains(told), "{method} {path}: {text}");
        let kind = if status == 200 { "application/json" } else { "application/problem+json" };
        assert_eq!(parts.headers[CONTENT_TYPE], kind);
    }
}

#[tokio::test]
async fn whoever_wants_to_change_something_shows_the_token_there_is_now() {
    let admin = admin();
    let actions = ["/purge?all=true", "/reopen"];
    for action in actions {
        assert_eq!(admin.ask("POST", action).await.0.status, 200);
    }
    *admin.token.lock().unwrap() = Some(Fingerprint::of(b"let-me-in"));
    for (authorization, status) in [
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer let-me-out", 401),
        ("Basic let-me-in", 401),
        ("let-me-in", 401),
        ("Bearer let-me-in", 200),
        ("bearer  let-me-in", 200),
    ] {
        for action in actions {
            let (parts, text) = admin.ask_with("POST", action, authorization).await;
            assert_eq!(parts.status, status, "{authorization:?} {action}");
            let challenge = parts.headers.get(WWW_AUTHENTICATE);
            assert_eq!(challenge.is_some(), status == 401);
            assert!(!text.contains("let-me"), "{text}");
        }
    }
    for (method, path, status) in [
        ("GET", "/status", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/purge", 405),
        ("POST", "/metrics", 405),
        ("POST", "/nowhere", 405),
    ] {
        assert_eq!(admin.ask(method, path).await.0.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_web_page_changes_nothing_and_reads_what_everybody_does() {
    let admin = admin();
    let ask = async |method: &str, path: &str, fields: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = admin.service.clone().oneshot(request.body(()).unwrap()).await.unwrap();
        answer.status().as_u16()
    };
    let here = ("host", "localhost:9090");
    let page = ("origin", "https://evil.example");
    let scripted = ("sec-fetch-site", "cross-site");
    for action in ["/purge?all=true", "/reopen"] {
        for (fields, status) in [
            (vec![here], 200),
            (vec![("host", "ours:9090")], 200),
            (vec![here, page], 403),
            (vec![here, scripted], 403),
            (vec![("host", "evil.example:9090")], 403),
        ] {
            assert_eq!(ask("POST", action, &fields).await, status, "{action} {fields:?}");
        }
    }
    // Scrapers and probes call by whatever name leads here.
    for path in ["/metrics", "/readyz", "/status"] {
        assert_eq!(ask("GET", path, &[("host", "weir.monitoring.svc"), page]).await, 200);
    }
    // Whoever shows the token is no page.
    *admin.token.lock().unwrap() = Some(Fingerprint::of(b"let-me-in"));
    let token = ("authorization", "Bearer let-me-in");
    assert_eq!(ask("POST", "/reopen", &[("host", "weir.svc"), token]).await, 200);
    assert_eq!(ask("POST", "/reopen", &[here, page]).await, 401);
}
