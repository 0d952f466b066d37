//! Two questions never share an answer; two spellings of one question do.

use std::io::Read as _;

use http::Method;
use weir::sandbox::{IdKind, Label, Options, Sandbox};

use crate::support::gateway::{serve_sandbox, start, users};
use crate::support::raw::Raw;
use crate::support::{Client, Setup, TestGateway, Upstream, clock};

/// Every spelling of a session's id that a client has been seen to send.
fn spellings(id: &str) -> Vec<String> {
    let once = encode(id);
    let twice = encode(&once);
    let lower = |text: &str| text.replace("2F", "2f").replace("2B", "2b").replace("3D", "3d");
    vec![id.to_owned(), lower(&once), once, lower(&twice), encode(&twice), twice]
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_session_is_one_question() {
    let gateway = TestGateway::start().await;
    let kinds = [IdKind::Plain, IdKind::Slash, IdKind::DoubleSlash, IdKind::LeadingSlash];
    for (index, kind) in kinds.into_iter().enumerate() {
        let id = gateway.sandbox.session_id(kind);
        let truth = gateway.sandbox.users(&id).unwrap().len();
        let mut bodies = Vec::new();
        for spelt in spellings(&id) {
            for prefix in ["", "/v2"] {
                let mut raw = Raw::connect(gateway.gateway.public()).await;
                raw.get(&format!("{prefix}{}", users(&spelt, "?page_size=300"))).await;
                let (head, body) = raw.answer().await;
                assert!(head.starts_with("HTTP/1.1 200"), "{kind:?} {spelt}: {head}");
                bodies.push(body);
            }
        }
        // Zoom's own Node client encodes the whole path.
        let rivet = format!("/v2/{}", encode(&users(&encode(&id), "")));
        let answer = gateway.get(&format!("{rivet}?page_size=300")).await;
        assert_eq!(answer.status, 200, "{rivet}");
        bodies.push(answer.text().to_owned());
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{kind:?}");
        let told: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
        assert_eq!(told["users"].as_array().unwrap().len(), truth.min(300));
        assert_eq!(gateway.heavy().arrived, index as u64 + 1, "{kind:?}");
    }
    assert_eq!(gateway.sandbox.counters().with_status(200), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_defaults_and_escapes_of_parameters_do_not_matter() {
    let gateway = TestGateway::start().await;
    let big = gateway.sandbox.biggest_session_id();
    for query in [
        "",
        "?",
        "?type=live",
        "?page_size=30",
        "?page_size=30&type=live",
        "?type=live&page_size=30",
        "?type=%6cive&page%5Fsize=3%30",
        "?page_size=030&next_page_token=",
        "?type=live&&page_size=30&",
        "?unheard=of",
    ] {
        let answer = gateway.get(&users(&big, query)).await;
        assert_eq!(answer.status, 200, "{query} {}", answer.text());
    }
    assert_eq!(gateway.heavy().arrived, 1);
    let target = &gateway.sandbox.requests()[0].target;
    assert!(target.ends_with("/users?page_size=30&type=live"), "{target}");
}

#[tokio::test(flavor = "multi_thread")]
async fn different_questions_have_different_answers() {
    let gateway = TestGateway::start().await;
    let sessions = [IdKind::Plain, IdKind::Slash].map(|kind| gateway.sandbox.session_id(kind));
    let questions = [
        users(&sessions[0], ""),
        users(&sessions[1], ""),
        users(&sessions[0], "?page_size=31"),
        users(&sessions[0], "/qos"),
        users(&sessions[0], "/sharing"),
    ];
    let mut bodies = Vec::new();
    for question in &questions {
        let answer = gateway.get(question).await;
        assert_eq!((answer.status, answer.is_hit()), (200, false), "{question}");
        bodies.push(answer.body);
    }
    assert_eq!(gateway.heavy().arrived, questions.len() as u64);
    for (question, body) in questions.iter().zip(&bodies) {
        let again = gateway.get(question).await;
        assert!(again.is_hit() && again.body == *body, "{question}");
    }
    assert_ne!(gateway.get(&users(&sessions[0], "?type=past")).await.status, 200);
}

/// Two accounts whose sessions have the same ids and other people in them.
#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_never_share_an_answer() {
    let clock = clock();
    let account = |key: &str| Options { api_key: key.to_owned(), ..Options::default() };
    let first = Sandbox::new(account("key-one"), clock.clone());
    let second = Sandbox::new(account("key-two"), clock.clone());
    let id = first.start(Some("AAAAAAAAAAAAAAAAAAAAAA=="), 3).unwrap();
    assert_eq!(second.start(Some("AAAAAAAAAAAAAAAAAAAAAA=="), 5).unwrap(), id);
    let (at_first, at_second) = (serve_sandbox(&first).await, serve_sandbox(&second).await);
    let upstream = |name: &str, key: &str, at: std::net::SocketAddr| {
        format!(
            r#"
[upstreams.{name}]
preset = "zoom-video-sdk"
base_url = "http://{at}/v2"
mount = "/{name}"
[upstreams.{name}.auth]
kind = "jwt"
key = {{ value = "{key}" }}
secret = {{ value = "sandbox-secret" }}
"#
        )
    };
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{}{}",
        upstream("one", "key-one", at_first),
        upstream("two", "key-two", at_second),
    );
    let gateway = start(&config, clock).await;
    for (mount, expected, hit) in
        [("/one", 3, false), ("/two", 5, false), ("/one", 3, true), ("/two/v2", 5, true)]
    {
        let answer = gateway.get(&format!("{mount}{}", users(&id, ""))).await;
        assert_eq!((answer.status, answer.is_hit()), (200, hit), "{mount} {}", answer.text());
        assert_eq!(answer.json()["users"].as_array().unwrap().len(), expected, "{mount}");
    }
    for sandbox in [&first, &second] {
        let counters = sandbox.counters();
        assert_eq!((counters.total, counters.with_status(200)), (1, 1));
        assert_eq!(counters.label(Label::Heavy).unwrap().arrived, 1);
    }
}

/// The same API, twice under other credentials: what one may see, the other may not.
#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_for_one_api_never_share_an_answer() {
    let upstream = Upstream::start(|request| {
        let fields = "cache-control: public, max-age=60\r\n";
        crate::support::upstream::answer(200, fields, request.header("authorization"))
    })
    .await;
    let table = |name: &str| {
        format!(
            r#"
[upstreams.{name}]
base_url = "http://{}"
mount = "/{name}"
[upstreams.{name}.auth]
kind = "bearer"
token = {{ value = "token-{name}" }}
[[upstreams.{name}.endpoints]]
id = "all"
path = "/{{*rest}}"
cache = {{ mode = "respect" }}
"#,
            upstream.address
        )
    };
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{}{}",
        table("one"),
        table("two"),
    );
    let gateway = start(&config, clock()).await;
    for (mount, hit) in [("one", false), ("two", false), ("one", true), ("two", true)] {
        let answer = gateway.get(&format!("/{mount}/thing")).await;
        assert_eq!((answer.text(), answer.is_hit()), (&*format!("Bearer token-{mount}"), hit));
    }
}

fn unbrotli(coded: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    brotli::Decompressor::new(coded, 4096).read_to_end(&mut body).unwrap();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sends_along_is_not_part_of_the_question() {
    let gateway = TestGateway::start().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    for (name, value) in [
        ("accept", "text/html"),
        ("accept-encoding", "br"),
        ("authorization", "Bearer own"),
        ("cookie", "a=b"),
        ("cache-control", "no-cache"),
        ("range", "bytes=0-1"),
        ("x-forwarded-for", "1.2.3.4"),
    ] {
        let client = Client::new(gateway.gateway.public()).with(name, value);
        let answer = client.request(Method::GET, &target, "").await;
        if name == "range" {
            // Cut from the one answer that is stored.
            assert_eq!((answer.status, answer.text()), (206, "{\""));
            continue;
        }
        assert_eq!(answer.status, 200, "{name}");
        let coding = if name == "accept-encoding" { value } else { "" };
        assert_eq!(answer.header("content-encoding"), coding, "{name}");
        let body = if coding == "br" { unbrotli(&answer.body) } else { answer.body.to_vec() };
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(told["users"].is_array(), "{name}");
    }
    assert_eq!(gateway.heavy().arrived, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_rule_says_so_clients_do_not_share() {
    let clients = ["one", "two"].map(|name| {
        format!("[[clients]]\nname = \"{name}\"\nkey = {{ value = \"key-of-client-{name}\" }}\n")
    });
    let rule = r#"
[[upstreams.zoom.endpoints]]
id = "list-session-users"
cache = { mode = "override", fresh = "10s", vary_by_client = true }
"#;
    let tables = clients.concat() + rule;
    let gateway = Setup { tables, ..Setup::default() }.start().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    for (name, hit) in [("one", false), ("two", false), ("one", true), ("two", true)] {
        let key = format!("Bearer key-of-client-{name}");
        let answer = gateway.client().with("authorization", &key).get(&target).await;
        assert_eq!((answer.status, answer.is_hit()), (200, hit), "{name}");
    }
    assert_eq!(gateway.heavy().arrived, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_one_answers_own_is_not_replayed() {
    let gateway = TestGateway::start().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    gateway.get(&target).await;
    let hit = gateway.get(&target).await;
    assert!(hit.is_hit());
    let names: Vec<_> = hit.headers.keys().map(http::HeaderName::as_str).collect();
    assert!(!names.contains(&"set-cookie"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("ratelimit")), "{names:?}");
}
