//! What a purge may be of.

use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;

use crate::policy::cache_key::CacheKey;
use crate::policy::endpoint::{EndpointId, UpstreamId};
use crate::policy::spelling::innermost;

/// One thing that entries may belong to, as a keyed hash. That two things share one is as good as
/// impossible, cannot be brought about from outside, and would cost a fetch: never a wrong answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope(u64);

/// The scopes of one entry, each once, in no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(Box<[Scope]>);

impl Scopes {
    /// Bytes of memory, its own included: 16, and 8 a scope.
    pub fn size(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable_by_key(|scope| scope.0);
        scopes.dedup();
        Self(scopes.into())
    }
}

/// Makes scopes. Those of one value can be compared; another process would make others.
#[derive(Default)]
pub(super) struct Scoping(RandomState);

/// Keeps things of different kinds apart.
#[derive(Hash)]
enum Kind {
    Everything,
    Endpoint,
    Parameter,
    Question,
    Tag,
}

impl Scoping {
    pub(super) fn everything(&self) -> Scope {
        self.of(&Kind::Everything)
    }

    pub(super) fn endpoint(&self, upstream: &UpstreamId, endpoint: &EndpointId) -> Scope {
        self.of(&(Kind::Endpoint, upstream, endpoint))
    }

    pub(super) fn parameter(&self, upstream: &UpstreamId, name: &str, value: &str) -> Scope {
        self.of(&(Kind::Parameter, upstream, name, innermost(value)))
    }

    pub(super) fn question(&self, key: &CacheKey) -> Scope {
        self.of(&(Kind::Question, key.question()))
    }

    pub(super) fn tag(&self, upstream: &UpstreamId, tag: &str) -> Scope {
        self.of(&(Kind::Tag, upstream, tag))
    }

    fn of(&self, thing: &impl std::hash::Hash) -> Scope {
        Scope(self.0.hash_one(thing))
    }
}
