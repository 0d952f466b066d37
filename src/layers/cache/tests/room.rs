//! What is being fetched has a bound of its own, and a refresh that fails says so, rarely.

use std::sync::Mutex;

use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;

use super::*;
use crate::layers::testing::{settle, start};
use crate::upstream::{Phase, UpstreamError};

/// A log in memory.
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A cache with room for 64 bytes that are being fetched.
fn cached(rig: &Rig, fake: &Fake<FetchRequest>) -> Caching<Fake<FetchRequest>> {
    let entries = EntryCache::new(1 << 20, rig.clock.clone(), Box::new(|_| {}));
    let limits = Limits {
        max_entry_bytes: 64,
        max_fetching_bytes: 64,
        remember_uncacheable: 60 * SECOND,
        remember_failure: SECOND,
    };
    let layer = CacheLayer::new(entries, rig.purges.clone(), rig.clock.clone(), limits);
    layer.layer(fake.clone())
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_an_answer_passes_through_whole_and_unstored_for_that_moment() {
    let rig = Rig::new();
    let (rest, waiting) = mpsc::channel::<&'static [u8]>(4);
    let waiting = Mutex::new(Some(waiting));
    let fake = Fake::new(move |n, _: FetchRequest| {
        let slow = if n == 0 { waiting.lock().unwrap().take() } else { None };
        async move {
            let Some(waiting) = slow else { return Ok(answer(200, &[], "x".repeat(40))) };
            let frames = futures_util::stream::unfold(waiting, |mut waiting| async {
                let bytes = waiting.recv().await?;
                let frame = Frame::data(Bytes::from_static(bytes));
                Some((Ok::<_, std::convert::Infallible>(frame), waiting))
            });
            Ok(answer(200, &[], Body::stream(StreamBody::new(frames))))
        }
    });
    let cache = cached(&rig, &fake);
    let ask = |id: &str| send(&cache, rig.ask(Method::GET, id));
    let slow = start(&cache, rig.ask(Method::GET, "slow"));
    rest.send(&[b'y'; 40]).await.unwrap();
    settle().await;

    let passed = ask("b").await.unwrap();
    assert_eq!(field(&passed, "cache-status"), "weir; fwd=miss; fwd-status=200");
    assert_eq!(text(passed).await, "x".repeat(40));
    let passed = ask("b").await.unwrap();
    assert!(!field(&passed, "cache-status").contains("hit"), "it was not stored");
    // It holds what it has begun to read until that is passed on.
    drop(passed);

    // That there was no room is not remembered: it is still one answer for all who ask.
    drop(rest);
    assert_eq!(text(slow.await.unwrap().unwrap()).await, "y".repeat(40));
    let before = fake.calls();
    let both = [start(&cache, rig.ask(Method::GET, "b")), start(&cache, rig.ask(Method::GET, "b"))];
    let [stored, joined] = both.map(|task| async { task.await.unwrap().unwrap() });
    let (stored, joined) = (stored.await, joined.await);
    assert!(field(&stored, "cache-status").ends_with("stored"), "there is room again");
    assert!(field(&joined, "cache-status").ends_with("collapsed"));
    assert_eq!(fake.calls(), before + 1);
    drop(stored.into_body().collect().await.unwrap());
    assert!(field(&ask("b").await.unwrap(), "cache-status").contains("hit"));
    for n in 0..20 {
        let stored = ask(&n.to_string()).await.unwrap();
        assert!(field(&stored, "cache-status").ends_with("stored"), "nothing is lost of it: {n}");
    }
}

const ENTRY: usize = 16 * 1024;
const FETCHING: usize = 32 * 1024;

/// A cache of 64 KiB, and an upstream whose answers are half as large as any may be.
fn small(rig: &Rig) -> (Caching<Fake<FetchRequest>>, Fake<FetchRequest>) {
    const MOST: u64 = 64 * 1024;
    let entries = EntryCache::new(MOST, rig.clock.clone(), Box::new(|_| {}));
    let limits = Limits {
        max_entry_bytes: ENTRY,
        max_fetching_bytes: FETCHING,
        remember_uncacheable: 60 * SECOND,
        remember_failure: SECOND,
    };
    let fake = Fake::new(|_, _| async { Ok(answer(200, &[], "x".repeat(ENTRY / 2))) });
    let layer = CacheLayer::new(entries, rig.purges.clone(), rig.clock.clone(), limits);
    (layer.layer(fake.clone()), fake)
}

/// moka lets go of what it evicts when it finds the time.
#[tokio::test(start_paused = true)]
async fn what_was_evicted_leaves_room_at_once_for_the_next() {
    let rig = Rig::new();
    let (cache, _) = small(&rig);
    for id in 0..100 {
        let is_stored = async || {
            let told = send(&cache, rig.ask(Method::GET, &format!("fast{id}"))).await.unwrap();
            field(&told, "cache-status").ends_with("stored")
        };
        // Another test's thread, stopped while it reads a map of moka's, delays that for all.
        let mut tries = 0;
        while !is_stored().await {
            tries += 1;
            assert!(tries < 1000, "{id} is never stored");
            std::thread::yield_now();
        }
    }
}

/// Who reads slowly holds what he reads, whether it is still stored or not.
#[tokio::test(start_paused = true)]
async fn what_slow_readers_hold_is_bounded_and_beyond_it_nothing_is_gathered() {
    let rig = Rig::new();
    let (cache, fake) = small(&rig);
    let whole = cache.state.live.left();
    assert_eq!(whole, 96 * 1024);

    let mut slow = Vec::new();
    for id in 0..100 {
        slow.push(send(&cache, rig.ask(Method::GET, &format!("slow{id}"))).await.unwrap());
    }
    let held = |answers: &[Response<Body>]| {
        answers.iter().filter(|answer| matches!(answer.body(), Body::Full(_))).count()
    };
    let most = whole / (ENTRY / 2);
    assert!((most - 4..=most).contains(&held(&slow)), "{} of {most}", held(&slow));
    assert!(cache.state.live.left() < ENTRY);
    // It is the room of those who are in memory that has run out: nothing is being fetched.
    assert_eq!(cache.state.fetching.left(), FETCHING);
    let passed = slow.pop().unwrap();
    assert_eq!(field(&passed, "cache-status"), "weir; fwd=miss; fwd-status=200");
    assert_eq!(text(passed).await, "x".repeat(ENTRY / 2));

    // What is stored is answered all the while, which holds nothing more.
    let stored: Vec<_> =
        slow.iter().filter(|a| field(a, "cache-status").contains("stored")).collect();
    assert!(stored.len() >= most - 4);
    let left = cache.state.live.left();
    let calls = fake.calls();
    let again = send(&cache, rig.ask(Method::GET, "slow0")).await.unwrap();
    assert!(field(&again, "cache-status").contains("hit"), "{again:?}");
    assert_eq!((fake.calls(), cache.state.live.left()), (calls, left));

    // When they have read it there is room again.
    drop((slow, again));
    let stored = send(&cache, rig.ask(Method::GET, "next")).await.unwrap();
    assert!(field(&stored, "cache-status").ends_with("stored"), "{stored:?}");
}

#[tokio::test(start_paused = true)]
async fn refreshes_that_fail_are_told_once_a_second_with_how_many_were_silent() {
    let lines = Arc::new(Mutex::new(Vec::<u8>::new()));
    let written = Arc::clone(&lines);
    let writer = move || Lines(Arc::clone(&written));
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let rig = Rig::new();
    let fake = Fake::new(|n, _: FetchRequest| async move {
        if n < 5 {
            return Ok(answer(200, &[], "old"));
        }
        Err(UpstreamError::Timeout(Phase::FirstByte).into())
    });
    let cache = rig.cached(fake.clone());
    for id in ["a", "b", "c", "d", "e"] {
        send(&cache, rig.ask(Method::GET, id)).await.unwrap();
    }
    rig.clock.advance(15 * SECOND);
    for id in ["a", "b", "c"] {
        send(&cache, rig.ask(Method::GET, id)).await.unwrap();
        settle().await;
    }
    rig.clock.advance(SECOND);
    send(&cache, rig.ask(Method::GET, "d")).await.unwrap();
    settle().await;
    assert_eq!(fake.calls(), 9);
    let said = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let told: Vec<_> = said.lines().filter(|line| line.contains("a refresh in the")).collect();
    assert_eq!(told.len(), 2, "{said}");
    assert!(told[0].contains("WARN") && told[0].contains("upstream=\"zoom\""), "{said}");
    assert!(told[0].contains("why=\"upstream-timeout\"") && told[0].contains("silent=0"), "{said}");
    assert!(told[1].contains("silent=2"), "{said}");
}
