//! Identical questions at the same time.

use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;
use crate::layers::testing::{Answer, Setup, settle, start};
use crate::store::limiter::{Reason, Refused};
use crate::upstream::{Phase, UpstreamError};

/// Answers after a second.
fn slow(reply: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Fake<FetchRequest> {
    let reply = Arc::new(reply);
    Fake::new(move |n, _| {
        let reply = Arc::clone(&reply);
        async move {
            tokio::time::sleep(SECOND).await;
            reply(n)
        }
    })
}

/// Three ask at once; their answers, the leader's first.
async fn three(rig: &Rig, cache: &Caching<Fake<FetchRequest>>) -> Vec<Answer> {
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(start(cache, rig.get()));
        settle().await;
    }
    let mut answers = Vec::new();
    for one in asked {
        answers.push(one.await.unwrap());
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn identical_questions_are_asked_once() {
    let rig = Rig::new();
    let fake = slow(|n| Ok(answer(200, &[("ratelimit", "\"heavy\";r=7;t=1")], n.to_string())));
    let cache = rig.cached(fake.clone());
    let requests: Vec<_> = (0..20).map(|_| rig.get()).collect();
    let said: Vec<_> = requests.iter().map(|request| Arc::clone(&request.record)).collect();
    let asked: Vec<_> = requests.into_iter().map(|request| start(&cache, request)).collect();
    let mut collapsed = 0;
    for (one, said) in asked.into_iter().zip(said) {
        let one = one.await.unwrap().unwrap();
        assert_eq!(field(&one, "ratelimit"), "\"heavy\";r=7;t=1", "told to all who waited");
        let expected = if said.cache() == Some(CacheResult::Collapsed) {
            collapsed += 1;
            "weir; fwd=miss; fwd-status=200; stored; collapsed"
        } else {
            assert_eq!(said.cache(), Some(CacheResult::Miss));
            "weir; fwd=miss; fwd-status=200; stored"
        };
        assert_eq!(status(&one), expected);
        assert_eq!(text(one).await, "0");
    }
    assert_eq!((collapsed, fake.calls(), rig.saved()), (19, 1, 19));
    assert!(cache.state.flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_looked_before_the_answer_came_and_asks_after_finds_it() {
    let (rig, fake) = (Rig::new(), numbers());
    let mut cache = rig.cached(fake.clone());
    let looked = cache.call(rig.get());
    send(&cache, rig.get()).await.unwrap();
    let late = looked.await.unwrap();
    assert_eq!((text(late).await.as_str(), fake.calls()), ("0", 1));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hangs_up_harms_nobody() {
    let rig = Rig::new();
    let fake = slow(|n| Ok(answer(200, &[], n.to_string())));
    let cache = rig.cached(fake.clone());
    let leader = start(&cache, rig.get());
    settle().await;
    let follower = start(&cache, rig.get());
    settle().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    assert_eq!(text(follower.await.unwrap().unwrap()).await, "0");
    let hit = send(&cache, rig.get()).await.unwrap();
    assert_eq!((status(&hit), fake.calls()), ("weir; hit; ttl=9", 1));
}

#[tokio::test(start_paused = true)]
async fn an_error_status_is_told_to_all_and_remembered_for_a_moment_only() {
    let rig = Rig::new();
    let cache = rig.cached(slow(|n| Ok(answer(503, &[("retry-after", "7")], n.to_string()))));
    for round in ["0", "1"] {
        for (place, one) in three(&rig, &cache).await.into_iter().enumerate() {
            let one = one.unwrap();
            let collapsed = if place == 0 { "" } else { "; collapsed" };
            assert_eq!(status(&one), format!("weir; fwd=miss; fwd-status=503{collapsed}"));
            assert_eq!(field(&one, "retry-after"), "7", "for all who waited");
            assert_eq!(text(one).await, round);
        }
        let late = send(&cache, rig.get()).await.unwrap();
        assert_eq!(status(&late), "weir; fwd=miss; fwd-status=503; collapsed");
        assert_eq!(text(late).await, round, "and for who comes a moment later");
        rig.clock.advance(SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_one_typed_answer_for_all() {
    let refused = Refused { reason: Reason::Day, retry_after: SECOND };
    for (error, expected, is_remembered) in [
        (UpstreamError::Timeout(Phase::FirstByte).into(), "upstream-timeout", true),
        // The limiter knows itself when to say so again.
        (GatewayError::Limited { refused, quota: Arc::default() }, "quota-day", false),
    ] {
        let rig = Rig::new();
        let fake = slow(move |_| Err(error.clone()));
        let cache = rig.cached(fake.clone());
        let answers = three(&rig, &cache).await;
        assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), [expected; 3]);
        // Whose budget it was is not known: those who waited ask once more, together.
        let once = if is_remembered { 1 } else { 2 };
        assert_eq!(fake.calls(), once);
        let late = three(&rig, &cache).await;
        assert_eq!(late.iter().map(code).collect::<Vec<_>>(), [expected; 3]);
        assert_eq!(fake.calls(), if is_remembered { once } else { 2 * once });
        rig.clock.advance(SECOND);
        let calls = fake.calls();
        assert_eq!(code(&send(&cache, rig.get()).await), expected);
        assert_eq!(fake.calls(), calls + 1, "the moment is over");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_below_loses_the_flight_and_nothing_else() {
    let rig = Rig::new();
    let cache = rig.cached(slow(|n| {
        assert!(n > 0, "the first call is broken");
        Ok(answer(200, &[], "well"))
    }));
    let answers = three(&rig, &cache).await;
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["flight-lost"; 3]);
    let next = send(&cache, rig.get()).await.unwrap();
    assert_eq!(text(next).await, "well");
}

#[tokio::test(start_paused = true)]
async fn whose_time_is_up_goes_and_the_flight_goes_on() {
    let rig = Rig::new();
    let fake = slow(|n| Ok(answer(200, &[], n.to_string())));
    let cache = rig.cached(fake.clone());
    let leader = start(&cache, rig.get());
    settle().await;
    let mut hurried = rig.get();
    hurried.deadline = rig.clock.now() + SECOND / 2;
    let late = hurried.deadline;
    assert_eq!(code(&send(&cache, hurried).await), "deadline");
    assert_eq!(rig.clock.now(), late, "and not before");
    assert_eq!(code(&leader.await.unwrap()), "ok");
    let hit = send(&cache, rig.get()).await.unwrap();
    assert_eq!((status(&hit), fake.calls()), ("weir; hit; ttl=9", 1));
}

#[tokio::test(start_paused = true)]
async fn a_flight_ends_by_its_deadline() {
    let rig = Rig::new();
    let fake = Fake::new(|_, _: FetchRequest| std::future::pending());
    let cache = rig.cached(fake);
    let start = rig.clock.now();
    assert_eq!(code(&send(&cache, rig.get()).await), "deadline");
    assert_eq!(rig.clock.now() - start, 30 * SECOND);
    settle().await;
    assert!(cache.state.flights.is_empty());
}

fn streamed(frames: &[&'static str]) -> Body {
    let frame = |text: &&'static str| Ok::<_, crate::http::BoxError>(Frame::data((*text).into()));
    Body::stream(StreamBody::new(stream::iter(frames.iter().map(frame).collect::<Vec<_>>())))
}

const TOO_LARGE: [&str; 3] = [
    "forty bytes, which is a little too much,",
    "forty bytes, which is a little too much.",
    "and then some",
];

#[tokio::test(start_paused = true)]
async fn an_answer_too_large_to_keep_goes_whole_to_the_one_who_asked() {
    let whole = TOO_LARGE.concat();
    let known = "x".repeat(65);
    for expected in [whole, known] {
        let rig = Rig::new();
        let body = expected.clone();
        let fake = slow(move |_| {
            let body =
                if body.starts_with('x') { body.clone().into() } else { streamed(&TOO_LARGE) };
            Ok(answer(200, &[("ratelimit", "\"heavy\";r=7;t=1")], body))
        });
        let cache = rig.cached(fake.clone());
        let requests = [rig.get(), rig.get(), rig.get()];
        let follower = Arc::clone(&requests[1].record);
        let asked = requests.map(|request| start(&cache, request));
        let mut seen = Vec::new();
        for one in asked {
            let one = one.await.unwrap().unwrap();
            assert_eq!(field(&one, "ratelimit"), "\"heavy\";r=7;t=1");
            seen.push(status(&one).to_owned());
            assert_eq!(text(one).await, expected);
        }
        assert_eq!(seen, ["weir; fwd=miss; fwd-status=200"; 3]);
        assert_eq!((fake.calls(), rig.saved()), (3, 0));
        assert_eq!(follower.cache(), Some(CacheResult::Miss), "it was not spared");
        let next = send(&cache, rig.get()).await.unwrap();
        assert_eq!(status(&next), "weir; fwd=miss; fwd-status=200", "nothing was stored");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_just_the_limit_is_kept() {
    let rig = Rig::new();
    let cache = rig.cached(slow(|_| Ok(answer(200, &[], "x".repeat(64)))));
    send(&cache, rig.get()).await.unwrap();
    assert_eq!(status(&send(&cache, rig.get()).await.unwrap()), "weir; hit; ttl=9");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_a_failure_for_all() {
    let rig = Rig::with(|_: &mut Setup| {});
    let cache = rig.cached(slow(|_| {
        let error = crate::http::BoxError::from(UpstreamError::Timeout(Phase::Body));
        let frames = [Ok(Frame::data(Bytes::from_static(b"begun"))), Err(error)];
        Ok(answer(200, &[], Body::stream(StreamBody::new(stream::iter(frames)))))
    }));
    let answers = three(&rig, &cache).await;
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["upstream-timeout"; 3]);
}
