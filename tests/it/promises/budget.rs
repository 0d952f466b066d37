//! The upstream never sees more than its limit; what is not forwarded costs nothing.

use std::time::Duration;

use http::Method;
use weir::clock::Clock;
use weir::sandbox::{Fault, FaultKind, IdKind, Label};

use crate::support::gateway::users;
use crate::support::raw::Raw;
use crate::support::{Client, Setup, TestGateway, join_all, quiet, until};

/// Asserts that no sliding second of the account held more than its figure.
#[track_caller]
fn assert_never_exceeded(gateway: &TestGateway) {
    let heavy = gateway.heavy();
    assert!(heavy.largest_arrived <= heavy.limit as usize, "{heavy:?}");
    assert_eq!(gateway.sandbox.counters().with_status(429), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sliding_second_at_the_upstream_exceeds_the_figure() {
    let _quiet = quiet().await;
    let setup = Setup { tables: patient("1500ms"), ..Setup::default() };
    let gateway = setup.start().await;
    let big = gateway.sandbox.biggest_session_id();
    let answers = join_all((1..=100).map(|page_size| {
        let client = gateway.client();
        let target = users(&big, &format!("?page_size={page_size}"));
        async move { client.get(&target).await }
    }));
    let answers = answers.await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_never_exceeded(&gateway);
    // Ten at once and ten a second later; those of the next second would wait too long.
    assert_eq!((served, refused), (20, 80));
    assert_eq!(gateway.heavy().arrived, 20);
}

fn patient(max_wait: &str) -> String {
    format!("[upstreams.zoom.labels.heavy]\nmax_wait = \"{max_wait}\"\n")
}

/// How long clients poll: a minute as operators know it, less in CI. `WEIR_TEST_SECONDS=60` makes
/// it a minute.
pub(super) fn polling_time() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the length of a test is no configuration")]
    let seconds = std::env::var("WEIR_TEST_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(8))
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_polling_five_sessions_cost_what_the_cache_rule_allows() {
    let _quiet = quiet().await;
    let gateway = TestGateway::start().await;
    let kinds = [IdKind::Plain, IdKind::Slash, IdKind::DoubleSlash, IdKind::LeadingSlash];
    let mut sessions: Vec<_> = kinds.iter().map(|kind| gateway.sandbox.session_id(*kind)).collect();
    sessions.push(gateway.sandbox.start(None, 40).unwrap());

    let clock = Clock::system();
    let until = clock.now() + polling_time();
    let polls = join_all((0..50).map(|index| {
        let (client, clock) = (gateway.client(), clock.clone());
        let target = users(&sessions[index % sessions.len()], "");
        async move {
            let mut answered = 0_u64;
            while clock.now() < until {
                let answer = client.get(&target).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                answered += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answered
        }
    }));
    let answered: u64 = polls.await.iter().sum();

    assert_never_exceeded(&gateway);
    // One fetch a session, and one each time ten seconds of freshness are over.
    let rounds = 1 + polling_time().as_secs() / 10;
    let asked = gateway.sandbox.counters().requests_to("sessionUsers");
    assert!(asked >= 5 && asked <= 5 * rounds, "{asked} of {answered}");
    assert!(answered > 500, "{answered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_spends_nothing() {
    let _quiet = quiet().await;
    let setup = Setup { tables: patient("0s"), ..Setup::default() };
    let gateway = setup.start().await;
    let big = gateway.sandbox.biggest_session_id();
    let answers = join_all((1..=50).map(|page_size| {
        let client = gateway.client();
        let target = users(&big, &format!("?page_size={page_size}"));
        async move { client.get(&target).await.status }
    }));
    let refused = answers.await.iter().filter(|status| **status == 429).count();
    assert_eq!(refused, 40);
    // What was refused has not been held against anybody: the next second's figure is whole.
    gateway.clock.advance(Duration::from_secs(2));
    let answers = join_all((51..=60).map(|page_size| {
        let client = gateway.client();
        let target = users(&big, &format!("?page_size={page_size}"));
        async move { client.get(&target).await.status }
    }));
    assert_eq!(answers.await, [200; 10]);
    assert_eq!((gateway.left_today().await, gateway.heavy().arrived), (30_000 - 20, 20));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("label", "heavy")]), 20);
    assert_eq!(metrics.sum("weir_limit_refused_total", &[("reason", "rate-second")]), 40);
}

/// A label whose window opens again in a minute, and clients who would wait that long.
const MINUTES: &str = r#"
[upstreams.zoom.labels.resource-intensive]
max_wait = "2m"
[[upstreams.zoom.endpoints]]
id = "get-session"
label = "resource-intensive"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_abandoned_in_the_queue_spends_nothing() {
    let setup = Setup {
        server: "request_timeout = \"2m\"".into(),
        tables: MINUTES.to_owned(),
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let big = gateway.sandbox.biggest_session_id();
    // Passes through: what waits in the queue is the client's own request and no flight.
    let detail = format!("/videosdk/sessions/{big}");
    let client = gateway.client();
    let taken = join_all((0..10).map(|_| {
        let (client, detail) = (client.clone(), detail.clone());
        async move { client.get(&detail).await.status }
    }));
    assert_eq!(taken.await, [200; 10]);

    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut raw = Raw::connect(gateway.gateway.public()).await;
        raw.get(&detail).await;
        waiting.push(raw);
    }
    let queue = [("label", "resource-intensive")];
    until("five wait", async || {
        (gateway.metrics().await.sum("weir_limit_queue", &queue) == 5).then_some(())
    })
    .await;
    drop(waiting);
    until("nobody waits", async || {
        (gateway.metrics().await.sum("weir_limit_queue", &queue) == 0).then_some(())
    })
    .await;
    assert_eq!((gateway.left_today().await, gateway.heavy().arrived), (30_000 - 10, 10));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_requests_total", &[("status", "499")]), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_request_spends_one_token_whatever_it_is_answered() {
    let _quiet = quiet().await;
    let gateway = Setup { zoom: "max_retries = 0".into(), ..Setup::default() }.start().await;
    let big = gateway.sandbox.biggest_session_id();
    let teapot = http::StatusCode::IM_A_TEAPOT;
    // The reset first: on a kept connection it would be worth one more attempt, and that pays too.
    for kind in [FaultKind::Reset, FaultKind::Status(teapot), FaultKind::Truncate] {
        gateway.sandbox.inject(Fault::new(kind, 1));
        assert_ne!(gateway.get(&users(&big, "")).await.status, 200, "{kind:?}");
        // Beyond the moment in which a failure is everybody's.
        gateway.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(gateway.get(&users(&big, "")).await.status, 200);
    assert_eq!(gateway.heavy().admitted, 4);
    assert_eq!(gateway.left_today().await, 30_000 - 4);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("label", "heavy")]), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_sent_spends_nothing() {
    // Held without being listened on, so that nobody else gets it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = socket.local_addr().unwrap();
    let gateway =
        crate::support::gateway::start(&Setup::default().config(nobody), crate::support::clock())
            .await;
    for _ in 0..3 {
        gateway.get(&users("DRYb7HZy94X7vkEIIn9h8A==", "")).await.problem(502, "upstream-failed");
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_limit_spent_total", &[]), 0);
    let day = [("label", "heavy"), ("window", "day")];
    assert_eq!(metrics.sum("weir_budget_remaining", &day), 30_000);
    let second = [("label", "heavy"), ("window", "second")];
    assert_eq!(metrics.sum("weir_budget_remaining", &second), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_do_not_spend_from_one_another() {
    let _quiet = quiet().await;
    let gateway = TestGateway::start().await;
    let big = gateway.sandbox.biggest_session_id();
    let client: Client = gateway.client();
    client.get(&users(&big, "")).await;
    client.get(&format!("/videosdk/sessions/{big}/livestream")).await;
    client.request(Method::PUT, &format!("/videosdk/sessions/{big}/recordings/status"), "{}").await;
    let counters = gateway.sandbox.counters();
    let arrived = Label::ALL.map(|label| counters.label(label).unwrap().arrived);
    assert_eq!(arrived, [2, 0, 1, 0]);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("label", "light")]), 2);
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("label", "heavy")]), 1);
    assert_eq!(gateway.left_today().await, 29_999);
}
