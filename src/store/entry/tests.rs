//! What is replayed, and to whom.

use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::policy::endpoint::Lifetimes;
use crate::policy::freshness::Stale;
use crate::store::purges::{Mark, Scopes};

fn entry(fields: &[(&'static str, &'static str)]) -> (Entry, Instant) {
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
        transform: None,
    };
    let headers = fields
        .iter()
        .map(|&(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
        .collect();
    let body = Bytes::from_static(b"{}");
    let nowhere = Membership::new(Scopes::from_iter([]), Mark::NONE);
    (Entry::new(StatusCode::OK, headers, body, clock.wall(), kept, nowhere), now)
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
    let etag = own.etag.as_ref().unwrap().to_str().unwrap().to_owned();
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
