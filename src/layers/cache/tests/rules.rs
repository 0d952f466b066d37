//! What the endpoint's own figures say of other statuses, of cookies and of parameters.

use http::StatusCode;

use super::*;
use crate::layers::testing::route;
use crate::policy::endpoint::{
    Endpoint, Lifetimes, Override, RefreshAhead, SetCookie, WhenRule, WhenValue,
};

fn by_rule(change: impl FnOnce(&mut Override)) -> CacheRule {
    let CacheRule::Override(mut rule) = seconds(10, 0, 0) else { panic!("it is our own") };
    change(&mut rule);
    CacheRule::Override(rule)
}

fn not_found_for_five_seconds(rule: &mut Override) {
    rule.by_status = vec![(StatusCode::NOT_FOUND, 5 * SECOND)];
}

fn answering(code: u16) -> Fake<FetchRequest> {
    Fake::new(move |n, _| async move { Ok(answer(code, &[], n.to_string())) })
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_listed_is_kept_for_so_long_and_no_other() {
    for (code, kept_for) in [(404, Some(5)), (200, Some(10)), (410, None), (500, None), (203, None)]
    {
        let rig = Rig::with(|setup| setup.cache = by_rule(not_found_for_five_seconds));
        let fake = answering(code);
        let cache = rig.cached(fake.clone());
        let first = send(&cache, rig.get()).await.unwrap();
        let stored = if kept_for.is_some() { "; stored" } else { "" };
        assert_eq!(status(&first), format!("weir; fwd=miss; fwd-status={code}{stored}"));
        let Some(kept_for) = kept_for else {
            rig.clock.advance(SECOND);
            let next = send(&cache, rig.get()).await.unwrap();
            assert_eq!((next.status().as_u16(), text(next).await.as_str()), (code, "1"));
            continue;
        };
        rig.clock.advance((kept_for - 1) * SECOND);
        let hit = send(&cache, rig.get()).await.unwrap();
        assert_eq!((hit.status().as_u16(), status(&hit)), (code, "weir; hit; ttl=1"));
        assert_eq!(text(hit).await, "0");
        rig.clock.advance(SECOND);
        let next = send(&cache, rig.get()).await.unwrap();
        assert_eq!((text(next).await.as_str(), fake.calls()), ("1", 2), "and then it is over");
    }
}

#[tokio::test(start_paused = true)]
async fn figures_of_a_parameter_hold_for_200_alone() {
    for (code, ttl) in [(200, 600), (404, 5)] {
        let mut rig = Rig::with(|setup| setup.cache = by_rule(not_found_for_five_seconds));
        let matches = vec![("id".to_owned(), WhenValue::Is("a".to_owned()))];
        let when = vec![WhenRule { matches, lifetimes: Lifetimes::only_fresh(600 * SECOND) }];
        let endpoint = Endpoint { when, ..rig.route.endpoint.clone() };
        rig.route = route(&rig.route.upstream, endpoint, &rig.metrics);
        let cache = rig.cached(answering(code));
        send(&cache, rig.get()).await.unwrap();
        let hit = send(&cache, rig.get()).await.unwrap();
        assert_eq!(status(&hit), format!("weir; hit; ttl={ttl}"), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_cookie() {
    for (set_cookie, is_stored, cookie) in [
        (SetCookie::Private, false, "id=1"),
        (SetCookie::Strip, true, ""),
        (SetCookie::Store, true, "id=0"),
    ] {
        let respect = Respect { set_cookie, refresh_ahead: None };
        for rule in [by_rule(|rule| rule.set_cookie = set_cookie), CacheRule::Respect(respect)] {
            let rig = Rig::with(|setup| setup.cache = rule.clone());
            let fake = Fake::new(|n, _: FetchRequest| async move {
                let cookie = format!("id={n}");
                let fields = [("cache-control", "max-age=10"), ("set-cookie", cookie.as_str())];
                Ok(answer(200, &fields, n.to_string()))
            });
            let cache = rig.cached(fake.clone());
            let first = send(&cache, rig.get()).await.unwrap();
            // Who fetched it gets what others would get, unless it is theirs alone.
            let own = if set_cookie == SetCookie::Strip { "" } else { "id=0" };
            assert_eq!(field(&first, "set-cookie"), own, "{rule:?}");
            let next = send(&cache, rig.get()).await.unwrap();
            assert_eq!(status(&next).starts_with("weir; hit"), is_stored, "{rule:?}");
            assert_eq!(field(&next, "set-cookie"), cookie, "{rule:?}");
            assert_eq!(text(next).await, if is_stored { "0" } else { "1" });
        }
    }
}

/// Statuses that are listed are never refreshed ahead of their end into something else's place.
#[tokio::test(start_paused = true)]
async fn an_error_does_not_take_the_place_of_what_is_kept() {
    let rule = by_rule(|rule| {
        rule.refresh_ahead = Some(RefreshAhead { after: 500, hits: 1 });
    });
    let rig = Rig::with(|setup| setup.cache = rule);
    let fake = Fake::new(|n, _: FetchRequest| async move {
        Ok(answer(if n == 0 { 200 } else { 500 }, &[], n.to_string()))
    });
    let cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    rig.clock.advance(6 * SECOND);
    for _ in 0..2 {
        let hit = send(&cache, rig.get()).await.unwrap();
        assert_eq!(text(hit).await, "0");
        crate::layers::testing::settle().await;
    }
    assert_eq!(fake.calls(), 2);
}
