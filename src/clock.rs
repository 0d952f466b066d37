//! What time it is: the one file that reads a clock.
//!
//! Everything that decides takes `now` as a parameter; everything that acts holds a [`Clock`] and
//! asks it once. [`Clock::now`] follows tokio's paused time, and [`Clock::advance`] moves both
//! readings forward, so a test steers a quarter of an hour without waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A monotonic and a wall clock that can be moved forward together. Clones share the offset.
#[derive(Clone, Debug)]
pub struct Clock {
    advanced_ns: Arc<AtomicU64>,
    wall: Wall,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    System,
    /// Wall time derived from the monotonic reading, for tests that begin at a chosen instant.
    From {
        wall: SystemTime,
        mono: Instant,
    },
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self { advanced_ns: Arc::default(), wall: Wall::System }
    }

    /// A wall clock that reads `wall` now and moves with the monotonic one.
    #[expect(clippy::disallowed_methods, reason = "the clock is where time enters")]
    pub fn starting_at(wall: SystemTime) -> Self {
        let mono = tokio::time::Instant::now().into_std();
        Self { advanced_ns: Arc::default(), wall: Wall::From { wall, mono } }
    }

    /// Monotonic time.
    #[expect(clippy::disallowed_methods, reason = "the clock is where time enters")]
    pub fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std() + self.advanced()
    }

    /// Wall time (UTC).
    #[expect(clippy::disallowed_methods, reason = "the clock is where time enters")]
    pub fn wall(&self) -> SystemTime {
        match self.wall {
            Wall::System => SystemTime::now() + self.advanced(),
            Wall::From { wall, mono } => wall + self.now().duration_since(mono),
        }
    }

    /// Moves both readings forward. Timers already set are not woken.
    pub fn advance(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.advanced_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn advanced(&self) -> Duration {
        Duration::from_nanos(self.advanced_ns.load(Ordering::Relaxed))
    }

    /// The instant a tokio timer has to be set to so that it fires when [`Clock::now`] reads `at`.
    pub fn timer(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(at.checked_sub(self.advanced()).unwrap_or(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn both_readings_follow_paused_time_and_advance_together() {
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let clock = Clock::starting_at(epoch);
        let start = clock.now();
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.clone().advance(Duration::from_secs(60));
        assert_eq!(clock.now() - start, Duration::from_secs(65));
        assert_eq!(clock.wall(), epoch + Duration::from_secs(65));
    }
}
