use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method, header};

use super::*;
use crate::layers::cache::{CacheLayer, Caching, Limits};
use crate::layers::testing::{
    Fake, Rig, SECOND, Setup, answer, code, field, label, send, settle, start, text,
};
use crate::metrics::CacheResult;
use crate::policy::endpoint::{PageTokenRule, WholeRule};
use crate::request::{FetchRequest, Spent};

fn rule(setup: &mut Setup, change: impl FnOnce(&mut WholeRule)) {
    let mut whole = WholeRule {
        parameter: "page".into(),
        value: "all".into(),
        items: "users".into(),
        max_pages: 5,
        max_bytes: 1000,
    };
    change(&mut whole);
    setup.page_token = Some(PageTokenRule {
        request: "token".into(),
        response: "next".into(),
        lifetime: 900 * SECOND,
        margin: 120 * SECOND,
        all: Some(whole),
    });
}

fn rig_with(change: impl FnOnce(&mut Setup)) -> Rig {
    Rig::with(|setup| {
        rule(setup, |_| {});
        change(setup);
    })
}

fn rig() -> Rig {
    rig_with(|_| {})
}

fn whole(rig: &Rig, method: Method) -> RoutedRequest {
    RoutedRequest { extent: Extent::Whole, ..rig.ask(method, "a") }
}

fn entries(rig: &Rig) -> EntryCache {
    EntryCache::new(1 << 20, rig.clock.clone(), Box::new(|_| {}))
}

/// Over a service that stands for the cache.
fn over<S>(rig: &Rig, inner: S) -> Listing<S> {
    ListingLayer::new(entries(rig), rig.clock.clone()).layer(inner)
}

const LIMITS: Limits = Limits {
    max_entry_bytes: 1000,
    max_fetching_bytes: usize::MAX,
    remember_uncacheable: Duration::from_secs(60),
    remember_failure: SECOND,
};

/// Over a real cache, whose questions `inner` answers.
fn cached<S>(rig: &Rig, inner: S) -> Listing<Caching<S>> {
    let entries = entries(rig);
    let cache = CacheLayer::new(entries.clone(), rig.purges.clone(), rig.clock.clone(), LIMITS)
        .layer(inner);
    ListingLayer::new(entries, rig.clock.clone()).layer(cache)
}

/// The number of the page that a request asks for, from 1.
fn number(request: &RoutedRequest) -> u32 {
    request.key.parameters().query("token").map_or(1, |token| token.parse().unwrap())
}

/// Page `number` of `of`, as an upstream writes it that tells how many there are if `told`.
fn page(number: u32, of: u32, told: bool) -> String {
    let next = if number < of { (number + 1).to_string() } else { String::new() };
    let count = if told { format!(r#""page_count":{of},"#) } else { String::new() };
    format!(r#"{{{count}"next":"{next}","users":[{number}]}}"#)
}

/// Stands for the cache: as many pages as that, each new.
fn pages(of: u32, told: bool) -> Fake<RoutedRequest> {
    Fake::new(move |_, request: RoutedRequest| async move {
        request.record.looked_up(CacheResult::Miss);
        Ok(answer(200, &[], page(number(&request), of, told)))
    })
}

fn walks(rig: &Rig, result: &str) -> u64 {
    let labels = format!("{{endpoint=\"things\",result=\"{result}\"}}");
    rig.counted(&format!("weir_listing_walks_total{labels}"))
}

#[tokio::test(start_paused = true)]
async fn a_page_is_none_of_its_business() {
    let (rig, fake) = (rig(), pages(3, true));
    let listing = over(&rig, fake.clone());
    let one = send(&listing, rig.get()).await.unwrap();
    assert_eq!(text(one).await, page(1, 3, true));
    assert_eq!(fake.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_one_answer() {
    let rig = rig();
    let until = rig.clock.now() + 30 * SECOND;
    let fake = Fake::new(move |n, request: RoutedRequest| async move {
        assert_eq!(u32::try_from(n).unwrap() + 1, number(&request), "one after the other");
        assert_eq!((&request.method, request.extent), (&Method::GET, Extent::Page));
        assert_eq!(request.deadline, until);
        let names: Vec<_> = request.headers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(names, ["x-kept"]);
        request.record.looked_up(CacheResult::Miss);
        let age = ["3", "7", "5"][n];
        Ok(answer(200, &[("age", age), ("ratelimit", age)], page(number(&request), 3, true)))
    });
    let listing = over(&rig, fake.clone());
    let mut request = whole(&rig, Method::GET);
    for (name, value) in [
        (header::IF_NONE_MATCH, "\"x\""),
        (header::ACCEPT_ENCODING, "gzip"),
        (header::RANGE, "bytes=0-1"),
        (header::HeaderName::from_static("x-kept"), "1"),
    ] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    let record = Arc::clone(&request.record);
    let all = send(&listing, request).await.unwrap();
    assert_eq!(all.status(), 200);
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", "42"),
        ("weir-pages", "3"),
        ("weir-tokens-spent", "3"),
        ("cache-status", "weir; fwd=miss; detail=pages-3"),
        ("age", "7"),
        ("ratelimit", "5"),
    ] {
        assert_eq!(field(&all, name), value, "{name}");
    }
    assert!(field(&all, "etag").starts_with('"'), "strong");
    assert_eq!(text(all).await, r#"{"page_count":1,"next":"","users":[1,2,3]}"#);
    assert_eq!((fake.calls(), record.cache()), (3, Some(CacheResult::Miss)));
    assert_eq!(walks(&rig, "whole"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_it_gets_304_and_head_gets_no_content() {
    let rig = rig();
    let listing = over(&rig, pages(2, true));
    let all = send(&listing, whole(&rig, Method::GET)).await.unwrap();
    let etag = all.headers()[header::ETAG].clone();
    let mut again = whole(&rig, Method::GET);
    again.headers.insert(header::IF_NONE_MATCH, etag.clone());
    let known = send(&listing, again).await.unwrap();
    assert_eq!((known.status().as_u16(), &known.headers()[header::ETAG]), (304, &etag));
    assert!(!known.headers().contains_key(header::CONTENT_LENGTH));
    assert_eq!(text(known).await, "");
    let head = send(&listing, whole(&rig, Method::HEAD)).await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()[header::ETAG]), (200, &etag));
    assert_eq!(field(&head, "content-length"), field(&all, "content-length"));
    assert_eq!(text(head).await, "");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_memory_costs_nothing_and_is_a_hit() {
    let rig = rig_with(|setup| setup.per_day = 3);
    let fake = Fake::new(|n, _: FetchRequest| async move {
        Ok(answer(200, &[], page(u32::try_from(n).unwrap() + 1, 3, true)))
    });
    let listing = cached(&rig, fake.clone());
    let first = send(&listing, whole(&rig, Method::GET)).await.unwrap();
    assert_eq!((field(&first, "weir-tokens-spent"), field(&first, "weir-pages")), ("3", "3"));
    // The day is spent elsewhere.
    let label = rig.route.label.as_ref().unwrap();
    for _ in 0..3 {
        let (share, until) = (&rig.client.share, rig.get().deadline);
        let mut permit = rig.upstream().limiter.acquire(label.index, share, until).await.unwrap();
        permit.spend();
        permit.sent();
    }
    assert_eq!(rig.left().1, 0);
    rig.clock.advance(4 * SECOND);
    let request = whole(&rig, Method::GET);
    let record = Arc::clone(&request.record);
    let again = send(&listing, request).await.unwrap();
    assert_eq!((field(&again, "weir-tokens-spent"), fake.calls()), ("0", 3));
    assert_eq!(field(&again, "cache-status"), "weir; hit; detail=pages-3");
    assert_eq!((field(&again, "age"), record.cache()), ("4", Some(CacheResult::Hit)));
    assert_eq!(text(again).await, text(first).await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_what_it_cost() {
    let rig = rig();
    let fake = Fake::new(|n, request: RoutedRequest| async move {
        request.record.looked_up([CacheResult::Miss, CacheResult::Hit, CacheResult::Collapsed][n]);
        let mut answer = answer(200, &[], page(number(&request), 3, true));
        if n == 0 {
            answer.extensions_mut().insert(Spent(2));
        }
        Ok(answer)
    });
    let all = send(&over(&rig, fake), whole(&rig, Method::GET)).await.unwrap();
    assert_eq!(field(&all, "weir-tokens-spent"), "2", "a second attempt paid too");
    assert_eq!(field(&all, "cache-status"), "weir; fwd=miss; detail=pages-3");
}

#[tokio::test(start_paused = true)]
async fn an_error_about_one_page_is_the_answer() {
    for (status, calls) in [(404, 3), (500, 3), (429, 3)] {
        let rig = rig();
        let fake = Fake::new(move |_, request: RoutedRequest| async move {
            let third = number(&request) == 3;
            let (status, body) =
                if third { (status, "no".into()) } else { (200, page(number(&request), 5, true)) };
            Ok(answer(status, &[("x-own", "1")], body))
        });
        let listing = over(&rig, fake.clone());
        let refused = send(&listing, whole(&rig, Method::GET)).await.unwrap();
        assert_eq!((refused.status().as_u16(), field(&refused, "x-own")), (status, "1"));
        assert!(!refused.headers().contains_key("weir-pages"));
        assert_eq!((text(refused).await.as_str(), fake.calls()), ("no", calls));
        assert_eq!(walks(&rig, "refused"), 1);
        let head = send(&listing, whole(&rig, Method::HEAD)).await.unwrap();
        assert_eq!((head.status().as_u16(), text(head).await.as_str()), (status, ""));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_page_refuses_the_whole() {
    let rig = rig();
    let fake = Fake::new(|n, request: RoutedRequest| async move {
        if n == 1 {
            Err(GatewayError::Overloaded)
        } else {
            Ok(answer(200, &[], page(number(&request), 3, true)))
        }
    });
    let refused = send(&over(&rig, fake.clone()), whole(&rig, Method::GET)).await;
    assert_eq!((code(&refused), fake.calls(), walks(&rig, "failed")), ("overloaded", 2, 1));
}

/// An upstream behind a cache whose token for page 2 is worth nothing `refusals` times.
fn forgetful(refusals: usize) -> Fake<FetchRequest> {
    let refused = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Fake::new(move |n, question: FetchRequest| {
        let first = !question.target.contains("token");
        let refuse = !first && refused.fetch_add(1, Ordering::SeqCst) < refusals;
        async move {
            Ok(match (first, refuse) {
                (true, _) => answer(200, &[], format!(r#"{{"next":"t{n}","users":[{n}]}}"#)),
                (false, true) => answer(400, &[], "expired"),
                (false, false) => answer(200, &[], format!(r#"{{"next":"","users":[{n}]}}"#)),
            })
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_begins_the_walk_anew_and_leaves_nothing_of_the_old_one() {
    let rig = rig();
    let fake = forgetful(1);
    let listing = cached(&rig, fake.clone());
    let all = send(&listing, whole(&rig, Method::GET)).await.unwrap();
    assert_eq!(field(&all, "weir-pages"), "2");
    assert_eq!(field(&all, "weir-tokens-spent"), "4", "those of the first walk were spent as well");
    assert_eq!(text(all).await, r#"{"next":"","users":[2,3]}"#, "none of the first walk's pages");
    let page = send(&listing, rig.get()).await.unwrap();
    assert_eq!(text(page).await, r#"{"next":"t2","users":[2]}"#);
    assert_eq!(fake.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn it_begins_anew_once_at_most() {
    let rig = rig();
    let fake = forgetful(9);
    let refused = send(&cached(&rig, fake.clone()), whole(&rig, Method::GET)).await.unwrap();
    assert_eq!((refused.status().as_u16(), fake.calls()), (400, 4));
    assert_eq!(text(refused).await, "expired");
}

#[tokio::test(start_paused = true)]
async fn it_does_not_begin_anew_when_that_would_take_too_long() {
    let rig = rig();
    let inner = forgetful(1);
    let slow = Fake::new(move |_, question: FetchRequest| {
        let inner = inner.clone();
        async move {
            tokio::time::sleep(8 * SECOND).await;
            send(&inner, question).await
        }
    });
    let refused = send(&cached(&rig, slow.clone()), whole(&rig, Method::GET)).await.unwrap();
    assert_eq!((refused.status().as_u16(), slow.calls()), (400, 2));
}

#[tokio::test(start_paused = true)]
async fn a_day_that_does_not_pay_for_all_pays_for_the_first_only() {
    for (per_day, whole_listing) in [(4, true), (3, false), (1, false)] {
        // The fake spends nothing: what is left is for the four pages after the first.
        let rig = rig_with(|setup| setup.per_day = per_day);
        let fake = pages(5, true);
        let result = send(&over(&rig, fake.clone()), whole(&rig, Method::GET)).await;
        if whole_listing {
            assert_eq!((code(&result), fake.calls()), ("ok", 5));
            continue;
        }
        assert_eq!((code(&result), fake.calls()), ("listing-budget", 1));
        let error = result.unwrap_err();
        assert!(error.to_string().contains("4 more requests"), "{error}");
        let row = error.row();
        assert_eq!((row.status.as_u16(), row.retry_after), (429, Some(12 * 3600 * SECOND)));
        assert_eq!(walks(&rig, "budget"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_told_each_page_is_judged_as_it_comes() {
    let poor = rig_with(|setup| setup.per_day = 1);
    let fake = pages(5, false);
    let all = send(&over(&poor, fake.clone()), whole(&poor, Method::GET)).await;
    assert_eq!((code(&all), fake.calls()), ("ok", 5), "the fake spends nothing");
    let rig = rig();
    let fake = pages(6, false);
    let long = send(&over(&rig, fake.clone()), whole(&rig, Method::GET)).await;
    assert_eq!((code(&long), fake.calls()), ("listing-too-long", 5));
    assert!(long.unwrap_err().to_string().contains("6 pages at least, more than max_pages = 5"));
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_is_known_to_be_too_long_costs_one_page() {
    let rig = rig();
    let fake = pages(6, true);
    let long = send(&over(&rig, fake.clone()), whole(&rig, Method::GET)).await;
    assert_eq!((code(&long), fake.calls(), walks(&rig, "bound")), ("listing-too-long", 1, 1));
    assert_eq!(long.unwrap_err().row().status, 422);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_is_too_large_is_refused() {
    let whole_text = r#"{"page_count":1,"next":"","users":[1,2,3]}"#;
    for (max_bytes, expected) in
        [(whole_text.len(), "ok"), (whole_text.len() - 1, "listing-too-large")]
    {
        let rig = Rig::with(|setup| rule(setup, |whole| whole.max_bytes = max_bytes));
        let all = send(&over(&rig, pages(3, true)), whole(&rig, Method::GET)).await;
        assert_eq!(code(&all), expected);
    }
    // Not even read: it comes as a stream.
    let rig = Rig::with(|setup| rule(setup, |whole| whole.max_bytes = 10));
    let endless = Fake::new(|_, _: RoutedRequest| async {
        let chunks = futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::from_static(b"xxxx")))
        });
        Ok(answer(200, &[], Body::stream(http_body_util::StreamBody::new(chunks))))
    });
    let all = send(&over(&rig, endless), whole(&rig, Method::GET)).await;
    assert_eq!(code(&all), "listing-too-large");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_the_time_is_refused_up_front() {
    // In 30 seconds at most 31 leave, one a second, and there is one more.
    for (of, expected, calls) in [(32, "ok", 32), (33, "listing-time", 1)] {
        let rig = Rig::with(|setup| {
            rule(setup, |whole| whole.max_pages = 100);
            setup.label = Some(label(1, 5 * SECOND));
        });
        let fake = pages(of, true);
        let result = send(&over(&rig, fake.clone()), whole(&rig, Method::GET)).await;
        assert_eq!((code(&result), fake.calls()), (expected, calls));
    }
    // Ten pages at five seconds each: the second shows that the first was no exception.
    let rig = Rig::with(|setup| rule(setup, |whole| whole.max_pages = 100));
    let inner = pages(10, true);
    let slow = Fake::new(move |_, request: RoutedRequest| {
        let inner = inner.clone();
        async move {
            tokio::time::sleep(5 * SECOND).await;
            send(&inner, request).await
        }
    });
    let result = send(&over(&rig, slow.clone()), whole(&rig, Method::GET)).await;
    assert_eq!((code(&result), slow.calls(), walks(&rig, "time")), ("listing-time", 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_walk_ends_by_its_requests_deadline() {
    let rig = rig();
    let started = rig.clock.now();
    let stuck = Fake::new(|n, request: RoutedRequest| async move {
        if n == 1 {
            std::future::pending::<()>().await;
        }
        Ok(answer(200, &[], page(number(&request), 3, true)))
    });
    let late = send(&over(&rig, stuck), whole(&rig, Method::GET)).await;
    assert_eq!((code(&late), rig.clock.now() - started), ("deadline", 30 * SECOND));
    assert_eq!(walks(&rig, "time"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_ends_the_walk() {
    let rig = rig();
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let fake = Fake::new(move |n, request: RoutedRequest| {
        let gate = Arc::clone(&gate);
        async move {
            while n == 1 && !gate.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(answer(200, &[], page(number(&request), 5, true)))
        }
    });
    let walk = start(&over(&rig, fake.clone()), whole(&rig, Method::GET));
    settle().await;
    assert_eq!(fake.calls(), 2);
    walk.abort();
    open.store(true, Ordering::SeqCst);
    tokio::time::sleep(SECOND).await;
    assert_eq!((fake.calls(), walks(&rig, "abandoned")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_page_is_told_with_its_number() {
    for (body, status) in [
        ("<html>", 200),
        (r#"{"next":"","users":{}}"#, 200),
        (r#"{"next":"2","users":[]}"#, 200),
        ("", 204),
    ] {
        let rig = rig();
        let fake = Fake::new(move |n, request: RoutedRequest| async move {
            Ok(if n == 1 {
                answer(status, &[], body)
            } else {
                answer(200, &[], page(number(&request), 5, true))
            })
        });
        let result = send(&over(&rig, fake.clone()), whole(&rig, Method::GET)).await;
        assert_eq!((code(&result), fake.calls()), ("listing-unusable", 2), "{body}");
        let error = result.unwrap_err();
        assert_eq!(error.row().status, 502);
        assert!(error.to_string().contains("page 2"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_that_disagree_are_for_nobody_to_keep() {
    for (second, expected) in [("max-age=60", "max-age=60"), ("max-age=5", "no-store")] {
        let rig = rig();
        let fake = Fake::new(move |n, request: RoutedRequest| async move {
            let said = if n == 1 { second } else { "max-age=60" };
            Ok(answer(200, &[("cache-control", said)], page(number(&request), 3, true)))
        });
        let all = send(&over(&rig, fake), whole(&rig, Method::GET)).await.unwrap();
        assert_eq!(field(&all, "cache-control"), expected);
    }
    // Nor what is for one client, one language, or another kind of cache.
    for own in
        [("set-cookie", "a=b"), ("vary", "accept-language"), ("cdn-cache-control", "no-store")]
    {
        let rig = rig();
        let fake = Fake::new(move |n, request: RoutedRequest| async move {
            let said = ("cache-control", "public, max-age=60");
            let fields = if n == 1 { vec![said, own] } else { vec![said] };
            Ok(answer(200, &fields, page(number(&request), 3, true)))
        });
        let all = send(&over(&rig, fake), whole(&rig, Method::GET)).await.unwrap();
        assert_eq!(field(&all, "cache-control"), "no-store", "{own:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_stores_nothing_pays_for_every_page() {
    let rig = rig_with(|setup| setup.cache = crate::policy::endpoint::CacheRule::Off);
    let fake = Fake::new(|n, _: FetchRequest| async move {
        Ok(answer(200, &[], page(u32::try_from(n % 2).unwrap() + 1, 2, false)))
    });
    let listing = cached(&rig, fake.clone());
    for calls in [2, 4] {
        let all = send(&listing, whole(&rig, Method::GET)).await.unwrap();
        assert_eq!((field(&all, "weir-tokens-spent"), fake.calls()), ("2", calls));
        assert_eq!(field(&all, "cache-status"), "weir; fwd=bypass; detail=pages-2");
    }
}
