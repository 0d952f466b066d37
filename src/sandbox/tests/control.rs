//! The control surface, and what is promised in the documentation.

use serde_json::json;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_control_surface_does_what_its_help_says() {
    let sandbox = sandbox();
    let help = Request::get("/_sandbox/").body(Full::default()).unwrap();
    assert!(
        std::str::from_utf8(send(&sandbox, help).await.body())
            .unwrap()
            .contains("/_sandbox/counters")
    );
    let id = sandbox.session_id(IdKind::Slash); // holds a `+`
    let (_, before) = steer(&sandbox, Method::GET, &format!("/_sandbox/users?session={id}")).await;
    let (status, joined) = steer(
        &sandbox,
        Method::POST,
        &format!("/_sandbox/sessions/join?session={id}&name=Ada%20B"),
    )
    .await;
    assert_eq!(status, 200, "{joined}");
    let (_, after) = steer(&sandbox, Method::GET, &format!("/_sandbox/users?session={id}")).await;
    let (before, after) = (before["users"].as_array().unwrap(), after["users"].as_array().unwrap());
    assert_eq!(after.len(), before.len() + 1);
    let last = after.last().unwrap();
    assert_eq!((&last["id"], last["name"].as_str()), (&joined["user"], Some("Ada B")));
    let (_, left) =
        steer(&sandbox, Method::POST, &format!("/_sandbox/sessions/leave?session={id}")).await;
    assert_eq!(left, joined);
    let (_, started) = steer(&sandbox, Method::POST, "/_sandbox/sessions/start?users=3").await;
    let started = started["session"].as_str().unwrap().to_owned();
    assert_eq!(
        get_json(&sandbox, &users_path(&started)).await.1["users"].as_array().unwrap().len(),
        3
    );
    assert_eq!(
        steer(&sandbox, Method::POST, &format!("/_sandbox/sessions/end?session={started}")).await.0,
        200
    );
    let (_, sessions) = steer(&sandbox, Method::GET, "/_sandbox/sessions").await;
    let ended =
        sessions.as_array().unwrap().iter().find(|session| session["id"] == started).unwrap();
    assert_eq!((&ended["state"], &ended["present"]), (&json!("past"), &json!(0)));
    let (_, moved) = steer(&sandbox, Method::POST, "/_sandbox/advance?seconds=840").await;
    assert_eq!(moved["now"], "2024-10-04T13:14:00Z");
    let (_, counters) = steer(&sandbox, Method::GET, "/_sandbox/counters").await;
    assert_eq!(
        (&counters["total"], &counters["requests"][0]["endpoint"]),
        (&json!(1), &json!("sessionUsers"))
    );
    assert_eq!(steer(&sandbox, Method::POST, "/_sandbox/reset").await.0, 200);
    assert_eq!(sandbox.counters().total, 0);
    for (method, bad, status) in [
        (Method::POST, "/_sandbox/advance?seconds=x", 400),
        (Method::POST, "/_sandbox/fault?kind=nothing", 400),
        (Method::POST, "/_sandbox/fault?kind=status&status=101", 400),
        (Method::POST, "/_sandbox/fault?kind=reset&endpoint=nowhere", 400),
        (Method::POST, "/_sandbox/sessions/join?session=nowhere", 400),
        (Method::GET, "/_sandbox/users?session=nowhere", 400),
        (Method::GET, "/_sandbox/nothing", 404),
        (Method::DELETE, "/_sandbox/counters", 404),
    ] {
        assert_eq!(steer(&sandbox, method, bad).await.0, status, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn seen_requests_show_what_arrived_but_not_its_credential() {
    let sandbox = sandbox();
    let path = users_path(&sandbox.session_id(IdKind::LeadingSlash));
    get(&sandbox, &path).await;
    assert_eq!(sandbox.requests()[0].target, path);
    let (_, shown) = steer(&sandbox, Method::GET, "/_sandbox/requests").await;
    assert_eq!(shown, json!([{ "method": "GET", "target": path, "headers": ["authorization"] }]));
}

#[tokio::test(start_paused = true)]
async fn the_clock_goes_no_further_than_2200() {
    let sandbox = sandbox();
    sandbox.advance(Duration::from_secs(u64::MAX / 2));
    assert_eq!(sandbox.now_iso(), "2200-01-01T00:00:00Z");
    sandbox.advance(Duration::from_hours(24));
    assert_eq!(sandbox.now_iso(), "2200-01-01T00:00:00Z");
    assert_eq!(
        get(&sandbox, &format!("{}?type=past", users_path(&sandbox.biggest_session_id())))
            .await
            .status(),
        200
    );
}

#[tokio::test(start_paused = true)]
async fn latency_holds_answers() {
    let sandbox = sandbox();
    assert_eq!(steer(&sandbox, Method::POST, "/_sandbox/latency?ms=200").await.0, 200);
    let before = sandbox.clock().now();
    get(&sandbox, &users_path(&sandbox.biggest_session_id())).await;
    assert_eq!(sandbox.clock().now() - before, Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn one_seed_is_one_world_and_secrets_stay_out_of_debug_output() {
    let (one, same) = (sandbox(), sandbox());
    assert_eq!(one.sessions(Duration::from_hours(1)), same.sessions(Duration::from_hours(1)));
    assert_eq!(one.users(&one.biggest_session_id()), same.users(&same.biggest_session_id()));
    let other = with(Options { seed: 2, ..Options::default() });
    assert_ne!(one.biggest_session_id(), other.biggest_session_id());
    let shown = format!("{one:?}");
    assert!(!shown.contains("sandbox-secret") && !shown.contains("client-secret"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn the_documented_ids_of_seed_1_are_these() {
    let documentation = include_str!("../README.md");
    let sandbox = sandbox();
    let kinds = [IdKind::Plain, IdKind::Slash, IdKind::DoubleSlash, IdKind::LeadingSlash];
    let ids =
        kinds.map(|kind| sandbox.session_id(kind)).into_iter().chain([sandbox.past_session_id()]);
    for id in ids {
        assert!(documentation.contains(&format!("`{id}`")), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_help_and_the_documentation_list_the_same_controls() {
    let controls = |text: &str| {
        let words = text.split(|c: char| c.is_whitespace() || "`?|".contains(c));
        let paths = words.filter(|word| word.starts_with("/_sandbox/")).map(str::to_owned);
        paths.collect::<std::collections::BTreeSet<_>>()
    };
    let help = Request::get("/_sandbox/").body(Full::default()).unwrap();
    let help = send(&sandbox(), help).await;
    let help = controls(std::str::from_utf8(help.body()).unwrap());
    assert_eq!(help, controls(include_str!("../README.md")));
    for control in ["spend", "crowd", "headers"] {
        assert!(help.contains(&format!("/_sandbox/{control}")), "{control}");
    }
}
