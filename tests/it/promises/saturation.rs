//! The limit is used to the full, shared fairly, and never exceeded, at a server that counts
//! strictly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir::clock::Clock;
use weir::sandbox::{Options, Plan};

use super::budget::polling_time;
use crate::support::gateway::users;
use crate::support::{Client, Setup, TestGateway, join_all, quiet};

/// Every answer has to be fetched, and waiting is no matter.
const FETCHED: &str = r#"
[[upstreams.zoom.endpoints]]
id = "list-session-users"
cache = { mode = "off" }
[upstreams.zoom.labels.heavy]
max_wait = "50s"
max_queue = 10000
"#;

async fn strict(tables: &str) -> TestGateway {
    let account = Options { plan: Plan::Business, ..Options::default() };
    let server = "request_timeout = \"60s\"".to_owned();
    Setup { account, server, tables: format!("{FETCHED}{tables}"), ..Setup::default() }
        .start()
        .await
}

/// Asks again and again with so many requests at a time, until the time is up; answers 200 that
/// came between `from` and `until`.
async fn askers(
    client: &Client,
    target: &str,
    at_a_time: usize,
    from: Duration,
    until: Duration,
) -> u64 {
    let clock = Clock::system();
    let start = clock.now();
    let answered = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..at_a_time)
        .map(|_| {
            let (client, clock) = (client.clone(), clock.clone());
            let (target, answered) = (target.to_owned(), Arc::clone(&answered));
            tokio::spawn(async move {
                loop {
                    let status = client.get(&target).await.status;
                    let at = clock.now() - start;
                    assert_eq!(status, 200);
                    if at > until {
                        return;
                    }
                    answered.fetch_add(u64::from(at >= from), Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(until).await;
    // Those who still wait need not be waited for.
    let answered = answered.load(Ordering::Relaxed);
    for task in tasks {
        if task.is_finished() {
            task.await.unwrap();
        } else {
            task.abort();
        }
    }
    answered
}

/// Whether the account has refused nobody, and no sliding second held more than 40.
fn never_exceeded(gateway: &TestGateway) -> Result<(), String> {
    let heavy = gateway.heavy();
    let refused = gateway.sandbox.counters().with_status(429);
    if heavy.largest_arrived > 40 || refused > 0 {
        return Err(format!("{refused} refused: {heavy:?}"));
    }
    Ok(())
}

/// Later than this nothing may be on a machine whose word counts.
const LATE: Duration = Duration::from_millis(10);

/// What is measured here is the gateway, and not a machine on which it does not get to run: where
/// timers were late, a failure is looked at again.
#[expect(clippy::print_stdout, reason = "says why a test takes longer")]
async fn where_timers_keep_up(test: impl AsyncFn() -> Result<(), String>) {
    let clock = Clock::system();
    for tries_left in (0..3).rev() {
        let latest = Arc::new(AtomicU64::new(0));
        let watch = tokio::spawn({
            let (clock, latest) = (clock.clone(), Arc::clone(&latest));
            async move {
                loop {
                    let due = clock.now() + Duration::from_millis(5);
                    tokio::time::sleep_until(due.into()).await;
                    let late = u64::try_from((clock.now() - due).as_micros()).unwrap();
                    latest.fetch_max(late, Ordering::Relaxed);
                }
            }
        });
        let outcome = test().await;
        watch.abort();
        let late = Duration::from_micros(latest.load(Ordering::Relaxed));
        match outcome {
            Ok(()) => return,
            Err(why) if late > LATE && tries_left > 0 => println!("timers {late:?} late: {why}"),
            Err(why) => panic!("{why} (timers at most {late:?} late)"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_use_a_strict_limit_to_the_full() {
    let _quiet = quiet().await;
    where_timers_keep_up(async || {
        let gateway = strict("").await;
        let time = polling_time();
        let target = users(&gateway.sandbox.biggest_session_id(), "?page_size=1");
        let answered = askers(&gateway.client(), &target, 200, Duration::ZERO, time).await;
        never_exceeded(&gateway)?;
        let whole = 40 * time.as_secs();
        (answered * 100 >= whole * 98).then_some(()).ok_or(format!("{answered} of {whole}"))
    })
    .await;
}

/// What part of all answers the first of two clients had.
async fn contended(weights: (u32, u32), at_a_time: (usize, usize)) -> Result<f64, String> {
    let client = |name: &str, weight: u32| {
        format!(
            "[[clients]]\nname = \"{name}\"\nkey = {{ value = \"key-of-{name}-0123456789\" }}\nweight = {weight}\n"
        )
    };
    let gateway = strict(&(client("many", weights.0) + &client("few", weights.1))).await;
    let target = users(&gateway.sandbox.biggest_session_id(), "?page_size=1");
    let time = polling_time();
    let sums = join_all([("many", at_a_time.0), ("few", at_a_time.1)].map(|(name, n)| {
        let key = format!("Bearer key-of-{name}-0123456789");
        let (client, target) = (gateway.client().with("authorization", &key), target.clone());
        // The first second's figure goes to whoever comes first.
        async move { askers(&client, &target, n, Duration::from_secs(1), time).await }
    }))
    .await;
    never_exceeded(&gateway)?;
    #[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
    let part = sums[0] as f64 / (sums[0] + sums[1]) as f64;
    Ok(part)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_what_their_weights_say_however_often_they_ask() {
    let _quiet = quiet().await;
    for (weights, at_a_time, expected) in [((1, 1), (100, 2), 0.5), ((3, 1), (60, 60), 0.75)] {
        where_timers_keep_up(async || {
            let part = contended(weights, at_a_time).await?;
            let near = (part - expected).abs() < 0.02;
            near.then_some(()).ok_or(format!("{part} for {expected}"))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_taken_are_requests_that_the_upstream_saw_whenever_clients_hang_up() {
    let _quiet = quiet().await;
    where_timers_keep_up(hang_up_at_random).await;
}

async fn hang_up_at_random() -> Result<(), String> {
    let gateway = strict("").await;
    gateway.sandbox.set_latency(Duration::from_millis(60));
    let target = users(&gateway.sandbox.biggest_session_id(), "?page_size=1");
    let client = gateway.client();
    // Queued, on their way to a connection, in flight, or just answered.
    let hung_up = join_all((0..1000).map(|n| {
        let (client, target) = (client.clone(), target.clone());
        async move {
            let patience = Duration::from_micros(fastrand::u64(0..(200 + n * 3_000)));
            tokio::time::timeout(patience, client.get(&target)).await.is_err()
        }
    }))
    .await;
    assert!(hung_up.iter().filter(|gone| **gone).count() > 500);
    // What was under way comes to its end.
    let quiet = async || {
        let metrics = gateway.metrics().await;
        let waits = metrics.sum("weir_limit_queue", &[]) + metrics.sum("weir_in_flight", &[]);
        (waits == 0).then_some(())
    };
    crate::support::until("nobody waits", quiet).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let saw = gateway.heavy().arrived;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("label", "heavy")]), saw);
    assert_eq!(gateway.left_today().await, 60_000 - saw);
    never_exceeded(&gateway)
}
