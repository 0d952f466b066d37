//! When an answer was made and how long it lasts, in half the memory.

use std::time::{Duration, Instant};

use crate::policy::endpoint::Lifetimes;
use crate::policy::freshness::{Stale, Times};

/// A duration of at most 136 years, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    secs: u32,
    nanos: u32,
}

impl Span {
    /// No duration has so many nanoseconds.
    const NONE: Self = Self { secs: u32::MAX, nanos: u32::MAX };

    fn some(self) -> Option<Duration> {
        (self != Self::NONE).then(|| self.into())
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        let secs = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        Self { secs, nanos: duration.subsec_nanos() }
    }
}

impl From<Span> for Duration {
    fn from(Span { secs, nanos }: Span) -> Self {
        Self::new(secs.into(), nanos)
    }
}

/// [`Times`], packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    pub(super) made_at: Instant,
    initial_age: Span,
    fresh: Span,
    stale_while_revalidate: Span,
    stale_if_error: Span,
    oldest_age: Span,
    keep: Span,
    stale: Stale,
    immutable: bool,
}

impl From<&Times> for Packed {
    fn from(times: &Times) -> Self {
        let Lifetimes { fresh, stale_while_revalidate, stale_if_error } = times.lifetimes;
        Self {
            made_at: times.made_at,
            initial_age: times.initial_age.into(),
            fresh: fresh.into(),
            stale_while_revalidate: stale_while_revalidate.into(),
            stale_if_error: stale_if_error.into(),
            oldest_age: times.oldest_age.map_or(Span::NONE, Span::from),
            keep: times.keep.into(),
            stale: times.stale,
            immutable: times.immutable,
        }
    }
}

impl From<&Packed> for Times {
    fn from(packed: &Packed) -> Self {
        Self {
            made_at: packed.made_at,
            initial_age: packed.initial_age.into(),
            lifetimes: Lifetimes {
                fresh: packed.fresh.into(),
                stale_while_revalidate: packed.stale_while_revalidate.into(),
                stale_if_error: packed.stale_if_error.into(),
            },
            oldest_age: packed.oldest_age.some(),
            stale: packed.stale,
            immutable: packed.immutable,
            keep: packed.keep.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    proptest! {
        #[test]
        fn packed_and_unpacked_they_are_the_same(
            spans in prop::array::uniform5((0..u32::MAX, 0..1_000_000_000_u32)),
            oldest_age in prop::option::of((any::<u32>(), 0..1_000_000_000_u32)),
            (forbidden, immutable) in any::<(bool, bool)>(),
        ) {
            let span = |(secs, nanos): (u32, u32)| Duration::new(secs.into(), nanos);
            let [initial_age, fresh, stale_while_revalidate, stale_if_error, keep] = spans.map(span);
            let times = Times {
                made_at: Clock::system().now(),
                initial_age,
                lifetimes: Lifetimes { fresh, stale_while_revalidate, stale_if_error },
                oldest_age: oldest_age.map(span),
                stale: if forbidden { Stale::Forbidden } else { Stale::Allowed },
                immutable,
                keep,
            };
            prop_assert_eq!(Times::from(&Packed::from(&times)), times);
        }
    }

    #[test]
    fn what_outlasts_everything_still_does() {
        let longest = Duration::from(Span::from(Duration::MAX));
        assert!(longest > Duration::from_secs(u64::from(u32::MAX)));
        assert!(Span::from(Duration::MAX).some().is_some());
    }
}
