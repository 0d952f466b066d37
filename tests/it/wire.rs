//! What a listener does with bytes that are no request, that come too slowly, or that are not
//! taken; and that what is a request gets through.

use std::fmt::Write as _;

use crate::support::gateway::{Running, start};
use crate::support::raw::Raw;
use crate::support::upstream::answer;
use crate::support::{Upstream, clock, until};

/// Everything goes to an upstream that writes down what it sees.
pub(crate) async fn before(upstream: &Upstream, keys: &str) -> Running {
    let config = format!(
        r#"
[server]
listen = "127.0.0.1:0"
{keys}

[admin]
listen = "127.0.0.1:0"

[upstreams.own]
base_url = "http://{}"
max_retries = 0

[upstreams.own.auth]
kind = "none"

[[upstreams.own.endpoints]]
id = "everything"
method = "*"
path = "/{{*rest}}"
"#,
        upstream.address
    );
    start(&config, clock()).await
}

pub(crate) async fn recorder() -> Upstream {
    Upstream::start(|request| {
        let said = answer(200, "", &format!("{} {}", request.method, request.target));
        // The head is the same, and nothing follows it.
        let end = said.find("\r\n\r\n").map_or(said.len(), |end| end + 4);
        if request.method == "HEAD" { said[..end].to_owned() } else { said }
    })
    .await
}

async fn say(gateway: &Running, bytes: &[u8]) -> Raw {
    let mut raw = Raw::connect(gateway.gateway.public()).await;
    raw.write_bytes(bytes).await;
    raw
}

/// What can be read in two ways, or in none: request lines,
const BAD_LINES: &[&str] = &[
    "GET /x",
    "GET /x HTTP/1.1 ",
    "GET  /x HTTP/1.1",
    "GET /x  HTTP/1.1",
    " GET /x HTTP/1.1",
    "GET\t/x\tHTTP/1.1",
    "GET /x\tHTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /x http/1.1",
    "GET /x HTTP/1",
    "GET /x HTTP/1.",
    "GET /x HTTP/1.1x",
    "GET /x HTTP/01.1",
    "GET /x HTTP/1.01",
    "GET /x HTTP/11.1",
    "GET /x HTTP/+1.1",
    "GET /x HTTP/1,1",
    "GET /x HTTP/a.b",
    "GET /x HTTP/2.0",
    "GET /x HTTP/3.0",
    "GET /x HTTP/0.9",
    "GET /x HTTP/9.9",
    "GET /x XTTP/1.1",
    "GET /x HTTP /1.1",
    "G@T /x HTTP/1.1",
    "GET: /x HTTP/1.1",
    "\"GET\" /x HTTP/1.1",
    "GET/x HTTP/1.1",
    "/x HTTP/1.1",
    "HTTP/1.1",
    "GET x HTTP/1.1",
    "GET ?x HTTP/1.1",
    "GET #x HTTP/1.1",
    "GET /x#y HTTP/1.1",
    "GET http:// HTTP/1.1",
    "GET http:///x HTTP/1.1",
    "GET ftp://a/x HTTP/1.1",
    "GET javascript:x HTTP/1.1",
    "GET http://u:p@a/x HTTP/1.1",
    "GET http://a b/x HTTP/1.1",
    "GET http://a:b/x HTTP/1.1",
    "GET a:80 HTTP/1.1",
    "GET * HTTP/1.1",
    "CONNECT /x HTTP/1.1",
    "PRI * HTTP/1.1",
    "GET /x\0 HTTP/1.1",
    "GET /x\u{1} HTTP/1.1",
    "GET /x\u{7f} HTTP/1.1",
    "GET /x\u{e9} HTTP/1.1",
    "GET /x\r HTTP/1.1",
    "GET /x\u{b} HTTP/1.1",
];

/// fields,
const BAD_FIELDS: &[&str] = &[
    "Host: b",
    "host: a",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5, 5",
    "Content-Length: 5,6",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 0x5",
    "Content-Length: 5 5",
    "Content-Length: 5;",
    "Content-Length: \"5\"",
    "Content-Length:",
    "Content-Length: five",
    "Content-Length: 5.0",
    "Content-Length: 99999999999999999999",
    "Content-Length: 18446744073709551616",
    "Content-Length : 5",
    "Content-Length\t: 5",
    "Content-Length\u{b}: 5",
    " Content-Length: 5",
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding:",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    "Transfer_Encoding : chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: \u{c}chunked",
    "Transfer-Encoding:\u{a0}chunked",
    "Transfer-Encoding: chunked\u{0}",
    "Transfer-Encoding\0: chunked",
    " Transfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\r\n z",
    "X: y\r\n\tz",
    "X",
    ": y",
    "X Y: z",
    "X\0: y",
    "X: \0",
    "X: y\u{1}",
    "X: \u{7f}",
    "X: a\rb: c",
    "X(: y",
    "X/: y",
    "X\u{e9}: y",
    "\u{e9}: y",
    "X=y",
    "@: y",
    "X: y\r\r",
    "[X]: y",
];

/// and whole heads.
const BAD_HEADS: &[&[u8]] = &[
    b"GET /x HTTP/1.1\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: \t \r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a:b\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a:99999\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: http://a\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\\b\r\n\r\n",
    b"GET /x HTTP/1.1\r\n Host: a\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET /x HTTP/1.1\nHost: a\n\n",
    b"GET /x HTTP/1.1\r\nHost: a\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\n\n",
    b"GET /x HTTP/1.1\rHost: a\r\r",
    b"\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\rGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\0GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\xef\xbb\xbfGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"SSH-2.0-OpenSSH_9.0\r\n",
    b"EHLO a\r\n",
    b"\x80\x2e\x01\x00\x02",
    b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    b"GET http://a/x HTTP/1.1\r\n\r\n",
];

fn bad_heads() -> Vec<Vec<u8>> {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n").into_bytes();
    let field =
        |field: &str| format!("POST /x HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n").into_bytes();
    let (long, x) = ("y".repeat(100_000), "X: y\r\n");
    let too_long = [
        line(&format!("{long} /x HTTP/1.1")),
        line(&format!("GET /{long} HTTP/1.1")),
        field(&format!("X: {long}")),
        field(&format!("{long}: y")),
        field(x.repeat(10_000).trim_end()),
        format!("GET /x HTTP/1.1\r\nHost: {long}\r\n\r\n").into_bytes(),
    ];
    let lines = BAD_LINES.iter().map(|text| line(text));
    let fields = BAD_FIELDS.iter().map(|text| field(text));
    let heads = BAD_HEADS.iter().map(|text| text.to_vec());
    lines.chain(fields).chain(heads).chain(too_long).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_in_two_ways_is_refused_and_the_connection_ends() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    let all = bad_heads();
    assert!(all.len() > 150);
    for text in all {
        let shown: String = String::from_utf8_lossy(&text).chars().take(120).collect();
        let mut raw = Raw::connect(gateway.gateway.public()).await;
        raw.try_write(&text).await;
        // What follows is what a smuggler would have answered.
        raw.try_write(b"abcdeGET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let told = raw.rest().await;
        let refused = ["HTTP/1.1 4", "HTTP/1.1 501 ", "HTTP/1.1 505 ", "HTTP/1.1 508 "];
        assert!(refused.iter().any(|line| told.starts_with(line)), "{shown:?}: {told:?}");
        assert!(!told.contains("/smuggled"), "{shown:?}: {told:?}");
        assert_eq!(told.matches("connection: close").count(), 1, "{shown:?}: {told:?}");
        assert!(told.contains("application/problem+json"), "{shown:?}: {told:?}");
        let seen = upstream.received();
        assert!(seen.is_empty(), "{shown:?} went on: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_without_trustworthy_bounds_never_goes_on() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    for content in [
        "5 \r\nabcde\r\n0\r\n\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
        "\r\n",
        "-5\r\nabcde\r\n0\r\n\r\n",
        "+5\r\nabcde\r\n0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "5\nabcde\r\n0\r\n\r\n",
        "5\r\nabcdef\r\n0\r\n\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5\r\nabcde0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "5;\r\nabcde\r\n0\r\n\r\n",
        "5;a b\r\nabcde\r\n0\r\n\r\n",
        "5;a=\"\r\nabcde\r\n0\r\n\r\n",
        "5;\0\r\n0\r\n\r\n",
        "5;a\nabcde\r\n0\r\n\r\n",
        "g\r\n",
        "5,5\r\nabcde\r\n0\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\nHost: b\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0\r\nX: \0\r\n\r\n",
        "0;\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let told = say(&gateway, format!("{head}{content}").as_bytes()).await.rest().await;
        assert!(told.starts_with("HTTP/1.1 400 "), "{content:?}: {told:?}");
        assert!(told.contains("bad-body"), "{content:?}: {told:?}");
        assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{content:?}: {told:?}");
        assert!(upstream.received().is_empty(), "{content:?} went on: {:?}", upstream.received());
    }
    until("nobody is left", async || {
        (gateway.metrics().await.sum("weir_in_flight", &[]) == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_allow_gets_through() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    let many = (0..90).fold(String::new(), |mut fields, n| {
        write!(fields, "X-{n}: y\r\n").unwrap();
        fields
    });
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8000));
    let large = format!("GET /x HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(16_000));
    let many = format!("GET /x HTTP/1.1\r\nHost: a\r\n{many}\r\n");
    for text in [
        "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nhost:a:8080\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost:\t a \t\r\n\r\n",
        "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET /x HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.9\r\nHost: a\r\n\r\n",
        "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://other/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP://a:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x?a=b&c=%20|;: HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX:\r\nX: \u{e9}\t\"\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nabcde",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\tCHUNKED \r\n\r\n05 ; a=\"b;\\\"\" ;c\r\nabcde\r\n000\r\nT: 1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
        "PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde",
        "GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nTE: trailers, gzip\r\nTrailer: X\r\nConnection: TE\r\n\r\n",
        &long,
        &large,
        &many,
    ] {
        let before = upstream.received().len();
        let mut raw = say(&gateway, text.as_bytes()).await;
        let (mut head, _) = raw.answer_to(text.starts_with("HEAD")).await;
        if head.starts_with("HTTP/1.1 100 ") {
            head = raw.answer().await.0;
        }
        assert!(head.contains(" 200 "), "{text:.200?}: {head}");
        // And the connection goes on.
        raw.get("/y").await;
        assert!(raw.answer().await.0.contains(" 200 "), "after {text:.200?}");
        let seen = upstream.received();
        assert_eq!(seen.len(), before + 2, "{text:.200?}");
        let went = &seen[before];
        for name in [
            "connection",
            "te",
            "trailer",
            "upgrade",
            "http2-settings",
            "expect",
            "transfer-encoding",
            "keep-alive",
        ] {
            assert_eq!(went.header(name), "", "{name} of {text:.200?} went on");
        }
    }
    let server = say(&gateway, b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .rest()
        .await;
    assert!(server.starts_with("HTTP/1.1 204 ") && server.contains("allow: GET"), "{server}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_well_before_is_answered_first() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    let told = say(&gateway, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /c HTTP/1.1\nHost: a\n\nGET /d HTTP/1.1\r\nHost: a\r\n\r\n").await.rest().await;
    let at = |text: &str| told.find(text).unwrap_or_else(|| panic!("no {text}: {told}"));
    assert!(at("GET /a") < at("GET /b") && at("GET /b") < at("HTTP/1.1 400 "), "{told}");
    assert_eq!(upstream.received().len(), 2);
    // It is logged and counted like any other request.
    until("it is logged", async || gateway.log().contains("400").then_some(())).await;
    let refused = [("endpoint", "none"), ("status", "400")];
    assert_eq!(gateway.metrics().await.sum("weir_requests_total", &refused), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_well_put_and_not_to_be_answered_is_refused_and_the_connection_goes_on() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    for (line, code) in [
        ("TRACE /x HTTP/1.1", "method-not-allowed"),
        ("GET /../x HTTP/1.1", "bad-path"),
        ("GET /a/./x HTTP/1.1", "bad-path"),
        ("GET /%2e%2e/x HTTP/1.1", "bad-path"),
        ("GET /%zz HTTP/1.1", "bad-path"),
        ("GET /x HTTP/1.1\r\nVia: 1.0 a, 1.1 weir", "loop"),
    ] {
        let mut raw = say(&gateway, format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).await;
        let (head, _) = raw.answer().await;
        assert!(head.contains(&format!("weir-error: {code}")), "{line}: {head}");
        assert!(upstream.received().is_empty(), "{line}");
        raw.write("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(raw.answer().await.0.contains(" 204 "), "{line}");
    }
}

pub(crate) const IMPATIENT: &str = r#"
header_timeout = "300ms"
limits = { idle_timeout = "500ms", stall_timeout = "300ms", least_rate = "100KiB", max_connections_per_address = 20 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_us_waiting_is_let_go() {
    let upstream = recorder().await;
    let gateway = before(&upstream, IMPATIENT).await;
    for silent in ["", "P", "PRI * HTTP/2.0\r\n"] {
        assert_eq!(say(&gateway, silent.as_bytes()).await.rest().await, "", "{silent:?}");
    }
    for part in ["G", "GET /x HTTP/1.1\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n"] {
        let told = say(&gateway, part.as_bytes()).await.rest().await;
        assert!(
            told.starts_with("HTTP/1.1 408 ") && told.contains("head-timeout"),
            "{part:?}: {told}"
        );
    }
    for head in [
        "Content-Length: 9\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n9",
    ] {
        let head = format!("POST /x HTTP/1.1\r\nHost: a\r\n{head}");
        let told = say(&gateway, head.as_bytes()).await.rest().await;
        assert!(
            told.starts_with("HTTP/1.1 408 ") && told.contains("body-timeout"),
            "{head:?}: {told}"
        );
    }
    // Also after a good request, with a whole pause between.
    let mut raw = say(&gateway, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(raw.answer().await.0.contains(" 200 "));
    assert_eq!(raw.rest().await, "", "an idle connection ends without a word");
    let cut = gateway.metrics().await.sum("weir_connections_cut_total", &[("reason", "head")]);
    assert_eq!(cut, 3);
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_take_its_answer_is_cut_off() {
    let upstream = Upstream::start(|_| answer(200, "", &"x".repeat(8 << 20))).await;
    let gateway = before(&upstream, IMPATIENT).await;
    let mut raw = say(&gateway, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("it is cut off", async || {
        let metrics = gateway.metrics().await;
        let cut = metrics.sum("weir_connections_cut_total", &[("reason", "stalled")]);
        (cut == 1 && metrics.sum("weir_connections", &[]) == 0).then_some(())
    })
    .await;
    assert!(raw.is_reset().await, "and not taken for whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_all_connections() {
    let upstream = recorder().await;
    let gateway = before(&upstream, IMPATIENT).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut raw = say(&gateway, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(raw.answer().await.0.contains(" 200 "));
        held.push(raw);
    }
    let mut one_more = Raw::connect(gateway.gateway.public()).await;
    one_more.try_write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(one_more.is_reset().await);
    assert_eq!(
        gateway.metrics().await.sum("weir_connections_cut_total", &[("reason", "address")]),
        1
    );
    drop(held);
    until("there is a place again", async || {
        let mut raw = Raw::connect(gateway.gateway.public()).await;
        raw.try_write(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        raw.rest().await.contains(" 200 ").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_told_to_be_too_large_is_not_asked_for() {
    let upstream = recorder().await;
    let gateway = before(&upstream, "").await;
    let head =
        "PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n";
    let told = say(&gateway, head.as_bytes()).await.rest().await;
    assert!(told.starts_with("HTTP/1.1 413 "), "{told}");
    // A blank line after a body begins nothing that could be late.
    let gateway = before(&upstream, IMPATIENT).await;
    let body = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na\r\n";
    let told = say(&gateway, body.as_bytes()).await.rest().await;
    assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{told}");
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
}
