use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{IF_NONE_MATCH, SET_COOKIE};
use http::{HeaderValue, Method};

use super::*;
use crate::layers::testing::{Fake, Rig, SECOND, answer, code, field, seconds, send, text};
use crate::policy::endpoint::{CacheRule, Respect};

mod ahead;
mod codings;
mod crowd;
mod flight;
mod invalidation;
mod moments;
mod others;
mod pages;
mod purges;
mod respect;
mod room;
mod rules;
mod stale;
mod validation;
mod variants;
mod wishes;

/// Answers 200 with the number of the call.
fn numbers() -> Fake<FetchRequest> {
    Fake::new(
        |n, _| async move { Ok(answer(200, &[("content-type", "text/plain")], n.to_string())) },
    )
}

fn status(answer: &Response<Body>) -> &str {
    field(answer, "cache-status")
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_stored_and_the_hit_is_answered_in_call_itself() {
    let (rig, fake) = (Rig::new(), numbers());
    let mut cache = rig.cached(fake.clone());
    let (first, request) = (rig.get(), rig.get());
    let (miss_said, hit_said) = (Arc::clone(&first.record), Arc::clone(&request.record));
    let miss = send(&cache, first).await.unwrap();
    assert_eq!(status(&miss), "weir; fwd=miss; fwd-status=200; stored");
    assert_eq!((miss_said.cache(), rig.saved()), (Some(CacheResult::Miss), 0));

    rig.clock.advance(3 * SECOND);
    let Either::Left(hit) = cache.call(request) else { panic!("a hit waits for nothing") };
    let hit = hit.now_or_never().unwrap().unwrap();
    assert_eq!(fake.calls(), 1);
    assert_eq!(status(&hit), "weir; hit; ttl=7");
    assert_eq!((field(&hit, "age"), field(&hit, "content-type")), ("3", "text/plain"));
    assert_eq!((hit_said.cache(), rig.saved()), (Some(CacheResult::Hit), 1));
    assert_eq!((text(miss).await, text(hit).await), ("0".to_owned(), "0".to_owned()));

    let other = send(&cache, rig.ask(Method::GET, "b")).await.unwrap();
    assert_eq!((text(other).await.as_str(), fake.calls()), ("1", 2), "another question");
}

#[tokio::test(start_paused = true)]
async fn what_concerned_the_one_who_fetched_is_not_told_again() {
    let rig = Rig::new();
    let fake = Fake::new(|_, _: FetchRequest| async {
        let fields = [("ratelimit", "\"heavy\";r=7;t=1"), ("set-cookie", "zm=1")];
        Ok(answer(200, &fields, "x"))
    });
    let cache = rig.cached(fake);
    let miss = send(&cache, rig.get()).await.unwrap();
    assert_eq!(field(&miss, "ratelimit"), "\"heavy\";r=7;t=1");
    let hit = send(&cache, rig.get()).await.unwrap();
    assert_eq!(status(&hit), "weir; hit; ttl=10");
    assert!(!hit.headers().contains_key("ratelimit"));
    assert!(!hit.headers().contains_key(SET_COOKIE));
}

#[tokio::test(start_paused = true)]
async fn head_is_answered_from_get() {
    let rig = Rig::new();
    let fake = Fake::new(|_, question: FetchRequest| async move {
        assert_eq!(question.method, Method::GET);
        Ok(answer(200, &[], "twelve bytes"))
    });
    let cache = rig.cached(fake.clone());
    for _ in 0..2 {
        let head = send(&cache, rig.ask(Method::HEAD, "a")).await.unwrap();
        assert_eq!((head.status().as_u16(), field(&head, "content-length")), (200, "12"));
        assert_eq!(text(head).await, "");
    }
    let hit = send(&cache, rig.get()).await.unwrap();
    assert_eq!(text(hit).await, "twelve bytes");
    assert_eq!(fake.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_it_gets_304_on_a_hit_and_on_a_miss() {
    let (rig, fake) = (
        Rig::new(),
        Fake::new(|_, question: FetchRequest| async move {
            assert!(!question.headers.contains_key(IF_NONE_MATCH), "the flight is for everybody");
            Ok(answer(200, &[("etag", "\"7\"")], "x"))
        }),
    );
    let cache = rig.cached(fake.clone());
    let asks = |tag: &'static str| {
        let mut request = rig.get();
        request.headers.insert(IF_NONE_MATCH, HeaderValue::from_static(tag));
        request
    };
    for _ in 0..2 {
        let known = send(&cache, asks("\"6\", \"7\"")).await.unwrap();
        assert_eq!((known.status().as_u16(), field(&known, "etag")), (304, "\"7\""));
        assert_eq!(text(known).await, "");
    }
    let unknown = send(&cache, asks("\"6\"")).await.unwrap();
    assert_eq!((unknown.status().as_u16(), fake.calls()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn a_condition_hides_no_error() {
    let rig = Rig::new();
    let cache = rig.cached(Fake::new(|_, _: FetchRequest| async { Ok(answer(404, &[], "gone")) }));
    let mut request = rig.get();
    request.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    let gone = send(&cache, request).await.unwrap();
    assert_eq!((gone.status().as_u16(), text(gone).await.as_str()), (404, "gone"));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_by_the_cache_says_why() {
    type Change<'c> = &'c dyn Fn(&mut RoutedRequest);
    let no_store = |request: &mut RoutedRequest| {
        request.headers.insert("cache-control", HeaderValue::from_static("no-store"));
    };
    let post = |request: &mut RoutedRequest| request.method = Method::POST;
    let same = |_: &mut RoutedRequest| {};
    let cases: [(CacheRule, Change<'_>, &str); 5] = [
        (seconds(10, 0, 0), &post, "weir; fwd=method; fwd-status=200"),
        (CacheRule::Off, &same, "weir; fwd=bypass; fwd-status=200"),
        (CacheRule::Respect(Respect::default()), &no_store, "weir; fwd=request; fwd-status=200"),
        (CacheRule::Respect(Respect::default()), &post, "weir; fwd=method; fwd-status=200"),
        (CacheRule::Off, &post, "weir; fwd=method; fwd-status=200"),
    ];
    for (rule, change, expected) in cases {
        let rig = Rig::with(|setup| setup.cache = rule);
        let fake = Fake::new(|_, question: FetchRequest| async move {
            assert_eq!(question.headers["x-own"], "1");
            Ok(answer(200, &[("cache-control", "max-age=60")], question.body))
        });
        let cache = rig.cached(fake.clone());
        for _ in 0..2 {
            let mut request = rig.get();
            request.headers.insert("x-own", HeaderValue::from_static("1"));
            request.body = "question".into();
            change(&mut request);
            let record = Arc::clone(&request.record);
            let passed = send(&cache, request).await.unwrap();
            assert_eq!(status(&passed), expected);
            assert_eq!(record.cache(), Some(CacheResult::Bypass));
            assert_eq!(text(passed).await, "question");
        }
        assert_eq!((fake.calls(), rig.saved()), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_or_broken_or_late_reaches_nobody() {
    type Frame = Result<http_body::Frame<Bytes>, &'static str>;
    let rig = Rig::new();
    let fake = numbers();
    let cache = rig.cached(fake.clone());
    let broken = futures_util::stream::iter([Frame::Err("connection reset")]);
    let late = futures_util::stream::pending::<Frame>();
    for (body, expected) in [
        (Body::from("seventeen bytes.."), "body-too-large"),
        (Body::stream(http_body_util::StreamBody::new(broken)), "bad-body"),
        (Body::stream(http_body_util::StreamBody::new(late)), "body-timeout"),
    ] {
        let mut request = rig.ask(Method::POST, "a");
        request.body = body;
        assert_eq!(code(&send(&cache, request).await), expected);
    }
    assert_eq!(fake.calls(), 0);
}
