//! How long a peer may keep us waiting: for its first words, for its next, and while it takes what
//! we have for it.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// A least rate, after some time in which it need not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeastRate {
    /// Without a single byte.
    pub grace: Duration,
    /// Bytes a second that earn more time; none = no byte earns any end, the wait has none.
    pub per_second: Option<NonZeroU64>,
}

impl LeastRate {
    /// How long it may have taken to move so many bytes. None = as long as it likes.
    pub fn allows(&self, bytes: u64) -> Option<Duration> {
        let millis = bytes.saturating_mul(1000) / self.per_second?;
        self.grace.checked_add(Duration::from_millis(millis))
    }
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// How long it has had nothing to do.
    pub idle: Option<Duration>,
    /// How long ago the head that is still coming began.
    pub head: Option<Duration>,
    /// How long it has taken nothing of what we have for it, and how much it took before.
    pub blocked: Option<(Duration, u64)>,
}

/// How long a connection may be like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// With half a head sent.
    pub head: Duration,
    /// With nothing to do.
    pub idle: Duration,
    /// Taking an answer.
    pub taking: LeastRate,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing before this time has passed.
    LookAgain(Duration),
    /// It may go.
    Idle,
    /// Its request is refused.
    HeadLate,
    /// It is cut off.
    Stalled,
}

impl Patience {
    /// Judges what is known now.
    pub fn judge(&self, signs: &Signs) -> Verdict {
        let mut again = self.head.min(self.idle).min(self.taking.grace);
        if let Some((since, bytes)) = signs.blocked
            && let Some(allowed) = self.taking.allows(bytes)
        {
            match left(allowed, since) {
                None => return Verdict::Stalled,
                Some(left) => again = again.min(left),
            }
        }
        if let Some(since) = signs.head {
            match left(self.head, since) {
                None => return Verdict::HeadLate,
                Some(left) => again = again.min(left),
            }
        }
        if let Some(since) = signs.idle {
            match left(self.idle, since) {
                None => return Verdict::Idle,
                Some(left) => again = again.min(left),
            }
        }
        Verdict::LookAgain(again)
    }
}

/// How long nothing has happened, told from looks: nobody asks the time for each request.
#[derive(Debug)]
pub struct Quiet {
    since: Instant,
    seen: Option<u64>,
}

/// So often is looked in the time that nothing may happen for: how exact its end is.
const LOOKS: u32 = 8;

impl Quiet {
    /// Before the first.
    pub fn new(now: Instant) -> Self {
        Self { since: now, seen: Some(0) }
    }

    /// Judges by how many there have been, if none is going on: `idle` and no longer than an eighth
    /// more may pass after the last.
    pub fn look(&mut self, ended: Option<u64>, idle: Duration, now: Instant) -> Verdict {
        if ended.is_none() || ended != self.seen {
            (self.seen, self.since) = (ended, now);
        }
        match left(idle, now.saturating_duration_since(self.since)) {
            None => Verdict::Idle,
            Some(left) => Verdict::LookAgain(left.min(idle / LOOKS)),
        }
    }
}

/// What is left of the time, if anything.
pub(super) fn left(allowed: Duration, passed: Duration) -> Option<Duration> {
    allowed.checked_sub(passed).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const RATE: LeastRate = LeastRate { grace: s(20), per_second: NonZeroU64::new(1000) };
    const PATIENCE: Patience = Patience { head: s(10), idle: s(60), taking: RATE };

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn bytes_earn_time() {
        for (bytes, allowed) in [(0, s(20)), (999, Duration::from_millis(20_999)), (40_000, s(60))]
        {
            assert_eq!(RATE.allows(bytes), Some(allowed));
        }
        assert_eq!(RATE.allows(u64::MAX).map(|time| time > s(1 << 40)), Some(true));
        assert_eq!(LeastRate { per_second: None, ..RATE }.allows(0), None);
    }

    #[test]
    fn quiet_is_counted_from_the_look_that_saw_the_last_of_it() {
        let began = now();
        let step = Verdict::LookAgain(s(10));
        let mut quiet = Quiet::new(began);
        for (at, ended, verdict) in [
            (0, Some(0), step),
            (75, Some(0), Verdict::LookAgain(s(5))),
            (80, Some(0), Verdict::Idle),
            // One came and went; another takes its time.
            (81, Some(1), step),
            (91, None, step),
            (300, None, step),
            (310, Some(2), step),
            (380, Some(2), step),
            (389, Some(2), Verdict::LookAgain(s(1))),
            (390, Some(2), Verdict::Idle),
        ] {
            assert_eq!(quiet.look(ended, s(80), began + s(at)), verdict, "{at}");
        }
    }

    #[test]
    fn every_wait_has_its_end() {
        let nothing = Signs::default();
        let idle = |time| Signs { idle: Some(time), ..nothing };
        let head = |time| Signs { head: Some(time), ..nothing };
        let blocked = |time, bytes| Signs { blocked: Some((time, bytes)), ..nothing };
        for (signs, verdict) in [
            (nothing, Verdict::LookAgain(s(10))),
            (idle(s(0)), Verdict::LookAgain(s(10))),
            (idle(s(55)), Verdict::LookAgain(s(5))),
            (idle(s(60)), Verdict::Idle),
            (head(s(3)), Verdict::LookAgain(s(7))),
            (head(s(10)), Verdict::HeadLate),
            (blocked(s(15), 0), Verdict::LookAgain(s(5))),
            (blocked(s(20), 0), Verdict::Stalled),
            (blocked(s(20), 5000), Verdict::LookAgain(s(5))),
            (blocked(s(25), 5000), Verdict::Stalled),
            (Signs { blocked: Some((s(20), 0)), ..head(s(10)) }, Verdict::Stalled),
        ] {
            assert_eq!(PATIENCE.judge(&signs), verdict, "{signs:?}");
        }
        let endless = Patience { taking: LeastRate { per_second: None, ..RATE }, ..PATIENCE };
        assert_eq!(endless.judge(&blocked(s(9999), 0)), Verdict::LookAgain(s(10)));
    }
}
