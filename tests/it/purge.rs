//! `POST /purge`: what is asked for, and what is said about it.

use http::Method;
use serde_json::{Value, json};

use crate::support::gateway::start;
use crate::support::{Answer, Child, Client, Metrics, Setup, TestGateway, clock, until};

/// A second upstream, which knows sessions too, and a third, which does not.
const OTHERS: &str = r#"
[upstreams.own]
base_url = "http://127.0.0.1:9"
mount = "/own"
[upstreams.own.auth]
kind = "none"
[[upstreams.own.endpoints]]
id = "notes"
path = "/notes/{sessionId}"
cache = { mode = "override", fresh = "10s" }
[[upstreams.own.endpoints]]
id = "write"
method = "POST"
path = "/write"
[upstreams.plain]
base_url = "http://127.0.0.1:9"
mount = "/plain"
[upstreams.plain.auth]
kind = "none"
[[upstreams.plain.endpoints]]
id = "notes"
path = "/notes/{id}"
"#;

const SESSION: &str = "/x71bJ9TPLLQA4VK537raQ==";

async fn three() -> TestGateway {
    Setup { tables: OTHERS.to_owned(), ..Setup::default() }.start().await
}

async fn purge(gateway: &TestGateway, query: &str) -> Answer {
    let admin = Client::new(gateway.gateway.admin());
    admin.request(Method::POST, &format!("/purge{query}"), "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_says_what_it_was_of_and_is_counted() {
    let gateway = three().await;
    let users = |session: &str, type_: &str| {
        json!({
            "purged": "url", "mode": "hard", "upstreams": ["zoom"], "endpoint": "list-session-users",
            "target": format!("/videosdk/sessions/{session}/users?page_size=30&type={type_}"),
        })
    };
    let twice = "%252Fx71bJ9TPLLQA4VK537raQ%253D%253D";
    let session = |upstreams: &[&str]| json!({ "purged": "session", "mode": "hard", "session": SESSION, "upstreams": upstreams });
    let endpoint = |id: &str, upstreams: &[&str]| json!({ "purged": "endpoint", "mode": "soft", "endpoint": id, "upstreams": upstreams });
    let tag = |upstreams: &[&str]| json!({ "purged": "tag", "mode": "hard", "tag": "a b", "upstreams": upstreams });
    for (query, expected) in [
        ("?all=true", json!({ "purged": "all", "mode": "hard" })),
        ("?all=true&mode=soft", json!({ "purged": "all", "mode": "soft" })),
        // One question, in whatever spelling.
        ("?url=/videosdk/sessions/%2Fx71bJ9TPLLQA4VK537raQ%3D%3D/users", users(twice, "live")),
        (
            "?url=%2Fvideosdk%2Fsessions%2F%252Fx71bJ9TPLLQA4VK537raQ%253D%253D%2Fusers%3Ftype%3Dlive",
            users(twice, "live"),
        ),
        (
            "?url=/v2/videosdk/sessions//x71bJ9TPLLQA4VK537raQ==/users?page_size=30%26type=past",
            users(twice, "past"),
        ),
        (
            "?url=/own/notes/a%252Fb",
            json!({
                "purged": "url", "mode": "hard", "upstreams": ["own"], "endpoint": "notes",
                "target": "/notes/a%2Fb",
            }),
        ),
        // Raw, and encoded up to four times.
        ("?session=/x71bJ9TPLLQA4VK537raQ==", session(&["own", "zoom"])),
        ("?session=%2Fx71bJ9TPLLQA4VK537raQ%3D%3D", session(&["own", "zoom"])),
        ("?session=%25252Fx71bJ9TPLLQA4VK537raQ==", session(&["own", "zoom"])),
        ("?session=%2525252Fx71bJ9TPLLQA4VK537raQ==&upstream=own", session(&["own"])),
        ("?mode=soft&endpoint=notes", endpoint("notes", &["own", "plain"])),
        ("?mode=soft&endpoint=notes&upstream=plain", endpoint("notes", &["plain"])),
        ("?mode=soft&endpoint=list-session-users", endpoint("list-session-users", &["zoom"])),
        ("?tag=a%20b", tag(&["own", "plain", "zoom"])),
        ("?tag=a%20b&upstream=plain", tag(&["plain"])),
    ] {
        let answer = purge(&gateway, query).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        let mut said = answer.json();
        if let Some(Value::Array(upstreams)) = said.get_mut("upstreams") {
            upstreams.sort_by_key(ToString::to_string);
        }
        assert_eq!(said, expected, "{query}");
    }
    let metrics = gateway.metrics().await;
    let count =
        |scope, mode| metrics.sum("weir_cache_purges_total", &[("scope", scope), ("mode", mode)]);
    assert_eq!([count("all", "hard"), count("all", "soft")], [1, 1]);
    assert_eq!(["url", "session", "tag"].map(|scope| count(scope, "hard")), [4, 4, 2]);
    assert_eq!(count("endpoint", "soft"), 3);
    assert_eq!(metrics.sum("weir_cache_purges_total", &[]), 15);
    assert_eq!(gateway.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_purges_nothing() {
    let gateway = three().await;
    for (query, status, why) in [
        ("", 400, "POST /purge?url=U, session=ID, endpoint=ID, tag=T or all=true"),
        ("?session=a&tag=b", 400, "session and tag are given."),
        ("?tag=b&mode=medium", 400, "mode is soft or hard."),
        ("?url=nowhere", 400, "url: the path has to begin with a slash."),
        ("?url=%20", 400, "url is path and query as clients ask for it: /path?name=value."),
        ("?url=/own/notes/%252e%252e", 400, "url: dot segments are not resolved here."),
        (
            "?url=/videosdk/sessions/a/users?type=foo",
            400,
            "url: parameter \"type\": must be one of past, live.",
        ),
        ("?url=/nowhere/at/all", 404, "url: no endpoint answers to this path."),
        ("?url=/own/write", 404, "url: nothing answers GET there, and other answers are never"),
        ("?session=a&upstream=zoo", 404, "There is no upstream \"zoo\"."),
        ("?session=a&upstream=plain", 404, "Upstream \"plain\" has no path parameter sessionId."),
        ("?endpoint=nots", 404, "No upstream has endpoint \"nots\"."),
        ("?endpoint=notes&upstream=zoom", 404, "Upstream \"zoom\" has no endpoint \"notes\"."),
        ("?tag=a&upstream=zoo", 404, "There is no upstream \"zoo\"."),
    ] {
        let answer = purge(&gateway, query).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(why), "{query}: {detail}");
    }
    let admin = Client::new(gateway.gateway.admin());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let refused = admin.request(method, "/purge?all=true", "").await;
        assert_eq!((refused.status, refused.header("allow")), (405, "POST"));
    }
    gateway
        .client()
        .request(Method::POST, "/purge?all=true", "")
        .await
        .problem(404, "unknown-endpoint");
    assert_eq!(gateway.metrics().await.sum("weir_cache_purges_total", &[]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_about_a_session_none_can_be_purged() {
    let config = OTHERS.split("[upstreams.plain]").nth(1).unwrap();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [upstreams.plain]{config}"
    );
    let running = start(&config, clock()).await;
    let admin = Client::new(running.gateway.admin());
    let answer = admin.request(Method::POST, "/purge?session=a", "").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["detail"], "No upstream has path parameter sessionId.");
}

/// A token, and where it comes from.
fn with_token(source: &str) -> String {
    let at = "127.0.0.1:9".parse().unwrap();
    Setup::default().config(at).replace("[admin]\n", &format!("[admin]\n{source}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_asked_of_every_post_and_read_again_on_reload() {
    let mut child = Child::serve(&with_token("")).await;
    let secret = child.file.with_file_name("token");
    let status = async |token: &str, action: &str| {
        let client = Client::new(child.admin);
        let client = match token {
            "" => client,
            token => client.with("authorization", &format!("Bearer {token}")),
        };
        client.request(Method::POST, action, "").await
    };
    let reload = async |source: &str| {
        let reloads = async || {
            let page = Client::new(child.admin).get("/metrics").await;
            Metrics::parse(page.text()).sum("weir_config_reloads_total", &[("result", "ok")])
        };
        let before = reloads().await;
        std::fs::write(&child.file, with_token(source)).unwrap();
        child.signal("HUP").await;
        until("it is reloaded", async || (reloads().await == before + 1).then_some(())).await;
    };
    for action in ["/purge?all=true", "/reopen"] {
        assert_eq!(status("", action).await.status, 200, "no token is needed");
    }
    std::fs::write(&secret, "first-token\n").unwrap();
    reload("token = { file = \"token\" }").await;
    for action in ["/purge?all=true", "/reopen"] {
        for wrong in ["", "second-token"] {
            let refused = status(wrong, action).await;
            assert_eq!(refused.status, 401, "{action}");
            assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"weir admin\"");
            assert_eq!(refused.header("content-type"), "application/problem+json");
        }
        assert_eq!(status("first-token", action).await.status, 200);
    }
    for page in ["/metrics", "/status", "/livez", "/readyz"] {
        assert_eq!(Client::new(child.admin).get(page).await.status, 200, "{page}");
    }
    // The file is the same, and what stands in the secret's is not.
    std::fs::write(&secret, "second-token\n").unwrap();
    reload("token = { file = \"token\" }").await;
    assert_eq!(status("first-token", "/reopen").await.status, 401);
    assert_eq!(status("second-token", "/reopen").await.status, 200);
    reload("").await;
    assert_eq!(status("", "/reopen").await.status, 200);

    let by_session = status("", &format!("/purge?mode=soft&session={SESSION}")).await;
    assert_eq!(by_session.status, 200);
    child.signal("TERM").await;
    child.ended().await;
    let said = child.said();
    assert!(!said.contains(SESSION) && !said.contains("-token"), "{said}");
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let purged: Vec<_> = lines.filter(|line| line["message"] == "purged by the operator").collect();
    let told = |n: usize| ["level", "scope", "mode", "upstreams"].map(|key| purged[n][key].clone());
    assert_eq!(purged.len(), 3, "{purged:?}");
    assert_eq!(told(1), ["INFO", "all", "hard", ""]);
    assert_eq!(told(2), ["INFO", "session", "soft", "zoom"]);
}
