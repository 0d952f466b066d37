//! Answers past their freshness.

use std::time::Duration;

use super::*;
use crate::layers::testing::{Answer, Setup, settle};
use crate::policy::endpoint::PageTokenRule;
use crate::store::limiter::{Reason, Refused};
use crate::upstream::{Phase, UpstreamError};

/// The first call succeeds; the others do what they are told, after a while.
fn then(wait: Duration, reply: impl Fn() -> Answer + Send + Sync + 'static) -> Fake<FetchRequest> {
    let reply = Arc::new(reply);
    Fake::new(move |n, _| {
        let reply = Arc::clone(&reply);
        async move {
            if n == 0 {
                return Ok(answer(200, &[], "old"));
            }
            tokio::time::sleep(wait).await;
            reply()
        }
    })
}

fn down() -> Answer {
    Err(UpstreamError::Timeout(Phase::FirstByte).into())
}

#[tokio::test(start_paused = true)]
async fn stale_is_served_at_once_while_one_flight_refreshes_it() {
    let rig = Rig::new();
    let fake = then(SECOND, || Ok(answer(200, &[], "new")));
    let mut cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(15 * SECOND);
    for _ in 0..3 {
        let request = rig.get();
        let record = Arc::clone(&request.record);
        let Either::Left(stale) = cache.call(request) else { panic!("nobody waits") };
        let stale = stale.now_or_never().unwrap().unwrap();
        assert_eq!(
            (status(&stale), field(&stale, "age")),
            ("weir; hit; ttl=-5; detail=stale", "15")
        );
        assert_eq!(record.cache(), Some(CacheResult::Stale));
        assert_eq!(text(stale).await, "old");
        settle().await;
    }
    assert_eq!(fake.calls(), 2, "one refresh for all");
    tokio::time::sleep(2 * SECOND).await;
    let fresh = send(&cache, rig.get()).await.unwrap();
    assert_eq!((status(&fresh), fake.calls()), ("weir; hit; ttl=8", 2));
    assert_eq!(text(fresh).await, "new");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_leaves_the_stale_answer() {
    let rig = Rig::new();
    let fake = then(Duration::ZERO, || Ok(answer(500, &[], "broken")));
    let cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(15 * SECOND);
    for calls in [2, 3] {
        // Until the failure's moment is over, nobody tries again.
        for _ in 0..3 {
            let stale = send(&cache, rig.get()).await.unwrap();
            assert_eq!(text(stale).await, "old");
            settle().await;
            assert_eq!(fake.calls(), calls);
        }
        rig.clock.advance(SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn stale_stands_in_for_whatever_goes_wrong() {
    type Reply = fn() -> Answer;
    let limited = || {
        let refused = Refused { reason: Reason::Day, retry_after: SECOND };
        Err(GatewayError::Limited { refused, quota: Arc::default() })
    };
    let large = || Ok(answer(503, &[], "x".repeat(65)));
    let cases: [(Reply, &str); 6] = [
        (down, "weir; fwd=stale; detail=upstream-timeout"),
        (|| Ok(answer(503, &[], "busy")), "weir; fwd=stale; detail=upstream-error"),
        (|| Ok(answer(429, &[], "busy")), "weir; fwd=stale; detail=upstream-error"),
        (large, "weir; fwd=stale; detail=upstream-error"),
        (limited, "weir; fwd=stale; detail=quota"),
        (|| panic!("broken"), "weir; fwd=stale; detail=flight-lost"),
    ];
    for (reply, expected) in cases {
        let rig = Rig::new();
        let fake = then(Duration::ZERO, reply);
        let cache = rig.cached(fake.clone());
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(45 * SECOND);
        let request = rig.get();
        let record = Arc::clone(&request.record);
        let stale = send(&cache, request).await.unwrap();
        assert_eq!((status(&stale), field(&stale, "age")), (expected, "45"));
        assert_eq!((stale.status().as_u16(), record.cache()), (200, Some(CacheResult::Stale)));
        assert_eq!((text(stale).await.as_str(), fake.calls()), ("old", 2));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_question_is_not_replaced_by_a_stale_one() {
    for (code, body) in [(200, "new"), (404, "gone")] {
        let rig = Rig::new();
        let cache = rig.cached(then(Duration::ZERO, move || Ok(answer(code, &[], body))));
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(45 * SECOND);
        let answer = send(&cache, rig.get()).await.unwrap();
        let stored = if code == 200 { "; stored" } else { "" };
        assert_eq!(status(&answer), format!("weir; fwd=stale; fwd-status={code}{stored}"));
        assert_eq!(text(answer).await, body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_answer_is_never_served() {
    let rig = Rig::new();
    let cache = rig.cached(then(Duration::ZERO, down));
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(609 * SECOND);
    assert_eq!(code(&send(&cache, rig.get()).await), "ok");
    rig.clock.advance(SECOND);
    assert_eq!(code(&send(&cache, rig.get()).await), "upstream-timeout");

    let cache = rig.cached(then(Duration::ZERO, || Ok(answer(200, &[], "new"))));
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(610 * SECOND);
    let fetched = send(&cache, rig.get()).await.unwrap();
    assert_eq!(status(&fetched), "weir; fwd=stale; fwd-status=200; stored");
    assert_eq!(text(fetched).await, "new");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_dies_while_the_upstream_is_asked_is_not_served() {
    let rig = Rig::new();
    let cache = rig.cached(then(2 * SECOND, down));
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(609 * SECOND);
    assert_eq!(code(&send(&cache, rig.get()).await), "upstream-timeout");
}

fn paged(setup: &mut Setup) {
    setup.cache = seconds(100, 700, 5000);
    setup.page_token = Some(PageTokenRule {
        all: None,
        request: "next_page_token".into(),
        response: "next_page_token".into(),
        lifetime: 900 * SECOND,
        margin: 120 * SECOND,
    });
}

#[tokio::test(start_paused = true)]
async fn a_page_does_not_outlive_the_name_of_the_next() {
    for (body, outlives) in
        [(r#"{"next_page_token":"t"}"#, false), (r#"{"next_page_token":""}"#, true)]
    {
        for wait in [Duration::ZERO, 10 * SECOND] {
            let rig = Rig::with(paged);
            let fake = Fake::new(move |n, _: FetchRequest| async move {
                if n == 0 {
                    return Ok(answer(200, &[], body));
                }
                tokio::time::sleep(wait).await;
                down()
            });
            let cache = rig.cached(fake);
            send(&cache, rig.get()).await.unwrap();
            rig.clock.advance(779 * SECOND);
            let stale = send(&cache, rig.get()).await.unwrap();
            assert_eq!(status(&stale), "weir; hit; ttl=-679; detail=stale");
            rig.clock.advance(SECOND);
            let expected = if outlives { "ok" } else { "upstream-timeout" };
            assert_eq!(code(&send(&cache, rig.get()).await), expected, "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_when_the_request_left() {
    let rig = Rig::new();
    let clock = rig.clock.clone();
    let fake = Fake::new(move |_, _: FetchRequest| {
        let clock = clock.clone();
        async move {
            // It waited for a token,
            tokio::time::sleep(4 * SECOND).await;
            let sent_at = clock.now();
            // and the upstream took its time.
            tokio::time::sleep(3 * SECOND).await;
            let mut answer = answer(200, &[], "x");
            answer.extensions_mut().insert(crate::request::SentAt(sent_at));
            Ok(answer)
        }
    });
    let cache = rig.cached(fake);
    let first = send(&cache, rig.get()).await.unwrap();
    assert_eq!(field(&first, "age"), "3");
    let hit = send(&cache, rig.get()).await.unwrap();
    assert_eq!(status(&hit), "weir; hit; ttl=7");
}
