//! A line that is worth saying, but not for everything that happens.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// At most one line in so long; the others are counted.
#[derive(Debug)]
pub struct Rare {
    every: Duration,
    said: Mutex<(Option<Instant>, u64)>,
}

impl Rare {
    /// One in so long.
    pub fn new(every: Duration) -> Self {
        Self { every, said: Mutex::new((None, 0)) }
    }

    /// Whether to say it now, and how often it was not said before; none = not now.
    pub fn now(&self, now: Instant) -> Option<u64> {
        let (last, silent) = &mut *self.said.lock();
        if last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            *silent += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn one_in_so_long_tells_how_many_were_silent() {
        let (rare, start) = (Rare::new(Duration::from_secs(1)), Clock::system().now());
        let said: Vec<_> = [0, 1, 999, 1000, 1500, 5000]
            .map(|ms| rare.now(start + Duration::from_millis(ms)))
            .into_iter()
            .collect();
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
