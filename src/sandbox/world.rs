//! The account's sessions, a pure function of the seed and the time since the world's origin.
//!
//! The origin is the midnight (UTC) before the sandbox was made. Five slots are fixed:
//!
//! | slot | id | life | seats |
//! |---|---|---|---|
//! | 0 | plain | live since a day before the origin, for 30 days | 1,042 |
//! | 1 | one `/` inside | the same | 75 |
//! | 2 | `//` inside | the same | 80 |
//! | 3 | leading `/` | the same | 85 |
//! | 4 | plain | past: 20:00 to 21:30 on the day before the origin | 45 |
//!
//! Every further slot holds one session after the other, each with an id of its own: 20 to 45
//! minutes from start to start, the last part of it empty. Their history begins seven days before
//! the origin; the next one of each slot is scheduled.

use super::draw::Draw;
use super::ids::{self, IdKind};

/// Milliseconds since 1970.
pub(super) type Millis = u64;

pub(super) const SECOND: Millis = 1_000;
pub(super) const MINUTE: Millis = 60 * SECOND;
pub(super) const HOUR: Millis = 60 * MINUTE;
pub(super) const DAY: Millis = 24 * HOUR;

/// The fixed slots, and so the smallest number of sessions.
pub(super) const FIXED: u16 = 5;
/// The largest number of slots.
pub(super) const MAX_SLOTS: u16 = 200;

const HISTORY: Millis = 7 * DAY;

/// One instance of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: String,
    /// From which its users, names and keys are drawn.
    pub(super) key: u64,
    pub(super) name: String,
    pub(super) start: Millis,
    pub(super) end: Millis,
    /// How many users come in the base population.
    pub(super) seats: u32,
    /// One seat in so many changes hands.
    pub(super) churn: u64,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Not yet begun.
    Scheduled,
    /// In progress.
    Live,
    /// Over.
    Past,
}

impl SessionState {
    /// As the `type` parameter spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Live => "live",
            Self::Past => "past",
        }
    }
}

impl Session {
    pub(super) fn state(&self, at: Millis) -> SessionState {
        if at < self.start {
            SessionState::Scheduled
        } else if at < self.end {
            SessionState::Live
        } else {
            SessionState::Past
        }
    }
}

/// The base population; what the control surface changes lies on top.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) slots: u16,
    pub(super) origin: Millis,
}

/// How a changing slot repeats.
struct Cycle {
    first: Millis,
    period: Millis,
}

impl World {
    /// The world of a seed, begun on the day of `now`.
    pub(super) fn new(seed: u64, sessions: usize, now: Millis) -> Self {
        let slots = u16::try_from(sessions).unwrap_or(MAX_SLOTS).clamp(FIXED, MAX_SLOTS);
        Self { seed, slots, origin: now - now % DAY }
    }

    /// The session with this id, if the world knows it by `at`.
    pub(super) fn find(&self, id: &str, at: Millis) -> Option<Session> {
        if let Some(fixed) = (0..FIXED).map(|slot| self.fixed(slot)).find(|fixed| fixed.id == id) {
            return Some(fixed);
        }
        let (slot, generation) = ids::parse(self.seed, id)?;
        let known =
            (FIXED..self.slots).contains(&slot) && generation <= self.generation(slot, at) + 1;
        known.then(|| self.changing(slot, generation))
    }

    /// All sessions whose life touches `from..to`, the scheduled ones of `at` included.
    pub(super) fn between(&self, from: Millis, to: Millis, at: Millis) -> Vec<Session> {
        let fixed = (0..FIXED).map(|slot| self.fixed(slot));
        let changing = (FIXED..self.slots).flat_map(|slot| {
            let newest = (self.generation(slot, at) + 1).min(self.generation(slot, to));
            (self.generation(slot, from)..=newest)
                .map(move |generation| self.changing(slot, generation))
        });
        fixed.chain(changing).filter(|session| session.start < to && session.end > from).collect()
    }

    /// The id of the fixed session of a kind.
    pub(super) fn fixed_id(&self, kind: IdKind) -> String {
        let slot = match kind {
            IdKind::Plain => 0,
            IdKind::Slash => 1,
            IdKind::DoubleSlash => 2,
            IdKind::LeadingSlash => 3,
        };
        self.fixed(slot).id
    }

    pub(super) fn fixed(&self, slot: u16) -> Session {
        let day_before = self.origin.saturating_sub(DAY);
        let (kind, seats, start, end) = match slot {
            0 => (IdKind::Plain, 1_042, day_before, day_before + 30 * DAY),
            1 => (IdKind::Slash, 75, day_before, day_before + 30 * DAY),
            2 => (IdKind::DoubleSlash, 80, day_before, day_before + 30 * DAY),
            3 => (IdKind::LeadingSlash, 85, day_before, day_before + 30 * DAY),
            _ => (IdKind::Plain, 45, day_before + 20 * HOUR, day_before + 21 * HOUR + 30 * MINUTE),
        };
        Session {
            id: ids::fixed(self.seed, u64::from(slot), kind),
            key: Draw::new(&[self.seed, u64::from(slot)]).next(),
            name: format!("room-{slot}"),
            start,
            end,
            seats,
            churn: if slot == 0 { 25 } else { 4 },
        }
    }

    fn changing(&self, slot: u16, generation: u64) -> Session {
        let cycle = self.cycle(slot);
        let mut draw = Draw::new(&[self.seed, u64::from(slot), generation, 0x5e]);
        let start = cycle.first + generation * cycle.period;
        let length = cycle.period * (75 + draw.below(15)) / 100;
        Session {
            id: ids::of(self.seed, slot, generation),
            key: draw.next(),
            name: format!("room-{slot}"),
            start,
            end: start + length,
            seats: u32::try_from(3 + draw.below(58)).unwrap_or(3),
            churn: 4,
        }
    }

    /// The newest generation of a slot that has begun by `at`; 0 before the first.
    fn generation(&self, slot: u16, at: Millis) -> u64 {
        let cycle = self.cycle(slot);
        at.saturating_sub(cycle.first) / cycle.period
    }

    fn cycle(&self, slot: u16) -> Cycle {
        let mut draw = Draw::new(&[self.seed, u64::from(slot), 0xc1]);
        let period = 20 * MINUTE + draw.below(25 * MINUTE / SECOND) * SECOND;
        let first = self.origin.saturating_sub(HISTORY) + draw.below(period / SECOND) * SECOND;
        Cycle { first, period }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 20_000 * DAY + 13 * HOUR;

    fn world() -> World {
        World::new(1, 12, NOW)
    }

    fn live(world: &World, at: Millis) -> Vec<String> {
        let all = world.between(at, at + 1, at);
        all.into_iter().filter(|s| s.state(at) == SessionState::Live).map(|s| s.id).collect()
    }

    #[test]
    fn the_crowd_is_live_for_days_and_the_fixed_past_session_is_over() {
        let world = world();
        let crowd = world.find(&world.fixed_id(IdKind::Plain), NOW).unwrap();
        assert_eq!(crowd.seats, 1_042);
        for day in 0..20 {
            assert_eq!(crowd.state(NOW + day * DAY), SessionState::Live);
        }
        assert_eq!(world.fixed(4).state(NOW), SessionState::Past);
    }

    #[test]
    fn within_an_hour_sessions_end_and_new_ones_begin() {
        let world = world();
        let (before, after) = (live(&world, NOW), live(&world, NOW + HOUR));
        assert!(before.iter().any(|id| !after.contains(id)), "none ended");
        assert!(after.iter().any(|id| !before.contains(id)), "none began");
    }

    #[test]
    fn every_listed_session_is_found_by_its_id_and_by_no_other_seed() {
        let world = world();
        let listed = world.between(NOW - 3 * HOUR, NOW + HOUR, NOW);
        assert!(listed.len() > 30, "{}", listed.len());
        for session in listed {
            assert_eq!(world.find(&session.id, NOW).as_ref(), Some(&session));
            assert!(World::new(2, 12, NOW).find(&session.id, NOW).is_none());
        }
    }

    #[test]
    fn what_lies_beyond_the_next_generation_is_unknown_until_its_time() {
        let world = world();
        let later =
            live(&world, NOW + DAY).into_iter().find(|id| ids::parse(1, id).is_some()).unwrap();
        assert!(world.find(&later, NOW).is_none());
        assert!(world.find(&later, NOW + DAY).is_some());
    }

    #[test]
    fn the_number_of_slots_is_bounded_on_both_sides() {
        assert_eq!(World::new(1, 0, NOW).slots, FIXED);
        assert_eq!(World::new(1, usize::MAX, NOW).slots, MAX_SLOTS);
        assert_eq!(World::new(1, 0, 0).between(0, DAY, 0).len(), 5);
    }
}
