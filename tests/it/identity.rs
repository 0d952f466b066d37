//! Who calls, and what they may ask: keys that change, fields of their own, tokens, permissions.

use std::time::Duration;

use http::Method;
use weir::clock::Clock;
use weir::sandbox::Sandbox;

use crate::support::gateway::{serve_sandbox, start, users};
use crate::support::issuer::Issuer;
use crate::support::raw::Raw;
use crate::support::{Answer, Child, Client, Setup, Upstream, clock, until};

/// A configuration before an upstream that answers everything.
fn before(upstream: &Upstream, server: &str, tables: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{server}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nformat = \"json\"\n[upstreams.u]\nbase_url = \"http://{}\"\n\
         [upstreams.u.auth]\nkind = \"none\"\n\
         [[upstreams.u.endpoints]]\nid = \"all\"\nmethod = \"*\"\npath = \"/{{*rest}}\"\n{tables}",
        upstream.address
    )
}

fn keyed(keys: &str) -> String {
    format!("[[clients]]\nname = \"console\"\nkeys = [{keys}]\n")
}

const OLD: &str = "{ value = \"old-key-0123456789\" }";
const NEW: &str = "{ value = \"new-key-0123456789\" }";

async fn reload(child: &Child, text: &str) {
    let before = child.said().matches("configuration reloaded").count();
    std::fs::write(&child.file, text).unwrap();
    child.signal("HUP").await;
    until("reloaded", async || {
        (child.said().matches("configuration reloaded").count() > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_one_by_one_on_a_connection_that_stays() {
    let upstream = Upstream::echo().await;
    let config = |keys: &str| before(&upstream, "", &keyed(keys));
    let mut child = Child::serve(&config(OLD)).await;
    let mut open = Raw::connect(child.public).await;
    let mut statuses = async || {
        let mut statuses = Vec::new();
        for key in ["old-key-0123456789", "new-key-0123456789"] {
            let ask =
                format!("GET /x HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {key}\r\n\r\n");
            open.write(&ask).await;
            statuses.push(open.answer().await.0[9..12].to_owned());
        }
        statuses
    };
    assert_eq!(statuses().await, ["200", "401"]);
    reload(&child, &config(&format!("{OLD}, {NEW}"))).await;
    assert_eq!(statuses().await, ["200", "200"]);
    reload(&child, &config(NEW)).await;
    assert_eq!(statuses().await, ["401", "200"]);
    child.signal("TERM").await;
    child.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_field_of_its_own_is_known_there_alone_and_goes_no_further() {
    let upstream = Upstream::echo().await;
    let config = before(&upstream, "key_header = \"x-api-key\"", &keyed(OLD));
    let gateway = start(&config, clock()).await;
    let told = gateway
        .client()
        .with("x-api-key", "old-key-0123456789")
        .with("authorization", "Bearer of-the-client")
        .get("/x")
        .await;
    assert_eq!(told.status, 200);
    let [received] = &upstream.received()[..] else { panic!("it was asked once") };
    assert_eq!((received.header("x-api-key"), received.header("authorization")), ("", ""));

    let bearer = gateway.client().with("authorization", "Bearer old-key-0123456789");
    let problem = bearer.get("/x").await.problem(401, "key-missing");
    assert_eq!(problem["detail"], "an API key is needed: x-api-key: <key>");
    let mut raw = Raw::connect(gateway.gateway.public()).await;
    let key = "x-api-key: old-key-0123456789\r\n";
    raw.write(&format!("GET /x HTTP/1.1\r\nhost: weir\r\n{key}{key}\r\n")).await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 401") && body.contains("more than one API key"), "{body}");
    let long = gateway.client().with("x-api-key", &"k".repeat(4097));
    long.get("/x").await.problem(401, "key-unknown");
    assert_eq!(upstream.received().len(), 1);
}

const PERMITTED: &str = r#"
[[clients]]
name = "all"
key = { value = "all-key-0123456789" }
[[clients]]
name = "few"
key = { value = "few-key-0123456789" }
endpoints = ["zoom/list-sessions", "get-*"]
[[upstreams.zoom.endpoints]]
id = "list-session-users"
page_token = { all = { items = "users" } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_gets_nothing_from_memory_and_spends_nothing() {
    let gateway = Setup { tables: PERMITTED.to_owned(), ..Setup::default() }.start().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    let with = |key: &str| gateway.client().with("authorization", &format!("Bearer {key}"));
    let (all, few) = (with("all-key-0123456789"), with("few-key-0123456789"));
    assert_eq!(all.get(&target).await.status, 200);
    assert!(all.get(&target).await.is_hit());
    let asked = gateway.asked();
    for query in ["", "?page_size=300&page=all", "?type=nonsense"] {
        let problem = few.get(&format!("{target}{query}")).await.problem(403, "forbidden");
        assert_eq!(problem["detail"], "this client may not ask this endpoint");
    }
    few.request(Method::HEAD, &target, "").await;
    assert_eq!(gateway.asked(), asked);
    let metrics = gateway.metrics().await;
    let refused = [("client", "few"), ("endpoint", "list-session-users"), ("status", "403")];
    assert_eq!(metrics.sum("weir_requests_total", &refused), 4);
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("client", "few")]), 0);
    assert_eq!(metrics.sum("weir_cache_requests_total", &[("endpoint", "list-session-users")]), 2);
    // What it may ask it is given.
    assert_eq!(few.get("/videosdk/sessions?from=2026-01-01&to=2026-01-02").await.status, 200);
}

fn detail(answer: &Answer) -> String {
    answer.problem(401, "key-unknown")["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_its_subjects_until_it_expires() {
    let upstream = Upstream::echo().await;
    let issuer = Issuer::new();
    let clients = "[[clients]]\nname = \"console\"\nsubjects = [\"svc-console\"]\n\
                   key = { value = \"old-key-0123456789\" }\n";
    let config = before(&upstream, "", &format!("{}{clients}", issuer.table()));
    let gateway = start(&config, clock()).await;
    let now = gateway.clock.wall();
    let ask = async |bearer: &str| {
        gateway.client().with("authorization", &format!("Bearer {bearer}")).get("/x").await
    };
    let good = issuer.token("svc-console", 60, now);
    assert_eq!(ask(&good).await.status, 200);
    assert_eq!(upstream.received()[0].header("authorization"), "", "it was for us");
    assert_eq!(ask("old-key-0123456789").await.status, 200);
    for (token, why) in [
        (issuer.token("stranger", 60, now), "the token's subject is not known here"),
        (issuer.token("svc-console", -60, now), "the token has expired"),
        (Issuer::new().token("svc-console", 60, now), "the token's signature is wrong"),
        ("a.b.c".to_owned(), "the token is malformed"),
        (format!("a.{}.c", "b".repeat(8192)), "the token is longer than 8192 bytes"),
    ] {
        assert_eq!(detail(&ask(&token).await), why);
    }
    gateway.clock.advance(Duration::from_secs(89));
    assert_eq!(ask(&good).await.status, 200);
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(detail(&ask(&good).await), "the token has expired");
    assert_eq!(gateway.metrics().await.sum("weir_requests_total", &[("client", "console")]), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_of_the_issuer_are_read_on_reload() {
    let upstream = Upstream::echo().await;
    let mut issuer = Issuer::new();
    let clients = "[[clients]]\nname = \"console\"\nsubjects = [\"svc-console\"]\n";
    let config = before(&upstream, "", &format!("{}{clients}", issuer.table()));
    let mut child = Child::serve(&config).await;
    let ask = async |token: &str| {
        let client = Client::new(child.public).with("authorization", &format!("Bearer {token}"));
        client.get("/x").await
    };
    let first = issuer.token("svc-console", 600, Clock::system().wall());
    assert_eq!(ask(&first).await.status, 200);
    issuer.rotate();
    let second = issuer.token("svc-console", 600, Clock::system().wall());
    assert_eq!(detail(&ask(&second).await), "the token's signature is wrong");
    reload(&child, &config).await;
    assert_eq!(ask(&second).await.status, 200);
    // Also what was good before, and remembered.
    assert_eq!(detail(&ask(&first).await), "the token's signature is wrong");
    child.signal("TERM").await;
    child.ended().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_process_leaves_no_core_and_has_all_files_it_may_have() {
    let limit = |limits: &str, name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().take(2).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let ours = std::fs::read_to_string("/proc/self/limits").unwrap();
    let sandbox = Sandbox::new(weir::sandbox::Options::default(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    for (server, core) in [
        ("", vec!["0".to_owned(), "0".to_owned()]),
        ("allow_core_dumps = true", limit(&ours, "Max core file size")),
    ] {
        let config = Setup { server: server.to_owned(), ..Setup::default() }.config(at);
        let child = Child::serve(&config).await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.pid())).unwrap();
        assert_eq!(limit(&limits, "Max core file size"), core);
        let [soft, hard] = &limit(&limits, "Max open files")[..] else { panic!("{limits}") };
        assert_eq!(soft, hard);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_browser_beside_weir_changes_nothing() {
    let upstream = Upstream::echo().await;
    let gateway = start(&before(&upstream, "", &keyed(OLD)), clock()).await;
    let admin = Client::new(gateway.gateway.admin());
    let post =
        async |client: Client| client.request(Method::POST, "/purge?all=true", "").await.status;
    assert_eq!(post(admin.clone()).await, 200);
    assert_eq!(post(admin.clone().with("origin", "https://evil.example")).await, 403);
    assert_eq!(post(admin.clone().with("sec-fetch-site", "cross-site")).await, 403);
    assert_eq!(post(admin.clone().with("host", "evil.example")).await, 403);
    assert_eq!(admin.with("host", "evil.example").get("/metrics").await.status, 200);
}
