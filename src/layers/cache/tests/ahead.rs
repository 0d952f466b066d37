//! What is asked for often is refreshed before it is stale, behind all who wait.

use parking_lot::Mutex;

use super::*;
use crate::layers::limit::{Limit, LimitLayer};
use crate::layers::testing::{Setup, label, settle, share, start};
use crate::policy::endpoint::{Override, Priority, RefreshAhead};
use crate::policy::share::Share;
use crate::world::Client;

/// After four fifths of its life, if it was asked for three times.
const AHEAD: Option<RefreshAhead> = Some(RefreshAhead { after: 800, hits: 3 });

fn by_rule(refresh_ahead: Option<RefreshAhead>) -> CacheRule {
    let CacheRule::Override(rule) = seconds(10, 0, 0) else { panic!("it is our own") };
    CacheRule::Override(Override { refresh_ahead, ..rule })
}

fn as_told(refresh_ahead: Option<RefreshAhead>) -> CacheRule {
    CacheRule::Respect(Respect { refresh_ahead, ..Respect::default() })
}

type Urgencies = Arc<Mutex<Vec<Urgency>>>;

/// Takes a second from the second call on.
fn slow() -> (Fake<FetchRequest>, Urgencies) {
    let seen = Urgencies::default();
    let told = Arc::clone(&seen);
    let fake = Fake::new(move |n, question: FetchRequest| {
        told.lock().push(question.urgency);
        async move {
            if n > 0 {
                tokio::time::sleep(SECOND).await;
            }
            Ok(answer(200, &[("cache-control", "max-age=10")], n.to_string()))
        }
    });
    (fake, seen)
}

async fn hit(rig: &Rig, cache: &Caching<Fake<FetchRequest>>, body: &str) {
    let told = send(cache, rig.get()).await.unwrap();
    assert!(status(&told).starts_with("weir; hit; ttl="), "{}", status(&told));
    assert_eq!(text(told).await, body);
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_refreshed_when_it_is_time_and_it_was_asked_for_and_once() {
    for rule in [by_rule(AHEAD), as_told(AHEAD)] {
        let rig = Rig::with(|setup| setup.cache = rule);
        let (fake, seen) = slow();
        let cache = rig.cached(fake.clone());
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(SECOND * 79 / 10);
        for _ in 0..5 {
            hit(&rig, &cache, "0").await;
        }
        assert_eq!(fake.calls(), 1, "it is not time yet");
        rig.clock.advance(SECOND / 10);
        for _ in 0..5 {
            hit(&rig, &cache, "0").await;
        }
        assert_eq!(fake.calls(), 2, "one request, for all who asked");
        tokio::time::sleep(SECOND).await;
        settle().await;
        // The next has to be asked for as often before it is refreshed.
        rig.clock.advance(7 * SECOND);
        for calls in [2, 2, 3, 3] {
            hit(&rig, &cache, "1").await;
            assert_eq!(fake.calls(), calls);
        }
        tokio::time::sleep(SECOND).await;
        settle().await;
        hit(&rig, &cache, "2").await;
        assert_eq!(*seen.lock(), [Urgency::Asked, Urgency::Ahead, Urgency::Ahead]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_not_said_so_has_nothing_refreshed_ahead() {
    for rule in [by_rule(None), as_told(None)] {
        let rig = Rig::with(|setup| setup.cache = rule);
        let (fake, _) = slow();
        let cache = rig.cached(fake.clone());
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(SECOND * 99 / 10);
        for _ in 0..9 {
            hit(&rig, &cache, "0").await;
        }
        assert_eq!(fake.calls(), 1);
    }
}

/// What came through the label, in order.
type Came = Arc<Mutex<Vec<String>>>;

/// A label that lets one a second pass, and an upstream that says what came through it.
fn contended() -> (Rig, Caching<Limit<Fake<FetchRequest>>>, Came) {
    let rig = Rig::with(|setup: &mut Setup| {
        setup.cache = by_rule(Some(RefreshAhead { after: 800, hits: 1 }));
        setup.label = Some(label(1, 100 * SECOND));
        setup.clients = vec!["console".into(), "other".into()];
    });
    let came = Came::default();
    let told = Arc::clone(&came);
    let fake = Fake::new(move |_, question: FetchRequest| {
        told.lock().push(question.target.to_string());
        async { Ok(answer(200, &[], "x")) }
    });
    let limit = LimitLayer::new(rig.clock.clone()).layer(fake);
    let cache = rig.cached(limit);
    (rig, cache, came)
}

#[tokio::test(start_paused = true)]
async fn it_lets_all_pass_who_wait() {
    for priority in [Priority::High, Priority::Normal, Priority::Low] {
        let (rig, cache, came) = contended();
        let other = Share { priority, ..share("other") };
        let other = Arc::new(Client::new(1, other, None, &rig.clock));
        let asks = |id: &str| {
            let mut request = rig.ask(Method::GET, id);
            request.client = Arc::clone(&other);
            request
        };
        send(&cache, rig.get()).await.unwrap();
        tokio::time::sleep(SECOND * 81 / 10).await;
        // Somebody takes the second's token, and somebody waits for the next.
        send(&cache, asks("b")).await.unwrap();
        let mut waiting = vec![start(&cache, asks("c"))];
        settle().await;
        let told = send(&cache, rig.get()).await.unwrap();
        assert!(status(&told).starts_with("weir; hit; ttl=1"));
        settle().await;
        // Others come after it, and go before it.
        if priority != Priority::Low {
            waiting.extend(["d", "e"].map(|id| start(&cache, asks(id))));
        }
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        tokio::time::sleep(2 * SECOND).await;
        let came = came.lock().clone();
        let (last, others) = came.split_last().unwrap();
        assert_eq!(last, "/things/a", "{priority:?}: {came:?}");
        let expected = if priority == Priority::Low { 3 } else { 5 };
        assert_eq!(others.len(), expected, "{priority:?}: {came:?}");
    }
}

/// Whoever needs it now does not wait behind those that can wait.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_somebody_joins_waits_no_longer_than_a_request() {
    let (rig, cache, came) = contended();
    let other = Arc::new(Client::new(1, share("other"), None, &rig.clock));
    let asks = |id: &str| {
        let mut request = rig.ask(Method::GET, id);
        request.client = Arc::clone(&other);
        start(&cache, request)
    };
    send(&cache, rig.get()).await.unwrap();
    tokio::time::sleep(SECOND * 81 / 10).await;
    let mut others = vec![asks("b"), asks("c")];
    settle().await;
    let told = send(&cache, rig.get()).await.unwrap();
    assert!(status(&told).starts_with("weir; hit"));
    settle().await;
    others.extend(["d", "e", "f", "g", "h", "i", "j", "k"].map(asks));
    tokio::time::sleep(2 * SECOND).await;
    let answer = send(&cache, rig.get()).await.unwrap();
    assert!(status(&answer).ends_with("collapsed"), "{answer:?}");
    for one in others {
        one.await.unwrap().unwrap();
    }
    let came = came.lock().clone();
    let refreshed = came.iter().rposition(|target| target == "/things/a").unwrap();
    assert_eq!(came.len(), 12);
    assert!(refreshed < 7, "as one of two who ask, and not after all: {came:?}");
}
