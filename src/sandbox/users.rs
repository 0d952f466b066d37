//! Who is in a session, as of an instant.
//!
//! A session has seats. A steady seat is taken soon after the start and kept to the end; a
//! changing seat is taken, left and taken again by the same person, who then appears once for each
//! stay, as the real API lists those who rejoin. A session remembers the last three stays of a seat.

use super::draw::{Draw, mix};
use super::world::{MINUTE, Millis, SECOND, Session};

/// Stays of one seat that are listed.
const STAYS: u64 = 3;
/// Ids of the base population lie below this, ids of users who joined by control above.
pub(super) const JOINED_IDS: u64 = 900_000_000;
const FIRST_ID: u64 = 16_000_000;
const STAYS_A_SEAT: u64 = 20_000;

/// One stay of one person in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// `id`: unique for each join.
    pub(super) id: u64,
    /// What belongs to the person is drawn from this.
    pub(super) person: u64,
    pub(super) join: Millis,
    /// When they left, if that was before the instant asked about.
    pub(super) leave: Option<Millis>,
    pub(super) host: bool,
    /// A name given by control; none = drawn.
    pub(super) name: Option<String>,
}

impl User {
    pub(super) fn present(&self) -> bool {
        self.leave.is_none()
    }
}

/// The base population of a session as of `at`, by seat.
pub(super) fn listed(session: &Session, at: Millis) -> Vec<User> {
    let at = at.min(session.end);
    let mut users = Vec::with_capacity(session.seats as usize);
    for seat in 0..u64::from(session.seats) {
        stays(session, seat, at, &mut users);
    }
    users
}

fn stays(session: &Session, seat: u64, at: Millis, into: &mut Vec<User>) {
    let person = mix(&[session.key, seat]);
    let mut draw = Draw::new(&[person, 0x5e]);
    let host = seat == 0;
    let arrival = session.start + if host { 0 } else { draw.below(120) * SECOND };
    let steady = host || draw.below(session.churn) != 0;
    let cycle = 4 * MINUTE + draw.below(8 * 60) * SECOND;
    let stay = cycle * (50 + draw.below(40)) / 100;
    if at < arrival || arrival >= session.end {
        return;
    }
    let newest = if steady { 0 } else { (at - arrival) / cycle };
    for turn in newest.saturating_sub(STAYS - 1)..=newest {
        let join = arrival + turn * cycle;
        if join >= session.end {
            break;
        }
        let leave = if steady { session.end } else { (join + stay).min(session.end) };
        into.push(User {
            id: FIRST_ID + seat * STAYS_A_SEAT + turn % STAYS_A_SEAT,
            person,
            join,
            leave: (leave <= at).then_some(leave),
            host,
            name: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::{DAY, HOUR, World};
    use super::*;
    use std::collections::HashSet;

    const NOW: Millis = 20_000 * DAY + 13 * HOUR;

    fn crowd() -> Session {
        World::new(1, 12, NOW).fixed(0)
    }

    #[test]
    fn more_than_a_thousand_are_present_in_the_crowd_and_ids_are_unique() {
        for at in [NOW, NOW + HOUR, NOW + 9 * DAY] {
            let users = listed(&crowd(), at);
            assert!(users.iter().filter(|user| user.present()).count() > 1_000);
            assert_eq!(users.iter().map(|user| user.id).collect::<HashSet<_>>().len(), users.len());
            assert!(users.iter().all(|user| user.id < JOINED_IDS && user.join <= at));
            assert!(
                users
                    .iter()
                    .all(|user| user.leave.is_none_or(|leave| leave <= at && leave > user.join))
            );
            assert_eq!(users.iter().filter(|user| user.host).count(), 1);
        }
    }

    #[test]
    fn users_join_leave_and_rejoin_within_minutes() {
        let ids = |at| listed(&crowd(), at).into_iter().map(|user| user.id).collect::<HashSet<_>>();
        let present = |at| {
            let users = listed(&crowd(), at).into_iter().filter(User::present);
            users.map(|user| user.id).collect::<HashSet<_>>()
        };
        assert!(ids(NOW + MINUTE).difference(&ids(NOW)).count() > 0, "nobody joined");
        assert!(present(NOW).difference(&present(NOW + MINUTE)).count() > 0, "nobody left");
        let people: Vec<_> = listed(&crowd(), NOW).into_iter().map(|user| user.person).collect();
        assert!(people.iter().collect::<HashSet<_>>().len() < people.len(), "nobody rejoined");
    }

    #[test]
    fn when_a_session_is_over_everybody_has_left() {
        let past = World::new(1, 12, NOW).fixed(4);
        let users = listed(&past, NOW);
        assert!(users.len() >= 45);
        assert!(users.iter().all(|user| user.leave.is_some_and(|leave| leave <= past.end)));
        assert_eq!(users, listed(&past, NOW + DAY));
    }

    #[test]
    fn before_the_start_there_is_nobody() {
        let session = crowd();
        assert!(listed(&session, session.start - 1).is_empty());
        assert_eq!(listed(&session, session.start).iter().filter(|user| user.host).count(), 1);
    }
}
