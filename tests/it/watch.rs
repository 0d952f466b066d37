//! `--watch`: a configuration takes effect when its files change; and reloads under load.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use weir::clock::Clock;
use weir::config::{Env, from_text};
use weir::sandbox::{Options, Plan, Sandbox};

use crate::support::gateway::{self, serve_sandbox, users};
use crate::support::raw::Raw;
use crate::support::{Child, Client, Metrics, Setup, until};

async fn reloads(child: &Child, result: &str) -> u64 {
    let page = Client::new(child.admin).get("/metrics").await;
    Metrics::parse(page.text()).sum("weir_config_reloads_total", &[("result", result)])
}

async fn reloaded(child: &Child, result: &str, times: u64) {
    until(result, async || (reloads(child, result).await >= times).then_some(())).await;
    assert_eq!(reloads(child, result).await, times, "{result}");
}

fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("tmp");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_warns_of_what_it_opens() {
    let sandbox = Sandbox::new(Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let config = |tables: &str| Setup { tables: tables.to_owned(), ..Setup::default() }.config(at);
    let child = Child::serve(&config("")).await;
    let told = "a secret stands in the file itself";
    let before = child.said().matches(told).count();
    let open = "[[clients]]\nname = \"a\"\nkey = { value = \"0123456789abcdef\" }\n";
    replace(&child.file, &config(open));
    child.signal("HUP").await;
    reloaded(&child, "ok", 1).await;
    until("it is told", async || (child.said().matches(told).count() > before).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_takes_effect_and_a_bad_one_is_tried_again_when_it_changes() {
    let sandbox = Sandbox::new(Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let config = |tables: &str| Setup { tables: tables.to_owned(), ..Setup::default() }.config(at);
    let clients = "[[clients]]\nname = \"a\"\nkey = { file = \"key\" }\n";
    let mut child = Child::serve_with(&config(""), |command| command.arg("--watch")).await;
    let key = child.file.with_file_name("key");
    let target = users(&sandbox.biggest_session_id(), "");
    assert_eq!(Client::new(child.public).get(&target).await.status, 200);
    // A secret that is not there yet: refused, and tried again when it comes.
    replace(&child.file, &config(clients));
    reloaded(&child, "refused", 1).await;
    assert_eq!(Client::new(child.public).get(&target).await.status, 200);
    std::fs::write(&key, "first-key-0123456789\n").unwrap();
    reloaded(&child, "ok", 1).await;
    let with =
        |key: &str| Client::new(child.public).with("authorization", &format!("Bearer {key}"));
    Client::new(child.public).get(&target).await.problem(401, "key-missing");
    assert_eq!(with("first-key-0123456789").get(&target).await.status, 200);
    // The secret alone changes.
    replace(&key, "second-key-0123456789\n");
    reloaded(&child, "ok", 2).await;
    with("first-key-0123456789").get(&target).await.problem(401, "key-unknown");
    assert_eq!(with("second-key-0123456789").get(&target).await.status, 200);
    // Half a file, and then the whole.
    std::fs::write(&child.file, &config("")[..100]).unwrap();
    reloaded(&child, "refused", 2).await;
    std::fs::write(&child.file, config("")).unwrap();
    reloaded(&child, "ok", 3).await;
    assert_eq!(Client::new(child.public).get(&target).await.status, 200);
    // SIGHUP goes on working.
    child.signal("HUP").await;
    reloaded(&child, "ok", 4).await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
}

/// A hundred reloads under load, every other of them refused: no request is lost, and what was
/// spent stays spent.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_lose_no_request_and_refill_no_budget() {
    const TIMES: u64 = 100;
    let account = Options { plan: Plan::Business, ..Options::default() };
    let sandbox = Sandbox::new(account.clone(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let config = |timeout: u64| {
        let server = format!("request_timeout = \"{timeout}s\"");
        Setup { account: account.clone(), server, ..Setup::default() }.config(at)
    };
    let running = Arc::new(gateway::start(&config(30), Clock::system()).await);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let session = sandbox.biggest_session_id();
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let (public, session) = (running.gateway.public(), session.clone());
            tokio::spawn(async move {
                let mut raw = Raw::connect(public).await;
                for page_size in (1..=300).cycle() {
                    // Half of them are hits, half are fetched and paid for.
                    let size = if client % 2 == 0 { 7 } else { page_size };
                    raw.get(&users(&session, &format!("?page_size={size}"))).await;
                    let (head, _) = raw.answer().await;
                    let fair = head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 429");
                    assert!(fair, "{head}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        })
        .collect();
    for time in 0..TIMES {
        let seen = answered.load(Ordering::Relaxed);
        let reloader = Arc::clone(&running);
        let text = if time % 2 == 0 { config(31 + time) } else { "[server]\nlisten = 5".into() };
        tokio::task::spawn_blocking(move || match from_text("weir.toml", &text, &Env::new()) {
            Ok(loaded) => reloader.gateway.reload(loaded.settings).unwrap(),
            Err(_) => reloader.gateway.reload_refused(),
        })
        .await
        .unwrap();
        until("load", async || (answered.load(Ordering::Relaxed) > seen).then_some(())).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("every request was answered");
    }
    let metrics = running.metrics().await;
    for result in ["ok", "refused"] {
        let counted = metrics.sum("weir_config_reloads_total", &[("result", result)]);
        assert_eq!(counted, TIMES / 2, "{result}");
    }
    // What the account saw is what was spent, and what was spent is gone.
    let heavy = sandbox.counters().label(weir::sandbox::Label::Heavy).unwrap();
    let label = [("upstream", "zoom"), ("label", "heavy")];
    let spent = metrics.sum("weir_limit_spent_total", &label);
    assert!(spent > 0);
    assert_eq!(spent, sandbox.counters().total, "{heavy:?}");
    let day = [("upstream", "zoom"), ("label", "heavy"), ("window", "day")];
    let (limit, left) =
        (metrics.sum("weir_budget_limit", &day), metrics.sum("weir_budget_remaining", &day));
    assert_eq!(limit - left, spent);
}
