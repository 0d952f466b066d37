//! How long, and how.

use proptest::prelude::*;

use super::*;

const fn seconds(fresh: u64, swr: u64, sie: u64) -> Lifetimes {
    Lifetimes {
        fresh: Duration::from_secs(fresh),
        stale_while_revalidate: Duration::from_secs(swr),
        stale_if_error: Duration::from_secs(sie),
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
fn times(lifetimes: Lifetimes, oldest_age: Option<u64>) -> Times {
    let oldest_age = oldest_age.map(Duration::from_secs);
    Times {
        made_at: Instant::now(),
        initial_age: Duration::ZERO,
        lifetimes,
        oldest_age,
        stale: Stale::Allowed,
        immutable: false,
        keep: Duration::ZERO,
    }
}

#[test]
fn an_answer_goes_from_fresh_to_dead_at_its_rules_edges() {
    use Freshness::{Dead, StaleIfError};
    let swr = |s| Freshness::StaleWhileRevalidate { by: Duration::from_secs(s) };
    let fresh = |s| Freshness::Fresh { ttl: Duration::from_secs(s) };
    for (oldest, age, expected) in [
        (None, 0, fresh(10)),
        (None, 9, fresh(1)),
        (None, 10, swr(0)),
        (None, 39, swr(29)),
        (None, 40, StaleIfError),
        (None, 609, StaleIfError),
        (None, 610, Dead),
        (Some(780), 609, StaleIfError),
        (Some(100), 99, StaleIfError),
        (Some(100), 100, Dead),
        (Some(5), 0, fresh(5)),
        (Some(5), 5, Dead),
    ] {
        let times = times(seconds(10, 30, 600), oldest);
        let now = times.made_at + Duration::from_secs(age);
        assert_eq!(times.freshness(now), expected, "age {age}, oldest {oldest:?}");
    }
}

/// A wish, in the words of a `Cache-Control`.
fn wish(text: &str) -> RequestDirectives {
    let mut headers = http::HeaderMap::new();
    headers.insert("cache-control", text.parse().unwrap());
    RequestDirectives::of(&headers)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// RFC 9111, section 5.2.1; of an answer that is fresh for 10 s, refreshed in the background for
/// 30 more, and good enough instead of an error for 600.
#[test]
fn a_client_gets_nothing_that_it_does_not_want() {
    use Freshness::{Dead, StaleIfError};
    let swr = |by| Freshness::StaleWhileRevalidate { by: s(by) };
    let wished = |by| Freshness::StaleAsWished { by: s(by) };
    let fresh = |ttl| Freshness::Fresh { ttl: s(ttl) };
    for (age, text, expected) in [
        (3, "", fresh(7)),
        (3, "no-cache", Dead),
        (20, "no-cache", Dead),
        (100, "no-cache, max-stale", Dead),
        // Section 5.2.1.1: an age, whatever else; and nothing stale, unless max-stale says so.
        (3, "max-age=3", fresh(7)),
        (4, "max-age=3", Dead),
        (0, "max-age=0", fresh(10)),
        (1, "max-age=0", Dead),
        (10, "max-age=60", Dead),
        (100, "max-age=600", Dead),
        (20, "max-age=60, max-stale=60", swr(10)),
        (50, "max-age=60, max-stale=60", wished(40)),
        (61, "max-age=60, max-stale=60", Dead),
        (4, "max-age=3, max-stale=60", Dead),
        // Section 5.2.1.3.
        (3, "min-fresh=7", fresh(7)),
        (3, "min-fresh=8", Dead),
        (9, "min-fresh=0", fresh(1)),
        (20, "min-fresh=0", swr(10)),
        (20, "min-fresh=1", Dead),
        (100, "min-fresh=1", Dead),
        (100, "min-fresh=1, max-stale", Dead),
        (3, "min-fresh=8, max-stale", Dead),
        (100, "min-fresh=0", StaleIfError),
        (3, "min-fresh", Dead),
        // Section 5.2.1.2: by no more than so much.
        (3, "max-stale=5", fresh(7)),
        (15, "max-stale=5", swr(5)),
        (16, "max-stale=5", StaleIfError),
        (39, "max-stale", swr(29)),
        (40, "max-stale", wished(30)),
        (40, "max-stale=30", wished(30)),
        (40, "max-stale=29", StaleIfError),
        (609, "max-stale", wished(599)),
        (610, "max-stale=600", wished(600)),
        (610, "max-stale=599", Dead),
        (100_000, "max-stale", wished(99_990)),
        (100_000, "max-stale=x", Dead),
        // About the answer to keep, and about asking at all, somebody else decides.
        (3, "no-store, only-if-cached", fresh(7)),
    ] {
        let times = times(seconds(10, 30, 600), None);
        let now = times.made_at + s(age);
        let found = times.wished(times.freshness(now), &wish(text), now);
        assert_eq!(found, expected, "age {age}, {text}");
    }
}

/// RFC 9111, section 4.2.4.
#[test]
fn what_the_upstream_forbids_no_client_may_wish() {
    for (age, text, expected) in [
        (9, "max-stale", Freshness::Fresh { ttl: s(1) }),
        (10, "max-stale", Freshness::Dead),
        (10, "max-stale=1", Freshness::Dead),
    ] {
        let times = Times { stale: Stale::Forbidden, ..times(Lifetimes::only_fresh(s(10)), None) };
        let now = times.made_at + s(age);
        let found = times.wished(times.freshness(now), &wish(text), now);
        assert_eq!(found, expected, "age {age}, {text}");
    }
}

/// RFC 8246, section 2.
#[test]
fn a_reload_of_what_is_immutable_is_answered_while_it_is_fresh() {
    for (age, text, expected) in [
        (3, "max-age=0", Freshness::Fresh { ttl: s(7) }),
        (3, "max-age=0, min-fresh=8", Freshness::Dead),
        (3, "no-cache", Freshness::Dead),
        (10, "max-age=0", Freshness::Dead),
        (20, "max-age=0, max-stale", Freshness::Dead),
    ] {
        let times = Times { immutable: true, ..times(Lifetimes::only_fresh(s(10)), None) };
        let now = times.made_at + s(age);
        let found = times.wished(times.freshness(now), &wish(text), now);
        assert_eq!(found, expected, "age {age}, {text}");
    }
}

#[test]
fn no_wish_makes_a_page_token_older_than_it_may_get() {
    for (age, expected) in [
        (49, Freshness::StaleAsWished { by: s(39) }),
        (50, Freshness::Dead),
        (100_000, Freshness::Dead),
    ] {
        let times = times(Lifetimes::only_fresh(s(10)), Some(50));
        let now = times.made_at + s(age);
        let found = times.wished(times.freshness(now), &wish("max-stale"), now);
        assert_eq!(found, expected, "age {age}");
    }
}

/// RFC 9111, section 4.2.3.
#[test]
fn what_arrives_old_is_old() {
    let times = Times { initial_age: s(4), ..times(seconds(10, 30, 600), None) };
    let at = |after| times.made_at + s(after);
    assert_eq!(times.age(at(3)), s(7));
    assert_eq!(times.age(times.made_at), s(4));
    assert_eq!(times.freshness(at(3)), Freshness::Fresh { ttl: s(3) });
    assert_eq!(times.freshness(at(6)), Freshness::StaleWhileRevalidate { by: s(0) });
    assert_eq!(times.retention(), s(606));
    let younger = times.made_at.checked_sub(s(1)).unwrap();
    assert_eq!(times.age(younger), s(4), "a clock that goes back makes nothing younger");
}

#[test]
fn what_was_purged_is_stale_and_no_more_than_that() {
    for (lifetimes, age, expected) in [
        (seconds(10, 30, 600), 3, Freshness::StaleWhileRevalidate { by: s(0) }),
        (seconds(10, 0, 600), 3, Freshness::StaleIfError),
        (seconds(10, 0, 0), 3, Freshness::Dead),
        (seconds(10, 30, 600), 20, Freshness::StaleWhileRevalidate { by: s(10) }),
        (seconds(10, 30, 600), 100, Freshness::StaleIfError),
        (seconds(10, 30, 600), 1000, Freshness::Dead),
    ] {
        let times = times(lifetimes, None);
        assert_eq!(times.purged(times.made_at + s(age)), expected, "{lifetimes:?} at {age}");
    }
    let capped = times(seconds(10, 30, 600), Some(5));
    assert_eq!(capped.purged(capped.made_at + s(5)), Freshness::Dead);
}

#[test]
fn how_long_an_entry_is_of_use() {
    for (lifetimes, keep, oldest, initial_age, expected) in [
        (seconds(10, 0, 0), 0, None, 0, 10),
        (seconds(10, 30, 20), 0, None, 0, 40),
        (seconds(10, 20, 30), 0, None, 0, 40),
        (seconds(10, 20, 30), 3600, None, 0, 3610),
        (seconds(10, 20, 30), 25, None, 0, 40),
        (seconds(10, 20, 30), 3600, Some(25), 0, 25),
        (seconds(10, 20, 30), 3600, Some(25), 5, 20),
        (seconds(10, 20, 30), 0, None, 41, 0),
    ] {
        let (keep, initial_age) = (s(keep), s(initial_age));
        let times = Times { initial_age, keep, ..times(lifetimes, oldest) };
        assert_eq!(times.retention(), s(expected), "{times:?}");
    }
    let most = Times { keep: s(1), ..times(Lifetimes::only_fresh(Duration::MAX), None) };
    assert_eq!(most.retention(), Duration::MAX);
}

#[test]
fn a_part_of_its_life_is_over_at_that_part() {
    for (oldest, age, thousandths, expected) in [
        (None, 7, 800, false),
        (None, 8, 800, true),
        (None, 9, 1000, false),
        (None, 10, 1000, true),
        (None, 0, 0, true),
        (Some(5), 4, 800, true),
        (Some(5), 3, 800, false),
    ] {
        let times = times(seconds(10, 30, 600), oldest);
        let due = times.is_due(thousandths, times.made_at + s(age));
        assert_eq!(due, expected, "{thousandths} of {oldest:?} at {age}");
    }
}

#[test]
fn the_first_matching_when_decides() {
    let rule = |name: &str, value, fresh| WhenRule {
        matches: vec![(name.to_owned(), value)],
        lifetimes: seconds(fresh, 0, 0),
    };
    let when = [
        rule("type", WhenValue::Is("past".into()), 600),
        rule("next_page_token", WhenValue::Present, 300),
    ];
    let default = seconds(10, 0, 0);
    for (query, fresh) in [
        (vec![("type", "live")], 10),
        (vec![("type", "past")], 600),
        (vec![("next_page_token", "x"), ("type", "past")], 600),
        (vec![("next_page_token", "x"), ("type", "live")], 300),
    ] {
        let found = lifetimes(default, &when, &Canonical::of(&[], &query));
        assert_eq!(found.fresh, Duration::from_secs(fresh), "{query:?}");
    }
}

proptest! {
    #[test]
    fn freshness_never_grows_and_nothing_is_served_beyond_retention(
        fresh in 0_u64..50, swr in 0_u64..50, sie in 0_u64..50,
        oldest in prop::option::of(1_u64..80), step in 0_u64..200,
    ) {
        let order = |f| match f {
            Freshness::Fresh { .. } => 0,
            Freshness::StaleWhileRevalidate { .. } => 1,
            Freshness::StaleAsWished { .. } | Freshness::StaleIfError => 2,
            Freshness::Dead => 3,
        };
        let times = times(seconds(fresh, swr, sie), oldest);
        let at = |s| times.freshness(times.made_at + Duration::from_secs(s));
        prop_assert!(order(at(step)) <= order(at(step + 1)));
        if Duration::from_secs(step) >= times.retention() {
            prop_assert_eq!(at(step), Freshness::Dead);
        }
    }

    #[test]
    fn no_wish_makes_it_fresher_and_what_is_stale_keeps_within_max_stale(
        lifetimes in (0_u64..50, 0_u64..50, 0_u64..50),
        oldest in prop::option::of(1_u64..80),
        (initial_age, later) in (0_u64..40, 0_u64..120),
        (forbidden, immutable, purged) in any::<(bool, bool, bool)>(),
        (max_age, min_fresh, max_stale) in (
            prop::option::of(0_u64..80), prop::option::of(0_u64..40), prop::option::of(0_u64..80),
        ),
        no_cache in prop::bool::weighted(0.1),
    ) {
        let (fresh, swr, sie) = lifetimes;
        let stale = if forbidden { Stale::Forbidden } else { Stale::Allowed };
        let (initial_age, lifetimes) = (s(initial_age), seconds(fresh, swr, sie));
        let times = Times { initial_age, stale, immutable, ..times(lifetimes, oldest) };
        let wishes = RequestDirectives {
            no_cache,
            max_age: max_age.map(s),
            min_fresh: min_fresh.map(s),
            max_stale: max_stale.map(s),
            ..RequestDirectives::default()
        };
        let now = times.made_at + s(later);
        let found = if purged { times.purged(now) } else { times.freshness(now) };
        let wished = times.wished(found, &wishes, now);
        let age = times.age(now);
        let order = |f| match f {
            Freshness::Fresh { .. } => 0,
            Freshness::StaleWhileRevalidate { .. } => 1,
            Freshness::StaleAsWished { .. } => 2,
            Freshness::StaleIfError => 3,
            Freshness::Dead => 4,
        };
        if let Freshness::StaleAsWished { by } = wished {
            let most = wishes.max_stale.unwrap();
            prop_assert!(by <= most && stale == Stale::Allowed);
            prop_assert!(age <= times.lifetime() + most);
            prop_assert!(matches!(found, Freshness::StaleIfError | Freshness::Dead));
        } else {
            prop_assert!(wished == found || order(wished) > order(found), "{:?}: {:?}", found, wished);
        }
        let served = order(wished) < order(Freshness::StaleIfError);
        if served {
            let is_fresh = order(wished) == 0;
            prop_assert!(!no_cache);
            prop_assert!(oldest.is_none_or(|oldest| age < s(oldest)));
            prop_assert!(max_age.is_none_or(|most| age <= s(most) || (immutable && is_fresh)));
            prop_assert!(min_fresh.is_none_or(|least| age + s(least) <= times.lifetime()
                || (least == 0 && !is_fresh)));
            if !is_fresh && !purged && let Some(most) = max_stale {
                prop_assert!(age <= times.lifetime() + s(most));
            }
        }
        let nothing = times.wished(found, &RequestDirectives::default(), now);
        prop_assert_eq!(nothing, found, "who wishes nothing gets what there is");
    }
}
