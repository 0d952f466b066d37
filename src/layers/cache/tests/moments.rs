//! What is remembered for a moment, and what a crowd makes of it.

use super::crowd::{CROWD, WHILE, asking, burst, respecting, slow, texts};
use super::*;
use crate::layers::retry::RetryLayer;
use crate::layers::testing::{Answer, settle};
use crate::store::limiter::{Reason, Refused};
use crate::upstream::{Phase, UpstreamError};

fn told(cache_control: &str, body: impl Into<Body>) -> Response<Body> {
    answer(200, &[("cache-control", cache_control)], body)
}

fn distinct(mut all: Vec<String>) -> usize {
    all.sort_unstable();
    all.dedup();
    all.len()
}

#[tokio::test(start_paused = true)]
async fn what_may_be_kept_is_asked_for_once() {
    let rig = respecting();
    let fake = slow(|n, _| Ok(told("max-age=60", n.to_string())));
    let cache = rig.cached(fake.clone());
    let (answers, took) = burst(&rig, &cache, |_| rig.get()).await;
    assert_eq!((fake.calls(), took, rig.saved()), (1, WHILE, CROWD as u64 - 1));
    assert_eq!(texts(answers).await, vec!["0"; CROWD]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_what_is_never_kept_waits_for_nobody_until_it_is_kept() {
    let rig = respecting();
    let kept = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let may_keep = Arc::clone(&kept);
    let fake = slow(move |n, _| {
        let is_kept = may_keep.load(std::sync::atomic::Ordering::Relaxed);
        Ok(told(if is_kept { "max-age=5" } else { "no-store" }, n.to_string()))
    });
    let cache = rig.cached(fake.clone());
    // Nobody knows yet: they wait for one answer, and then for their own.
    for (calls, time) in [(CROWD, 2 * WHILE), (2 * CROWD, WHILE)] {
        let (answers, took) = burst(&rig, &cache, |_| rig.get()).await;
        assert_eq!((fake.calls(), took), (calls, time));
        assert_eq!(distinct(texts(answers).await), CROWD, "to each their own");
    }
    // It is forgotten after a while: it may have become untrue.
    rig.clock.advance(60 * SECOND);
    let (_, took) = burst(&rig, &cache, |_| rig.get()).await;
    assert_eq!((fake.calls(), took), (3 * CROWD, 2 * WHILE));

    kept.store(true, std::sync::atomic::Ordering::Relaxed);
    let stored = send(&cache, rig.get()).await.unwrap();
    assert_eq!(status(&stored), "weir; fwd=miss; fwd-status=200; stored");
    let hit = send(&cache, rig.get()).await.unwrap();
    assert_eq!((status(&hit), fake.calls()), ("weir; hit; ttl=4", 3 * CROWD + 1));
    // Nothing is left of it: when the answer is stale, all wait for one.
    rig.clock.advance(5 * SECOND);
    let (_, took) = burst(&rig, &cache, |_| rig.get()).await;
    assert_eq!((fake.calls(), took), (3 * CROWD + 2, WHILE));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_anothers_cookie() {
    let rig = respecting();
    let fake = slow(|n, _| {
        let cookie = format!("id={n}");
        let fields = [("cache-control", "max-age=60"), ("set-cookie", cookie.as_str())];
        Ok(answer(200, &fields, n.to_string()))
    });
    let cache = rig.cached(fake.clone());
    for round in 1..=2 {
        let (answers, _) = burst(&rig, &cache, |_| rig.get()).await;
        let cookie = |one: &Answer| field(one.as_ref().unwrap(), "set-cookie").to_owned();
        let cookies: Vec<_> = answers.iter().map(cookie).collect();
        let bodies = texts(answers).await;
        let expected: Vec<_> = bodies.iter().map(|body| format!("id={body}")).collect();
        assert_eq!(cookies, expected);
        assert_eq!((distinct(bodies), fake.calls()), (CROWD, round * CROWD));
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_who_they_are_gets_their_own_unless_the_upstream_allows_to_share() {
    for (cache_control, is_shared) in [
        ("max-age=60", false),
        ("max-age=60, proxy-revalidate", false),
        ("public, max-age=60", true),
        ("s-maxage=60", true),
        ("must-revalidate, max-age=60", true),
    ] {
        let rig = respecting();
        let fake = slow(move |_, question| {
            let own = question.headers["authorization"].to_str().unwrap();
            Ok(told(cache_control, own.to_owned()))
        });
        let cache = rig.cached(fake.clone());
        let one = |n: usize| asking(rig.get(), &[("authorization", &format!("Bearer {n}"))]);
        let (answers, _) = burst(&rig, &cache, one).await;
        let told = texts(answers).await;
        if is_shared {
            assert_eq!((distinct(told), fake.calls()), (1, 1), "{cache_control}");
        } else {
            let own: Vec<_> = (0..CROWD).map(|n| format!("Bearer {n}")).collect();
            assert_eq!((told, fake.calls()), (own, CROWD), "{cache_control}");
            let next = send(&cache, one(7)).await.unwrap();
            assert!(status(&next).starts_with("weir; fwd=miss"), "nothing was kept");
        }
    }
}

/// Also where they fail: an error may hold what only one of them may know.
#[tokio::test(start_paused = true)]
async fn an_error_is_shared_only_among_those_who_said_nothing_of_themselves() {
    for (fields, status, calls) in
        [(&[][..], 503, 1), (&[("authorization", "Bearer 1")], 503, CROWD), (&[], 401, CROWD)]
    {
        let rig = respecting();
        let fake = slow(move |n, _| Ok(answer(status, &[], n.to_string())));
        let cache = rig.cached(fake.clone());
        let (answers, _) = burst(&rig, &cache, |_| asking(rig.get(), fields)).await;
        assert_eq!((distinct(texts(answers).await), fake.calls()), (calls, calls), "{fields:?}");
        if calls == 1 {
            let late = send(&cache, rig.get()).await.unwrap();
            assert_eq!(text(late).await, "0", "for a moment it is clear what the next would be");
        }
        rig.clock.advance(SECOND);
        assert_eq!(text(send(&cache, rig.get()).await.unwrap()).await, calls.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_dies_is_asked_once_more_for_all_and_then_left_alone_for_a_moment() {
    for rule in [CacheRule::Respect(Respect::default()), seconds(10, 0, 0)] {
        let rig = Rig::with(|setup| setup.cache = rule.clone());
        let fake = slow(|_, _| Err(UpstreamError::Timeout(Phase::Connect).into()));
        let cache = rig.cached(RetryLayer.layer(fake.clone()));
        for _ in 0..2 {
            let (answers, _) = burst(&rig, &cache, |_| rig.get()).await;
            assert_eq!(fake.calls(), 2, "{rule:?}");
            assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["upstream-timeout"; CROWD]);
        }
        assert_eq!(rig.saved(), 0, "nobody was spared anything");
        // Another question is not its business.
        let other = send(&cache, rig.ask(Method::GET, "b")).await;
        assert_eq!((code(&other), fake.calls() > 2), ("upstream-timeout", true));
        let calls = fake.calls();
        rig.clock.advance(SECOND);
        assert_eq!(code(&send(&cache, rig.get()).await), "upstream-timeout");
        assert!(fake.calls() > calls, "the moment is over");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_whose_first_hangs_up_is_answered_by_the_request_it_has_made() {
    let rig = respecting();
    let fake = slow(|n, _| Ok(told("max-age=60", n.to_string())));
    let cache = rig.cached(fake.clone());
    let first = crate::layers::testing::start(&cache, rig.get());
    settle().await;
    assert_eq!(fake.calls(), 1);
    let hangs_up = async {
        tokio::time::sleep(WHILE / 2).await;
        first.abort();
        first.await.unwrap_err().is_cancelled()
    };
    let ((answers, _), is_cancelled) = tokio::join!(burst(&rig, &cache, |_| rig.get()), hangs_up);
    assert!(is_cancelled);
    assert_eq!((texts(answers).await, fake.calls()), (vec!["0".to_owned(); CROWD], 1));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_failed_or_was_refused_is_not_tried_again_in_that_moment() {
    let limited = || {
        let refused = Refused { reason: Reason::Rate, retry_after: SECOND };
        GatewayError::Limited { refused, quota: Arc::default() }
    };
    for error in [limited(), UpstreamError::Timeout(Phase::FirstByte).into()] {
        let rig = Rig::new();
        let fake = Fake::new(move |n, _: FetchRequest| {
            let error = error.clone();
            async move { if n == 0 { Ok(answer(200, &[], "old")) } else { Err(error) } }
        });
        let cache = rig.cached(fake.clone());
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(15 * SECOND);
        for _ in 0..3 {
            let stale = send(&cache, rig.get()).await.unwrap();
            assert_eq!(text(stale).await, "old");
            settle().await;
        }
        assert_eq!(fake.calls(), 2);
        rig.clock.advance(SECOND);
        send(&cache, rig.get()).await.unwrap();
        settle().await;
        assert_eq!(fake.calls(), 3, "the moment is over");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_failures_stays_within_its_share() {
    const QUESTIONS: usize = 300;
    let rig = Rig::new();
    let fake = Fake::new(|_, _: FetchRequest| async { Ok(answer(503, &[], "x".repeat(8 * 1024))) });
    let entries = EntryCache::new(1 << 20, rig.clock.clone(), Box::new(|_| {}));
    let limits = Limits {
        max_entry_bytes: 64 * 1024,
        max_fetching_bytes: usize::MAX,
        remember_uncacheable: 60 * SECOND,
        remember_failure: 60 * SECOND,
    };
    let cache = CacheLayer::new(entries, rig.purges.clone(), rig.clock.clone(), limits);
    let cache = cache.layer(fake.clone());
    for round in 1..=2 {
        for n in 0..QUESTIONS {
            let id = format!("{round} {n}");
            for _ in 0..2 {
                let told = send(&cache, rig.ask(Method::GET, &id)).await.unwrap();
                assert_eq!(told.status(), 503);
            }
        }
    }
    // Of 64 KiB hardly eight have room, whatever it is that they are about.
    let before = fake.calls();
    for n in 0..QUESTIONS {
        send(&cache, rig.ask(Method::GET, &format!("1 {n}"))).await.unwrap();
    }
    let forgotten = fake.calls() - before;
    assert!((QUESTIONS - 16..=QUESTIONS).contains(&forgotten), "{forgotten}");
}
