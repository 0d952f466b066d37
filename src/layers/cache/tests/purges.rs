//! What has been purged is not served as if it had not.

use super::*;
use crate::layers::testing::{Answer, settle, start};
use crate::policy::endpoint::{EndpointId, UpstreamId};
use crate::store::purges::{Mode, Scope};
use crate::upstream::{Phase, UpstreamError};

/// Answers with the number of the call and these tags.
fn tagged() -> Fake<FetchRequest> {
    Fake::new(|n, question: FetchRequest| async move {
        let about = if question.target.ends_with("/a") { "red" } else { "green" };
        let fields =
            [("cache-tag", format!("{about}, big")), ("surrogate-key", format!("x-{about} all"))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        Ok(answer(200, &fields, n.to_string()))
    })
}

/// What it is of, and whether it hits the questions "a" and "b".
fn scopes(rig: &Rig) -> Vec<(&'static str, Scope, [bool; 2])> {
    let (purges, own, other) = (&rig.purges, &UpstreamId::new("zoom"), &UpstreamId::new("other"));
    let (things, others) = (&EndpointId::new("things"), &EndpointId::new("others"));
    vec![
        ("everything", purges.everything(), [true, true]),
        ("its endpoint", purges.endpoint(own, things), [true, true]),
        ("another endpoint", purges.endpoint(own, others), [false, false]),
        ("another's endpoint", purges.endpoint(other, things), [false, false]),
        ("its parameter", purges.parameter(own, "id", "a"), [true, false]),
        ("another's parameter", purges.parameter(other, "id", "a"), [false, false]),
        ("another parameter", purges.parameter(own, "name", "a"), [false, false]),
        ("its question", purges.question(&rig.get().key), [true, false]),
        ("another's question", purges.question(&rig.ask(Method::GET, "b").key), [false, true]),
        ("a tag", purges.tag(own, "red"), [true, false]),
        ("a tag of both", purges.tag(own, "big"), [true, true]),
        ("a key", purges.tag(own, "x-green"), [false, true]),
        ("a key of both", purges.tag(own, "all"), [true, true]),
        ("a tag of another", purges.tag(other, "red"), [false, false]),
        ("half a tag", purges.tag(own, "re"), [false, false]),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_for_good_is_not_there_any_more() {
    let names: Vec<_> = scopes(&Rig::new()).iter().map(|(name, ..)| *name).collect();
    for (n, name) in names.into_iter().enumerate() {
        let rig = Rig::new();
        let (_, scope, hits) = scopes(&rig).swap_remove(n);
        let fake = tagged();
        let cache = rig.cached(fake.clone());
        for id in ["a", "b"] {
            send(&cache, rig.ask(Method::GET, id)).await.unwrap();
            assert!(status(&send(&cache, rig.ask(Method::GET, id)).await.unwrap()).contains("hit"));
        }
        rig.purges.purge(scope, Mode::Hard);
        for (id, is_hit) in ["a", "b"].into_iter().zip(hits) {
            let next = send(&cache, rig.ask(Method::GET, id)).await.unwrap();
            let expected =
                if is_hit { "weir; fwd=miss; fwd-status=200; stored" } else { "weir; hit; ttl=10" };
            assert_eq!(status(&next), expected, "{name}: {id}");
            let again = send(&cache, rig.ask(Method::GET, id)).await.unwrap();
            assert_eq!(status(&again), "weir; hit; ttl=10", "{name}: {id} is there again");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_stale_is_served_while_it_is_refreshed() {
    let names: Vec<_> = scopes(&Rig::new()).iter().map(|(name, ..)| *name).collect();
    for (n, name) in names.into_iter().enumerate() {
        let rig = Rig::new();
        let (_, scope, hits) = scopes(&rig).swap_remove(n);
        let cache = rig.cached(tagged());
        for id in ["a", "b"] {
            send(&cache, rig.ask(Method::GET, id)).await.unwrap();
        }
        rig.purges.purge(scope, Mode::Soft);
        for (id, is_hit) in ["a", "b"].into_iter().zip(hits) {
            let next = send(&cache, rig.ask(Method::GET, id)).await.unwrap();
            let expected =
                if is_hit { "weir; hit; ttl=-1; detail=stale" } else { "weir; hit; ttl=10" };
            assert_eq!(status(&next), expected, "{name}: {id}");
            let old = text(next).await;
            settle().await;
            let refreshed = send(&cache, rig.ask(Method::GET, id)).await.unwrap();
            assert_eq!(status(&refreshed), "weir; hit; ttl=10", "{name}: {id}");
            assert_eq!(text(refreshed).await != old, is_hit, "{name}: {id}");
        }
    }
}

/// The first call succeeds, and then nothing does.
fn dying() -> Fake<FetchRequest> {
    Fake::new(|n, _| async move {
        let down = || -> Answer { Err(UpstreamError::Timeout(Phase::FirstByte).into()) };
        if n == 0 { Ok(answer(200, &[], "old")) } else { down() }
    })
}

#[tokio::test(start_paused = true)]
async fn when_the_upstream_fails_the_stale_stands_in_and_what_is_gone_does_not() {
    for (mode, sie, expected) in [
        (Mode::Soft, 600, "ok"),
        (Mode::Soft, 0, "upstream-timeout"),
        (Mode::Hard, 600, "upstream-timeout"),
    ] {
        let rig = Rig::with(|setup| setup.cache = seconds(10, 0, sie));
        let cache = rig.cached(dying());
        send(&cache, rig.get()).await.unwrap();
        rig.purges.purge(rig.purges.everything(), mode);
        // Also from the failure's moment.
        for _ in 0..2 {
            let told = send(&cache, rig.get()).await;
            assert_eq!(code(&told), expected, "{mode:?} {sie}");
            if let Ok(told) = told {
                assert_eq!(status(&told), "weir; fwd=stale; detail=upstream-timeout");
            }
        }
    }
}

/// What is purged for good while the upstream is asked does not stand in for its answer either.
#[tokio::test(start_paused = true)]
async fn what_is_purged_while_the_upstream_is_asked_does_not_stand_in() {
    for (mode, expected) in [(Mode::Soft, "ok"), (Mode::Hard, "upstream-timeout")] {
        let rig = Rig::with(|setup| setup.cache = seconds(10, 0, 600));
        let fake = Fake::new(|n, _: FetchRequest| async move {
            if n == 0 {
                return Ok(answer(200, &[], "old"));
            }
            tokio::time::sleep(SECOND).await;
            Err(UpstreamError::Timeout(Phase::FirstByte).into())
        });
        let cache = rig.cached(fake);
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(15 * SECOND);
        let asked = start(&cache, rig.get());
        settle().await;
        rig.purges.purge(rig.purges.everything(), mode);
        assert_eq!(code(&asked.await.unwrap()), expected, "{mode:?}");
    }
}

/// The answers take as many seconds as are listed, and then none.
fn taking(times: &'static [u32]) -> Fake<FetchRequest> {
    Fake::new(move |n, _| async move {
        tokio::time::sleep(times.get(n).copied().unwrap_or_default() * SECOND).await;
        Ok(answer(200, &[("cache-tag", "red")], n.to_string()))
    })
}

fn of_it(rig: &Rig) -> [Scope; 5] {
    let own = UpstreamId::new("zoom");
    [
        rig.purges.everything(),
        rig.purges.endpoint(&own, &EndpointId::new("things")),
        rig.purges.parameter(&own, "id", "a"),
        rig.purges.question(&rig.get().key),
        rig.purges.tag(&own, "red"),
    ]
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_and_what_left_before_the_purge_is_not_kept_as_if_after() {
    for mode in Mode::ALL {
        for n in 0..5 {
            let rig = Rig::with(|setup| setup.cache = seconds(100, 0, 0));
            let fake = taking(&[1]);
            let cache = rig.cached(fake.clone());
            let waits = [start(&cache, rig.get()), start(&cache, rig.get())];
            settle().await;
            rig.purges.purge(of_it(&rig)[n], mode);
            for one in waits {
                let told = one.await.unwrap().unwrap();
                assert_eq!(status(&told).contains("stored"), mode == Mode::Soft);
                assert_eq!(text(told).await, "0");
            }
            assert_eq!(fake.calls(), 1);
            let next = send(&cache, rig.get()).await.unwrap();
            let why = if mode == Mode::Soft { "stale" } else { "miss" };
            assert_eq!(status(&next), format!("weir; fwd={why}; fwd-status=200; stored"), "{n}");
            assert_eq!(text(next).await, "1");
        }
    }
}

/// Tags are known when the answer is there: a purge by one alone is joined, and found out then.
#[tokio::test(start_paused = true)]
async fn who_asks_after_the_purge_does_not_join_what_left_before() {
    for mode in Mode::ALL {
        for n in 0..4 {
            let rig = Rig::with(|setup| setup.cache = seconds(100, 0, 0));
            let fake = taking(&[2, 2]);
            let cache = rig.cached(fake.clone());
            let before = start(&cache, rig.get());
            settle().await;
            rig.purges.purge(of_it(&rig)[n], mode);
            let after = [start(&cache, rig.get()), start(&cache, rig.get())];
            settle().await;
            assert_eq!(fake.calls(), 2, "those after it have a flight of their own: {mode:?} {n}");
            assert_eq!(text(before.await.unwrap().unwrap()).await, "0");
            for one in after {
                assert_eq!(text(one.await.unwrap().unwrap()).await, "1");
            }
            let hit = send(&cache, rig.get()).await.unwrap();
            assert!(status(&hit).starts_with("weir; hit"), "{}", status(&hit));
            assert_eq!((text(hit).await.as_str(), fake.calls()), ("1", 2));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_left_before_the_purge_does_not_replace_what_left_after() {
    for mode in Mode::ALL {
        let rig = Rig::with(|setup| setup.cache = seconds(100, 50, 0));
        let fake = taking(&[3, 1]);
        let cache = rig.cached(fake.clone());
        let before = start(&cache, rig.get());
        tokio::time::sleep(SECOND / 2).await;
        rig.purges.purge(rig.purges.everything(), mode);
        assert_eq!(text(send(&cache, rig.get()).await.unwrap()).await, "1");
        // The earlier one lands later.
        assert_eq!(text(before.await.unwrap().unwrap()).await, "0");
        let hit = send(&cache, rig.get()).await.unwrap();
        assert_eq!(status(&hit), "weir; hit; ttl=97", "{mode:?}");
        assert_eq!((text(hit).await.as_str(), fake.calls()), ("1", 2));
    }
}
