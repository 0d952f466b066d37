//! How long the oldest of many things has been held that come and go too quickly to ask the time for
//! each: they are told apart by the round in which they came.

use std::time::{Duration, Instant};

use super::patience::{Verdict, left};

/// Rounds that are told apart. Those that have ended are empty within as many steps as a thing may
/// be held, and a look more: there is always one to begin.
pub const ROUNDS: usize = 8;
/// Rounds in the time that a thing may be held: how exact its end is.
const STEPS: u32 = 4;

/// What is known of the rounds.
#[derive(Debug)]
pub struct Rounds {
    /// Since when those that are over have been, with something of them still held.
    over: [Option<Instant>; ROUNDS],
    current: usize,
    /// When the one that goes on was empty last.
    empty: Instant,
}

impl Rounds {
    /// With nothing held.
    pub fn new(now: Instant) -> Self {
        Self { over: [None; ROUNDS], current: 0, empty: now }
    }

    /// The one that is going on.
    pub fn current(&self) -> usize {
        self.current
    }

    /// Judges what is held of each round: nothing is cut off before it has been held for `allowed`,
    /// and nothing is held for much more than a quarter longer.
    pub fn look(&mut self, held: [usize; ROUNDS], allowed: Duration, now: Instant) -> Verdict {
        let step = allowed / STEPS;
        let mut again = allowed;
        for (round, (over, held)) in self.over.iter_mut().zip(held).enumerate() {
            if held == 0 {
                *over = None;
            } else if round != self.current {
                // Who was late to put something into a round that is over puts it in now.
                let since = *over.get_or_insert(now);
                match left(allowed, now.saturating_duration_since(since)) {
                    None => return Verdict::Stalled,
                    Some(left) => again = again.min(left),
                }
            }
        }
        if held.get(self.current) == Some(&0) {
            self.empty = now;
            return Verdict::LookAgain(again);
        }
        let ends = left(step, now.saturating_duration_since(self.empty));
        if ends.is_none() {
            self.begin(held, now);
        }
        again = again.min(ends.unwrap_or(step));
        Verdict::LookAgain(again)
    }

    /// Another round, if there is an empty one.
    fn begin(&mut self, held: [usize; ROUNDS], now: Instant) {
        let Some(next) = held.iter().position(|held| *held == 0) else { return };
        if let Some(over) = self.over.get_mut(self.current) {
            *over = Some(now);
        }
        self.current = next;
        self.empty = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALLOWED: Duration = Duration::from_secs(100);

    /// Things, each held for so many seconds; they are looked at as the verdicts say, or sooner.
    struct Things {
        rounds: Rounds,
        now: Instant,
        /// In which round each came, when, and when it goes.
        held: Vec<(usize, Instant, Option<Instant>)>,
    }

    impl Things {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        fn new() -> Self {
            let now = Instant::now();
            Self { rounds: Rounds::new(now), now, held: Vec::new() }
        }

        fn comes(&mut self, stays: Option<Duration>) {
            let goes = stays.map(|stays| self.now + stays);
            self.held.push((self.rounds.current(), self.now, goes));
        }

        /// How old the oldest is, if that was too old.
        fn look(&mut self) -> Result<Duration, Duration> {
            self.held.retain(|(_, _, goes)| goes.is_none_or(|goes| goes > self.now));
            let mut counts = [0; ROUNDS];
            for (round, _, _) in &self.held {
                counts[*round] += 1;
            }
            match self.rounds.look(counts, ALLOWED, self.now) {
                Verdict::LookAgain(again) => Ok(again),
                _ => Err(self.held.iter().map(|(_, came, _)| self.now - *came).max().unwrap()),
            }
        }
    }

    #[test]
    fn what_stays_is_found_while_others_come_and_go() {
        for (every, stays) in [(1, 0), (1, 3), (1, 60), (1, 99), (7, 50), (200, 1)] {
            let mut things = Things::new();
            things.comes(None);
            let age = loop {
                things.comes(Some(Duration::from_secs(stays)));
                match things.look() {
                    Ok(again) => things.now += again.min(Duration::from_secs(every)),
                    Err(age) => break age,
                }
            };
            assert!(age >= ALLOWED && age <= ALLOWED * 5 / 4, "{every} {stays}: {age:?}");
        }
    }

    #[test]
    fn a_round_that_is_filled_late_is_not_taken_for_an_old_one() {
        let mut things = Things::new();
        things.comes(Some(ALLOWED / 2));
        things.now += ALLOWED / 4;
        things.look().unwrap();
        assert_ne!(things.rounds.current(), 0);
        things.now += ALLOWED * 3;
        things.look().unwrap();
        things.held.push((0, things.now, None));
        assert!(things.look().is_ok());
        things.now += ALLOWED;
        assert_eq!(things.look(), Err(ALLOWED));
    }

    proptest! {
        #[test]
        fn nothing_is_cut_off_early_or_kept_much_longer(
            comes in prop::collection::vec((0_u64..40, 0_u64..99, 0_u8..20), 1..300),
        ) {
            let mut things = Things::new();
            let mut look = things.now;
            for (after, stays, for_ever) in comes {
                let comes = things.now + Duration::from_secs(after);
                while look <= comes {
                    things.now = look;
                    match things.look() {
                        Ok(again) => {
                            prop_assert!(!again.is_zero());
                            // A connection has other reasons to look, and looks every 10 seconds.
                            look += again.min(Duration::from_secs(10));
                        }
                        Err(age) => {
                            prop_assert!(age >= ALLOWED, "{age:?}");
                            prop_assert!(age <= ALLOWED * 5 / 4 + Duration::from_secs(10), "{age:?}");
                            return Ok(());
                        }
                    }
                    let oldest = things.held.iter().map(|(_, came, _)| *came).min();
                    let age = things.now - oldest.unwrap_or(things.now);
                    prop_assert!(age <= ALLOWED * 5 / 4 + Duration::from_secs(10), "{age:?}");
                }
                things.now = comes;
                things.comes((for_ever > 0).then_some(Duration::from_secs(stays)));
            }
        }
    }
}
