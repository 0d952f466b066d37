//! A day's spend survives a crash.

use std::path::Path;

use weir::clock::Clock;
use weir::sandbox::{Label, Options, Plan, Sandbox};

use crate::support::child::{argument, run};
use crate::support::gateway::{serve_sandbox, users};
use crate::support::{Child, Client, Metrics, Setup, until};

const BLOCK: u64 = 60_000 / 2000;

/// The label's second: so many may have left, and die with their connections before the account
/// has read them. They are spent as far as anybody knows.
const UNDER_WAY: u64 = 40;

fn account() -> Options {
    Options { plan: Plan::Business, ..Options::default() }
}

fn config(at: std::net::SocketAddr, state: &Path) -> String {
    let server = format!("state_dir = {:?}", argument(state));
    let tables = "[[upstreams.zoom.endpoints]]\nid = \"list-session-users\"\n\
                  cache = { mode = \"off\" }\n";
    Setup { account: account(), server, tables: tables.to_owned(), ..Setup::default() }.config(at)
}

async fn spent(child: &Child) -> u64 {
    let page = Client::new(child.admin).get("/metrics").await;
    let day = [("label", "heavy"), ("window", "day")];
    60_000 - Metrics::parse(page.text()).sum("weir_budget_remaining", &day)
}

fn arrived(sandbox: &Sandbox) -> u64 {
    sandbox.counters().label(Label::Heavy).unwrap().arrived
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_forgets_nothing_that_was_spent() {
    let sandbox = Sandbox::new(account(), Clock::system());
    // So that nothing is learned from the account's own count: it is the ledger that remembers.
    sandbox.set_headers(weir::sandbox::HeaderStyle::Missing);
    let at = serve_sandbox(&sandbox).await;
    let state = tempfile::tempdir().unwrap();
    let target = users(&sandbox.biggest_session_id(), "?page_size=1");
    let config = config(at, state.path());
    // What restarts have cost, which is never more than a block each, and what was under way.
    let mut lost = 0;
    for round in 0..4 {
        let mut child = Child::serve(&config).await;
        let begin = spent(&child).await;
        assert!(begin >= arrived(&sandbox), "round {round}: {begin} of {}", arrived(&sandbox));
        let most = arrived(&sandbox) + lost + BLOCK + UNDER_WAY;
        assert!(begin <= most, "round {round}: {begin} of at most {most}");
        lost = begin - arrived(&sandbox);
        let client = Client::new(child.public);
        let asked: Vec<_> = (0..60)
            .map(|_| {
                let (client, target) = (client.clone(), target.clone());
                tokio::spawn(async move {
                    while client.try_request(http::Method::GET, &target, "").await.is_ok() {}
                })
            })
            .collect();
        let before = arrived(&sandbox);
        let some = 30 + 17 * round;
        until("it spends", async || (arrived(&sandbox) >= before + some).then_some(())).await;
        child.signal("KILL").await;
        assert_eq!(child.ended().await, None);
        for task in asked {
            task.await.unwrap();
        }
    }
    // Restarts are quick, and what the last run sent is in the same second: a burst on top of it
    // would show. A few more are a busy machine's.
    let heavy = sandbox.counters().label(Label::Heavy).unwrap();
    assert!(heavy.largest_arrived <= 44, "{heavy:?}");
    // A clean stop is exact.
    let mut child = Child::serve(&config).await;
    let now = spent(&child).await;
    assert!(now >= arrived(&sandbox));
    assert_eq!(Client::new(child.public).get(&target).await.status, 200);
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    let mut child = Child::serve(&config).await;
    assert_eq!(spent(&child).await, now + 1);
    child.signal("TERM").await;
    child.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_is_of_no_use_is_an_error_that_says_what_to_do() {
    let sandbox = Sandbox::new(account(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let state = tempfile::tempdir().unwrap();
    let refused = async |state: &Path| {
        let (_directory, file) = crate::support::child::file(&config(at, state));
        let output = run(&["serve", "-c", argument(&file)]).await;
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = refused(Path::new("/proc/weir")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot use /proc/weir (server.state_dir)"), "{said}");

    let mut child = Child::serve(&config(at, state.path())).await;
    let (code, said) = refused(state.path()).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is in use by another weir"), "{said}");
    child.signal("TERM").await;
    child.ended().await;

    std::fs::write(state.path().join("zoom.daily.json"), "not json").unwrap();
    let (code, said) = refused(state.path()).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("zoom.daily.json is corrupt") && said.contains("remove the file"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_refuses_while_it_runs_is_told_of_and_stops_nobody() {
    let sandbox = Sandbox::new(account(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let state = tempfile::tempdir().unwrap();
    let mut child = Child::serve(&config(at, state.path())).await;
    std::fs::create_dir(state.path().join("zoom.daily.new")).unwrap();
    let target = users(&sandbox.biggest_session_id(), "?page_size=1");
    let client = Client::new(child.public);
    for _ in 0..2 * BLOCK {
        assert_eq!(client.get(&target).await.status, 200);
    }
    let durable = async || {
        let page = Client::new(child.admin).get("/metrics").await;
        Metrics::parse(page.text()).sum("weir_budget_durable", &[("pool", "daily")])
    };
    assert_eq!(durable().await, 0);
    let said = child.said();
    assert_eq!(said.matches("cannot write what is spent today").count(), 1, "{said}");
    std::fs::remove_dir(state.path().join("zoom.daily.new")).unwrap();
    until("it is written again", async || (durable().await == 1).then_some(())).await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    assert!(child.said().contains("is written again"));
}
