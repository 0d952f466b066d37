//! `mode = "respect"`: the upstream says what may be kept, and for whom.

use super::*;
use crate::layers::testing::start;

fn rig() -> Rig {
    Rig::with(|setup| setup.cache = CacheRule::Respect(Respect::default()))
}

fn asked_by(rig: &Rig, who: &'static str) -> RoutedRequest {
    let mut request = rig.get();
    request.headers.insert("x-user", HeaderValue::from_static(who));
    request
}

/// Tells who asked, after a second.
fn greeting(cache_control: &'static str) -> Fake<FetchRequest> {
    Fake::new(move |_, question: FetchRequest| async move {
        tokio::time::sleep(SECOND).await;
        let fields = [("cache-control", cache_control)];
        Ok(answer(200, &fields, question.headers["x-user"].to_str().unwrap().to_owned()))
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_for_everybody_is_stored() {
    let rig = rig();
    let fake = greeting("max-age=60, stale-while-revalidate=30");
    let cache = rig.cached(fake.clone());
    let (a, b) = (start(&cache, asked_by(&rig, "ann")), start(&cache, asked_by(&rig, "bob")));
    assert_eq!(text(a.await.unwrap().unwrap()).await, "ann");
    assert_eq!(text(b.await.unwrap().unwrap()).await, "ann");
    let hit = send(&cache, asked_by(&rig, "cem")).await.unwrap();
    assert_eq!((status(&hit), fake.calls()), ("weir; hit; ttl=59", 1));
    rig.clock.advance(60 * SECOND);
    let stale = send(&cache, asked_by(&rig, "cem")).await.unwrap();
    assert_eq!(status(&stale), "weir; hit; ttl=-1; detail=stale");
}

#[tokio::test(start_paused = true)]
async fn what_is_one_clients_own_reaches_nobody_else() {
    for cache_control in ["private, max-age=60", "no-store"] {
        let rig = rig();
        let fake = greeting(cache_control);
        let mut cache = rig.cached(fake.clone());
        let mut ann = cache.call(asked_by(&rig, "ann"));
        assert!((&mut ann).now_or_never().is_none(), "she waits");
        // Bob joins her flight, and is looked after before she is.
        let bob = send(&cache, asked_by(&rig, "bob")).await.unwrap();
        assert_eq!(text(bob).await, "bob");
        assert_eq!(text(ann.await.unwrap()).await, "ann");
        assert_eq!((fake.calls(), rig.saved()), (2, 0));
        let next = send(&cache, asked_by(&rig, "cem")).await.unwrap();
        assert_eq!(text(next).await, "cem", "nothing was stored");
    }
}

#[tokio::test(start_paused = true)]
async fn a_private_answer_dies_with_the_one_who_asked() {
    let rig = rig();
    let fake = greeting("private");
    let cache = rig.cached(fake.clone());
    let ann = start(&cache, asked_by(&rig, "ann"));
    tokio::time::sleep(SECOND / 2).await;
    let bob = start(&cache, asked_by(&rig, "bob"));
    tokio::task::yield_now().await;
    ann.abort();
    assert_eq!(text(bob.await.unwrap().unwrap()).await, "bob");
    assert_eq!(fake.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_answered_with_what_may_be_served_instead() {
    for body in ["busy".to_owned(), "x".repeat(65)] {
        let rig = rig();
        let fake = Fake::new(move |n, _: FetchRequest| {
            let body = body.clone();
            async move {
                let fields = [("cache-control", "max-age=10, stale-if-error=600")];
                Ok(if n == 0 { answer(200, &fields, "old") } else { answer(503, &[], body) })
            }
        });
        let cache = rig.cached(fake);
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(45 * SECOND);
        let stale = send(&cache, rig.get()).await.unwrap();
        assert_eq!(status(&stale), "weir; fwd=stale; detail=upstream-error");
        assert_eq!(text(stale).await, "old");
        rig.clock.advance(600 * SECOND);
        assert_eq!(send(&cache, rig.get()).await.unwrap().status(), 503);
    }
}

/// The question has no content: a length that says otherwise would make the upstream take the
/// next request on its connection for the missing bytes.
#[tokio::test(start_paused = true)]
async fn a_question_without_content_does_not_announce_any() {
    let rig = rig();
    let fake = Fake::new(|_, question: FetchRequest| async move {
        let mut names: Vec<_> = question.headers.keys().map(|n| n.as_str().to_owned()).collect();
        names.sort();
        assert_eq!(
            (names.join(" ").as_str(), question.body.len()),
            ("accept accept-encoding x-user", 0)
        );
        Ok(answer(200, &[], "x"))
    });
    let cache = rig.cached(fake);
    let mut request = asked_by(&rig, "ann");
    request.body = "hello".into();
    for (name, value) in [
        ("accept", "text/plain"),
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("content-encoding", "identity"),
        ("expect", "100-continue"),
        ("if-none-match", "\"1\""),
        ("accept-encoding", "gzip"),
    ] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    assert_eq!(code(&send(&cache, request).await), "ok");
}
