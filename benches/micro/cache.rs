//! Looking an entry up, in a cache of one size after the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use foldhash::quality::RandomState;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use weir::clock::Clock;
use weir::http::Room;
use weir::policy::cache_key::{CacheKey, KeyRoot, KeySeed};
use weir::policy::credential::CredentialId;
use weir::policy::endpoint::{EndpointId, Lifetimes, SetCookie, UpstreamId};
use weir::policy::freshness::{Stale, Times};
use weir::policy::params::Canonical;
use weir::store::cache::EntryCache;
use weir::store::entry::{Content, Entry, Kept};
use weir::store::purges::{Mark, Membership, Scopes};

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
/// So many entries are asked for in turn: of a large cache more than the processor's caches hold.
const ASKED: usize = 1 << 16;
/// An odd prime: in steps of it, neighbours are never asked for one after the other.
const STEP: usize = 7_919;

struct Filled {
    cache: EntryCache,
    root: Arc<KeyRoot>,
}

impl Filled {
    /// Nothing in it expires or has to leave.
    fn with(entries: usize) -> Self {
        let clock = Clock::system();
        let cache = EntryCache::new(u64::MAX, clock.clone(), Box::new(|_| {}));
        let seed = KeySeed::of(&RandomState::default());
        let (upstream, endpoint) = (UpstreamId::new("any"), EndpointId::new("items"));
        let root = Arc::new(KeyRoot::new(upstream, CredentialId::new("none"), endpoint, &seed));
        let filled = Self { cache, root };
        for number in 0..entries {
            filled.cache.insert(&Arc::new(filled.key(number)), &Arc::new(entry(&clock)));
        }
        assert_eq!(filled.cache.usage().0, entries as u64);
        filled
    }

    /// Made anew, as a request does: no part of it is where the cache keeps its own.
    fn key(&self, number: usize) -> CacheKey {
        let id = number.to_string();
        CacheKey::new(&self.root, None, Canonical::of(&[("id", &id)], &[("page_size", "30")]))
    }

    fn keys(&self, numbers: impl Iterator<Item = usize>) -> Vec<CacheKey> {
        numbers.map(|number| self.key(number)).collect()
    }
}

fn entry(clock: &Clock) -> Entry {
    let times = Times {
        made_at: clock.now(),
        initial_age: Duration::ZERO,
        lifetimes: Lifetimes::only_fresh(Duration::from_secs(86_400)),
        oldest_age: None,
        stale: Stale::Allowed,
        immutable: false,
        keep: Duration::ZERO,
    };
    let kept = Kept {
        times,
        selector: None,
        without: Vec::new(),
        chain: None,
        set_cookie: SetCookie::Strip,
        transform: None,
    };
    let fields = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
    let body = Content::Arrived(Bytes::from_static(b"{}"), Room::unbounded().part());
    let nowhere = Membership::new(Scopes::from_iter([]), Mark::NONE);
    Entry::new(StatusCode::OK, fields, body, clock.wall(), kept, nowhere)
}

fn look_up(bencher: Bencher<'_, '_>, filled: &Filled, keys: &[CacheKey], expected: bool) {
    let request = HeaderMap::new();
    let mut keys = keys.iter().cycle();
    bencher.bench_local(|| {
        let found = filled.cache.get(keys.next().unwrap(), &request);
        assert_eq!(found.is_some(), expected);
    });
}

#[divan::bench(args = SIZES)]
fn hit(bencher: Bencher<'_, '_>, entries: usize) {
    let filled = Filled::with(entries);
    let keys = filled.keys((0..ASKED).map(|turn| turn * STEP % entries));
    look_up(bencher, &filled, &keys, true);
}

#[divan::bench(args = SIZES)]
fn miss(bencher: Bencher<'_, '_>, entries: usize) {
    let filled = Filled::with(entries);
    let keys = filled.keys((0..ASKED).map(|turn| entries + turn));
    look_up(bencher, &filled, &keys, false);
}
