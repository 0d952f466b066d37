//! What has been purged: not which entries, but what of, and when.
//!
//! A purge is written down in constant time, whatever it hits. An entry knows its scopes and how
//! many purges there had been when it was asked for; whether one has hit it since is found out
//! when somebody wants it. What was asked for before a purge counts as made before it, so a
//! flight takes its mark before it leaves.

mod remembered;
mod scope;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use self::remembered::Remembered;
use self::scope::Scoping;
pub use self::scope::{Scope, Scopes};
use crate::policy::cache_key::CacheKey;
use crate::policy::endpoint::{EndpointId, UpstreamId};

/// How many purges there have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// Before the first.
    pub const NONE: Self = Self(0);
}

/// What becomes of an entry that is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is stale: to be refreshed, and served if that fails.
    Soft,
    /// It is never served again.
    Hard,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Soft, Self::Hard];

    /// As written in a purge.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// What the purges since it was made leave of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None has hit it.
    Current {
        /// Up to here. Whoever asks again with this mark has only later purges looked through.
        at: Mark,
    },
    /// Only soft ones have.
    Stale,
    /// A hard one has, or nobody remembers any more.
    Gone,
}

/// Scopes that are remembered at a time. When there would be more, the oldest half is forgotten,
/// and whatever was made before the newest of those is gone.
pub const MAX_REMEMBERED: usize = 16_384;

/// What has been purged. Clones share it.
#[derive(Clone)]
pub struct Purges {
    shared: Arc<Shared>,
}

struct Shared {
    scoping: Scoping,
    /// Follows [`Remembered`], so that nothing is locked where nothing was purged.
    newest: AtomicU64,
    remembered: RwLock<Remembered>,
}

impl Default for Purges {
    fn default() -> Self {
        Self::remembering(MAX_REMEMBERED)
    }
}

impl fmt::Debug for Purges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purges").field("mark", &self.mark()).finish_non_exhaustive()
    }
}

impl Purges {
    fn remembering(most: usize) -> Self {
        let scoping = Scoping::default();
        let remembered = RwLock::new(Remembered::new(most));
        Self { shared: Arc::new(Shared { scoping, newest: AtomicU64::new(0), remembered }) }
    }

    /// How many purges there have been; to be asked before the upstream is.
    pub fn mark(&self) -> Mark {
        // A purge that has been answered happened before whatever follows from its answer.
        Mark(self.shared.newest.load(Ordering::Acquire))
    }

    /// From now on, whatever was asked for before and belongs to the scope is hit.
    pub fn purge(&self, scope: Scope, mode: Mode) -> Mark {
        let mut remembered = self.shared.remembered.write();
        let mark = remembered.add(scope, mode, scope == self.everything());
        self.shared.newest.store(mark.0, Ordering::Release);
        mark
    }

    /// What is left of something with these scopes that was asked for at that mark. Where nothing
    /// has been purged since, that is one load and a comparison.
    pub fn verdict(&self, scopes: &Scopes, made: Mark) -> Verdict {
        if self.mark() <= made {
            return Verdict::Current { at: made };
        }
        self.shared.remembered.read().verdict(self.everything(), scopes, made)
    }

    /// The same for an entry, which remembers how far it has been found current.
    pub fn judge(&self, entry: &Membership) -> Verdict {
        let verdict = self.verdict(&entry.scopes, entry.current_at());
        if let Verdict::Current { at } = verdict {
            entry.current_at.fetch_max(at.0, Ordering::Relaxed);
        }
        verdict
    }

    /// How many scopes are remembered, at most [`MAX_REMEMBERED`].
    pub fn len(&self) -> usize {
        self.shared.remembered.read().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every entry there is, whatever its scopes.
    pub fn everything(&self) -> Scope {
        self.shared.scoping.everything()
    }

    /// All answers of an endpoint.
    pub fn endpoint(&self, upstream: &UpstreamId, endpoint: &EndpointId) -> Scope {
        self.shared.scoping.endpoint(upstream, endpoint)
    }

    /// All answers about one value of a path parameter: a session is one of `sessionId`. However
    /// often the value is percent-encoded, it is the same.
    pub fn parameter(&self, upstream: &UpstreamId, name: &str, value: &str) -> Scope {
        self.shared.scoping.parameter(upstream, name, value)
    }

    /// The answers to one question, whichever client asked it.
    pub fn question(&self, key: &CacheKey) -> Scope {
        self.shared.scoping.question(key)
    }

    /// All answers that the upstream has given this tag.
    pub fn tag(&self, upstream: &UpstreamId, tag: &str) -> Scope {
        self.shared.scoping.tag(upstream, tag)
    }

    /// What an answer to a question belongs to, besides everything: its endpoint, its path
    /// parameters, the question itself, and its tags. Without tags: what a flight belongs to
    /// before it has landed.
    pub fn scopes<'t>(&self, key: &CacheKey, tags: impl IntoIterator<Item = &'t str>) -> Scopes {
        let upstream = key.upstream();
        let own = [self.endpoint(upstream, key.endpoint()), self.question(key)];
        let parameters = key.parameters().path();
        let parameters = parameters.map(|(name, value)| self.parameter(upstream, name, value));
        let tags = tags.into_iter().map(|tag| self.tag(upstream, tag));
        own.into_iter().chain(parameters).chain(tags).collect()
    }
}

/// What an entry keeps of it: its scopes, and the newest mark at which it was found current.
#[derive(Debug)]
pub struct Membership {
    scopes: Scopes,
    current_at: AtomicU64,
}

impl Membership {
    /// `made` is the mark before the upstream was asked.
    pub fn new(scopes: Scopes, made: Mark) -> Self {
        Self { scopes, current_at: AtomicU64::new(made.0) }
    }

    /// Its scopes.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// No purge up to here has hit it.
    pub fn current_at(&self) -> Mark {
        Mark(self.current_at.load(Ordering::Relaxed))
    }

    /// Bytes of memory, its own included.
    pub fn size(&self) -> usize {
        size_of::<AtomicU64>() + self.scopes.size()
    }
}
