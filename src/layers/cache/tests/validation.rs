//! An answer past its freshness is confirmed by the upstream rather than sent again
//! (RFC 9111, section 4.3).

use parking_lot::Mutex;

use super::crowd::{asking, respecting};
use super::*;
use crate::layers::testing::{Answer, start};
use crate::upstream::{Phase, UpstreamError};

/// What each request was conditional on: `If-None-Match` and `If-Modified-Since`.
pub(super) type Conditions = Arc<Mutex<Vec<(String, String)>>>;

/// An upstream that is told the number of the call; and what it was asked.
pub(super) fn upstream(
    reply: impl Fn(usize, bool) -> Answer + Send + Sync + 'static,
) -> (Fake<FetchRequest>, Conditions) {
    let seen = Conditions::default();
    let told = Arc::clone(&seen);
    let fake = Fake::new(move |n, question: FetchRequest| {
        let condition =
            |name| question.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let (tag, date) = (condition("if-none-match"), condition("if-modified-since"));
        let is_conditional = !tag.is_empty() || !date.is_empty();
        told.lock().push((tag.to_owned(), date.to_owned()));
        let reply = reply(n, is_conditional);
        async move { reply }
    });
    (fake, seen)
}

fn down() -> Answer {
    Err(UpstreamError::Timeout(Phase::FirstByte).into())
}

const DATE: &str = "Thu, 01 Jan 2015 00:00:00 GMT";
const BOTH: [(&str, &str); 2] = [("etag", "\"7\""), ("last-modified", DATE)];

pub(super) fn for_ten_seconds() -> [CacheRule; 2] {
    [CacheRule::Respect(Respect::default()), seconds(10, 0, 0)]
}

/// What it was made by, its own validators are, and no other, however often it is confirmed.
#[tokio::test(start_paused = true)]
async fn the_upstream_is_asked_by_its_own_validators_and_confirms() {
    let own = |fields: &[(&str, &str)], name| {
        fields.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value).to_owned()
    };
    for rule in for_ten_seconds() {
        for validators in [&BOTH[..1], &BOTH[1..], &BOTH[..]] {
            let rig = Rig::with(|setup| setup.cache = rule.clone());
            let fields: Vec<_> =
                [("cache-control", "max-age=10")].iter().chain(validators).copied().collect();
            let (fake, seen) = upstream(move |n, is_conditional| {
                Ok(if is_conditional {
                    answer(304, &[("x-news", &n.to_string())], "")
                } else {
                    answer(200, &fields, "whole")
                })
            });
            let cache = rig.cached(fake);
            let first = send(&cache, rig.get()).await.unwrap();
            assert_eq!(text(first).await, "whole");
            for n in 1..=3 {
                rig.clock.advance(12 * SECOND);
                let request = rig.get();
                let record = Arc::clone(&request.record);
                let confirmed = send(&cache, request).await.unwrap();
                assert_eq!(status(&confirmed), "weir; fwd=stale; fwd-status=304; stored");
                assert_eq!(record.cache(), Some(CacheResult::Revalidated));
                let said = (field(&confirmed, "age"), field(&confirmed, "x-news"));
                assert_eq!(
                    (confirmed.status().as_u16(), said),
                    (200, ("0", n.to_string().as_str()))
                );
                assert_eq!(text(confirmed).await, "whole");
                let asked = (own(validators, "etag"), own(validators, "last-modified"));
                assert_eq!(seen.lock()[n], asked, "{rule:?}");
                rig.clock.advance(4 * SECOND);
                let hit = send(&cache, rig.get()).await.unwrap();
                assert_eq!(
                    (status(&hit), field(&hit, "age")),
                    ("weir; hit; ttl=6", "4"),
                    "{rule:?}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_cannot_confirm_is_asked_for_without_condition() {
    for rule in [seconds(10, 0, 600), seconds(10, 0, 0)] {
        let rig = Rig::with(|setup| setup.cache = rule);
        let (fake, seen) = upstream(|n, _| Ok(answer(200, &[], n.to_string())));
        let cache = rig.cached(fake);
        let first = send(&cache, rig.get()).await.unwrap();
        assert!(!field(&first, "etag").is_empty(), "weir made one, for its own clients");
        rig.clock.advance(12 * SECOND);
        assert_eq!(text(send(&cache, rig.get()).await.unwrap()).await, "1");
        assert_eq!(*seen.lock(), [(String::new(), String::new()), (String::new(), String::new())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_own_condition_is_not_the_flights() {
    for rule in for_ten_seconds() {
        let rig = Rig::with(|setup| setup.cache = rule);
        let fields = [("cache-control", "max-age=10"), ("etag", "\"7\"")];
        let (fake, seen) = upstream(move |_, is_conditional| {
            Ok(if is_conditional { answer(304, &[], "") } else { answer(200, &fields, "whole") })
        });
        let cache = rig.cached(fake);
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(12 * SECOND);
        for (tag, expected) in [("\"6\"", 200), ("\"7\"", 304)] {
            let request = asking(rig.get(), &[("if-none-match", tag), ("if-modified-since", DATE)]);
            assert_eq!(send(&cache, request).await.unwrap().status(), expected);
            assert_eq!(*seen.lock().last().unwrap(), ("\"7\"".to_owned(), String::new()));
            rig.clock.advance(12 * SECOND);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_brings_the_fields_that_have_changed() {
    let rig = respecting();
    let (fake, _) = upstream(|n, _| {
        Ok(if n == 0 {
            let fields =
                [("cache-control", "max-age=10"), ("etag", "\"7\""), ("x-a", "1"), ("x-b", "1")];
            answer(200, &fields, "whole")
        } else {
            let fields = [
                ("cache-control", "max-age=100"),
                ("x-b", "2"),
                ("x-b", "3"),
                ("content-length", "0"),
                ("content-encoding", "gzip"),
                ("age", "30"),
                ("ratelimit", "\"heavy\";r=7;t=1"),
            ];
            answer(304, &fields, "")
        })
    });
    let cache = rig.cached(fake);
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(12 * SECOND);
    let confirmed = send(&cache, rig.get()).await.unwrap();
    assert_eq!(field(&confirmed, "ratelimit"), "\"heavy\";r=7;t=1", "for those who waited");
    let hit = send(&cache, rig.get()).await.unwrap();
    assert_eq!((status(&hit), field(&hit, "age")), ("weir; hit; ttl=70", "30"));
    let both: Vec<_> =
        hit.headers().get_all("x-b").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!((field(&hit, "x-a"), both), ("1", vec!["2", "3"]));
    assert_eq!((field(&hit, "content-length"), field(&hit, "etag")), ("5", "\"7\""));
    assert!(!hit.headers().contains_key("content-encoding"));
    assert!(!hit.headers().contains_key("ratelimit"));
    assert_eq!(text(hit).await, "whole");
}

/// RFC 9110, section 6.6.1: what comes without a date is of the moment in which it comes.
#[tokio::test(start_paused = true)]
async fn a_confirmation_without_a_date_does_not_have_the_answers() {
    let rig = respecting();
    let date = httpdate::fmt_http_date(rig.clock.wall());
    let (fake, _) = upstream(move |n, _| {
        let fields = [("date", date.as_str()), ("cache-control", "max-age=10"), ("etag", "\"7\"")];
        Ok(if n == 0 { answer(200, &fields, "whole") } else { answer(304, &[], "") })
    });
    let cache = rig.cached(fake);
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(12 * SECOND);
    let confirmed = send(&cache, rig.get()).await.unwrap();
    let now = httpdate::fmt_http_date(rig.clock.wall());
    assert_eq!((field(&confirmed, "age"), field(&confirmed, "date")), ("0", now.as_str()));
    assert_eq!(status(&send(&cache, rig.get()).await.unwrap()), "weir; hit; ttl=10");
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_of_another_answer_freshens_nothing_and_is_asked_about_once() {
    for (rule, answers_then) in
        for_ten_seconds().into_iter().flat_map(|r| [(r.clone(), true), (r, false)])
    {
        let rig = Rig::with(|setup| setup.cache = rule);
        let (fake, seen) = upstream(move |n, is_conditional| {
            let tag = format!("\"{n}\"");
            let fields = [("cache-control", "max-age=10"), ("etag", tag.as_str())];
            if is_conditional {
                return Ok(answer(304, &fields, ""));
            }
            if n == 0 || answers_then { Ok(answer(200, &fields, n.to_string())) } else { down() }
        });
        let cache = rig.cached(fake.clone());
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(12 * SECOND);
        let told = send(&cache, rig.get()).await;
        let asked: Vec<_> = seen.lock().iter().map(|(tag, _)| tag.clone()).collect();
        assert_eq!(asked, ["", "\"0\"", ""]);
        if answers_then {
            assert_eq!(text(told.unwrap()).await, "2");
            let hit = send(&cache, rig.get()).await.unwrap();
            assert_eq!((field(&hit, "etag"), status(&hit)), ("\"2\"", "weir; hit; ttl=10"));
        } else {
            assert_eq!(code(&told), "upstream-timeout", "and what is not ours is not kept");
        }
        assert_eq!(fake.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn another_answer_replaces_it() {
    for rule in for_ten_seconds() {
        let rig = Rig::with(|setup| setup.cache = rule);
        let (fake, seen) = upstream(|n, _| {
            let tag = format!("\"{n}\"");
            Ok(answer(200, &[("cache-control", "max-age=10"), ("etag", &tag)], n.to_string()))
        });
        let cache = rig.cached(fake);
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(12 * SECOND);
        let request = rig.get();
        let record = Arc::clone(&request.record);
        let replaced = send(&cache, request).await.unwrap();
        assert_eq!(status(&replaced), "weir; fwd=stale; fwd-status=200; stored");
        assert_eq!(record.cache(), Some(CacheResult::Miss));
        assert_eq!(seen.lock()[1].0, "\"0\"");
        let hit = send(&cache, rig.get()).await.unwrap();
        assert_eq!((field(&hit, "etag"), field(&hit, "age")), ("\"1\"", "0"));
        assert_eq!(text(hit).await, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_confirmed_and_not_to_be_kept_is_handed_on_and_not_kept() {
    let rig = respecting();
    let (fake, seen) = upstream(|_, is_conditional| {
        Ok(if is_conditional {
            answer(304, &[("cache-control", "no-store")], "")
        } else {
            answer(200, &[("cache-control", "max-age=10"), ("etag", "\"7\"")], "whole")
        })
    });
    let cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(12 * SECOND);
    let both = [start(&cache, rig.get()), start(&cache, rig.get())];
    for one in both {
        let told = one.await.unwrap().unwrap();
        assert_eq!((told.status().as_u16(), field(&told, "cache-control")), (200, "no-store"));
        assert_eq!(status(&told), "weir; fwd=stale; fwd-status=304");
        assert_eq!(text(told).await, "whole");
    }
    assert_eq!(fake.calls(), 3, "to each their own");
    let next = send(&cache, rig.get()).await.unwrap();
    assert_eq!(status(&next), "weir; fwd=miss; fwd-status=200; stored", "it is forgotten");
    assert_eq!((text(next).await.as_str(), fake.calls()), ("whole", 4));
    assert!(seen.lock()[1..3].iter().all(|(tag, _)| tag == "\"7\""));
}

#[tokio::test(start_paused = true)]
async fn what_must_be_confirmed_is_never_served_stale() {
    for directive in ["must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache"] {
        let rig = respecting();
        let told =
            format!("max-age=10, stale-while-revalidate=60, stale-if-error=600, {directive}");
        let (fake, _) = upstream(move |n, _| {
            let fields = [("cache-control", told.as_str()), ("etag", "\"7\"")];
            if n == 0 { Ok(answer(200, &fields, "old")) } else { down() }
        });
        let cache = rig.cached(fake.clone());
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(12 * SECOND);
        for wish in ["", "max-stale", "max-stale=60"] {
            let told = send(&cache, asking(rig.get(), &[("cache-control", wish)])).await;
            assert_eq!(code(&told), "upstream-timeout", "{directive}, {wish}");
        }
        assert!(fake.calls() > 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_served_on_errors_is_and_no_longer() {
    let rig = respecting();
    let (fake, _) = upstream(|n, _| {
        let fields = [("cache-control", "max-age=10, stale-if-error=20"), ("etag", "\"7\"")];
        if n == 0 { Ok(answer(200, &fields, "old")) } else { down() }
    });
    let cache = rig.cached(fake);
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(29 * SECOND);
    let stale = send(&cache, rig.get()).await.unwrap();
    assert_eq!(status(&stale), "weir; fwd=stale; detail=upstream-timeout");
    assert_eq!(text(stale).await, "old");
    rig.clock.advance(SECOND);
    assert_eq!(code(&send(&cache, rig.get()).await), "upstream-timeout");
}

/// A confirmed answer is prepared anew from the one before it; nothing piles up on the way.
#[tokio::test(start_paused = true)]
async fn however_often_it_is_confirmed_it_grows_no_further() {
    let rig = Rig::with(|setup| setup.cache = seconds(10, 0, 0));
    let (fake, _) = upstream(|_, is_conditional| {
        let fields = [("content-type", "application/json"), ("etag", "\"7\"")];
        let body = "[]".repeat(500);
        Ok(if is_conditional { answer(304, &[], "") } else { answer(200, &fields, body) })
    });
    let entries = EntryCache::new(1 << 20, rig.clock.clone(), Box::new(|_| {}));
    let limits = Limits {
        max_entry_bytes: 4096,
        max_fetching_bytes: usize::MAX,
        remember_uncacheable: 60 * SECOND,
        remember_failure: SECOND,
    };
    let cache = CacheLayer::new(entries, rig.purges.clone(), rig.clock.clone(), limits);
    let cache = cache.layer(fake);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let told = send(&cache, rig.get()).await.unwrap();
        let mut names: Vec<_> = told.headers().iter().map(|(name, _)| name.to_string()).collect();
        names.sort_unstable();
        seen.push((names, cache.state.entries.usage()));
        rig.clock.advance(12 * SECOND);
    }
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:#?}");
}
