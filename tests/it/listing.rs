//! A whole listing in one answer: what it costs, when it is refused, and that it is whole.

use std::time::Duration;

use http::Method;
use weir::sandbox::{Options, Plan};

use crate::support::gateway::{Running, start, users};
use crate::support::upstream::answer;
use crate::support::{Answer, Setup, TestGateway, Upstream, clock, until};

/// Switched on, and nothing else.
const ON: &str = r#"
[[upstreams.zoom.endpoints]]
id = "list-session-users"
page_token = { all = { items = "users" } }
"#;

async fn zoom(tables: &str) -> TestGateway {
    let account = Options { plan: Plan::Business, ..Options::default() };
    Setup { account, tables: tables.to_owned(), ..Setup::default() }.start().await
}

fn all(session: &str) -> String {
    users(session, "?page_size=300&page=all")
}

fn told(answer: &Answer) -> (u16, &str, &str, &str) {
    let of = |name| answer.header(name);
    (answer.status, of("weir-pages"), of("weir-tokens-spent"), answer.cache_status())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_users_cost_four_tokens_and_the_second_time_none() {
    let gateway = zoom(ON).await;
    let session = gateway.sandbox.start(None, 1_000).unwrap();
    let first = gateway.get(&all(&session)).await;
    assert_eq!(told(&first), (200, "4", "4", "weir; fwd=miss; detail=pages-4"), "{}", first.text());
    assert_eq!(gateway.heavy().arrived, 4);
    let truth = gateway.sandbox.users(&session).unwrap();
    assert_eq!(first.json()["users"].as_array().unwrap(), &truth);
    assert_eq!((truth.len(), first.next_page().as_str()), (1_000, ""));
    assert_eq!(first.json()["page_size"], 300);
    assert_eq!(first.header("content-type"), "application/json");
    assert!(first.header("ratelimit").contains("\"heavy\""), "as on any forwarded answer");

    gateway.clock.advance(Duration::from_secs(3));
    let second = gateway.get(&all(&session)).await;
    assert_eq!(told(&second), (200, "4", "0", "weir; hit; detail=pages-4"));
    assert_eq!((second.header("age"), gateway.heavy().arrived), ("3", 4));
    assert_eq!((&second.body, second.header("etag")), (&first.body, first.header("etag")));

    // The pages are those of anybody who asks for them.
    let page = gateway.get(&users(&session, "?page_size=300")).await;
    assert!(page.is_hit() && !page.next_page().is_empty());
    // And none of them was asked for by a name of ours.
    let asked = gateway.sandbox.requests();
    assert!(asked.iter().all(|seen| !seen.target.contains("page=all")), "{asked:?}");

    let metrics = gateway.metrics().await;
    let labels = [("endpoint", "list-session-users")];
    assert_eq!(metrics.sum("weir_listing_walks_total", &labels), 2);
    assert_eq!(metrics.sum("weir_requests_total", &labels), 3, "one request, however many pages");
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("label", "heavy")]), 4);
    let lines =
        until("three lines", async || Some(gateway.log()).filter(|log| log.lines().count() == 3));
    assert!(lines.await.lines().all(|line| line.contains("response.status_code\":200")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_page_is_a_whole_listing_too() {
    let gateway = zoom(ON).await;
    let session = gateway.sandbox.start(None, 7).unwrap();
    let whole = gateway.get(&all(&session)).await;
    assert_eq!(told(&whole), (200, "1", "1", "weir; fwd=miss; detail=pages-1"));
    let page = gateway.get(&users(&session, "?page_size=300")).await;
    assert_eq!((page.is_hit(), &page.body), (true, &whole.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_off_the_parameter_is_any_other() {
    let gateway = zoom("").await;
    let session = gateway.sandbox.start(None, 400).unwrap();
    let page = gateway.get(&all(&session)).await;
    assert_eq!((page.status, page.header("weir-pages")), (200, ""));
    assert_eq!(page.json()["users"].as_array().unwrap().len(), 300, "the first page");
    assert!(!page.next_page().is_empty());
    // One that passes everything on passes this on.
    let echo = Upstream::echo().await;
    let gateway = start(&generic(&echo, SECOND, ""), clock()).await;
    gateway.get("/list?page=all&size=2").await;
    assert_eq!(echo.received()[0].target, "/list?page=all&size=2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_amiss_is_told_and_costs_nothing() {
    let gateway = zoom(ON).await;
    let session = gateway.sandbox.start(None, 7).unwrap();
    for (query, parameter) in [
        ("?page=ALL", "page"),
        ("?page=2", "page"),
        ("?page=all&page=all", "page"),
        ("?page=all&next_page_token=abc", "next_page_token"),
    ] {
        let problem = gateway.get(&users(&session, query)).await.problem(400, "bad-parameter");
        assert_eq!(problem["parameter"], parameter, "{query}");
    }
    assert_eq!(gateway.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_conditions_are_about_the_whole() {
    let gateway = zoom(ON).await;
    let session = gateway.sandbox.start(None, 700).unwrap();
    let head = gateway.client().request(Method::HEAD, &all(&session), "").await;
    assert_eq!(told(&head), (200, "3", "3", "weir; fwd=miss; detail=pages-3"));
    assert!(head.body.is_empty());
    let whole = gateway.get(&all(&session)).await;
    assert_eq!(told(&whole), (200, "3", "0", "weir; hit; detail=pages-3"));
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
    assert_eq!(head.header("etag"), whole.header("etag"));
    let known = gateway.client().with("if-none-match", whole.header("etag"));
    let known = known.get(&all(&session)).await;
    assert_eq!(told(&known), (304, "3", "0", "weir; hit; detail=pages-3"));
    assert_eq!((known.body.len(), known.header("etag")), (0, whole.header("etag")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_longer_than_the_rule_allows_is_refused() {
    let bound = ON.replace("items =", "max_pages = 2, items =");
    let gateway = zoom(&bound).await;
    let session = gateway.sandbox.start(None, 601).unwrap();
    let problem = gateway.get(&all(&session)).await.problem(422, "listing-too-long");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("3 pages at least, more than max_pages = 2"), "{detail}");
    assert_eq!(gateway.heavy().arrived, 2, "the API does not tell how many there are");
    let fits = gateway.sandbox.start(None, 600).unwrap();
    assert_eq!(gateway.get(&all(&fits)).await.status, 200);

    let small = ON.replace("items =", "max_bytes = \"100KiB\", items =");
    let gateway = zoom(&small).await;
    let session = gateway.sandbox.start(None, 601).unwrap();
    gateway.get(&all(&session)).await.problem(422, "listing-too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_dies_on_the_way_begins_the_walk_anew() {
    let upstream_clock = clock();
    let account = Options { plan: Plan::Business, ..Options::default() };
    let setup = Setup {
        account,
        tables: ON.to_owned(),
        sandbox_clock: Some(upstream_clock.clone()),
        ..Setup::default()
    };
    let gateway = setup.start().await;
    let session = gateway.sandbox.start(None, 700).unwrap();
    // The first page is in memory, and its token dies at the upstream, whose clock is far ahead.
    assert!(!gateway.get(&users(&session, "?page_size=300")).await.is_hit());
    gateway.sandbox.advance(Duration::from_secs(16 * 60));
    let before = gateway.heavy().arrived;
    let whole = gateway.get(&all(&session)).await;
    assert_eq!(told(&whole), (200, "3", "4", "weir; fwd=miss; detail=pages-3"), "{}", whole.text());
    assert_eq!(gateway.heavy().arrived - before, 4, "the refused page, and all three");
    let listed = whole.json()["users"].as_array().unwrap().len();
    assert_eq!(listed, gateway.sandbox.users(&session).unwrap().len());
    let again = gateway.get(&all(&session)).await;
    assert_eq!(told(&again), (200, "3", "0", "weir; hit; detail=pages-3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_fails_fails_the_whole() {
    let gateway = zoom(ON).await;
    let session = gateway.sandbox.start(None, 1_000).unwrap();
    // The first page is in memory: the fault strikes the second.
    gateway.get(&users(&session, "?page_size=300")).await;
    let broken = weir::sandbox::FaultKind::Status(http::StatusCode::INTERNAL_SERVER_ERROR);
    gateway.sandbox.inject(weir::sandbox::Fault::new(broken, 1));
    let failed = gateway.get(&all(&session)).await;
    assert_eq!((failed.status, failed.header("weir-pages")), (500, ""));
    assert_eq!(gateway.heavy().arrived, 2, "nothing is asked after it");
    // A failure may be remembered for a moment.
    gateway.clock.advance(Duration::from_secs(2));
    let whole = gateway.get(&all(&session)).await;
    assert_eq!(told(&whole), (200, "4", "3", "weir; fwd=miss; detail=pages-4"));
}

/// A gateway before an upstream of the test's own, whole listings switched on by `all`.
fn generic(upstream: &Upstream, label: &str, all: &str) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
[upstreams.own]
base_url = "http://{}"
[upstreams.own.auth]
kind = "none"
[upstreams.own.labels.scarce]
{label}
pool = "day"
[upstreams.own.pools.day]
per_day = 12
[[upstreams.own.endpoints]]
id = "list"
path = "/list"
label = "scarce"
cache = {{ mode = "override", fresh = "10s" }}
page_token = {{ request = "cursor", response = "next", lifetime = "15m" {all} }}
"#,
        upstream.address
    )
}

const SECOND: &str = "per_second = 100";
const GENERIC_ON: &str = ", all = { items = \"users\" }";

/// A listing of ten pages, of which the answers tell how many records there are.
async fn ten_pages() -> Upstream {
    Upstream::start(|request| {
        let cursor = request.target.split("cursor=").nth(1).map_or(0, |c| c.parse().unwrap());
        let next = if cursor < 9 { (cursor + 1).to_string() } else { String::new() };
        let body = format!(
            r#"{{"total_records":20,"page_size":2,"next":"{next}","users":[{cursor}.0, 1e400]}}"#
        );
        answer(200, "content-type: application/json\r\nweir-pages: 99\r\n", &body)
    })
    .await
}

async fn left(gateway: &Running) -> u64 {
    let labels = [("label", "scarce"), ("window", "day")];
    gateway.metrics().await.sum("weir_budget_remaining", &labels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_too_small_is_told_after_one_page() {
    let upstream = ten_pages().await;
    let gateway = start(&generic(&upstream, SECOND, GENERIC_ON), clock()).await;
    let whole = gateway.get("/list?page=all").await;
    assert_eq!(told(&whole), (200, "10", "10", "weir; fwd=miss; detail=pages-10"));
    let users: Vec<_> = (0..10).map(|cursor| format!("{cursor}.0,1e400")).collect();
    let expected =
        format!(r#"{{"total_records":20,"page_size":2,"next":"","users":[{}]}}"#, users.join(","));
    assert_eq!(whole.text(), expected, "as the upstream wrote it");
    assert_eq!(left(&gateway).await, 2);
    let asked: Vec<_> = upstream.received().into_iter().map(|asked| asked.target).collect();
    assert_eq!(asked[..2], ["/list", "/list?cursor=1"], "never by a name of ours");

    gateway.clock.advance(Duration::from_secs(20));
    let refused = gateway.get("/list?page=all").await;
    let problem = refused.problem(429, "listing-budget");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("9 more requests"), "{detail}");
    let until_midnight: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..86_400).contains(&until_midnight));
    assert_eq!(refused.header("ratelimit-policy"), "\"scarce\";q=100;w=1, \"day\";q=12;w=86400");
    assert_eq!((upstream.received().len(), left(&gateway).await), (11, 1), "page 1 was paid");

    gateway.clock.advance(Duration::from_secs(20));
    assert_eq!(gateway.get("/list").await.header("weir-pages"), "", "only weir says that");
    gateway.clock.advance(Duration::from_secs(20));
    // Nothing is left: not even the first page.
    gateway.get("/list?page=all").await.problem(429, "quota-day");
    assert_eq!((upstream.received().len(), left(&gateway).await), (12, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pace_cannot_bring_in_time_is_told_after_one_page() {
    let upstream = ten_pages().await;
    let config = generic(&upstream, "per_minute = 5", GENERIC_ON);
    let gateway = start(&config, clock()).await;
    gateway.get("/list?page=all").await.problem(504, "listing-time");
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_ends_its_walk() {
    let gateway = zoom(ON).await;
    let session = gateway.sandbox.start(None, 1_000).unwrap();
    let first = gateway.get(&users(&session, "?page_size=300")).await;
    gateway.sandbox.set_latency(Duration::from_millis(300));
    let (client, target) = (gateway.client(), all(&session));
    let walk = tokio::spawn(async move { client.get(&target).await });
    let second = async || (gateway.heavy().arrived == 2).then_some(());
    until("the second page is asked for", second).await;
    walk.abort();
    let gone = async || {
        let labels = [("result", "abandoned")];
        let walks = gateway.metrics().await.sum("weir_listing_walks_total", &labels);
        (walks == 1).then_some(())
    };
    until("the walk has ended", gone).await;
    // The second page is on its way all the same, for whoever asks for it.
    let token = first.next_page();
    let second = users(&session, &format!("?page_size=300&next_page_token={token}"));
    assert_eq!(gateway.get(&second).await.status, 200);
    gateway.sandbox.set_latency(Duration::ZERO);
    let other = gateway.sandbox.start(None, 7).unwrap();
    gateway.get(&users(&other, "")).await;
    assert_eq!(gateway.heavy().arrived, 3, "the walk asks for nothing more");
    let log =
        until("four lines", async || Some(gateway.log()).filter(|log| log.lines().count() == 4));
    let log = log.await;
    assert!(log.contains("response.status_code\":499"), "{log}");
}
