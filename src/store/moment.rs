//! What is remembered for a moment: that a question's answers are for one each, or that asking it
//! has just failed.

use std::time::Instant;

use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::flight::Asked;
use crate::policy::vary::Selector;

/// What is known of a question without having an answer to it.
#[derive(Clone, Debug)]
pub enum Moment<F> {
    /// Its answers are not for everybody: nobody needs to wait for another's.
    Uncacheable,
    /// Asking has failed like this: asking again at once would not help.
    Failed(F),
}

/// The moments, bounded by bytes. Clones share them.
#[derive(Clone, Debug)]
pub struct Moments<F: Clone + Send + Sync + 'static> {
    moments: Cache<Asked, Until<F>, RandomState>,
}

#[derive(Clone, Debug)]
struct Until<F> {
    moment: Moment<F>,
    over: Instant,
    size: u32,
}

/// What a moment and its place cost beyond what it holds.
const OVERHEAD: usize = 512;

impl<F: Clone + Send + Sync + 'static> Moments<F> {
    /// Holds at most `max_bytes`; whatever is beyond is forgotten, which costs a request.
    pub fn new(max_bytes: u64) -> Self {
        let moments = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_: &Asked, until: &Until<F>| until.size)
            .build_with_hasher(RandomState::default());
        Self { moments }
    }

    /// What is known of a question.
    pub fn get(&self, asked: &Asked, now: Instant) -> Option<Moment<F>> {
        let until = self.moments.get(asked)?;
        if now < until.over {
            return Some(until.moment);
        }
        self.moments.invalidate(asked);
        None
    }

    /// Remembers it until it is over; `held` bytes are kept alive by it.
    pub fn remember(&self, asked: Asked, moment: Moment<F>, over: Instant, held: usize) {
        let selector = asked.selector.as_ref().map_or(0, Selector::size);
        let size = OVERHEAD + asked.key.size() + selector + held;
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.moments.insert(asked, Until { moment, over, size });
    }

    /// The question is answered.
    pub fn forget(&self, asked: &Asked) {
        self.moments.invalidate(asked);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::policy::cache_key::{CacheKey, KeyRoot, KeySeed};
    use crate::policy::credential::CredentialId;
    use crate::policy::endpoint::{EndpointId, UpstreamId};
    use crate::policy::params::Canonical;
    use crate::store::flight::Asker;

    fn asked(id: usize) -> Asked {
        let (upstream, endpoint) = (UpstreamId::new("u"), EndpointId::new("e"));
        let root = KeyRoot::new(upstream, CredentialId::new("c"), endpoint, &KeySeed::fixed());
        let parameters = Canonical::of(&[("id", &id.to_string())], &[]);
        let key = CacheKey::new(&Arc::new(root), None, parameters);
        Asked { key: Arc::new(key), selector: None, asker: Asker::Anybody }
    }

    #[test]
    fn a_moment_is_over_when_it_is_over_or_the_question_is_answered() {
        let (moments, now) = (Moments::<u8>::new(1 << 20), Clock::system().now());
        let over = now + Duration::from_secs(1);
        moments.remember(asked(1), Moment::Failed(7), over, 0);
        moments.remember(asked(2), Moment::Uncacheable, over, 0);
        assert!(matches!(moments.get(&asked(1), now), Some(Moment::Failed(7))));
        assert!(moments.get(&asked(3), now).is_none());
        moments.forget(&asked(2));
        assert!(moments.get(&asked(2), now).is_none());
        assert!(moments.get(&asked(1), over).is_none());
        assert!(moments.get(&asked(1), now).is_none(), "it was let go");
    }

    #[test]
    fn they_stay_within_their_bytes() {
        let (moments, now) = (Moments::<u8>::new(64 * 1024), Clock::system().now());
        let over = now + Duration::from_secs(60);
        for id in 0..2_000 {
            moments.remember(asked(id), Moment::Failed(1), over, 4_096);
        }
        moments.moments.run_pending_tasks();
        assert!(moments.moments.weighted_size() <= 64 * 1024);
        assert!(moments.moments.entry_count() >= 8);
    }
}
