//! No answer beyond its age; no page whose token would die in the reader's hands.

use std::collections::BTreeSet;
use std::time::Duration;

use weir::sandbox::{Options, Plan};

use crate::support::gateway::users;
use crate::support::{Answer, Setup, TestGateway, clock};

const MINUTE: Duration = Duration::from_secs(60);

fn business() -> Setup {
    let account = Options { plan: Plan::Business, ..Options::default() };
    Setup { account, ..Setup::default() }
}

/// Follows the pages of 30 to the last.
async fn walk(gateway: &TestGateway, session: &str) -> Vec<Answer> {
    let client = gateway.client();
    let mut pages = vec![client.get(&users(session, "?page_size=30")).await];
    loop {
        let last = pages.last().unwrap();
        assert_eq!(last.status, 200, "{last:?}");
        let token = last.next_page();
        if token.is_empty() {
            return pages;
        }
        let query = format!("?page_size=30&next_page_token={}", encoded(&token));
        pages.push(client.get(&users(session, &query)).await);
    }
}

fn encoded(token: &str) -> String {
    percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn ids(users: &[serde_json::Value]) -> BTreeSet<String> {
    users.iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
}

fn all_ids(pages: &[Answer]) -> BTreeSet<String> {
    let each = pages.iter().map(|page| ids(page.json()["users"].as_array().unwrap()));
    each.flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_walk_through_a_thousand_users_costs_nothing() {
    let gateway = business().start().await;
    let big = gateway.sandbox.biggest_session_id();
    // Somebody may join or leave in the very moment of the first page: then once more, later.
    let (pages, truth) = loop {
        let before = gateway.sandbox.users(&big).unwrap();
        let first = gateway.get(&users(&big, "?page_size=30")).await;
        assert_eq!(first.status, 200);
        if gateway.sandbox.users(&big).unwrap() == before {
            break (walk(&gateway, &big).await, before);
        }
        gateway.clock.advance(20 * MINUTE);
    };
    assert!(truth.len() > 1_000 && pages.len() > 33, "{} {}", truth.len(), pages.len());
    assert_eq!(all_ids(&pages), ids(&truth));
    let told: usize = pages.iter().map(|page| page.json()["users"].as_array().unwrap().len()).sum();
    assert_eq!(told, truth.len(), "nobody is told twice");

    let asked = gateway.asked();
    let again = walk(&gateway, &big).await;
    assert_eq!(gateway.asked(), asked, "the second walk costs nothing");
    assert!(again.iter().all(Answer::is_hit));
    let bodies = |pages: &[Answer]| pages.iter().map(|p| p.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&again), bodies(&pages));
}

/// A rule that would keep pages for hours, were it not for their tokens.
const FOR_HOURS: &str = r#"
[[upstreams.zoom.endpoints]]
id = "list-session-users"
cache = { mode = "override", fresh = "4h", stale_while_revalidate = "4h", stale_if_error = "4h" }
when = []
"#;

/// Follows the token of the first page.
async fn second_page(gateway: &TestGateway, session: &str, first: &Answer) -> Answer {
    let query = format!("?page_size=30&next_page_token={}", encoded(&first.next_page()));
    gateway.get(&users(session, &query)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_from_the_cache_leads_to_a_dead_token() {
    let setup = Setup { tables: FOR_HOURS.to_owned(), ..business() };
    let gateway = setup.start().await;
    let big = gateway.sandbox.biggest_session_id();
    let first = users(&big, "?page_size=30");
    assert!(!gateway.get(&first).await.is_hit());
    // Its token lives 15 minutes; the last two belong to the reader.
    for (advance, hit) in [
        (12 * MINUTE, true),
        (MINUTE / 2, true),
        (MINUTE, false),
        (14 * MINUTE, false),
        (31 * MINUTE, false),
    ] {
        gateway.clock.advance(advance);
        let page = gateway.get(&first).await;
        assert_eq!((page.status, page.is_hit()), (200, hit), "{advance:?} {page:?}");
        let next = second_page(&gateway, &big, &page).await;
        assert_eq!(next.status, 200, "{advance:?} {}", next.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fourteen_minutes_later_every_page_still_leads_on() {
    let gateway = business().start().await;
    let big = gateway.sandbox.biggest_session_id();
    walk(&gateway, &big).await;
    gateway.clock.advance(14 * MINUTE);
    let asked = gateway.asked();
    let pages = walk(&gateway, &big).await;
    assert_eq!(gateway.asked() - asked, pages.len() as u64, "all of them are new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_the_cache_outlives_an_upstream_that_is_ahead() {
    let setup = Setup { sandbox_clock: Some(clock()), ..business() };
    let gateway = setup.start().await;
    let big = gateway.sandbox.biggest_session_id();
    let target = users(&big, "?page_size=30");
    gateway.get(&target).await;
    gateway.sandbox.advance(14 * MINUTE);
    let page = gateway.get(&target).await;
    assert!(page.is_hit(), "our clock stands still");
    assert_eq!(second_page(&gateway, &big, &page).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_page_has_no_token_to_die() {
    let setup = Setup { tables: FOR_HOURS.to_owned(), ..business() };
    let gateway = setup.start().await;
    let session = gateway.sandbox.start(None, 7).unwrap();
    let target = users(&session, "");
    assert_eq!(gateway.get(&target).await.next_page(), "");
    gateway.clock.advance(60 * MINUTE);
    assert!(gateway.get(&target).await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_ages_as_its_rule_says() {
    let gateway = TestGateway::start().await;
    let session = gateway.sandbox.start(None, 7).unwrap();
    let target = users(&session, "");
    let seconds = |seconds| gateway.clock.advance(Duration::from_secs(seconds));
    gateway.get(&target).await;
    seconds(8);
    let fresh = gateway.get(&target).await;
    assert!(fresh.is_hit() && !fresh.cache_status().contains("stale"), "{}", fresh.cache_status());
    assert_eq!(fresh.header("age"), "8");
    // Fresh for 10 s, served stale for 30 s more while it is refreshed.
    seconds(20);
    let stale = gateway.get(&target).await;
    assert!(stale.is_hit() && stale.cache_status().contains("stale"), "{}", stale.cache_status());
    crate::support::until("the refresh lands", async || {
        let again = gateway.get(&target).await;
        (!again.cache_status().contains("stale")).then_some(())
    })
    .await;
    assert_eq!(gateway.heavy().arrived, 2);
    // Beyond both it is fetched.
    seconds(60);
    let fetched = gateway.get(&target).await;
    assert!(fetched.cache_status().starts_with("weir; fwd=stale; fwd-status=200; stored"));
    // And should that fail, it is served for ten minutes, and then no longer.
    for (later, status) in [(60, 200), (700, 500)] {
        let broken = http::StatusCode::INTERNAL_SERVER_ERROR;
        gateway.sandbox.clear_faults();
        gateway
            .sandbox
            .inject(weir::sandbox::Fault::new(weir::sandbox::FaultKind::Status(broken), 5));
        seconds(later);
        let answer = gateway.get(&target).await;
        assert_eq!(answer.status, status, "{later} {}", answer.cache_status());
    }
}
