//! What the account says about its limits, and what the gateway makes of it.

use std::time::Duration;

use weir::clock::Clock;
use weir::sandbox::{HeaderStyle, Label, Lies, Options, Sandbox};

use crate::support::gateway::{serve_sandbox, users};
use crate::support::{Answer, Child, Client, Metrics, Setup, TestGateway, join_all, quiet, until};

const IMPATIENT: &str = "[upstreams.zoom.labels.heavy]\nmax_wait = \"0s\"\n";

async fn impatient(tables: &str) -> TestGateway {
    let zoom = "max_retries = 0".to_owned();
    Setup { zoom, tables: format!("{IMPATIENT}{tables}"), ..Setup::default() }.start().await
}

/// So many different questions at once.
async fn ask(gateway: &TestGateway, page_sizes: std::ops::Range<usize>) -> Vec<Answer> {
    let big = gateway.sandbox.biggest_session_id();
    join_all(page_sizes.map(|page_size| {
        let target = users(&big, &format!("?page_size={page_size}"));
        let client = gateway.client();
        async move { client.get(&target).await }
    }))
    .await
}

fn lies(remaining: &str) -> HeaderStyle {
    HeaderStyle::Lying(Lies { remaining: Some(remaining.parse().unwrap()), ..Lies::default() })
}

fn served(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_spend_of_the_account_is_not_ours_to_spend() {
    let _quiet = quiet().await;
    let gateway = impatient("").await;
    ask(&gateway, 1..2).await;
    assert_eq!(gateway.left_today().await, 29_999);
    gateway.sandbox.spend(Label::Heavy, 20_000);
    let told = ask(&gateway, 2..3).await.remove(0);
    assert!(told.header("ratelimit").contains("\"daily\";r=9998;"), "{told:?}");
    assert_eq!(gateway.left_today().await, 9_998);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_budget_others", &[("pool", "daily")]), 20_000);
    assert_eq!(metrics.sum("weir_budget_alarm_percent", &[("pool", "daily")]), 50);
    let status = gateway.admin("/status").await.json();
    let heavy = status["upstreams"][0]["labels"].as_array().unwrap();
    let heavy = heavy.iter().find(|label| label["name"] == "heavy").unwrap();
    let pool = &heavy["pool"];
    assert_eq!((&pool["spent"], &pool["spent_by_others"]), (&2.into(), &20_000.into()));
    assert_eq!((&pool["alarm_percent"], &pool["ledger"]), (&50.into(), &"memory".into()));
    assert_eq!(pool["spent_by_client"]["anonymous"], 2);
    // The last of the day is nobody's 429.
    gateway.sandbox.spend(Label::Heavy, 9_995);
    assert_eq!(served(&ask(&gateway, 3..4).await), 1);
    let answers = ask(&gateway, 4..12).await;
    assert_eq!(served(&answers), 2);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.problem(429, "quota-day");
    }
    assert_eq!(gateway.sandbox.counters().with_status(429), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_left_at_noon_stops_the_gateway_for_seconds_and_not_for_the_day() {
    let _quiet = quiet().await;
    let gateway = impatient("").await;
    gateway.sandbox.set_headers(lies("0"));
    assert_eq!(served(&ask(&gateway, 1..2).await), 1);
    let refused = ask(&gateway, 2..3).await.remove(0);
    refused.problem(429, "quota-day");
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=5).contains(&after), "{after}");
    gateway.clock.advance(Duration::from_secs(after));
    assert_eq!(served(&ask(&gateway, 2..3).await), 1, "one finds out");
    assert_eq!(served(&ask(&gateway, 3..9).await), 6, "and all go");
    assert_eq!(gateway.left_today().await, 30_000 - 8);
    let hints = [("label", "heavy"), ("hint", "contradictory")];
    assert!(gateway.metrics().await.sum("weir_upstream_hints_total", &hints) >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_counted_and_obeyed_by_nobody() {
    let _quiet = quiet().await;
    let gateway = impatient("").await;
    for (number, (said, hint)) in [
        ("soon", "malformed"),
        ("", "malformed"),
        ("99999999999999999999", "absurd"),
        ("30001", "contradictory"),
    ]
    .into_iter()
    .enumerate()
    {
        gateway.sandbox.set_headers(lies(said));
        assert_eq!(served(&ask(&gateway, number + 1..number + 2).await), 1, "{said}");
        let hints = [("label", "heavy"), ("hint", hint)];
        assert!(gateway.metrics().await.sum("weir_upstream_hints_total", &hints) >= 1, "{said}");
    }
    gateway.sandbox.set_headers(HeaderStyle::Missing);
    assert_eq!(served(&ask(&gateway, 10..11).await), 1);
    assert_eq!(gateway.left_today().await, 30_000 - 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_retry_after_closes_for_a_window_and_a_long_one_for_a_minute() {
    let _quiet = quiet().await;
    let gateway = impatient("").await;
    let said = [("99999999", 1), ("-7", 1), ("600", 60), ("30", 30)];
    for (round, (said, closed)) in said.into_iter().enumerate() {
        // Other questions each time: nothing is refreshed behind our backs.
        let question = |n: usize| 10 * round + n..10 * round + n + 1;
        let retry_after = Some(said.parse().unwrap());
        gateway.sandbox.set_headers(HeaderStyle::Lying(Lies { retry_after, ..Lies::default() }));
        gateway.sandbox.crowd(Label::Heavy, 10);
        let told = ask(&gateway, question(1)).await.remove(0);
        assert_eq!((told.status, told.header("weir-error")), (429, ""), "{said}");
        assert_eq!(told.header("retry-after"), closed.to_string(), "told in a form that is legal");
        let refused = ask(&gateway, question(2)).await.remove(0);
        refused.problem(429, "upstream-closed");
        let after: u64 = refused.header("retry-after").parse().unwrap();
        assert!(after <= closed && after + 1 >= closed, "{said}: {after}");
        // The operator knows better.
        let admin = Client::new(gateway.gateway.admin());
        let reopened = admin.request(http::Method::POST, "/reopen?upstream=zoom&label=heavy", "");
        assert_eq!(reopened.await.json()["reopened"], 1);
        gateway.clock.advance(Duration::from_secs(2));
        gateway.sandbox.set_headers(HeaderStyle::Honest);
        assert_eq!(served(&ask(&gateway, question(3)).await), 1, "{said}");
        gateway.clock.advance(Duration::from_secs(20));
    }
    let throttled = [("label", "heavy"), ("window", "second")];
    assert_eq!(gateway.metrics().await.sum("weir_upstream_throttled_total", &throttled), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_in_the_same_second_slow_us_down_until_it_is_quiet() {
    let _quiet = quiet().await;
    let gateway = impatient("").await;
    gateway.sandbox.crowd(Label::Heavy, 8);
    let answers = ask(&gateway, 1..11).await;
    assert_eq!(served(&answers), 2);
    let pace = || async {
        let status = gateway.admin("/status").await.json();
        let labels = status["upstreams"][0]["labels"].as_array().unwrap().clone();
        labels.into_iter().find(|label| label["name"] == "heavy").unwrap()
    };
    let heavy = pace().await;
    assert_eq!((&heavy["pace"], &heavy["closed"]["why"]), (&0.7.into(), &"upstream-closed".into()));
    gateway.clock.advance(Duration::from_secs(2));
    assert_eq!(pace().await["probing"], true);
    assert_eq!(served(&ask(&gateway, 11..12).await), 1, "one finds out");
    gateway.clock.advance(Duration::from_secs(2));
    assert_eq!(served(&ask(&gateway, 16..26).await), 8, "seven tenths, and a step for two windows");
    gateway.clock.advance(Duration::from_secs(20));
    assert_eq!(served(&ask(&gateway, 26..46).await), 10);
    assert_eq!(pace().await["pace"], 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_category_than_the_label_is_a_warning_and_a_metric() {
    let sandbox = Sandbox::new(Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let category = Some("Light".parse().unwrap());
    sandbox.set_headers(HeaderStyle::Lying(Lies { category, ..Lies::default() }));
    let mut child = Child::serve(&Setup::default().config(at)).await;
    let client = Client::new(child.public);
    for page_size in 1..4 {
        let target = users(&sandbox.biggest_session_id(), &format!("?page_size={page_size}"));
        assert_eq!(client.get(&target).await.status, 200);
    }
    let category = Some("Unheard-of".parse().unwrap());
    sandbox.set_headers(HeaderStyle::Lying(Lies { category, ..Lies::default() }));
    client.get(&users(&sandbox.biggest_session_id(), "?page_size=9")).await;
    let metrics = Metrics::parse(Client::new(child.admin).get("/metrics").await.text());
    let mismatch = |category| {
        metrics.sum("weir_label_mismatch_total", &[("label", "heavy"), ("category", category)])
    };
    assert_eq!((mismatch("light"), mismatch("other")), (3, 1));
    child.signal("TERM").await;
    child.ended().await;
    assert_eq!(child.said().matches("in another category").count(), 1, "{}", child.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_are_raised_at_50_80_and_95_percent() {
    let sandbox = Sandbox::new(Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let tables = "[upstreams.zoom.pools.daily]\nper_day = 20\n\
                  [upstreams.zoom.labels.heavy]\nmax_wait = \"5s\"\n";
    let config = Setup { tables: tables.to_owned(), ..Setup::default() }.config(at);
    let mut child = Child::serve(&config).await;
    let client = Client::new(child.public);
    for page_size in 1..=20 {
        let target = users(&sandbox.biggest_session_id(), &format!("?page_size={page_size}"));
        assert_eq!(client.get(&target).await.status, 200);
    }
    let target = users(&sandbox.biggest_session_id(), "?page_size=21");
    client.get(&target).await.problem(429, "quota-day");
    child.signal("TERM").await;
    child.ended().await;
    let said = child.said();
    for percent in [50, 80, 95] {
        let line = format!("{percent} % of the day's pool is spent");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_observes_holds_nobody_back_and_counts() {
    let _quiet = quiet().await;
    let gateway = impatient("mode = \"observe\"\n").await;
    let answers = ask(&gateway, 1..26).await;
    // It is the account that refuses.
    assert_eq!(gateway.heavy().arrived, 25);
    assert_eq!(served(&answers), 10);
    assert!(answers.iter().all(|answer| answer.header("weir-error").is_empty()));
    let metrics = gateway.metrics().await;
    let observed = |reason| {
        metrics.sum("weir_limit_observed_total", &[("label", "heavy"), ("reason", reason)])
    };
    assert!(observed("rate-second") + observed("upstream-closed") >= 15, "{answers:?}");
    assert_eq!(metrics.sum("weir_limit_refused_total", &[]), 0);
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("label", "heavy")]), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_share_and_a_reserve_end_before_the_day_does() {
    let client = |name: &str, more: &str| {
        format!(
            "[[clients]]\nname = \"{name}\"\nkey = {{ value = \"key-of-{name}-0123456789\" }}\n{more}\n"
        )
    };
    let tables = client("batch", "priority = \"low\"\ndaily_share = \"10%\"")
        + &client("billing", "")
        + &client("console", "priority = \"high\"")
        + "[upstreams.zoom.pools.daily]\nper_day = 40\nreserve = { high = \"25%\" }\n\
           [upstreams.zoom.labels.heavy]\nmax_wait = \"10s\"\n";
    let gateway = Setup { tables, ..Setup::default() }.start().await;
    let big = gateway.sandbox.biggest_session_id();
    let ask = |name: &str, page_sizes: std::ops::Range<usize>| {
        let key = format!("Bearer key-of-{name}-0123456789");
        let client = gateway.client().with("authorization", &key);
        let targets = page_sizes.map(|size| users(&big, &format!("?page_size={size}")));
        let targets: Vec<_> = targets.collect();
        async move {
            let mut answers = Vec::new();
            for target in targets {
                answers.push(client.get(&target).await);
            }
            answers
        }
    };
    assert_eq!(served(&ask("batch", 1..5).await), 4);
    let refused = ask("batch", 5..6).await.remove(0);
    refused.problem(429, "client-share");
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((35_900..=36_001).contains(&after), "until midnight: {after}");
    assert_eq!(served(&ask("billing", 5..31).await), 26);
    ask("billing", 31..32).await[0].problem(429, "quota-day");
    assert_eq!(served(&ask("console", 31..41).await), 10);
    ask("console", 41..42).await[0].problem(429, "quota-day");
    assert_eq!(gateway.heavy().arrived, 40);
    let refused = [("reason", "client-share"), ("client", "batch")];
    assert_eq!(gateway.metrics().await.sum("weir_limit_refused_total", &refused), 1);
    // What each may have is told in numbers.
    let status = gateway.admin("/status").await.json();
    let labels = status["upstreams"][0]["labels"].as_array().unwrap();
    let heavy = labels.iter().find(|label| label["name"] == "heavy").unwrap();
    let day: Vec<_> = heavy["shares"].as_array().unwrap().iter().map(|s| &s["day"]).collect();
    assert_eq!(day, [4, 30, 40]);
    gateway.clock.advance(Duration::from_secs(36_001));
    assert_eq!(served(&ask("batch", 42..43).await), 1, "a new day");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_figures_measures_the_same_spend() {
    let sandbox = Sandbox::new(Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let config = |figures: &str| {
        let tables = format!("[upstreams.zoom.labels.heavy]\nmax_wait = \"0s\"\n{figures}");
        Setup { tables, ..Setup::default() }.config(at)
    };
    let mut child = Child::serve(&config("")).await;
    let client = Client::new(child.public);
    let big = sandbox.biggest_session_id();
    for page_size in 1..=5 {
        let target = users(&big, &format!("?page_size={page_size}"));
        assert_eq!(client.get(&target).await.status, 200);
    }
    let day = async || {
        let metrics = Metrics::parse(Client::new(child.admin).get("/metrics").await.text());
        let day = [("label", "heavy"), ("window", "day")];
        (metrics.sum("weir_budget_limit", &day), metrics.sum("weir_budget_remaining", &day))
    };
    assert_eq!(day().await, (30_000, 29_995));
    for (figures, expected) in [
        ("[upstreams.zoom.pools.daily]\nper_day = 7\n", (7, 2)),
        ("[upstreams.zoom.pools.daily]\nper_day = 3\n", (3, 0)),
        ("", (30_000, 29_995)),
    ] {
        std::fs::write(&child.file, config(figures)).unwrap();
        child.signal("HUP").await;
        until(figures, async || (day().await == expected).then_some(())).await;
        let target = users(&big, "?page_size=99");
        if expected.1 == 0 {
            client.get(&target).await.problem(429, "quota-day");
        }
    }
    child.signal("TERM").await;
    child.ended().await;
}
