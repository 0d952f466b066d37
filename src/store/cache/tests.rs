//! Where entries live.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::*;
use crate::http::{Grown, Room};
use crate::policy::cache_key::{KeyRoot, KeySeed};
use crate::policy::credential::CredentialId;
use crate::policy::endpoint::{EndpointId, Lifetimes, SetCookie, UpstreamId};
use crate::policy::freshness::{Stale, Times};
use crate::policy::params::Canonical;
use crate::policy::vary::Selector;
use crate::store::entry::{Content, Kept};
use crate::store::purges::{Mark, Membership, Scopes};

fn key(id: usize) -> Arc<CacheKey> {
    let (upstream, endpoint) = (UpstreamId::new("u"), EndpointId::new("e"));
    let root = KeyRoot::new(upstream, CredentialId::new("c"), endpoint, &KeySeed::fixed());
    let parameters = Canonical::of(&[("id", &id.to_string())], &[]);
    Arc::new(CacheKey::new(&Arc::new(root), None, parameters))
}

fn entry(clock: &Clock, body: &str, language: Option<&str>) -> Arc<Entry> {
    entry_in(&Room::unbounded(), clock, body, language)
}

fn entry_in(room: &Room, clock: &Clock, body: &str, language: Option<&str>) -> Arc<Entry> {
    let times = Times {
        made_at: clock.now(),
        initial_age: Duration::ZERO,
        lifetimes: Lifetimes::only_fresh(Duration::from_secs(60)),
        oldest_age: None,
        stale: Stale::Allowed,
        immutable: false,
        keep: Duration::ZERO,
    };
    let names: Arc<[HeaderName]> = [http::header::ACCEPT_LANGUAGE].into();
    let kept = Kept {
        times,
        selector: language.map(|language| Selector::of(&names, &asking(language))),
        without: Vec::new(),
        chain: None,
        set_cookie: SetCookie::Private,
        transform: None,
    };
    let nowhere = Membership::new(Scopes::from_iter([]), Mark::NONE);
    let mut held = room.part();
    assert_eq!(held.grow(body.len()), Grown::Yes);
    let content = Content::Arrived(Bytes::copy_from_slice(body.as_bytes()), held);
    Arc::new(Entry::new(StatusCode::OK, HeaderMap::new(), content, clock.wall(), kept, nowhere))
}

fn asking(language: &str) -> HeaderMap {
    [(http::header::ACCEPT_LANGUAGE, HeaderValue::from_str(language).unwrap())]
        .into_iter()
        .collect()
}

fn cache(max_bytes: u64, clock: &Clock) -> EntryCache {
    EntryCache::new(max_bytes, clock.clone(), Box::new(|_| {}))
}

/// A crawler asks for everything once: what others ask for again and again stays all the while.
#[test]
fn a_scan_of_one_time_keys_does_not_throw_out_the_hot_ones() {
    let clock = Clock::system();
    let cache = cache(1 << 20, &clock);
    let none = HeaderMap::new();
    let hot = 0..100;
    for id in hot.clone() {
        cache.insert(&key(id), &entry(&clock, "hot", None));
    }
    // moka begins to count who is asked for once it is half full.
    for id in 100..400 {
        cache.insert(&key(id), &entry(&clock, "once", None));
    }
    cache.usage();
    for _ in 0..10 {
        hot.clone().for_each(|id| drop(cache.get(&key(id), &none)));
        cache.usage();
    }
    // One in five requests is for one of the hot hundred; the others ask for what nobody asks again.
    for id in 1_000..21_000 {
        drop(cache.get(&key(id), &none));
        cache.insert(&key(id), &entry(&clock, "once", None));
        if id % 4 == 0 {
            drop(cache.get(&key(id / 4 % 100), &none));
        }
    }
    let (count, bytes) = cache.usage();
    assert!(count > 200 && bytes <= 1 << 20, "{count} entries, {bytes} bytes");
    let kept = hot.filter(|id| cache.get(&key(*id), &none).is_some()).count();
    assert!(kept >= 95, "{kept} of 100");
}

#[test]
fn the_forms_of_an_answer_are_kept_side_by_side_up_to_a_bound() {
    let clock = Clock::system();
    let cache = cache(1 << 20, &clock);
    let found = |language: &str| cache.get(&key(1), &asking(language)).map(|e| e.body().clone());
    let languages: Vec<String> = (0..=MOST_VARIANTS).map(|n| format!("x-{n}")).collect();
    for language in &languages {
        cache.insert(&key(1), &entry(&clock, language, Some(language)));
    }
    assert_eq!(found(&languages[0]), None, "the one stored longest ago is gone");
    for language in &languages[1..] {
        assert_eq!(found(language).unwrap(), language.as_str());
    }
    assert_eq!(cache.usage().0, 1, "one question");
    cache.insert(&key(1), &entry(&clock, "new", Some("x-5")));
    assert_eq!(found("x-5").unwrap(), "new", "in the place of the old one");
    assert_eq!(found("x-6").unwrap(), "x-6");
    cache.insert(&key(1), &entry(&clock, "all", None));
    assert_eq!(found("x-6").unwrap(), "all", "for everybody");
}

#[test]
fn what_large_answers_displace_is_let_go_at_once() {
    const BODY: usize = 128 * 1024;
    let clock = Clock::system();
    let cache = cache(1 << 20, &clock);
    // What is stored, what is displaced by it, and one of other tests that looks at the same time.
    let room = Room::new((1 << 20) + 4 * BODY);
    let body = "x".repeat(BODY);
    for id in 0..200 {
        cache.insert(&key(id), &entry_in(&room, &clock, &body, None));
    }
    assert!((5..=8).contains(&cache.usage().0));
}
