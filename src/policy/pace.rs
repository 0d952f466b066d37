//! How fast a label goes once the upstream has refused a request of it.
//!
//! Closed until an instant; then one request a window, until one of them is not refused; then at a
//! lowered pace, which rises again with every quiet window. Additive up, multiplicative down, a
//! floor: others spend from the same account, and this is how two of the kind come to share it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The pace is a part of the figure, in thousandths.
const WHOLE: u32 = 1000;
const FLOOR: u32 = 100;
/// Down to seven tenths with every refusal of a request that left since the last time.
const DOWN: (u32, u32) = (7, 10);
/// Up by a fortieth of the figure with every quiet window.
const UP: u32 = 25;

/// A label's pace.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// When it was last set.
    part: u32,
    set_at: Instant,
    /// When a request was last refused.
    refused_at: Option<Instant>,
    closed_until: Option<Instant>,
    /// Open again, and nobody has come through yet.
    probing: bool,
}

impl Pace {
    /// Full.
    pub fn new(now: Instant) -> Self {
        Self { part: WHOLE, set_at: now, refused_at: None, closed_until: None, probing: false }
    }

    /// The upstream has refused a request that left then: nobody leaves until an instant.
    pub fn throttled(&mut self, left: Instant, until: Instant, per: Duration, now: Instant) {
        // The requests of one burst are refused together, and that is one refusal.
        if self.refused_at.is_none_or(|refused| left > refused) {
            self.part = (self.thousandths(per, now) * DOWN.0 / DOWN.1).max(FLOOR);
        }
        (self.set_at, self.refused_at) = (now, Some(now));
        self.probing = true;
        self.closed_until = Some(self.closed_until.map_or(until, |old| old.max(until)));
    }

    /// The upstream has answered a request that left then, and not refused it. True if that
    /// opens the label again.
    pub fn passed(&mut self, left: Instant, now: Instant) -> bool {
        let opens = self.probing && self.closed_until.is_none_or(|until| left >= until);
        if opens {
            (self.set_at, self.closed_until, self.probing) = (now, None, false);
        }
        opens
    }

    /// Forgets everything: the operator knows better.
    pub fn reopen(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Until when nobody leaves.
    pub fn closed(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|&until| until > now)
    }

    /// Whether one request a window finds out if the upstream still refuses.
    pub fn is_probing(&self, now: Instant) -> bool {
        self.probing && self.closed(now).is_none()
    }

    /// How many of a window's figure may leave now; 1 or more.
    pub fn allowed(&self, figure: NonZeroU32, per: Duration, now: Instant) -> usize {
        if self.probing { 1 } else { self.expected(figure, per, now) }
    }

    /// How many may leave if nothing is refused any more; 1 or more.
    pub fn expected(&self, figure: NonZeroU32, per: Duration, now: Instant) -> usize {
        let part = u64::from(self.thousandths(per, now));
        let allowed = (u64::from(figure.get()) * part).div_ceil(u64::from(WHOLE));
        usize::try_from(allowed.max(1)).unwrap_or(usize::MAX)
    }

    /// The pace now, in thousandths of the figure.
    pub fn thousandths(&self, per: Duration, now: Instant) -> u32 {
        if self.probing || self.part == WHOLE {
            return self.part;
        }
        let quiet = now.saturating_duration_since(self.set_at).as_nanos() / per.as_nanos().max(1);
        let quiet = u32::try_from(quiet).unwrap_or(u32::MAX);
        self.part.saturating_add(quiet.saturating_mul(UP)).min(WHOLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn forty() -> NonZeroU32 {
        NonZeroU32::new(40).unwrap()
    }

    #[test]
    fn down_by_parts_up_by_steps_and_never_shut() {
        let start = origin();
        let mut pace = Pace::new(start);
        let mut now = start;
        let mut seen = Vec::new();
        for _ in 0..8 {
            pace.throttled(now, now + SECOND, SECOND, now);
            now += SECOND;
            assert!(pace.passed(now, now));
            seen.push(pace.expected(forty(), SECOND, now));
        }
        assert_eq!(seen, [28, 20, 14, 10, 7, 5, 4, 4]);
        let after = |seconds: u32| pace.expected(forty(), SECOND, now + SECOND * seconds);
        assert_eq!((after(1), after(10), after(35), after(36), after(900)), (5, 14, 39, 40, 40));
        let one = NonZeroU32::MIN;
        assert_eq!(pace.expected(one, SECOND, now), 1, "a figure of 1 has nothing to give");
    }

    #[test]
    fn a_burst_that_is_refused_together_is_refused_once() {
        let start = origin();
        let mut pace = Pace::new(start);
        for n in 0..40 {
            let now = start + Duration::from_millis(100 + n);
            pace.throttled(start, now + SECOND, SECOND, now);
        }
        let now = start + 2 * SECOND;
        assert!(pace.passed(now, now));
        assert_eq!(pace.expected(forty(), SECOND, now), 28);
    }

    #[test]
    fn closed_until_the_latest_instant_then_one_asks_for_all() {
        let start = origin();
        let mut pace = Pace::new(start);
        pace.throttled(start, start + 5 * SECOND, SECOND, start);
        pace.throttled(start, start + 2 * SECOND, SECOND, start);
        assert_eq!(pace.closed(start + 4 * SECOND), Some(start + 5 * SECOND));
        assert_eq!(pace.closed(start + 5 * SECOND), None);
        assert!(pace.is_probing(start + 5 * SECOND));
        assert_eq!(pace.allowed(forty(), SECOND, start + 9 * SECOND), 1);
        // One that left before it closed says nothing about now.
        assert!(!pace.passed(start + SECOND, start + 6 * SECOND));
        assert_eq!(pace.allowed(forty(), SECOND, start + 9 * SECOND), 1);
        assert!(pace.passed(start + 5 * SECOND, start + 6 * SECOND));
        assert_eq!(pace.allowed(forty(), SECOND, start + 6 * SECOND), 28);
        pace.throttled(start + 6 * SECOND, start + 99 * SECOND, SECOND, start + 6 * SECOND);
        pace.reopen(start + 7 * SECOND);
        assert_eq!(pace.closed(start + 7 * SECOND), None);
        assert_eq!(pace.allowed(forty(), SECOND, start + 7 * SECOND), 40);
    }
}
