//! What is seen from outside, and that it is right.

use http::Method;
use std::time::Duration;

use crate::support::gateway::users;
use crate::support::{Client, TestGateway, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_counters_are_right_after_a_known_sequence() {
    let gateway = TestGateway::start().await;
    let big = gateway.sandbox.biggest_session_id();
    let target = users(&big, "");
    let broken = http::StatusCode::INTERNAL_SERVER_ERROR;
    gateway.get(&target).await; // miss
    gateway.get(&target).await; // hit
    gateway.get(&target).await; // hit
    gateway.get(&users(&big, "?type=foo")).await; // 400
    gateway.get("/nowhere").await; // 404
    gateway.get(&users("AAAAAAAAAAAAAAAAAAAAAA==", "")).await; // 404 of the account
    gateway.get(&format!("/videosdk/sessions/{big}")).await; // bypass
    gateway.client().request(Method::POST, &target, "").await; // 405
    gateway.sandbox.inject(weir::sandbox::Fault::new(weir::sandbox::FaultKind::Status(broken), 1));
    gateway.get(&users(&big, "?page_size=1")).await; // 500 of the account
    gateway.clock.advance(Duration::from_secs(20));
    gateway.get(&target).await; // stale, and a refresh
    until("the refresh is counted", async || (gateway.asked() == 5).then_some(())).await;

    let metrics = until("the refresh has landed", async || {
        let metrics = gateway.metrics().await;
        let answered = [("status", "200"), ("endpoint", "list-session-users")];
        (metrics.sum("weir_upstream_requests_total", &answered) == 2).then_some(metrics)
    })
    .await;
    let listing = ("endpoint", "list-session-users");
    let requests = |status| metrics.sum("weir_requests_total", &[listing, ("status", status)]);
    assert_eq!(["200", "400", "404", "500"].map(requests), [4, 1, 1, 1]);
    let unrouted =
        |status| metrics.sum("weir_requests_total", &[("endpoint", "none"), ("status", status)]);
    assert_eq!(["404", "405"].map(unrouted), [1, 1]);
    assert_eq!(metrics.sum("weir_requests_total", &[("endpoint", "get-session")]), 1);
    assert_eq!(metrics.sum("weir_requests_total", &[]), 10);
    assert_eq!(metrics.sum("weir_requests_total", &[("client", "anonymous")]), 10);

    let cache = |result| metrics.sum("weir_cache_requests_total", &[listing, ("result", result)]);
    let results = ["hit", "stale", "miss", "collapsed", "bypass", "revalidated"];
    assert_eq!(results.map(cache), [2, 1, 3, 0, 0, 0]);
    let bypassed = [("endpoint", "get-session"), ("result", "bypass")];
    assert_eq!(metrics.sum("weir_cache_requests_total", &bypassed), 1);

    let upstream = |status| metrics.sum("weir_upstream_requests_total", &[("status", status)]);
    assert_eq!(["200", "404", "500"].map(upstream), [3, 1, 1]);
    assert_eq!(metrics.sum("weir_upstream_requests_total", &[("upstream", "zoom")]), 5);
    assert_eq!(metrics.sum("weir_upstream_duration_seconds_count", &[]), 5);
    assert_eq!(metrics.sum("weir_request_duration_seconds_count", &[]), 10);

    let heavy = [("upstream", "zoom"), ("label", "heavy")];
    assert_eq!(metrics.sum("weir_limit_spent_total", &heavy), 5);
    assert_eq!(metrics.sum("weir_limit_spent_total", &[]), 5);
    assert_eq!(metrics.sum("weir_limit_saved_total", &heavy), 3);
    assert_eq!(metrics.sum("weir_limit_wait_seconds_count", &heavy), 5);
    assert_eq!(metrics.sum("weir_limit_refused_total", &[]), 0);
    let budget = |name, window| metrics.sum(name, &[("label", "heavy"), ("window", window)]);
    assert_eq!(budget("weir_budget_limit", "second"), 10);
    assert_eq!(budget("weir_budget_limit", "day"), 30_000);
    assert_eq!(budget("weir_budget_remaining", "day"), 30_000 - 5);
    // The users of one session, and that there is no other.
    assert_eq!(metrics.sum("weir_cache_entries", &[]), 2);
    let bytes = metrics.sum("weir_cache_bytes", &[]);
    assert!((1_000..100_000).contains(&bytes), "{bytes}");
    assert_eq!(metrics.sum("weir_in_flight", &[]), 0);
    assert_eq!(metrics.sum("weir_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1);
    assert!(metrics.has("process_start_time_seconds") && metrics.has("process_open_fds"));

    assert_one_line_a_request(&gateway, &big).await;
}

/// For the sequence above.
async fn assert_one_line_a_request(gateway: &TestGateway, session: &str) {
    let log = until("ten lines", async || {
        let log = gateway.log();
        (log.lines().count() >= 10).then_some(log)
    })
    .await;
    assert_eq!(log.lines().count(), 10, "{log}");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = &lines[0];
    assert_eq!(first["url.template"], "/videosdk/sessions/{sessionId}/users");
    assert_eq!((&first["cache"], &first["label"]), (&"miss".into(), &"heavy".into()));
    assert!(first["wait_ms"].is_number() && first["upstream_ms"].is_number(), "{first}");
    assert!(lines[1]["upstream_ms"].is_null(), "{}", lines[1]);
    assert!(!log.contains(session), "ids stay out of the log: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_tells_budgets_cache_and_configuration() {
    let gateway = TestGateway::start().await;
    gateway.get(&users(&gateway.sandbox.biggest_session_id(), "")).await;
    let page = gateway.admin("/status").await;
    assert_eq!((page.status, page.header("content-type")), (200, "application/json"));
    let status = page.json();
    assert_eq!(status["config_digest"].as_str().unwrap().len(), 64);
    assert_eq!(status["cache"]["entries"], 1);
    assert_eq!(status["cache"]["max_bytes"], 256 * 1024 * 1024);
    assert_eq!(status["clients"][0]["name"], "anonymous");
    let zoom = &status["upstreams"][0];
    assert_eq!(zoom["name"], "zoom");
    let labels = zoom["labels"].as_array().unwrap();
    let heavy = labels.iter().find(|label| label["name"] == "heavy").unwrap();
    assert_eq!(heavy["windows"][0]["limit"], 10);
    assert_eq!(heavy["pool"]["name"], "daily");
    assert_eq!(
        (&heavy["pool"]["limit"], &heavy["pool"]["remaining"]),
        (&30_000.into(), &29_999.into())
    );
    // 14:00 UTC.
    let resets = heavy["pool"]["resets_in_seconds"].as_u64().unwrap();
    assert!((35_990..=36_000).contains(&resets), "{resets}");
    // Shared with the other label of the pool.
    let other = labels.iter().find(|label| label["name"] == "resource-intensive").unwrap();
    assert_eq!(other["pool"]["remaining"], 29_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_and_admin_pages_are_not_public() {
    let gateway = TestGateway::start().await;
    for (page, body) in [("/livez", "ok\n"), ("/readyz", "ready\n")] {
        let told = gateway.admin(page).await;
        assert_eq!((told.status, told.text()), (200, body));
    }
    for page in ["/metrics", "/livez", "/readyz", "/status"] {
        gateway.get(page).await.problem(404, "unknown-endpoint");
        let admin = Client::new(gateway.gateway.admin());
        assert_eq!(admin.request(Method::POST, page, "").await.status, 405);
        let head = admin.request(Method::HEAD, page, "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    assert_eq!(gateway.admin(&target).await.status, 404);
    assert_eq!(gateway.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_openmetrics_to_whoever_asks_for_it() {
    let gateway = TestGateway::start().await;
    let plain = gateway.admin("/metrics").await;
    assert!(plain.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(!plain.text().contains("# EOF"));
    let admin = Client::new(gateway.gateway.admin());
    let admin = admin.with("accept", "application/openmetrics-text;version=1.0.0");
    let open = admin.get("/metrics").await;
    assert!(open.header("content-type").starts_with("application/openmetrics-text"));
    assert!(open.text().ends_with("# EOF\n"));
}
