//! Lists, pages, ids and states.

use std::collections::HashSet;

use serde_json::json;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_union_of_the_pages_is_the_list_whatever_their_size() {
    let sandbox = sandbox();
    let crowd = sandbox.biggest_session_id();
    for size in [1_u32, 7, 30, 299, 300] {
        let listed = sandbox.users(&crowd).unwrap();
        // One page of one user each would take the whole minute; a smaller session will do.
        let id = if size < 30 { sandbox.session_id(IdKind::LeadingSlash) } else { crowd.clone() };
        let truth = if size < 30 { sandbox.users(&id).unwrap() } else { listed };
        let pages = walk(&sandbox, &users_path(&id), "users", &format!("page_size={size}")).await;
        assert_eq!(ids(&pages), ids(&truth), "page_size {size}");
    }
    assert!(sandbox.users(&crowd).unwrap().len() > 1_042);
}

#[tokio::test(start_paused = true)]
async fn pages_of_one_listing_are_a_snapshot() {
    let sandbox = sandbox();
    let id = sandbox.session_id(IdKind::Slash);
    let path = users_path(&id);
    let truth = sandbox.users(&id).unwrap();
    let (_, first) = get_json(&sandbox, &format!("{path}?page_size=60")).await;
    sandbox.join(&id, "Late").unwrap();
    sandbox.leave(&id, None).unwrap();
    sandbox.advance(Duration::from_mins(10));
    sandbox.end(&id).unwrap();
    let token = first["next_page_token"].as_str().unwrap();
    let (status, second) =
        get_json(&sandbox, &format!("{path}?page_size=60&next_page_token={token}")).await;
    assert_eq!(status, 200, "{second}");
    let all =
        [first["users"].as_array().unwrap().clone(), second["users"].as_array().unwrap().clone()]
            .concat();
    assert_eq!(all, truth);
    assert_eq!(get_json(&sandbox, &path).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn page_tokens_die_of_age_and_of_other_questions() {
    let sandbox = sandbox();
    let path = users_path(&sandbox.biggest_session_id());
    let (_, first) = get_json(&sandbox, &path).await;
    let token = first["next_page_token"].as_str().unwrap().to_owned();
    let dead =
        (400, json!({ "code": 300, "message": "The next page token is invalid or expired." }));
    let other = users_path(&sandbox.session_id(IdKind::Slash));
    for target in [
        format!("{path}?page_size=31&next_page_token={token}"),
        format!("{path}/sharing?next_page_token={token}"),
        format!("{other}?next_page_token={token}"),
        format!("{path}?next_page_token=Usse957pzxvmYwlmCZ50a6CNXFrhztxuj82"),
    ] {
        assert_eq!(get_json(&sandbox, &target).await, dead, "{target}");
    }
    let replay = format!("{path}?page_size=30&type=live&next_page_token={token}");
    sandbox.advance(Duration::from_secs(15 * 60 - 1));
    assert_eq!(get_json(&sandbox, &replay).await.0, 200);
    sandbox.advance(Duration::from_secs(1));
    assert_eq!(get_json(&sandbox, &replay).await, dead);
}

#[tokio::test(start_paused = true)]
async fn ids_reach_their_session_in_the_spellings_that_the_real_api_understands() {
    let sandbox = sandbox();
    for kind in [IdKind::Plain, IdKind::Slash, IdKind::DoubleSlash, IdKind::LeadingSlash] {
        let id = sandbox.session_id(kind);
        let raw = format!("/v2/videosdk/sessions/{id}/users");
        let single = raw.replace(&id, &id.replace('/', "%2F"));
        assert_eq!(get_json(&sandbox, &users_path(&id)).await.0, 200, "{id}");
        let lost = matches!(kind, IdKind::DoubleSlash | IdKind::LeadingSlash);
        for spelling in [raw, single] {
            let (status, body) = get_json(&sandbox, &spelling).await;
            if lost {
                let rest = id.replacen('/', "", 1);
                let message = format!("Meeting does not exist: {rest}.");
                assert_eq!((status, body), (404, json!({ "code": 3001, "message": message })));
            } else {
                assert_eq!(status, 200, "{spelling}");
            }
        }
        let whole = format!("/v2/{}", twice(&format!("/videosdk/sessions/{id}/users")));
        let unknown = json!({ "code": 2300, "message": "This API endpoint is not recognized." });
        assert_eq!(get_json(&sandbox, &whole).await, (404, unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_must_fit_the_state_of_its_session() {
    let sandbox = sandbox();
    let (live, past) = (sandbox.session_id(IdKind::Slash), sandbox.past_session_id());
    let scheduled = sandbox
        .sessions(Duration::ZERO)
        .into_iter()
        .find(|s| s.state == SessionState::Scheduled)
        .unwrap();
    let refused = json!({ "code": 3001, "message": "Session ID is invalid or has not ended." });
    let unknown = "KkMHZ4y8QhSUWAHi5sWvfg==".to_owned();
    for (id, part, query, status) in [
        (&live, "/users", "", 200),
        (&live, "/users", "type=past", 404),
        (&past, "/users", "type=past", 200),
        (&past, "/users", "type=live", 404),
        (&past, "/users/qos", "type=past&page_size=10", 200),
        (&past, "/users/sharing", "type=past", 200),
        (&past, "", "type=past", 200),
        (&live, "", "", 200),
        (&live, "", "type=scheduled", 404),
        (&scheduled.id, "", "type=scheduled", 200),
        (&scheduled.id, "/users", "", 404),
        (&unknown, "/users", "", 404),
        (&unknown, "/recordings", "", 404),
    ] {
        let target = format!("/v2/videosdk/sessions/{}{part}?{query}", twice(id));
        let (found, body) = get_json(&sandbox, &target).await;
        assert_eq!(found, status, "{target}");
        assert!(status == 200 || body == refused, "{body}");
    }
    sandbox.end(&live).unwrap();
    let target = format!("{}?type=past", users_path(&live));
    assert_eq!(get_json(&sandbox, &target).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn one_user_s_measurements_are_those_of_the_list() {
    let sandbox = sandbox();
    let path = users_path(&sandbox.session_id(IdKind::LeadingSlash));
    let (_, list) = get_json(&sandbox, &format!("{path}/qos?page_size=2")).await;
    let user = &list["users"][1];
    let (status, one) =
        get_json(&sandbox, &format!("{path}/{}/qos", user["id"].as_str().unwrap())).await;
    assert_eq!((status, &one), (200, user));
    assert_eq!(get_json(&sandbox, &format!("{path}/7/qos")).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn bad_parameters_are_named_and_unknown_paths_not_recognised() {
    let sandbox = sandbox();
    let path = users_path(&sandbox.biggest_session_id());
    for (query, field) in
        [("type=foo", "type"), ("page_size=0", "page_size"), ("page_size=301", "page_size")]
    {
        let (status, body) = get_json(&sandbox, &format!("{path}?{query}")).await;
        assert_eq!(
            (status, &body["code"], &body["message"]),
            (400, &json!(300), &json!("Validation Failed."))
        );
        assert_eq!(body["errors"][0]["field"], field);
    }
    assert_eq!(get_json(&sandbox, "/v2/users/me").await.1["code"], 2300);
    let post = request(&sandbox, Method::POST, &path);
    assert_eq!(read(&send(&sandbox, post).await).1["code"], 2300);
}

#[tokio::test(start_paused = true)]
async fn the_list_of_sessions_pages_and_filters() {
    let sandbox = with(Options { plan: Plan::Business, sessions: 60, ..Options::default() });
    let live =
        walk(&sandbox, "/v2/videosdk/sessions", "sessions", &format!("{TODAY}&page_size=20")).await;
    let truth = sandbox.sessions(Duration::ZERO);
    let truth: HashSet<_> =
        truth.iter().filter(|s| s.state == SessionState::Live).map(|s| s.id.as_str()).collect();
    assert_eq!(ids(&live).into_iter().collect::<HashSet<_>>(), truth);
    assert!(live.iter().all(|session| session.get("end_time").is_none()));
    let crowd = live.iter().find(|session| session["id"] == sandbox.biggest_session_id()).unwrap();
    assert!(crowd["user_count"].as_u64().unwrap() > 1_000);
    let past = walk(
        &sandbox,
        "/v2/videosdk/sessions",
        "sessions",
        "type=past&from=2024-10-03&to=2024-10-03&page_size=300",
    )
    .await;
    assert!(past.len() > 300 && past.iter().all(|session| session["end_time"].is_string()));
    let named = walk(
        &sandbox,
        "/v2/videosdk/sessions",
        "sessions",
        &format!("{TODAY}&session_name=room-1"),
    )
    .await;
    assert_eq!(ids(&named), [sandbox.session_id(IdKind::Slash)]);
}
