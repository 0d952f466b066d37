//! What is replayed, and to whom.

use std::time::Duration;

use http::header::HeaderValue;
use http::{Method, Response};
use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::http::{Body, Grown, Room};
use crate::policy::endpoint::Lifetimes;
use crate::policy::etag;
use crate::policy::freshness::Stale;
use crate::store::purges::{Mark, Scopes};

fn entry(fields: &[(&'static str, &'static str)]) -> (Entry, Instant) {
    let fields = fields
        .iter()
        .map(|&(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
        .collect();
    entry_of(fields, Bytes::from_static(b"{}"))
}

fn entry_of(headers: HeaderMap, body: Bytes) -> (Entry, Instant) {
    let clock = Clock::system();
    let now = clock.now();
    let times = Times {
        made_at: now,
        initial_age: Duration::ZERO,
        lifetimes: Lifetimes::only_fresh(Duration::from_secs(10)),
        oldest_age: None,
        stale: Stale::Allowed,
        immutable: false,
        keep: Duration::ZERO,
    };
    let kept = Kept {
        times,
        selector: None,
        chain: None,
        without: Vec::new(),
        set_cookie: SetCookie::Strip,
        transform: Some(NoTransform::Ignored),
    };
    let nowhere = Membership::new(Scopes::from_iter([]), Mark::NONE);
    (Entry::new(StatusCode::OK, headers, arrived(body), clock.wall(), kept, nowhere), now)
}

fn arrived(body: Bytes) -> Content {
    Content::Arrived(body, Room::unbounded().part())
}

fn ask(entry: &Entry, method: &Method, tag: Option<&str>, now: Instant) -> Response<Body> {
    let headers =
        tag.map(|tag| (header::IF_NONE_MATCH, tag.parse().unwrap())).into_iter().collect();
    entry.answer(&Asks::of(method, &headers), now)
}

#[test]
fn what_concerned_one_client_or_one_moment_is_not_replayed() {
    let (entry, now) = entry(&[
        ("content-type", "application/json"),
        ("set-cookie", "zm_aid=1"),
        ("x-ratelimit-remaining", "5"),
        ("retry-after", "5"),
        ("connection", "close"),
        ("x-zm-trackingid", "abc"),
    ]);
    let answer = ask(&entry, &Method::GET, None, now + Duration::from_secs(3));
    let mut names: Vec<_> = answer.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let none = HeaderMap::new();
    let asked = Asks::of(&Method::GET, &none).having_fetched();
    assert_eq!(entry.answer(&asked, now).headers()["x-zm-trackingid"], "abc");
    let expected =
        ["age", "content-length", "content-type", "date", "etag", "weir-stored-trackingid"];
    assert_eq!(names, expected);
    assert_eq!(
        (&answer.headers()["age"], &answer.headers()["content-length"]),
        (&"3".parse().unwrap(), &"2".parse().unwrap())
    );
}

#[test]
fn a_client_that_has_it_gets_304() {
    let (own, now) = entry(&[]);
    let etag = head::field(&own.head, &header::ETAG).unwrap().to_str().unwrap().to_owned();
    let (theirs, _) = entry(&[("etag", "W/\"7\"")]);
    for (entry, tag, status) in [
        (&own, Some(etag.as_str()), 304),
        (&own, Some("*"), 304),
        (&own, Some("\"other\""), 200),
        (&own, None, 200),
        (&theirs, Some("\"1\", \"7\""), 304),
    ] {
        let answer = ask(entry, &Method::GET, tag, now);
        assert_eq!(answer.status(), status, "{tag:?}");
    }
    assert_ne!(etag::strong(b"a"), etag::strong(b"b"));
}

#[test]
fn head_gets_the_length_and_no_body() {
    let (entry, now) = entry(&[]);
    let answer = ask(&entry, &Method::HEAD, None, now);
    assert_eq!(answer.headers()["content-length"], "2");
    assert!(matches!(answer.body(), Body::Empty));
}

/// Fields as an upstream may send them, repeated ones among them.
fn fields() -> impl Strategy<Value = HeaderMap> {
    let name =
        prop_oneof!["x-[a-c]", Just("vary".into()), Just("etag".into()), Just("date".into())];
    let value = "[!-~]{0,9}( [!-~]{1,9})?";
    prop::collection::vec((name, value), 0..10).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    })
}

/// A head as the next hop reads it.
fn parsed(head: &[u8]) -> (u16, Vec<(String, String)>) {
    let text = String::from_utf8(head.to_vec()).unwrap();
    let (first, lines) = text.split_once("\r\n").unwrap();
    let status = first.split(' ').nth(1).unwrap().parse().unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    (status, lines.split_terminator("\r\n").map(field).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_prepared_is_what_is_answered_in_every_coding(
        headers in fields(),
        body in "[a-z]{1,40}",
    ) {
        let (entry, now) = entry_of(headers, body.repeat(60).into());
        let entry = std::sync::Arc::new(entry);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (unbounded, ready) = (Room::unbounded(), Room::unbounded());
        for coding in ["identity", "gzip", "br", "zstd"] {
            let request: HeaderMap =
                [(header::ACCEPT_ENCODING, HeaderValue::from_static(coding))].into_iter().collect();
            if let Some(coding) = entry.lacks(&request) {
                runtime.block_on(entry.encode(coding, &unbounded));
                prop_assert_eq!(entry.lacks(&request), None);
            }
            let prepared = entry.prepared(&request);
            let (status, head) = parsed(prepared.head);
            // The second time the fields are ready.
            for _ in 0..2 {
                let asks = Asks::of(&Method::GET, &request).leaving_ready(&ready);
                let mut answer = entry.answer(&asks, now);
                prop_assert!(answer.headers_mut().remove(header::AGE).is_some());
                let fields = answer.headers().iter().map(|(name, value)| {
                    (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
                });
                prop_assert_eq!((status, &head), (answer.status().as_u16(), &fields.collect()));
                let Body::Full(body) = answer.body() else { panic!("it is whole") };
                prop_assert_eq!(body.as_ptr(), prepared.body.as_ptr(), "nothing is copied");
                prop_assert_eq!(body, prepared.body);
            }
            let length = ("content-length".to_owned(), prepared.body.len().to_string());
            prop_assert!(head.contains(&length));
        }
    }
}

#[test]
fn fields_are_kept_ready_as_long_as_there_is_room_and_given_up_with_the_entry() {
    let (large, small) = (Room::new(4_096), Room::new(64));
    let none = HeaderMap::new();
    let (entry, now) = entry(&[("x-own", "1")]);
    let first = entry.answer(&Asks::of(&Method::GET, &none), now);
    assert!(entry.ready.get().is_none(), "nobody has said that there will be others");
    for room in [&small, &large, &large] {
        let asks = Asks::of(&Method::GET, &none).leaving_ready(room);
        assert_eq!(entry.answer(&asks, now).headers(), first.headers());
    }
    assert!(entry.ready.get().is_some() && small.left() == 64 && large.left() < 4_096);
    drop(entry);
    assert_eq!(large.left(), 4_096);
}

#[test]
fn without_room_it_is_sent_as_it_is_and_encoded_another_time() {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let (entry, _) = entry_of(json.into_iter().collect(), "[1, 2]".repeat(500).into());
    let entry = std::sync::Arc::new(entry);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let gzip = [(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))].into_iter().collect();
    let room = Room::new(3_000);
    let mut other = room.part();
    assert_eq!(other.grow(1), Grown::Yes);
    let coding = entry.lacks(&gzip).unwrap();
    runtime.block_on(entry.encode(coding, &room));
    assert_eq!((entry.lacks(&gzip), room.left()), (Some(coding), 2_999));
    assert_eq!(entry.prepared(&gzip).body.len(), 3_000);
    drop(other);
    runtime.block_on(entry.encode(coding, &room));
    assert!(entry.lacks(&gzip).is_none() && entry.prepared(&gzip).body.len() < 300);
    let held = 3_000 - room.left();
    assert!((entry.prepared(&gzip).body.len()..1_000).contains(&held), "{held}");
    drop(entry);
    assert_eq!(room.left(), 3_000);
}

/// Whoever makes an entry larger measures anew, and says here what it costs.
#[test]
fn an_entry_is_small_and_what_it_costs_is_counted() {
    assert_eq!(size_of::<Entry>(), 240);
    let (counters, owner) = (2 * size_of::<usize>(), 48);
    let own = occupied(size_of::<Entry>() + counters) + owner;
    let of_moka = OVERHEAD - own;
    assert!((315..=500).contains(&of_moka), "{of_moka}");
    let (entry, _) = entry(&[]);
    let text = entry.head.len() + entry.body.len();
    assert_eq!(entry.size(), OVERHEAD + occupied(text) + entry.membership.size());
}
