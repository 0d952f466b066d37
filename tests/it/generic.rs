//! An upstream that weir does not know by heart, from TOML alone.

use std::time::Duration;

use http::Method;

use crate::support::gateway::{Running, start};
use crate::support::raw::Raw;
use crate::support::upstream::{Received, answer};
use crate::support::{Client, Upstream, clock, until};

/// One upstream without a preset, every endpoint from the file.
fn config(upstream: &Upstream, keys: &str) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
max_body_bytes = "1KiB"

[admin]
listen = "127.0.0.1:0"

[cache]
max_bytes = "1MiB"
max_entry_bytes = "16KiB"

[upstreams.own]
base_url = "http://{address}/base"
mount = "/"
max_retries = 0
{keys}

[upstreams.own.auth]
kind = "none"

[upstreams.own.labels.strict]
per_second = 40
max_wait = "60s"
max_queue = 10000

[[upstreams.own.endpoints]]
id = "limited"
method = "GET"
path = "/limited/{{group}}/{{key}}"
label = "strict"
cache = {{ mode = "off" }}

[[upstreams.own.endpoints]]
id = "nocache"
method = "GET"
path = "/nocache/{{size}}/{{key}}"
cache = {{ mode = "off" }}

[[upstreams.own.endpoints]]
id = "everything"
method = "*"
path = "/{{*rest}}"
cache = {{ mode = "respect" }}
"#,
        address = upstream.address,
    )
}

async fn before(upstream: &Upstream) -> Running {
    start(&config(upstream, ""), clock()).await
}

/// Says with every answer how many there have been.
async fn counting(fields: &'static str) -> Upstream {
    let count = std::sync::atomic::AtomicU64::new(1);
    Upstream::start(move |_| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        answer(200, fields, &format!("answer {count}"))
    })
    .await
}

async fn bodies(gateway: &Running, target: &str, times: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..times {
        bodies.push(gateway.get(target).await.text().to_owned());
    }
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_word_decides_what_is_stored() {
    for (fields, stored) in [
        ("cache-control: max-age=60\r\n", true),
        ("cache-control: public, s-maxage=60, max-age=0\r\n", true),
        // RFC 9111, section 4.2.1: before Expires, and Expires before any guess.
        ("cache-control: max-age=60\r\nexpires: 0\r\n", true),
        ("expires: Sat, 04 Oct 2025 14:10:00 GMT\r\n", true),
        ("expires: 0\r\nlast-modified: Sat, 04 Oct 2025 02:00:00 GMT\r\n", false),
        // Section 4.2.2: a tenth of the twelve hours since it was modified.
        ("last-modified: Sat, 04 Oct 2025 02:00:00 GMT\r\n", true),
        ("", false),
        ("cache-control: no-store\r\n", false),
        ("cache-control: no-cache, max-age=60\r\n", false),
        ("cache-control: private, max-age=60\r\n", false),
        ("cache-control: max-age=60, s-maxage=0\r\n", false),
        ("cache-control: max-age=60\r\nage: 61\r\n", false),
        // Section 4.1; cookies and codings are not sent on.
        ("cache-control: max-age=60\r\nvary: *\r\n", false),
        ("cache-control: max-age=60\r\nvary: authorization\r\n", false),
        ("cache-control: max-age=60\r\nvary: cookie, accept-encoding\r\n", true),
        ("cache-control: max-age=60\r\nvary: accept-language\r\n", true),
        // RFC 9213: what is said to caches like this one goes before.
        ("cdn-cache-control: max-age=60\r\ncache-control: no-store\r\n", true),
    ] {
        let upstream = counting(fields).await;
        let gateway = before(&upstream).await;
        let told = bodies(&gateway, "/a/b?c=d", 2).await;
        let expected = if stored { ["answer 1", "answer 1"] } else { ["answer 1", "answer 2"] };
        assert_eq!(told, expected, "{fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_an_answer_is_stored_for_those_who_ask_for_it() {
    let upstream = Upstream::start(|request| {
        let fields = "cache-control: max-age=60\r\nvary: accept-language\r\n";
        answer(200, fields, request.header("accept-language"))
    })
    .await;
    let gateway = before(&upstream).await;
    for (language, form, hit) in
        [("de", "de", false), ("fr", "fr", false), ("DE", "de", true), ("fr", "fr", true)]
    {
        let told = gateway.client().with("accept-language", language).get("/a").await;
        assert_eq!((told.text(), told.is_hit()), (form, hit), "{language}");
    }
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stale_is_confirmed_and_fresh_again() {
    let upstream = Upstream::start(|request| {
        let fields = "cache-control: max-age=60\r\netag: \"theirs\"\r\n";
        match request.header("if-none-match") {
            "" => answer(200, fields, "whole"),
            _ => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
        }
    })
    .await;
    let gateway = before(&upstream).await;
    gateway.get("/a").await;
    gateway.clock.advance(Duration::from_secs(61));
    let confirmed = gateway.get("/a").await;
    let status = "weir; fwd=stale; fwd-status=304; stored";
    assert_eq!((confirmed.text(), confirmed.cache_status()), ("whole", status));
    assert_eq!(upstream.received()[1].header("if-none-match"), "\"theirs\"");
    let hit = gateway.get("/a").await;
    assert_eq!((hit.text(), hit.is_hit()), ("whole", true), "its age begins anew");
    assert_eq!(upstream.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_what_is_stored_alone_costs_the_upstream_nothing() {
    let upstream = counting("cache-control: max-age=60\r\n").await;
    let gateway = before(&upstream).await;
    let client = gateway.client().with("cache-control", "only-if-cached");
    client.get("/a").await.problem(504, "not-stored");
    assert!(upstream.received().is_empty());
    gateway.get("/a").await;
    assert!(client.get("/a").await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_ages_and_dies() {
    let upstream = counting("cache-control: max-age=60\r\nage: 5\r\n").await;
    let gateway = before(&upstream).await;
    gateway.get("/a").await;
    gateway.clock.advance(Duration::from_secs(54));
    let old = gateway.get("/a").await;
    assert_eq!((old.text(), old.header("age")), ("answer 1", "59"));
    gateway.clock.advance(Duration::from_secs(2));
    assert_eq!(gateway.get("/a").await.text(), "answer 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_are_not_cached_are_asked_every_time() {
    let upstream = counting("cache-control: max-age=60\r\n").await;
    let gateway = before(&upstream).await;
    assert_eq!(bodies(&gateway, "/nocache/1/x", 2).await, ["answer 1", "answer 2"]);
    assert_eq!(bodies(&gateway, "/limited/1/x", 2).await, ["answer 3", "answer 4"]);
    let limited = gateway.get("/limited/1/x").await;
    assert_eq!(limited.header("ratelimit-policy"), "\"strict\";q=40;w=1");
    assert!(limited.cache_status().starts_with("weir; fwd=bypass"), "{}", limited.cache_status());
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_limit_spent_total", &[("label", "strict")]), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_arrives_as_it_was_sent() {
    let upstream = Upstream::echo().await;
    let gateway = before(&upstream).await;
    let client = gateway
        .client()
        .with("content-type", "application/json")
        .with("x-own", "kept")
        .with("x-request-id", "abc-1");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let told = client.request(method.clone(), "/a%20b/c?x=1&y=%2F", "{\"b\":1}").await;
        assert_eq!(told.status, 200);
        let asked = told.json();
        assert_eq!(asked["method"], method.as_str());
        assert_eq!(asked["target"], "/base/a%20b/c?x=1&y=%2F");
        assert_eq!(asked["body"], "{\"b\":1}");
        assert_eq!(asked["headers"]["content-type"], "application/json");
        assert_eq!(asked["headers"]["x-own"], "kept");
        assert_eq!(asked["headers"]["via"], "1.1 weir");
        assert_eq!(asked["headers"]["host"], upstream.address.to_string());
        assert_eq!((told.header("via"), told.header("x-request-id")), ("1.1 weir", "abc-1"));
    }
    assert_eq!(upstream.received().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_one_connection_end_with_it() {
    let upstream = Upstream::start(|_| {
        let fields = "connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
                      proxy-connection: keep-alive\r\nupgrade: h2c\r\nx-end: 1\r\n";
        answer(200, fields, "ok")
    })
    .await;
    let gateway = before(&upstream).await;
    let mut raw = Raw::connect(gateway.gateway.public()).await;
    raw.write(
        "GET /a HTTP/1.1\r\nhost: weir\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\n\
         keep-alive: 5\r\nproxy-connection: keep-alive\r\nte: trailers\r\nupgrade: websocket\r\n\
         proxy-authorization: Basic YTpi\r\nx-end: 1\r\n\r\n",
    )
    .await;
    let (head, body) = raw.answer().await;
    assert_eq!(body, "ok");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("x-end: 1"), "{head}");
    for name in ["x-hop", "keep-alive:", "proxy-connection", "upgrade", "connection:"] {
        assert!(!head.contains(name), "{name}: {head}");
    }
    let asked = upstream.received().remove(0);
    assert_eq!(asked.header("x-end"), "1");
    for name in ["x-mine", "keep-alive", "proxy-connection", "te", "upgrade", "proxy-authorization"]
    {
        assert_eq!(asked.header(name), "", "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_bound_is_refused_and_not_sent() {
    let upstream = Upstream::echo().await;
    let gateway = before(&upstream).await;
    let client = gateway.client();
    let fits = client.request(Method::POST, "/a", &"x".repeat(1024)).await;
    assert_eq!(fits.status, 200);
    let large = client.request(Method::POST, "/a", &"x".repeat(1025)).await;
    large.problem(413, "body-too-large");
    // Nor when its length is not known beforehand.
    let mut raw = Raw::connect(gateway.gateway.public()).await;
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    raw.write("POST /a HTTP/1.1\r\nhost: weir\r\ntransfer-encoding: chunked\r\n\r\n").await;
    raw.write(&format!("{chunk}{chunk}0\r\n\r\n")).await;
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 413"));
    assert_eq!(upstream.received().len(), 1);
}

fn torn(request: &Received) -> String {
    match request.target.rsplit('/').next() {
        Some("length") => {
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\ncache-control: max-age=60\r\nconnection: close\r\n\r\nhalf".to_owned()
        }
        Some("chunked") => {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncache-control: max-age=60\r\nconnection: close\r\n\r\n4\r\nhalf\r\n".to_owned()
        }
        Some("head") => "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent".to_owned(),
        Some("garbage") => "220 smtp ready\r\nconnection: close\r\n\r\n".to_owned(),
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_never_told_as_a_whole_one() {
    let upstream = Upstream::start(torn).await;
    let gateway = before(&upstream).await;
    for (index, kind) in ["length", "chunked", "head", "garbage", "nothing"].iter().enumerate() {
        // Collected before it is told, because it might be stored: then the error has a name.
        gateway.get(&format!("/a/{kind}")).await.problem(502, "upstream-failed");
        assert_eq!(upstream.received().len(), index + 1, "{kind}");
    }
    for kind in ["length", "chunked"] {
        // Passed on as it comes: then the connection breaks off.
        let (client, target) = (gateway.client(), format!("/nocache/1/{kind}"));
        assert!(client.try_request(Method::GET, &target, "").await.is_err(), "{kind}");
        let mut raw = Raw::connect(gateway.gateway.public()).await;
        raw.get(&target).await;
        let said = raw.rest().await;
        assert!(!said.ends_with("\r\n0\r\n\r\n") && !said.contains("content-length: 4"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_passed_on_and_not_stored() {
    let body = "0123456789abcdef".repeat(8 * 1024);
    let whole = body.clone();
    let upstream = Upstream::start(move |request| {
        let body = if request.target.ends_with("small") { &whole[..16 * 1024] } else { &whole };
        answer(200, "cache-control: max-age=60\r\n", body)
    })
    .await;
    let gateway = before(&upstream).await;
    for _ in 0..2 {
        let large = gateway.get("/large").await;
        assert_eq!((large.status, large.text() == body, large.is_hit()), (200, true, false));
        assert!(!large.cache_status().contains("stored"), "{}", large.cache_status());
    }
    assert_eq!(upstream.count("/base/large"), 2);
    let small = gateway.get("/small").await;
    assert!(small.cache_status().contains("stored"));
    assert!(gateway.get("/small").await.is_hit());
    // Many that want the same large answer each get it whole.
    let client = gateway.client();
    let answers = crate::support::join_all((0..8).map(|_| {
        let client = client.clone();
        async move { client.get("/large").await.body.len() }
    }));
    assert_eq!(answers.await, [body.len(); 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_from_get() {
    let upstream = counting("cache-control: max-age=60\r\n").await;
    let gateway = before(&upstream).await;
    let client = gateway.client();
    for hit in [false, true] {
        let head = client.request(Method::HEAD, "/a", "").await;
        assert_eq!((head.status, head.body.len(), head.is_hit()), (200, 0, hit));
        assert_eq!(head.header("content-length"), "8");
    }
    assert_eq!(client.get("/a").await.text(), "answer 1");
    assert_eq!(upstream.received().iter().filter(|asked| asked.method == "GET").count(), 1);
    // On one connection, so that a body where none belongs would be read as the next answer.
    let mut raw = Raw::connect(gateway.gateway.public()).await;
    raw.write("HEAD /nocache/1/x HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").await;
    assert!(raw.rest().await.ends_with("\r\n\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_already_is_not_sent_again() {
    for (fields, made_here) in [
        ("cache-control: max-age=60\r\n", true),
        ("cache-control: max-age=60\r\netag: \"theirs\"\r\n", false),
    ] {
        let upstream = counting(fields).await;
        let gateway = before(&upstream).await;
        let first = gateway.get("/a").await;
        let etag = first.header("etag").to_owned();
        assert!(etag.starts_with('"') && (etag != "\"theirs\"") == made_here, "{etag}");
        for given in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
            let same = gateway.client().with("if-none-match", &given).get("/a").await;
            assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, &*etag));
            assert!(same.is_hit());
        }
        let other = gateway.client().with("if-none-match", "\"x\"").get("/a").await;
        assert_eq!((other.status, other.text()), (200, "answer 1"));
        assert_eq!(upstream.received().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_question_fills_the_cache_with_a_whole_answer() {
    let upstream = Upstream::start(|request| {
        let fields = "cache-control: max-age=60\r\netag: \"theirs\"\r\n";
        if !request.header("if-none-match").is_empty() {
            format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")
        } else if !request.header("range").is_empty() {
            answer(206, &format!("{fields}content-range: bytes 0-1/5\r\n"), "wh")
        } else {
            answer(200, fields, "whole")
        }
    })
    .await;
    let gateway = before(&upstream).await;
    let client = gateway.client().with("if-none-match", "\"theirs\"");
    assert_eq!(client.get("/a").await.status, 304);
    assert_eq!(gateway.get("/a").await.text(), "whole");
    let part = gateway.client().with("range", "bytes=0-1").get("/b").await;
    assert!(part.status == 200 || part.status == 206, "{part:?}");
    assert_eq!(gateway.get("/b").await.text(), "whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_one_client_is_not_replayed_to_another() {
    let upstream = counting("cache-control: max-age=60\r\nset-cookie: id=1\r\n").await;
    let gateway = before(&upstream).await;
    gateway.get("/a").await;
    let second = gateway.get("/a").await;
    // Its own answer and its own cookie.
    assert_eq!((second.text(), second.is_hit()), ("answer 2", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_and_bodyless_answers_are_told_as_they_are() {
    let upstream = Upstream::start(|request| match request.target.as_str() {
        "/base/204" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "/base/100" => format!("HTTP/1.1 103 Early\r\n\r\n{}", answer(200, "", "late")),
        "/base/302" => answer(302, "location: http://elsewhere/\r\n", ""),
        "/base/418" => answer(418, "x-own: 1\r\n", "short and stout"),
        _ => answer(503, "retry-after: 7\r\n", "down"),
    })
    .await;
    let gateway = before(&upstream).await;
    for (target, status, body) in [
        ("/204", 204, ""),
        ("/100", 200, "late"),
        ("/302", 302, ""),
        ("/418", 418, "short and stout"),
        ("/503", 503, "down"),
    ] {
        let told = gateway.get(target).await;
        assert_eq!((told.status, told.text(), told.header("weir-error")), (status, body, ""));
    }
    assert_eq!(gateway.get("/302").await.header("location"), "http://elsewhere/");
    assert_eq!(gateway.get("/503").await.header("retry-after"), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotent_requests_are_tried_again_and_others_are_not() {
    let upstream = Upstream::start(|request| match request.header("x-try") {
        "reset" => String::new(),
        // On a kept connection a reset would be worth one more attempt.
        _ => answer(503, "connection: close\r\n", "down"),
    })
    .await;
    let keys = "retry_on = [503]";
    let config = config(&upstream, keys).replace("max_retries = 0", "max_retries = 1");
    let gateway = start(&config, clock()).await;
    let mut expected = 0;
    for (method, attempts) in [(Method::GET, 2), (Method::PUT, 2), (Method::POST, 1)] {
        for kind in ["status", "reset"] {
            let client: Client = gateway.client().with("x-try", kind);
            let told = client.request(method.clone(), &format!("/{kind}"), "").await;
            assert_eq!(told.status, if kind == "reset" { 502 } else { 503 });
            expected += attempts;
            assert_eq!(upstream.received().len(), expected, "{method} {kind}");
        }
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_retries_total", &[("upstream", "own")]), 4);
    assert_eq!(metrics.sum("weir_upstream_requests_total", &[]), expected as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_stays_within_its_bytes_whatever_the_keys() {
    let upstream =
        Upstream::start(|_| answer(200, "cache-control: max-age=600\r\n", &"x".repeat(8 * 1024)))
            .await;
    let gateway = before(&upstream).await;
    let client = gateway.client();
    for index in 0..300 {
        let key = "k".repeat(index * 10 % 2_000);
        assert_eq!(client.get(&format!("/{index}?{key}=1")).await.status, 200);
    }
    until("it has shrunk to its bound", async || {
        let bytes = gateway.metrics().await.sum("weir_cache_bytes", &[]);
        (bytes > 512 * 1024 && bytes <= 1024 * 1024).then_some(())
    })
    .await;
    assert!(gateway.metrics().await.sum("weir_cache_evictions_total", &[]) > 100);
}
