//! What one request must not do to others.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::crowd::{CROWD, asking, burst, respecting, slow};
use super::*;
use crate::layers::limit::{Limit, LimitLayer};
use crate::layers::testing::{Setup, label, settle, share, start};
use crate::policy::endpoint::{Override, PageTokenRule, Priority, RefreshAhead, SetCookie};
use crate::policy::share::{Percent, Share};
use crate::store::purges::Mode;
use crate::world::Client;

fn limited(rig: &Rig, fake: Fake<FetchRequest>) -> Caching<Limit<Fake<FetchRequest>>> {
    rig.cached(LimitLayer::new(rig.clock.clone()).layer(fake))
}

fn client(rig: &Rig, share: Share) -> Arc<Client> {
    Arc::new(Client::new(0, share, None, &rig.clock))
}

fn by(rig: &Rig, id: &str, client: &Arc<Client>) -> RoutedRequest {
    let mut request = rig.ask(Method::GET, id);
    request.client = Arc::clone(client);
    request
}

#[tokio::test(start_paused = true)]
async fn a_share_that_is_used_up_is_not_that_of_those_who_ask_the_same() {
    let rig = Rig::with(|setup| setup.per_day = 10);
    let fake = numbers();
    let cache = limited(&rig, fake.clone());
    let greedy = client(&rig, Share { daily: Percent::from_tenths(100), ..share("greedy") });
    let other = client(&rig, share("other"));
    send(&cache, by(&rig, "1", &greedy)).await.unwrap();
    let (one, two) =
        tokio::join!(send(&cache, by(&rig, "a", &greedy)), send(&cache, by(&rig, "a", &other)));
    assert_eq!((code(&one), code(&two), fake.calls()), ("client-share", "ok", 2));
}

#[tokio::test(start_paused = true)]
async fn who_goes_first_does_not_wait_in_anothers_place() {
    let rig = Rig::with(|setup: &mut Setup| setup.label = Some(label(1, 60 * SECOND)));
    let came = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&came);
    let cache = limited(
        &rig,
        Fake::new(move |_, question: FetchRequest| {
            told.lock().push(question.target.to_string());
            async { Ok(answer(200, &[], "x")) }
        }),
    );
    let of = |priority| client(&rig, Share { priority, ..share("any") });
    let (low, normal, high) = (of(Priority::Low), of(Priority::Normal), of(Priority::High));
    let mut all = vec![start(&cache, by(&rig, "first", &normal))];
    settle().await;
    all.push(start(&cache, by(&rig, "shared", &low)));
    settle().await;
    all.extend((0..6).map(|n| start(&cache, by(&rig, &format!("n{n}"), &normal))));
    settle().await;
    all.push(start(&cache, by(&rig, "shared", &high)));
    for one in all {
        one.await.unwrap().unwrap();
    }
    let at = came.lock().iter().position(|target| target == "/things/shared");
    assert!(at.unwrap() <= 2, "{:?}", came.lock());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_whoever_asked_first_is_not_that_of_the_others() {
    let rig = Rig::new();
    let fake = Fake::new(|n, _: FetchRequest| async move {
        tokio::time::sleep(if n == 0 { 40 * SECOND } else { SECOND }).await;
        Ok(answer(200, &[], n.to_string()))
    });
    let cache = rig.cached(fake);
    let first = start(&cache, rig.get());
    settle().await;
    tokio::time::sleep(29 * SECOND).await;
    let later = send(&cache, rig.get()).await.unwrap();
    assert_eq!(text(later).await, "1");
    assert_eq!(code(&first.await.unwrap()), "deadline");
}

#[tokio::test(start_paused = true)]
async fn a_credential_of_ones_own_keeps_nobody_from_sharing() {
    let own = || [("authorization", "Bearer own")];
    for before in [true, false] {
        let rig = respecting();
        let fake = slow(|n, _| Ok(answer(200, &[("cache-control", "max-age=5")], n.to_string())));
        let cache = rig.cached(fake.clone());
        if before {
            send(&cache, asking(rig.get(), &own())).await.unwrap();
        }
        let one = |n| if n == 0 { asking(rig.get(), &own()) } else { rig.get() };
        burst(&rig, &cache, one).await;
        assert_eq!(fake.calls(), if before { 3 } else { 2 }, "{before}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_a_credential_does_not_end_the_refreshing() {
    let rig = respecting();
    let told = [("cache-control", "max-age=5, stale-while-revalidate=60")];
    let fake = slow(move |n, _| Ok(answer(200, &told, n.to_string())));
    let cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    let wish = [("authorization", "Bearer own"), ("cache-control", "no-cache")];
    send(&cache, asking(rig.get(), &wish)).await.unwrap();
    rig.clock.advance(10 * SECOND);
    send(&cache, rig.get()).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    let fresh = send(&cache, rig.get()).await.unwrap();
    assert_eq!((text(fresh).await.as_str(), fake.calls()), ("2", 3));
}

#[tokio::test(start_paused = true)]
async fn fields_that_are_never_asked_make_no_form_of_a_question() {
    for name in ["content-type", "if-none-match", "range", "cookie"] {
        let rig = respecting();
        let fake = Fake::new(move |n, _: FetchRequest| async move {
            Ok(answer(200, &[("cache-control", "max-age=60"), ("vary", name)], n.to_string()))
        });
        let cache = rig.cached(fake.clone());
        for _ in 0..2 {
            let request = asking(rig.get(), &[("content-type", "text/plain")]);
            assert_eq!(text(send(&cache, request).await.unwrap()).await, "0", "{name}");
        }
        assert_eq!(fake.calls(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stumble_is_not_everybodys_to_find_out() {
    let private = |rule| match rule {
        CacheRule::Override(rule) => {
            CacheRule::Override(Override { set_cookie: SetCookie::Private, ..rule })
        }
        other => other,
    };
    let cookie = [("set-cookie", "lb=1")];
    let rig = Rig::with(|setup| setup.cache = private(seconds(10, 0, 0)));
    let fake = slow(move |_, _| Ok(answer(503, &cookie, "down")));
    let cache = rig.cached(fake.clone());
    for _ in 0..2 {
        let (answers, _) = burst(&rig, &cache, |_| rig.get()).await;
        assert!(answers.iter().all(|a| !a.as_ref().unwrap().headers().contains_key(SET_COOKIE)));
        assert_eq!(fake.calls(), 1);
    }
    // What may not be kept at all is for each, and then nobody waits for another's.
    let rig = respecting();
    let fake = slow(|_, _| Ok(answer(503, &[("cache-control", "no-store")], "down")));
    let cache = rig.cached(fake.clone());
    burst(&rig, &cache, |_| rig.get()).await;
    let (_, took) = burst(&rig, &cache, |_| rig.get()).await;
    assert!(took < SECOND, "{took:?}");
    assert_eq!(fake.calls(), 2 * CROWD);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_left_for_the_old_listing_is_not_of_the_new_one() {
    let rig = Rig::with(|setup| {
        setup.cache = seconds(10, 0, 0);
        setup.page_token = Some(token());
    });
    let generation = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&generation);
    let fake = Fake::new(move |_, question: FetchRequest| {
        let of = now.load(Ordering::SeqCst);
        async move {
            let token = if question.target.contains("t=") { "" } else { "x" };
            if token.is_empty() {
                tokio::time::sleep(SECOND).await;
            }
            Ok(answer(200, &[], format!(r#"{{"of":{of},"t":"{token}"}}"#)))
        }
    });
    let cache = rig.cached(fake);
    let second = || {
        let mut request = rig.get();
        request.key = Arc::new(request.key.asking(request.key.parameters().with("t", "x")));
        request
    };
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(SECOND * 99 / 10);
    let reading = start(&cache, second());
    settle().await;
    generation.store(1, Ordering::SeqCst);
    rig.clock.advance(SECOND / 5);
    send(&cache, rig.get()).await.unwrap();
    let joined = text(send(&cache, second()).await.unwrap()).await;
    let old = text(reading.await.unwrap().unwrap()).await;
    let after = text(send(&cache, second()).await.unwrap()).await;
    let expected = |of| format!(r#"{{"of":{of},"t":""}}"#);
    assert_eq!((old, joined, after), (expected(0), expected(1), expected(1)));
}

fn token() -> PageTokenRule {
    PageTokenRule {
        request: "t".into(),
        response: "t".into(),
        lifetime: 900 * SECOND,
        margin: 120 * SECOND,
        all: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_old_when_it_came_has_an_old_token() {
    let rig = Rig::with(|setup| {
        setup.cache = seconds(600, 0, 0);
        setup.page_token = Some(token());
    });
    let fake = Fake::new(|_, _: FetchRequest| async {
        Ok(answer(200, &[("age", "700")], r#"{"t":"x"}"#))
    });
    let cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(79 * SECOND);
    send(&cache, rig.get()).await.unwrap();
    assert_eq!(fake.calls(), 1);
    rig.clock.advance(SECOND);
    send(&cache, rig.get()).await.unwrap();
    assert_eq!(fake.calls(), 2, "its token is 780 s old");
}

#[tokio::test(start_paused = true)]
async fn our_tags_are_not_shown_to_the_upstream() {
    let rig = respecting();
    let fake = Fake::new(|_, question: FetchRequest| async move {
        assert_eq!(question.headers["if-match"], "\"7\"");
        Ok(answer(200, &[], "x"))
    });
    let cache = rig.cached(fake);
    let mut request = asking(rig.get(), &[("if-match", "\"7-gzip\"")]);
    request.method = Method::PUT;
    send(&cache, request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_purged_is_refreshed_however_stale_a_client_takes_it() {
    let rig = respecting();
    let fake = Fake::new(|n, _: FetchRequest| async move {
        Ok(answer(200, &[("cache-control", "max-age=60")], n.to_string()))
    });
    let cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    rig.purges.purge(rig.purges.everything(), Mode::Soft);
    let wish = || asking(rig.get(), &[("cache-control", "max-stale")]);
    assert_eq!(text(send(&cache, wish()).await.unwrap()).await, "0");
    settle().await;
    assert_eq!((text(send(&cache, wish()).await.unwrap()).await.as_str(), fake.calls()), ("1", 2));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_begin_ahead_begins_with_the_next_who_asks() {
    let rig = Rig::with(|setup| {
        if let CacheRule::Override(rule) = &mut setup.cache {
            rule.lifetimes.fresh = 100 * SECOND;
            rule.refresh_ahead = Some(RefreshAhead { after: 500, hits: 1 });
        }
    });
    let fake = numbers();
    let cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(60 * SECOND);
    let mut crowded = rig.get();
    crowded.max_flights = 0;
    for request in [crowded, rig.get(), rig.get()] {
        send(&cache, request).await.unwrap();
        settle().await;
    }
    assert_eq!(fake.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_what_stands_in_stands_in_too() {
    let rig = respecting();
    let fake = Fake::new(|n, _: FetchRequest| async move {
        let told = [("cache-control", "max-age=5, stale-if-error=600")];
        Ok(if n == 0 { answer(200, &told, "0123456789") } else { answer(503, &[], "down") })
    });
    let cache = rig.cached(fake);
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(10 * SECOND);
    let part = send(&cache, asking(rig.get(), &[("range", "bytes=0-1")])).await.unwrap();
    assert_eq!((part.status().as_u16(), text(part).await.as_str()), (206, "01"));
}

#[tokio::test(start_paused = true)]
async fn a_cookie_is_not_sent_by_a_rule_that_does_not_hold_any_more() {
    let with = |set_cookie| {
        Rig::with(move |setup| {
            if let CacheRule::Override(rule) = &mut setup.cache {
                rule.set_cookie = set_cookie;
            }
        })
    };
    let (before, after) = (with(SetCookie::Store), with(SetCookie::Private));
    let fake =
        Fake::new(|_, _: FetchRequest| async { Ok(answer(200, &[("set-cookie", "sid=1")], "x")) });
    let cache = before.cached(fake);
    send(&cache, before.get()).await.unwrap();
    assert_eq!(field(&send(&cache, before.get()).await.unwrap(), "set-cookie"), "sid=1");
    let told = send(&cache, after.get()).await.unwrap();
    assert!(status(&told).contains("hit") && !told.headers().contains_key(SET_COOKIE));
}
