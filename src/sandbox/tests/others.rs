//! Other applications of the same account.

use serde_json::json;

use super::*;

fn pro(daily: u32) -> Sandbox {
    let figures = Figures { daily, ..Plan::Pro.figures() };
    with(Options { figures: Some(figures), ..Options::default() })
}

fn remaining(sandbox: &Sandbox) -> u32 {
    sandbox.counters().daily.unwrap().remaining
}

fn users(sandbox: &Sandbox) -> String {
    users_path(&sandbox.biggest_session_id())
}

/// How many of `count` Heavy requests are admitted now.
async fn admitted(sandbox: &Sandbox, count: usize) -> usize {
    let path = users(sandbox);
    let mut admitted = 0;
    for _ in 0..count {
        admitted += usize::from(get(sandbox, &path).await.status() == 200);
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn what_others_spend_is_gone_from_the_day_but_not_from_the_second() {
    let sandbox = pro(1_000);
    assert_eq!(sandbox.spend(Label::Heavy, 100), 100);
    assert_eq!(sandbox.spend(Label::ResourceIntensive, 50), 50);
    assert_eq!(remaining(&sandbox), 850);
    let answer = get(&sandbox, &users(&sandbox)).await;
    assert_eq!(answer.headers()["x-ratelimit-remaining"], "849");
    assert_eq!(admitted(&sandbox, 10).await, 9);
    let heavy = sandbox.counters().label(Label::Heavy).unwrap();
    assert_eq!((heavy.arrived, heavy.admitted, heavy.largest_admitted), (11, 10, 10));
    let intensive = sandbox.counters().label(Label::ResourceIntensive).unwrap();
    assert_eq!((intensive.arrived, intensive.admitted), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn others_spend_no_more_than_the_day_has_and_midnight_fills_it() {
    let sandbox = pro(100);
    assert_eq!(admitted(&sandbox, 1).await, 1);
    assert_eq!(sandbox.spend(Label::Heavy, 98), 98);
    assert_eq!(sandbox.spend(Label::Heavy, u32::MAX), 1);
    assert_eq!(sandbox.spend(Label::Heavy, 1), 0);
    let refused = get(&sandbox, &users(&sandbox)).await;
    assert_eq!(refused.headers()["x-ratelimit-type"], "Daily-limit");
    sandbox.advance(Duration::from_hours(11));
    // The day turns by itself, before any request arrives in it.
    assert_eq!(sandbox.spend(Label::Heavy, 40), 40);
    assert_eq!(remaining(&sandbox), 60);
}

#[tokio::test(start_paused = true)]
async fn labels_without_a_day_spend_nothing() {
    let sandbox = pro(100);
    assert_eq!((sandbox.spend(Label::Light, 5), sandbox.spend(Label::Medium, 5)), (0, 0));
    assert_eq!(remaining(&sandbox), 100);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_fills_the_second_and_spends_the_day() {
    let sandbox = pro(1_000);
    assert_eq!(sandbox.crowd(Label::Heavy, 4), 4);
    assert_eq!((remaining(&sandbox), admitted(&sandbox, 10).await), (996, 6));
    assert_eq!(remaining(&sandbox), 990);
    let refused = get(&sandbox, &users(&sandbox)).await;
    assert_eq!(refused.headers()["x-ratelimit-type"], "QPS");
    let heavy = sandbox.counters().label(Label::Heavy).unwrap();
    assert_eq!((heavy.arrived, heavy.admitted, heavy.largest_admitted), (11, 6, 6));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(admitted(&sandbox, 11).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_never_larger_than_the_figure_nor_than_the_day() {
    let sandbox = pro(12);
    assert_eq!(sandbox.crowd(Label::Heavy, u32::MAX), 10);
    assert_eq!((sandbox.crowd(Label::Heavy, 1), remaining(&sandbox)), (0, 2));
    assert_eq!(sandbox.crowd(Label::Light, 100), 30);
    assert_eq!(remaining(&sandbox), 2);
    assert_eq!(sandbox.crowd(Label::ResourceIntensive, 100), 2);
    assert_eq!(remaining(&sandbox), 0);
}

#[tokio::test(start_paused = true)]
async fn people_order_the_same_by_the_control_surface() {
    let sandbox = pro(1_000);
    let post = async |target: &str| steer(&sandbox, Method::POST, target).await;
    let taken = |count: u32| (200, json!({ "taken": count }));
    assert_eq!(post("/_sandbox/spend?label=heavy&count=100").await, taken(100));
    assert_eq!(remaining(&sandbox), 900);
    assert_eq!(post("/_sandbox/crowd?label=Resource-intensive&count=5").await, taken(5));
    assert_eq!(remaining(&sandbox), 895);
    assert_eq!(post("/_sandbox/crowd?label=Light&count=1000000").await, taken(30));
    assert_eq!(post("/_sandbox/spend?label=medium&count=1").await, taken(0));
    assert_eq!(sandbox.counters().total, 0);
    for control in ["spend", "crowd"] {
        for query in [
            "",
            "label=heavy",
            "count=1",
            "label=huge&count=1",
            "label=heavy&count=-1",
            "label=heavy&count=x",
            "label=heavy&count=1000001",
        ] {
            let (status, body) = post(&format!("/_sandbox/{control}?{query}")).await;
            assert_eq!(status, 400, "{control}?{query}");
            assert!(body["error"].is_string(), "{body}");
        }
        let target = format!("/_sandbox/{control}?label=heavy&count=1");
        assert_eq!(steer(&sandbox, Method::GET, &target).await.0, 404);
    }
    assert_eq!(remaining(&sandbox), 895);
}
