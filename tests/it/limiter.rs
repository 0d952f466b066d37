//! The limiter as clients see it: who waits, who is refused, and what is said then.

use std::time::Duration;

use weir::sandbox::{Fault, FaultKind, Figures, Options, Plan};

use crate::support::gateway::users;
use crate::support::{Answer, Setup, TestGateway, join_all, quiet, until};

async fn with_wait(max_wait: &str) -> TestGateway {
    let tables = format!("[upstreams.zoom.labels.heavy]\nmax_wait = \"{max_wait}\"\n");
    Setup { tables, ..Setup::default() }.start().await
}

/// So many different questions at once.
async fn burst(gateway: &TestGateway, page_sizes: std::ops::Range<usize>) -> Vec<Answer> {
    let big = gateway.sandbox.biggest_session_id();
    join_all(page_sizes.map(|page_size| {
        let target = users(&big, &format!("?page_size={page_size}"));
        let client = gateway.client();
        async move { client.get(&target).await }
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_figure_one_is_refused_at_once_and_told_when_to_come_back() {
    let _quiet = quiet().await;
    let gateway = with_wait("0s").await;
    let answers = burst(&gateway, 1..16).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
    assert_eq!((served.len(), refused.len()), (10, 5));
    for answer in &refused {
        let problem = answer.problem(429, "rate-second");
        assert_eq!(problem["title"], "Too many requests");
        let after: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=2).contains(&after), "{after}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    for answer in served.iter().chain(&refused) {
        assert_eq!(
            answer.header("ratelimit-policy"),
            "\"heavy\";q=10;w=1, \"daily\";q=30000;w=86400"
        );
        assert!(answer.header("ratelimit").starts_with("\"heavy\";r="), "{answer:?}");
    }
    let told = refused[0].header("ratelimit");
    let day = told.strip_prefix("\"heavy\";r=0;t=1, \"daily\";r=").expect(told);
    // Answers that overtake one another make ours look like somebody else's, until all are there.
    let left: u32 = day.split_once(";t=").expect(told).0.parse().expect(told);
    assert!((29_980..=29_990).contains(&left), "{told}");
    assert_eq!(gateway.left_today().await, 29_990);
    // Whoever comes back when told is served.
    gateway.clock.advance(Duration::from_secs(2));
    assert_eq!(burst(&gateway, 11..16).await.iter().filter(|a| a.status == 200).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_be_served_in_time_waits() {
    let _quiet = quiet().await;
    let gateway = with_wait("5s").await;
    let clock = weir::clock::Clock::system();
    let began = clock.now();
    let first = burst(&gateway, 1..11).await;
    let answers = burst(&gateway, 11..14).await;
    assert!(first.iter().chain(&answers).all(|answer| answer.status == 200));
    assert!(clock.now() - began >= Duration::from_secs(1), "they waited");
    let metrics = gateway.metrics().await;
    let label = [("label", "heavy")];
    assert_eq!(metrics.sum("weir_limit_wait_seconds_count", &label), 13);
    assert!(metrics.sum("weir_limit_wait_seconds_sum", &label) >= 2);
    assert_eq!(metrics.sum("weir_limit_refused_total", &[]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_does_not_wait_beyond_its_own_time() {
    let _quiet = quiet().await;
    let setup = Setup {
        server: "request_timeout = \"400ms\"".into(),
        tables: "[upstreams.zoom.labels.heavy]\nmax_wait = \"30s\"\n".into(),
        ..Setup::default()
    };
    let gateway = setup.start().await;
    assert_eq!(burst(&gateway, 1..11).await.iter().filter(|a| a.status == 200).count(), 10);
    let refused = burst(&gateway, 11..12).await.remove(0);
    refused.problem(429, "rate-second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_says_so() {
    let _quiet = quiet().await;
    let tables = "[upstreams.zoom.labels.heavy]\nmax_wait = \"5s\"\nmax_queue = 3\n".to_owned();
    let gateway = Setup { tables, ..Setup::default() }.start().await;
    burst(&gateway, 1..11).await;
    let answers = burst(&gateway, 11..21).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(refused.len(), 7);
    for answer in refused {
        answer.problem(429, "queue-full");
    }
}

/// An account whose day is short, and shorter than the gateway believes.
fn short_day(daily: u32) -> Setup {
    let figures = Figures { daily, ..Plan::Pro.figures() };
    let account = Options { figures: Some(figures), ..Options::default() };
    Setup { account, zoom: "max_retries = 0".into(), ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_account_says_the_day_is_over_it_is_left_alone_until_midnight() {
    let gateway = short_day(3).start().await;
    assert_eq!(burst(&gateway, 1..4).await.iter().filter(|a| a.status == 200).count(), 3);
    let first = burst(&gateway, 4..5).await.remove(0);
    assert_eq!((first.status, first.header("weir-error")), (429, ""), "the account's own word");
    let asked = gateway.asked();
    for page_size in 5..8 {
        let refused = burst(&gateway, page_size..page_size + 1).await.remove(0);
        refused.problem(429, "quota-day");
        // 14:00 UTC.
        let after: u64 = refused.header("retry-after").parse().unwrap();
        assert!((35_990..=36_001).contains(&after), "{after}");
    }
    assert_eq!(gateway.asked(), asked);
    let metrics = gateway.metrics().await;
    let throttled = [("label", "heavy"), ("window", "day")];
    assert_eq!(metrics.sum("weir_upstream_throttled_total", &throttled), 1);
    assert_eq!(metrics.sum("weir_limit_refused_total", &[("reason", "quota-day")]), 3);
    assert_eq!(gateway.left_today().await, 0);
    // What needs no day is served all the same.
    let big = gateway.sandbox.biggest_session_id();
    assert_eq!(gateway.get(&format!("/videosdk/sessions/{big}/livestream")).await.status, 200);
    // Midnight.
    gateway.clock.advance(Duration::from_secs(36_001));
    assert_eq!(burst(&gateway, 8..9).await[0].status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_count_of_the_day_stops_before_the_account_does() {
    let zoom = "max_retries = 0".to_owned();
    let tables = "[upstreams.zoom.pools.daily]\nper_day = 2\n".to_owned();
    let gateway = Setup { zoom, tables, ..Setup::default() }.start().await;
    assert_eq!(burst(&gateway, 1..3).await.iter().filter(|a| a.status == 200).count(), 2);
    burst(&gateway, 3..4).await[0].problem(429, "quota-day");
    assert_eq!(gateway.heavy().arrived, 2);
    // Midnight.
    gateway.clock.advance(Duration::from_secs(36_001));
    assert_eq!(burst(&gateway, 4..5).await[0].status, 200);
    assert_eq!(gateway.left_today().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_is_better_than_a_refusal() {
    let gateway = short_day(1).start().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    let first = gateway.get(&target).await;
    // Beyond fresh and beyond stale-while-revalidate: it has to be fetched, and cannot be.
    gateway.clock.advance(Duration::from_secs(100));
    let refused_by_account = gateway.get(&target).await;
    assert_eq!((refused_by_account.status, &refused_by_account.body), (200, &first.body));
    assert_eq!(refused_by_account.cache_status(), "weir; fwd=stale; detail=upstream-error");
    // Its word is remembered for a moment; after that it is our own that nothing is left.
    gateway.clock.advance(Duration::from_secs(1));
    let stale = gateway.get(&target).await;
    assert_eq!((stale.status, &stale.body), (200, &first.body));
    assert_eq!(stale.cache_status(), "weir; fwd=stale; detail=quota");
    assert_eq!(stale.header("age"), "101");
    assert_eq!(gateway.heavy().arrived, 2);
    // Not for ever.
    gateway.clock.advance(Duration::from_secs(700));
    gateway.get(&target).await.problem(429, "quota-day");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_of_the_second_closes_the_label_for_a_moment() {
    let _quiet = quiet().await;
    let setup = Setup { zoom: "max_retries = 0".into(), ..Setup::default() };
    let tables = "[upstreams.zoom.labels.heavy]\nmax_wait = \"0s\"\n".to_owned();
    let gateway = Setup { tables, ..setup }.start().await;
    let busy = http::StatusCode::TOO_MANY_REQUESTS;
    gateway.sandbox.inject(Fault::new(FaultKind::Status(busy), 1));
    let told = burst(&gateway, 1..2).await.remove(0);
    assert_eq!((told.status, told.header("weir-error")), (429, ""));
    burst(&gateway, 2..3).await[0].problem(429, "upstream-closed");
    assert_eq!(gateway.heavy().arrived, 1);
    gateway.clock.advance(Duration::from_secs(2));
    assert_eq!(burst(&gateway, 3..4).await[0].status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_priority_is_served_first() {
    let _quiet = quiet().await;
    let client = |name: &str, priority: &str| {
        format!(
            "[[clients]]\nname = \"{name}\"\nkey = {{ value = \"key-of-{name}-0123456789\" }}\npriority = \"{priority}\"\n"
        )
    };
    let tables = client("batch", "low") + &client("console", "high");
    let gateway = Setup { tables, ..Setup::default() }.start().await;
    let of = |name: &str| {
        gateway.client().with("authorization", &format!("Bearer key-of-{name}-0123456789"))
    };
    let (batch, console) = (of("batch"), of("console"));
    let big = gateway.sandbox.biggest_session_id();
    let ask = |client: &crate::support::Client, page_size: usize| {
        let (client, target) = (client.clone(), users(&big, &format!("?page_size={page_size}")));
        tokio::spawn(async move { client.get(&target).await.status })
    };
    let mut batch_asks: Vec<_> = (1..=22).map(|page_size| ask(&batch, page_size)).collect();
    let queue = [("label", "heavy")];
    until("the batch waits", async || {
        (gateway.metrics().await.sum("weir_limit_queue", &queue) == 12).then_some(())
    })
    .await;
    let console_asks: Vec<_> = (101..=103).map(|page_size| ask(&console, page_size)).collect();
    for ask in console_asks {
        assert_eq!(ask.await.unwrap(), 200);
    }
    let waiting = batch_asks.iter_mut().filter(|ask| !ask.is_finished()).count();
    assert!(waiting > 0, "the console came before the end of the batch");
    for ask in batch_asks {
        ask.await.unwrap();
    }
}
