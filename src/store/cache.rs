//! Where entries live: moka, bounded by bytes. It stores and evicts; what may be served is decided
//! by `policy::freshness` on our clock.
//!
//! A question has one answer, or several where the upstream's `Vary` says so; they live and die
//! together, so that a look-up is one look-up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use http::{HeaderMap, HeaderName};
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::entry::Entry;
use crate::clock::Clock;
use crate::policy::cache_key::CacheKey;

/// Told why an entry left, other than by being replaced.
pub type OnEviction = Box<dyn Fn(&'static str) + Send + Sync>;

/// The entries. Clones share them.
#[derive(Clone, Debug)]
pub struct EntryCache {
    entries: Cache<Arc<CacheKey>, Variants, RandomState>,
}

/// More answers to one question are not kept; the one stored longest ago goes.
const MOST_VARIANTS: usize = 32;

/// What moka removes, it drops some time later, when no thread can be reading it any more; a thread
/// collects up to 64 of them before it says so. So many bytes are worth saying so at once.
const LARGE: usize = 64 * 1024;

/// So often a thread has to look until what it has removed is dropped.
const GRACE: usize = 3;

/// The answers to one question, the latest first.
#[derive(Clone, Debug)]
enum Variants {
    One(Arc<Entry>),
    /// Behind a thin pointer: there is one of these for each question.
    Many(Arc<Box<[Arc<Entry>]>>),
}

impl Variants {
    fn all(&self) -> &[Arc<Entry>] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    fn size(&self) -> usize {
        self.all().iter().map(|entry| entry.size()).sum()
    }

    fn retention(&self, now: Instant) -> Duration {
        let left = |entry: &Arc<Entry>| {
            let gone = entry.times().made_at + entry.times().retention();
            gone.saturating_duration_since(now)
        };
        self.all().iter().map(left).max().unwrap_or_default()
    }

    fn holds(&self, entry: &Arc<Entry>) -> bool {
        self.all().iter().any(|one| Arc::ptr_eq(one, entry))
    }

    /// Whether there is a later answer to the requests that this one answers.
    fn outdates(&self, entry: &Entry) -> bool {
        let same = |other: &Entry| match (other.selector(), entry.selector()) {
            (Some(other), Some(own)) => other == own,
            (None, _) | (_, None) => true,
        };
        let made_at = entry.times().made_at;
        self.all().iter().any(|other| same(other) && other.times().made_at > made_at)
    }

    /// With one more, in the place of the one that answers the same requests.
    fn with(&self, entry: Arc<Entry>) -> Self {
        // RFC 9111, section 4.1: one that does not vary answers all that ask.
        if entry.selector().is_none() {
            return Self::One(entry);
        }
        let others = self
            .all()
            .iter()
            .filter(|other| other.selector().is_some() && other.selector() != entry.selector());
        let all: Vec<_> =
            std::iter::once(&entry).chain(others).take(MOST_VARIANTS).cloned().collect();
        if all.len() == 1 { Self::One(entry) } else { Self::Many(Arc::new(all.into())) }
    }
}

impl EntryCache {
    /// Holds at most `max_bytes` of keys, fields and bodies.
    pub fn new(max_bytes: u64, clock: Clock, on_eviction: OnEviction) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Arc<CacheKey>, variants: &Variants| {
                u32::try_from(key.size() + variants.size()).unwrap_or(u32::MAX)
            })
            .expire_after(Retention(clock))
            .eviction_listener(move |_, variants, cause| {
                match cause {
                    RemovalCause::Size => on_eviction("size"),
                    RemovalCause::Expired => on_eviction("expired"),
                    RemovalCause::Explicit => on_eviction("purged"),
                    RemovalCause::Replaced => {}
                }
                if variants.size() >= LARGE {
                    crossbeam_epoch::pin().flush();
                }
            })
            .build_with_hasher(RandomState::default());
        Self { entries }
    }

    /// The entry that answers a request's form of the question, whatever its age.
    pub fn get(&self, key: &CacheKey, request: &HeaderMap) -> Option<Arc<Entry>> {
        match self.entries.get(key)? {
            Variants::One(entry) => Some(entry).filter(|entry| entry.answers(request)),
            // RFC 9111, section 4.1: of several, the latest.
            Variants::Many(all) => all.iter().find(|entry| entry.answers(request)).cloned(),
        }
    }

    /// What the answers to a question depend on, as far as has been seen.
    pub fn varies_on(&self, key: &Arc<CacheKey>) -> Option<Arc<[HeaderName]>> {
        let variants = self.entries.get(key)?;
        let latest = variants.all().first()?;
        latest.selector().map(|selector| Arc::clone(selector.names()))
    }

    /// Stores, or replaces what answers the same requests, unless that was asked for later: of two
    /// requests under way, the later one's answer may come first. Whether it is stored.
    pub fn insert(&self, key: &Arc<CacheKey>, entry: &Arc<Entry>) -> bool {
        let with = |known: Option<moka::Entry<Arc<CacheKey>, Variants>>| match known {
            Some(known) if known.value().outdates(entry) => known.into_value(),
            Some(known) => known.into_value().with(Arc::clone(entry)),
            None => Variants::One(Arc::clone(entry)),
        };
        let there = self.entries.entry(Arc::clone(key)).and_upsert_with(with).into_value();
        // Left to itself, moka looks at what it holds after 64 of them.
        if entry.size() >= LARGE {
            self.settle();
        }
        there.holds(entry)
    }

    /// Weighs an entry again that has grown, unless it has been replaced meanwhile.
    pub fn weigh_again(&self, key: &Arc<CacheKey>, entry: &Arc<Entry>) {
        use moka::ops::compute::Op;
        self.entries.entry(Arc::clone(key)).and_compute_with(|known| match known {
            Some(known) if known.value().holds(entry) => Op::Put(known.into_value()),
            _ => Op::Nop,
        });
    }

    /// Forgets the answers to a question, if this is still one of them.
    pub fn forget(&self, key: &Arc<CacheKey>, entry: &Arc<Entry>) {
        use moka::ops::compute::Op;
        self.entries.entry(Arc::clone(key)).and_compute_with(|known| {
            let holds = known.is_some_and(|known| known.value().holds(entry));
            if holds { Op::Remove } else { Op::Nop }
        });
    }

    /// Forgets all answers to a question.
    pub fn remove(&self, key: &Arc<CacheKey>) {
        self.entries.invalidate(key);
    }

    /// The bound.
    pub fn max_bytes(&self) -> u64 {
        self.entries.policy().max_capacity().unwrap_or(u64::MAX)
    }

    /// Does what moka has put off: what was evicted is let go.
    pub fn settle(&self) {
        self.entries.run_pending_tasks();
        for _ in 0..GRACE {
            crossbeam_epoch::pin().flush();
        }
    }

    /// How many entries and bytes there are, all of it settled; for scrapes.
    pub fn usage(&self) -> (u64, u64) {
        self.settle();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

/// An entry is forgotten when no rule could serve it any more. moka's own clock is good enough to
/// tidy up by, and decides nothing else.
struct Retention(Clock);

impl Expiry<Arc<CacheKey>, Variants> for Retention {
    fn expire_after_create(
        &self,
        _key: &Arc<CacheKey>,
        variants: &Variants,
        _created_at: Instant,
    ) -> Option<Duration> {
        Some(variants.retention(self.0.now()))
    }

    fn expire_after_update(
        &self,
        _key: &Arc<CacheKey>,
        variants: &Variants,
        _updated_at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(variants.retention(self.0.now()))
    }
}

#[cfg(test)]
mod tests;
