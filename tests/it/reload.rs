//! SIGHUP: a good file takes effect and keeps what there is, a bad one changes nothing.

use weir::clock::Clock;
use weir::sandbox::Sandbox;

use crate::support::gateway::{serve_sandbox, users};
use crate::support::{Child, Client, Metrics, Setup, until};

const FIRST: &str = "[[clients]]\nname = \"first\"\nkey = { value = \"first-key-0123456789\" }\n";
const SECOND: &str =
    "[[clients]]\nname = \"second\"\nkey = { value = \"second-key-0123456789\" }\n";

fn with_key(child: &Child, key: &str) -> Client {
    Client::new(child.public).with("authorization", &format!("Bearer {key}"))
}

async fn metrics(child: &Child) -> Metrics {
    Metrics::parse(Client::new(child.admin).get("/metrics").await.text())
}

async fn reload(child: &Child, text: &str, result: &str) {
    let before = metrics(child).await.sum("weir_config_reloads_total", &[("result", result)]);
    std::fs::write(&child.file, text).unwrap();
    child.signal("HUP").await;
    until(result, async || {
        let now = metrics(child).await.sum("weir_config_reloads_total", &[("result", result)]);
        (now == before + 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_effect_and_keeps_cache_budget_and_connections() {
    let sandbox = Sandbox::new(weir::sandbox::Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let config = |tables: &str, zoom: &str| {
        let (tables, zoom) = (tables.to_owned(), zoom.to_owned());
        Setup { zoom, tables, ..Setup::default() }.config(at)
    };
    let good = config(FIRST, "");
    let mut child = Child::serve(&good).await;
    let session = sandbox.start(None, 3).unwrap();
    let past = users(&session, "");
    let (first, second) =
        (with_key(&child, "first-key-0123456789"), with_key(&child, "second-key-0123456789"));
    assert!(!first.get(&past).await.is_hit());
    second.get(&past).await.problem(401, "key-unknown");
    let mut open = crate::support::raw::Raw::connect(child.public).await;
    let ask = format!(
        "GET {past} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer first-key-0123456789\r\n\r\n"
    );
    open.write(&ask).await;
    assert!(open.answer().await.0.starts_with("HTTP/1.1 200"));

    // Bad files: nothing changes.
    let listener = "[server]\nlisten = \"127.0.0.1:1\"";
    for bad in [
        "not = [toml",
        "",
        &config(SECOND, "unheard_of = 1"),
        &config(SECOND, "").replace("plan = \"pro\"", "plan = \"gold\""),
        &config(SECOND, "").replace("[server]\nlisten = \"127.0.0.1:0\"", listener),
    ] {
        reload(&child, bad, "refused").await;
        assert!(first.get(&past).await.is_hit(), "{bad}");
        second.get(&past).await.problem(401, "key-unknown");
    }

    // A good one: both may call, and what is stored and spent is still there.
    reload(&child, &config(&format!("{FIRST}{SECOND}"), ""), "ok").await;
    assert!(first.get(&past).await.is_hit());
    let hit = second.get(&past).await;
    assert!(hit.is_hit(), "{hit:?}");
    open.write(&ask).await;
    assert!(open.answer().await.0.starts_with("HTTP/1.1 200"), "the connection is kept");
    let now = metrics(&child).await;
    let day = [("label", "heavy"), ("window", "day")];
    assert_eq!(now.sum("weir_budget_remaining", &day), 29_999);
    assert_eq!(now.sum("weir_requests_total", &[("client", "second"), ("status", "200")]), 1);

    // And what is taken away is gone.
    reload(&child, &config(SECOND, ""), "ok").await;
    first.get(&past).await.problem(401, "key-unknown");
    assert_eq!(second.get(&past).await.status, 200);
    assert_eq!(sandbox.counters().total, 1);
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_way_is_not_harmed_by_a_reload() {
    let sandbox = Sandbox::new(weir::sandbox::Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let config = |fresh: &str| {
        let tables = format!(
            "[[upstreams.zoom.endpoints]]\nid = \"list-session-users\"\ncache = {{ mode = \"override\", fresh = \"{fresh}\" }}\n"
        );
        Setup { tables, ..Setup::default() }.config(at)
    };
    let mut child = Child::serve(&config("10s")).await;
    sandbox.set_latency(std::time::Duration::from_millis(600));
    let target = users(&sandbox.biggest_session_id(), "");
    let client = Client::new(child.public);
    let asked = tokio::spawn({
        let (client, target) = (client.clone(), target.clone());
        async move { client.get(&target).await }
    });
    until("it is asked", async || (sandbox.counters().total == 1).then_some(())).await;
    reload(&child, &config("20s"), "ok").await;
    assert!(!asked.is_finished());
    assert_eq!(asked.await.unwrap().status, 200);
    assert!(client.get(&target).await.is_hit());
    child.signal("INT").await;
    assert_eq!(child.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_configured_any_more_is_not_shown_as_if_it_were() {
    let config = |label: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\n[upstreams.u]\nbase_url = \"http://127.0.0.1:9\"\n\
             [upstreams.u.auth]\nkind = \"none\"\n\
             [upstreams.u.labels.{label}]\nper_second = 5\npool = \"{label}-day\"\n\
             [upstreams.u.pools.{label}-day]\nper_day = 100\n\
             [[upstreams.u.endpoints]]\nid = \"x\"\npath = \"/x\"\nlabel = \"{label}\"\n"
        )
    };
    let mut child = Child::serve(&config("first")).await;
    let shown = async |label: &str, pool: &str| {
        let page = Client::new(child.admin).get("/metrics").await;
        let of = [format!("label=\"{label}\""), format!("pool=\"{pool}\"")];
        let lines = page.text().lines().filter(|line| of.iter().any(|of| line.contains(of)));
        lines.count()
    };
    let all = shown("first", "first-day").await;
    assert!(all >= 10, "two windows, queue, pace, closed, and three of the pool: {all}");
    reload(&child, &config("second"), "ok").await;
    assert_eq!(shown("second", "second-day").await, all);
    assert_eq!(shown("first", "first-day").await, 0);
    reload(&child, &config("first"), "ok").await;
    assert_eq!(shown("first", "first-day").await, all);
    child.signal("TERM").await;
    child.ended().await;
}
