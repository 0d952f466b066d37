//! Operations, credentials, limits and headers.

use serde_json::json;

use super::super::operations::OPERATIONS;
use super::*;

#[tokio::test(start_paused = true)]
async fn every_operation_answers_its_status_and_spends_its_label() {
    let figures =
        Figures { light: 100, medium: 100, heavy: 100, resource_intensive: 100, daily: 1_000 };
    for operation in OPERATIONS {
        let sandbox = with(Options { figures: Some(figures), ..Options::default() });
        let live = sandbox.session_id(IdKind::LeadingSlash);
        let user = sandbox.users(&live).unwrap()[0]["id"].as_str().unwrap().to_owned();
        let path = operation.path.replace("{sessionId}", &twice(&live)).replace("{userId}", &user);
        let path = path.replace(['{', '}'], "");
        let target = format!("/v2{path}?{TODAY}");
        let response = send(&sandbox, request(&sandbox, operation.method.clone(), &target)).await;
        assert_eq!(response.status().as_u16(), operation.success, "{}", operation.id);
        assert_eq!(response.headers()["x-ratelimit-category"], operation.label.as_str());
        assert_eq!(
            response.body().is_empty(),
            matches!(operation.success, 202 | 204),
            "{}",
            operation.id
        );
        assert_eq!(read(&response).1.is_null(), response.body().is_empty());
        let counters = sandbox.counters();
        assert_eq!(counters.label(operation.label).unwrap().admitted, 1);
        assert_eq!(counters.requests_to(operation.id), 1);
        assert_eq!(counters.daily.unwrap().remaining, 1_000 - u32::from(operation.label.daily()));
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_are_where_the_real_api_has_them() {
    let sandbox = sandbox();
    let path = format!("/v2/videosdk/sessions/{}", twice(&sandbox.session_id(IdKind::Slash)));
    assert!(get_json(&sandbox, &path).await.1["passcode"].is_string());
    assert!(get_json(&sandbox, &format!("{path}/livestream")).await.1["stream_key"].is_string());
    let (_, plain) = get_json(&sandbox, &format!("{path}/recordings")).await;
    assert!(plain.get("download_access_token").is_none());
    let (_, token) = get_json(
        &sandbox,
        &format!("{path}/recordings?include_fields=download_access_token&ttl=60"),
    )
    .await;
    assert!(token["download_access_token"].is_string());
    let (_, recordings) = get_json(&sandbox, "/v2/videosdk/recordings?page_size=20").await;
    assert_eq!(
        (recordings["total_records"].as_u64(), recordings["sessions"].as_array().unwrap().len()),
        (Some(45), 20)
    );
}

#[tokio::test(start_paused = true)]
async fn put_status_ends_a_session_once() {
    let sandbox = sandbox();
    let id = sandbox.session_id(IdKind::DoubleSlash);
    let target = format!("/v2/videosdk/sessions/{}/status", twice(&id));
    let put = |body: &'static str| {
        let mut put = request(&sandbox, Method::PUT, &target);
        *put.body_mut() = Full::from(body);
        put
    };
    assert_eq!(send(&sandbox, put(r#"{"action":"end"}"#)).await.status(), 204);
    assert_eq!(send(&sandbox, put(r#"{"action":"end"}"#)).await.status(), 404);
    assert_eq!(get_json(&sandbox, &users_path(&id)).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_request_body_is_bounded() {
    let sandbox = sandbox();
    let mut post = request(&sandbox, Method::POST, "/v2/videosdk/sessions");
    *post.body_mut() = Full::from(vec![b' '; 64 * 1024 + 1]);
    assert_eq!(send(&sandbox, post).await.status(), 413);
    let mut post = request(&sandbox, Method::POST, "/v2/videosdk/sessions");
    *post.body_mut() = Full::from("not json");
    assert_eq!(send(&sandbox, post).await.status(), 400);
    let mut post = request(&sandbox, Method::POST, "/v2/videosdk/sessions");
    *post.body_mut() = Full::from(r#"{"session_name":"mine"}"#);
    assert_eq!(read(&send(&sandbox, post).await).1["session_name"], "mine");
}

#[tokio::test(start_paused = true)]
async fn strangers_get_124_and_spend_nothing() {
    let sandbox = sandbox();
    let path = users_path(&sandbox.biggest_session_id());
    let stranger =
        Request::get(&path).header("authorization", "Bearer nobody").body(Full::default()).unwrap();
    let invalid = json!({ "code": 124, "message": "Invalid access token." });
    assert_eq!(read(&send(&sandbox, stranger).await), (401, invalid));
    let late = request(&sandbox, Method::GET, &path);
    sandbox.advance(Duration::from_hours(1));
    let expired = json!({ "code": 124, "message": "Access token is expired." });
    assert_eq!(read(&send(&sandbox, late).await), (401, expired));
    let heavy = sandbox.counters().label(Label::Heavy).unwrap();
    assert_eq!((heavy.arrived, heavy.admitted), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_oauth_token_opens_the_api_until_it_is_revoked() {
    let sandbox = sandbox();
    let path = users_path(&sandbox.biggest_session_id());
    // sandbox-client:sandbox-client-secret
    let basic = "Basic c2FuZGJveC1jbGllbnQ6c2FuZGJveC1jbGllbnQtc2VjcmV0";
    let form = Full::from("grant_type=account_credentials&account_id=sandbox-account");
    let ask = Request::post("/oauth/token").header("authorization", basic).body(form).unwrap();
    let (status, body) = read(&send(&sandbox, ask).await);
    assert_eq!(status, 200);
    let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
    let ask =
        || Request::get(&path).header("authorization", &bearer).body(Full::default()).unwrap();
    assert_eq!(send(&sandbox, ask()).await.status(), 200);
    assert_eq!(steer(&sandbox, Method::POST, "/_sandbox/revoke").await.0, 200);
    assert_eq!(send(&sandbox, ask()).await.status(), 401);
    assert_eq!(sandbox.counters().requests_to("oauthToken"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_second_is_refused_without_retry_after() {
    let sandbox = with(Options::default());
    let path = users_path(&sandbox.biggest_session_id());
    for left in (29_990..30_000).rev() {
        let response = get(&sandbox, &path).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-ratelimit-remaining"], left.to_string());
        assert_eq!(response.headers()["x-ratelimit-limit"], "30000");
        assert!(!response.headers().contains_key("x-ratelimit-type"));
    }
    let refused = get(&sandbox, &path).await;
    assert_eq!(
        read(&refused),
        (
            429,
            json!({
                "code": 429,
                "message": "You have reached the maximum per-second rate limit for this API. Try again later.",
            })
        )
    );
    assert_eq!(refused.headers()["x-ratelimit-type"], "QPS");
    assert_eq!(refused.headers()["x-ratelimit-category"], "Heavy");
    assert!(!refused.headers().contains_key("retry-after"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(get(&sandbox, &path).await.status(), 200);
    let heavy = sandbox.counters().label(Label::Heavy).unwrap();
    assert_eq!((heavy.largest_arrived, heavy.largest_admitted, heavy.admitted), (11, 10, 11));
}

#[tokio::test(start_paused = true)]
async fn a_spent_day_is_refused_until_midnight() {
    let sandbox = with(Options {
        figures: Some(Figures { daily: 1, ..Plan::Pro.figures() }),
        ..Options::default()
    });
    let path = users_path(&sandbox.biggest_session_id());
    assert_eq!(get(&sandbox, &path).await.status(), 200);
    let refused = get(&sandbox, &format!("/v2/videosdk/sessions?{TODAY}")).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "2024-10-05T00:00:00Z");
    assert_eq!(refused.headers()["x-ratelimit-type"], "Daily-limit");
    assert_eq!(refused.headers()["x-ratelimit-category"], "Resource-intensive");
    assert_eq!(refused.headers()["x-ratelimit-limit"], "1");
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "0");
    assert!(read(&refused).1["message"].as_str().unwrap().contains("daily"));
    sandbox.advance(Duration::from_hours(11));
    assert_eq!(get(&sandbox, &path).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn answers_carry_the_headers_of_the_real_api() {
    let sandbox = sandbox();
    let path = users_path(&sandbox.biggest_session_id());
    let (one, two) = (get(&sandbox, &path).await, get(&sandbox, &path).await);
    assert_eq!(one.headers()["content-type"], "application/json");
    assert!(one.headers()["cache-control"].to_str().unwrap().contains("no-store"));
    assert!(one.headers().contains_key("set-cookie") && one.headers().contains_key("pragma"));
    assert_ne!(one.headers()["x-zm-trackingid"], two.headers()["x-zm-trackingid"]);
}
