//! What a client says of being answered from memory (RFC 9111, section 5.2.1).

use super::crowd::{asking, respecting};
use super::validation::{for_ten_seconds, upstream};
use super::*;
use crate::layers::testing::settle;

#[tokio::test(start_paused = true)]
async fn who_wants_nothing_but_what_is_stored_costs_nothing() {
    for rule in for_ten_seconds() {
        let rig = Rig::with(|setup| setup.cache = rule);
        let (fake, _) = upstream(|n, _| {
            Ok(answer(200, &[("cache-control", "max-age=10"), ("etag", "\"7\"")], n.to_string()))
        });
        let cache = rig.cached(fake.clone());
        let only = || asking(rig.get(), &[("cache-control", "only-if-cached")]);
        let nothing = send(&cache, only()).await;
        let row = nothing.unwrap_err().row();
        assert_eq!((row.status.as_u16(), row.code, fake.calls()), (504, "not-stored", 0));
        send(&cache, rig.get()).await.unwrap();
        let hit = send(&cache, only()).await.unwrap();
        assert_eq!(text(hit).await, "0");
        rig.clock.advance(12 * SECOND);
        let stale = send(&cache, only()).await;
        assert_eq!((code(&stale), fake.calls()), ("not-stored", 1), "nor is it confirmed");
    }
}

/// After so many seconds a request with this wish: whether it is asked again.
#[tokio::test(start_paused = true)]
async fn a_clients_wishes_are_heard() {
    let plain = "max-age=10";
    let lasting = "max-age=10, immutable";
    for (told, age, wish, asks, expected) in [
        (plain, 6, ("x-none", ""), false, "weir; hit; ttl=4"),
        (plain, 6, ("cache-control", "no-cache"), true, ""),
        (plain, 6, ("pragma", "no-cache"), true, ""),
        (plain, 6, ("cache-control", "max-age=0"), true, ""),
        (plain, 6, ("cache-control", "max-age=5"), true, ""),
        (plain, 6, ("cache-control", "max-age=6"), false, "weir; hit; ttl=4"),
        (plain, 6, ("cache-control", "min-fresh=5"), true, ""),
        (plain, 6, ("cache-control", "min-fresh=4"), false, "weir; hit; ttl=4"),
        (plain, 15, ("cache-control", "max-stale=4"), true, ""),
        (plain, 15, ("cache-control", "max-stale=5"), false, "weir; hit; ttl=-5; detail=stale"),
        (plain, 15, ("cache-control", "max-stale"), false, "weir; hit; ttl=-5; detail=stale"),
        // As stale as it may be, and no older: what is asked for is both.
        (plain, 15, ("cache-control", "max-stale, max-age=3"), true, ""),
        (plain, 15, ("cache-control", "max-stale=9, min-fresh=1"), true, ""),
        (lasting, 6, ("cache-control", "max-age=0"), false, "weir; hit; ttl=4"),
        (lasting, 6, ("cache-control", "no-cache"), true, ""),
        (lasting, 12, ("cache-control", "max-age=0"), true, ""),
    ] {
        let rig = respecting();
        let (fake, seen) = upstream(move |_, is_conditional| {
            let fields = [("cache-control", told), ("etag", "\"7\"")];
            Ok(if is_conditional { answer(304, &[], "") } else { answer(200, &fields, "whole") })
        });
        let cache = rig.cached(fake.clone());
        send(&cache, rig.get()).await.unwrap();
        rig.clock.advance(age * SECOND);
        let served = send(&cache, asking(rig.get(), &[wish])).await.unwrap();
        settle().await;
        let case = format!("{told}, {age}, {wish:?}");
        assert_eq!(fake.calls(), if asks { 2 } else { 1 }, "{case}");
        if asks {
            assert_eq!(seen.lock()[1].0, "\"7\"", "{case}: it need not be sent again");
            let why = if age < 10 { "request" } else { "stale" };
            let expected = format!("weir; fwd={why}; fwd-status=304; stored");
            assert_eq!(status(&served), expected, "{case}");
        } else {
            assert_eq!(status(&served), expected, "{case}");
        }
        assert_eq!(text(served).await, "whole");
    }
}

#[tokio::test(start_paused = true)]
async fn by_our_own_rule_a_clients_wishes_cost_nothing() {
    for wish in ["no-cache", "no-store", "max-age=0", "min-fresh=60"] {
        let rig = Rig::new();
        let (fake, _) = upstream(|_, _| Ok(answer(200, &[], "whole")));
        let cache = rig.cached(fake.clone());
        send(&cache, rig.get()).await.unwrap();
        let hit = send(&cache, asking(rig.get(), &[("cache-control", wish)])).await.unwrap();
        assert_eq!((status(&hit), fake.calls()), ("weir; hit; ttl=10", 1), "{wish}");
    }
}
