//! `mode = "respect"` over real sockets: many at once, and what is stored, confirmed and changed.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;

use crate::support::gateway::{Running, start};
use crate::support::upstream::{Received, answer};
use crate::support::{Answer, Client, Upstream, clock, join_all};

const CROWD: usize = 50;

/// One row for everything, and one for what changes notes.
async fn before(upstream: &Upstream) -> Running {
    let config = format!(
        r#"
[server]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

[upstreams.own]
base_url = "http://{address}/base"
mount = "/"
max_retries = 1

[upstreams.own.auth]
kind = "none"

[[upstreams.own.endpoints]]
id = "change"
method = ["PUT", "DELETE"]
path = "/notes/{{id}}"

[[upstreams.own.endpoints]]
id = "everything"
method = "*"
path = "/{{*rest}}"
cache = {{ mode = "respect" }}
"#,
        address = upstream.address,
    );
    start(&config, clock()).await
}

/// Takes long enough for all to arrive before the answer does.
async fn late(script: impl Fn(&Received) -> String + Send + Sync + 'static) -> Upstream {
    Upstream::late(Duration::from_millis(500), script).await
}

/// All at once, over a few connections, each with this field.
async fn crowd(gateway: &Running, field: impl Fn(usize) -> (&'static str, String)) -> Vec<Answer> {
    let connections: Vec<_> = (0..5).map(|_| Client::http2(gateway.gateway.public())).collect();
    join_all((0..CROWD).map(|n| {
        let (name, value) = field(n);
        let client = connections[n % connections.len()].clone().with(name, &value);
        async move { client.get("/a").await }
    }))
    .await
}

fn distinct(answers: &[Answer]) -> usize {
    answers.iter().map(Answer::text).collect::<BTreeSet<_>>().len()
}

/// Says who asked, and on which request.
fn to_each(fields: &'static str) -> impl Fn(&Received) -> String + Send + Sync + 'static {
    let count = std::sync::atomic::AtomicUsize::new(0);
    move |request| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let fields = fields.replace("{n}", &n.to_string());
        answer(200, &fields, &format!("{} {n}", request.header("x-own")))
    }
}

fn own(n: usize) -> (&'static str, String) {
    ("x-own", n.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_costs_what_its_answers_have_not_in_common() {
    for (fields, asked) in [
        ("cache-control: max-age=60\r\n", 1),
        ("cache-control: no-store\r\n", CROWD),
        ("cache-control: max-age=60\r\nset-cookie: id={n}\r\n", CROWD),
        ("cache-control: max-age=60\r\nvary: *\r\n", CROWD),
    ] {
        let upstream = late(to_each(fields)).await;
        let gateway = before(&upstream).await;
        let answers = crowd(&gateway, own).await;
        assert_eq!((upstream.received().len(), distinct(&answers)), (asked, asked), "{fields:?}");
        for (n, told) in answers.iter().enumerate() {
            if asked == CROWD {
                assert!(told.text().starts_with(&format!("{n} ")), "{}", told.text());
            }
            if fields.contains("set-cookie") {
                let id = told.text().split(' ').nth(1).unwrap();
                assert_eq!(told.header("set-cookie"), format!("id={id}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_five_languages_costs_five_requests() {
    const LANGUAGES: [&str; 5] = ["de", "en", "fr", "it", "tr"];
    let upstream = late(|request| {
        let fields = "cache-control: max-age=60\r\nvary: accept-language\r\n";
        answer(200, fields, request.header("accept-language"))
    })
    .await;
    let gateway = before(&upstream).await;
    let language = |n: usize| LANGUAGES[n % LANGUAGES.len()];
    let answers = crowd(&gateway, |n| ("accept-language", language(n).to_owned())).await;
    assert_eq!(upstream.received().len(), LANGUAGES.len());
    for (n, told) in answers.iter().enumerate() {
        assert_eq!(told.text(), language(n));
    }
    let sixth = gateway.client().with("accept-language", "sv");
    assert_eq!((sixth.get("/a").await.text(), upstream.received().len()), ("sv", 6));
    assert!(sixth.get("/a").await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_say_who_they_are_get_fifty_answers_unless_sharing_is_allowed() {
    for (told, asked) in [
        ("max-age=60", CROWD),
        ("max-age=60, public", 1),
        ("s-maxage=60", 1),
        ("max-age=60, must-revalidate", 1),
    ] {
        let upstream = late(move |request| {
            let fields = format!("cache-control: {told}\r\n");
            answer(200, &fields, request.header("authorization"))
        })
        .await;
        let gateway = before(&upstream).await;
        let credential = |n: usize| ("authorization", format!("Bearer {n}"));
        let answers = crowd(&gateway, credential).await;
        assert_eq!((upstream.received().len(), distinct(&answers)), (asked, asked), "{told}");
        for (n, told) in answers.iter().enumerate() {
            assert!(asked == 1 || told.text() == credential(n).1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_dies_under_a_crowd_is_asked_once_more_at_most() {
    let upstream = late(|_| String::new()).await;
    let gateway = before(&upstream).await;
    for told in crowd(&gateway, own).await {
        told.problem(502, "upstream-failed");
    }
    assert!(upstream.received().len() <= 2, "{:?}", upstream.received());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stale_is_confirmed_and_counted_as_such() {
    let upstream = Upstream::start(|request| {
        let fields = "cache-control: max-age=10\r\netag: \"7\"\r\n";
        match request.header("if-none-match") {
            "\"7\"" => format!("HTTP/1.1 304 X\r\n{fields}\r\n"),
            "" => answer(200, fields, "whole"),
            other => answer(500, "", other),
        }
    })
    .await;
    let gateway = before(&upstream).await;
    assert_eq!(gateway.get("/a").await.text(), "whole");
    for _ in 0..3 {
        gateway.clock.advance(Duration::from_secs(12));
        let confirmed = gateway.get("/a").await;
        assert_eq!(confirmed.cache_status(), "weir; fwd=stale; fwd-status=304; stored");
        assert_eq!(
            (confirmed.status, confirmed.text(), confirmed.header("age")),
            (200, "whole", "0")
        );
        assert!(gateway.get("/a").await.is_hit());
    }
    let metrics = gateway.metrics().await;
    let count = |result| metrics.sum("weir_cache_requests_total", &[("result", result)]);
    assert_eq!(["miss", "revalidated", "hit"].map(count), [1, 3, 3]);
    assert_eq!(metrics.sum("weir_upstream_requests_total", &[("status", "304")]), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_nothing_but_what_is_stored_never_reaches_the_upstream() {
    let upstream = Upstream::start(|_| answer(200, "cache-control: max-age=60\r\n", "x")).await;
    let gateway = before(&upstream).await;
    let only = gateway.client().with("cache-control", "only-if-cached");
    only.get("/a").await.problem(504, "not-stored");
    assert_eq!(upstream.received().len(), 0);
    gateway.get("/a").await;
    assert!(only.get("/a").await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_changes_is_asked_for_again() {
    let upstream = Upstream::start(|request| match request.method.as_str() {
        "GET" => answer(200, "cache-control: max-age=60\r\n", "x"),
        "PUT" => answer(200, "content-location: /base/notes/2\r\n", ""),
        _ => answer(404, "", ""),
    })
    .await;
    let gateway = before(&upstream).await;
    let is_hit = async |target| gateway.get(target).await.is_hit();
    let notes = ["/notes/1", "/notes/2", "/notes/3"];
    for note in notes {
        assert!(!is_hit(note).await && is_hit(note).await);
    }
    for (method, forgotten) in [(Method::DELETE, [false; 3]), (Method::PUT, [true, true, false])] {
        gateway.client().request(method.clone(), "/notes/1", "").await;
        for (note, is_forgotten) in notes.into_iter().zip(forgotten) {
            assert_eq!(is_hit(note).await, !is_forgotten, "{method} {note}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_coding_is_in_the_caches_bytes_once() {
    let names: Vec<_> = (0..300).map(|n| format!("{{\"name\":\"user {n}\"}}")).collect();
    let body = format!("[{}]", names.join(","));
    let whole = body.clone();
    let upstream = Upstream::start(move |_| {
        let fields = "cache-control: max-age=60\r\ncontent-type: application/json\r\n";
        answer(200, fields, &body)
    })
    .await;
    let gateway = before(&upstream).await;
    let bytes = async || gateway.metrics().await.sum("weir_cache_bytes", &[]);
    assert_eq!(gateway.get("/a").await.text(), whole);
    for coding in ["gzip", "br", "zstd"] {
        let before = bytes().await;
        let client = gateway.client().with("accept-encoding", coding);
        let told = client.get("/a").await;
        assert_eq!(told.header("content-encoding"), coding);
        assert!(told.is_hit() && told.body.len() < whole.len() / 2);
        let grown = bytes().await - before;
        let own = told.body.len() as u64;
        // With it come its own head and, the first time, the place for all of them.
        assert!((own..own + 900).contains(&grown), "{coding}: {own} bytes, {grown} more");
        assert_eq!(client.get("/a").await.body, told.body);
        assert_eq!(bytes().await, before + grown, "and no more");
    }
    assert_eq!(upstream.received().len(), 1);
}
