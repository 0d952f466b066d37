//! Which pages belong together: page 2 to the page 1 that named it.
//!
//! Tokens are the upstream's, and usually new ones for every listing. Some upstreams name the second
//! page of a changed listing as they named that of the old one; then what is in memory under that
//! name belongs to another listing, and is no answer to whoever has the new first page.

use std::hash::BuildHasher as _;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;
use moka::sync::Cache;

use crate::policy::cache_key::CacheKey;

/// One listing as it was at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(NonZeroU64);

/// The pages that have been named, by what asks for them. Clones share them.
#[derive(Clone, Debug)]
pub struct Chains {
    named: Cache<u64, Chain, RandomState>,
    hasher: RandomState,
    last: Arc<AtomicU64>,
}

/// More are forgotten, the least asked for first; a page whose chain is forgotten is served as if
/// there were no others.
const MOST: u64 = 65_536;

impl Default for Chains {
    fn default() -> Self {
        let named = Cache::builder().max_capacity(MOST);
        Self {
            named: named.build_with_hasher(RandomState::default()),
            hasher: RandomState::default(),
            last: Arc::default(),
        }
    }
}

impl Chains {
    /// A listing that nobody has seen yet.
    pub fn begin(&self) -> Chain {
        let number = self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Chain(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// A page of this chain has named the next, which this key asks for.
    pub fn name(&self, next: &CacheKey, chain: Chain) {
        self.named.insert(self.hasher.hash_one(next), chain);
    }

    /// The chain whose last page that was seen names what this key asks for.
    pub fn of(&self, page: &CacheKey) -> Option<Chain> {
        self.named.get(&self.hasher.hash_one(page))
    }
}
