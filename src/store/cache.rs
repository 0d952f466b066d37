//! Where entries live: moka, bounded by bytes. It stores and evicts; what may be served is decided
//! by `policy::freshness` on our clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::entry::Entry;
use crate::policy::cache_key::CacheKey;

/// Told why an entry left, other than by being replaced.
pub type OnEviction = Box<dyn Fn(&'static str) + Send + Sync>;

/// The entries. Clones share them.
#[derive(Clone, Debug)]
pub struct EntryCache {
    entries: Cache<Arc<CacheKey>, Arc<Entry>, RandomState>,
}

impl EntryCache {
    /// Holds at most `max_bytes` of keys, fields and bodies.
    pub fn new(max_bytes: u64, on_eviction: OnEviction) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Arc<CacheKey>, entry: &Arc<Entry>| {
                u32::try_from(key.size() + entry.size()).unwrap_or(u32::MAX)
            })
            .expire_after(Retention)
            .eviction_listener(move |_, _, cause| match cause {
                RemovalCause::Size => on_eviction("size"),
                RemovalCause::Expired => on_eviction("expired"),
                RemovalCause::Explicit => on_eviction("purged"),
                RemovalCause::Replaced => {}
            })
            .build_with_hasher(RandomState::default());
        Self { entries }
    }

    /// The entry, whatever its age.
    pub fn get(&self, key: &Arc<CacheKey>) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    /// Stores or replaces.
    pub fn insert(&self, key: Arc<CacheKey>, entry: Arc<Entry>) {
        self.entries.insert(key, entry);
    }

    /// The bound.
    pub fn max_bytes(&self) -> u64 {
        self.entries.policy().max_capacity().unwrap_or(u64::MAX)
    }

    /// How many entries and bytes there are. Settles what moka has put off; for scrapes.
    pub fn usage(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

/// An entry is forgotten when no rule could serve it any more. moka's own clock is good enough to
/// tidy up by, and decides nothing else.
struct Retention;

impl Expiry<Arc<CacheKey>, Arc<Entry>> for Retention {
    fn expire_after_create(
        &self,
        _key: &Arc<CacheKey>,
        entry: &Arc<Entry>,
        _created_at: Instant,
    ) -> Option<Duration> {
        Some(entry.times().retention())
    }

    fn expire_after_update(
        &self,
        _key: &Arc<CacheKey>,
        entry: &Arc<Entry>,
        _updated_at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.times().retention())
    }
}
