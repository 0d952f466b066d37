//! When a replica is left alone, and when it is asked again.

use std::time::{Duration, Instant};

/// The figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// So many failures in a row.
    pub failures: u32,
    /// For how long it is left alone at first.
    pub open: Duration,
    /// Doubled with every probe that fails, up to this.
    pub open_max: Duration,
}

/// What a failure says about a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// It is not there: no connection.
    Absent,
    /// It takes connections, and what it says is of no use, or too late.
    Faulty,
}

/// Whether there are others that could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// None: one that answers anything is not left alone.
    Alone,
    /// At least one.
    Others,
}

/// What a request is to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One of many.
    Regular,
    /// The one that finds out whether the replica is back.
    Probe,
}

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Go,
    /// It may, as the one that finds out.
    Probe,
    /// Not before that.
    Not(Instant),
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    None,
    /// It is left alone from now on, for so long.
    Opened(Duration),
    /// It is asked again.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open(Instant),
    /// A probe is on its way.
    HalfOpen(Instant),
}

/// Whoever has been told to wait while a probe is on its way comes back after that, and finds out
/// for himself if the probe still does not know and there is nobody else to ask: it may have gone
/// to the one thing that takes long.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// Longest that one is left alone where there is no other: all come back at about the same time.
const ALONE_MAX: Duration = Duration::from_secs(10);

/// One replica's record.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    state: State,
    /// In a row, of any kind.
    failures: u32,
    /// In a row, of one kind.
    absences: u32,
    span: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, failures: 0, absences: 0, span: Duration::ZERO }
    }
}

impl Breaker {
    /// Whether requests go without further ado.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether a request may go now.
    pub fn admits(&self, company: Company, now: Instant) -> Admission {
        match self.state {
            State::Closed => Admission::Go,
            State::Open(until) if until <= now => Admission::Probe,
            State::Open(until) => Admission::Not(until),
            State::HalfOpen(since) => match (company, since + WHILE_PROBING) {
                (Company::Alone, until) if until <= now => Admission::Probe,
                (Company::Alone, until) => Admission::Not(until),
                (Company::Others, _) => Admission::Not(now + WHILE_PROBING),
            },
        }
    }

    /// The probe is on its way.
    pub fn probes(&mut self, now: Instant) {
        self.state = State::HalfOpen(now);
    }

    /// It has answered.
    pub fn succeeded(&mut self) -> Turn {
        let was_closed = self.is_closed();
        *self = Self::default();
        if was_closed { Turn::None } else { Turn::Closed }
    }

    /// It has not.
    pub fn failed(
        &mut self,
        blame: Blame,
        company: Company,
        role: Role,
        rules: &Rules,
        now: Instant,
    ) -> Turn {
        match self.state {
            State::HalfOpen(_) if role == Role::Probe => {
                // One that answers anything is back, if there is no better.
                if (blame, company) == (Blame::Faulty, Company::Alone) {
                    return self.succeeded();
                }
                let most = match company {
                    Company::Others => rules.open_max,
                    Company::Alone => rules.open_max.min(ALONE_MAX),
                };
                self.open((self.span * 2).clamp(rules.open, most.max(rules.open)), now)
            }
            // What had left before it was found out tells nothing new.
            State::Open(_) | State::HalfOpen(_) => Turn::None,
            State::Closed => {
                self.failures = self.failures.saturating_add(1);
                self.absences = match blame {
                    Blame::Absent => self.absences.saturating_add(1),
                    Blame::Faulty => 0,
                };
                let count = match company {
                    Company::Others => self.failures,
                    Company::Alone => self.absences,
                };
                if count < rules.failures { Turn::None } else { self.open(rules.open, now) }
            }
        }
    }

    /// A probe was given up before anybody knew.
    pub fn released(&mut self, now: Instant) {
        if let State::HalfOpen(_) = self.state {
            self.state = State::Open(now);
        }
    }

    fn open(&mut self, span: Duration, now: Instant) -> Turn {
        (self.state, self.span) = (State::Open(now + span), span);
        Turn::Opened(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RULES: Rules = Rules { failures: 3, open: SECOND, open_max: Duration::from_secs(3) };

    /// A row of failures, and whether they open it.
    fn opens(row: &[Blame], company: Company) -> bool {
        let (mut breaker, now) = (Breaker::default(), now());
        for blame in row {
            breaker.failed(*blame, company, Role::Regular, &RULES, now);
        }
        !breaker.is_closed()
    }

    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    pub(super) fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn where_there_is_no_other_the_pause_has_a_shorter_end() {
        let rules = Rules { open_max: Duration::from_secs(60), ..RULES };
        for (company, longest) in [(Company::Alone, 10), (Company::Others, 60)] {
            let (mut breaker, mut at) = (Breaker::default(), now());
            let mut last = Duration::ZERO;
            for _ in 0..3 {
                breaker.failed(Blame::Absent, company, Role::Regular, &rules, at);
            }
            for _ in 0..10 {
                breaker.probes(at);
                at += SECOND;
                if let Turn::Opened(span) =
                    breaker.failed(Blame::Absent, company, Role::Probe, &rules, at)
                {
                    last = span;
                }
            }
            assert_eq!(last, Duration::from_secs(longest), "{company:?}");
        }
    }

    #[test]
    fn alone_it_must_be_absent_and_among_others_any_failure_counts() {
        use Blame::{Absent, Faulty};
        for (row, alone, others) in [
            (&[Absent, Absent][..], false, false),
            (&[Absent, Absent, Absent][..], true, true),
            (&[Faulty, Faulty, Faulty][..], false, true),
            (&[Absent, Absent, Faulty][..], false, true),
            (&[Faulty, Absent, Absent, Absent][..], true, true),
        ] {
            assert_eq!(opens(row, Company::Alone), alone, "{row:?}");
            assert_eq!(opens(row, Company::Others), others, "{row:?}");
        }
    }

    #[test]
    fn one_probe_finds_out_and_waits_double_up_to_the_most() {
        let (mut breaker, mut at) = (Breaker::default(), now());
        let fail = |breaker: &mut Breaker, role, at| {
            breaker.failed(Blame::Absent, Company::Alone, role, &RULES, at)
        };
        fail(&mut breaker, Role::Regular, at);
        fail(&mut breaker, Role::Regular, at);
        assert_eq!(fail(&mut breaker, Role::Regular, at), Turn::Opened(SECOND));
        for span in [1, 2, 3, 3] {
            assert_eq!(fail(&mut breaker, Role::Regular, at), Turn::None, "a straggler");
            let until = at + span * SECOND;
            assert_eq!(breaker.admits(Company::Alone, until - SECOND / 2), Admission::Not(until));
            assert_eq!(breaker.admits(Company::Alone, until), Admission::Probe);
            breaker.probes(until);
            assert_eq!(
                breaker.admits(Company::Alone, until),
                Admission::Not(until + WHILE_PROBING)
            );
            at = until;
            let longer = (2 * span * SECOND).min(3 * SECOND);
            assert_eq!(fail(&mut breaker, Role::Probe, at), Turn::Opened(longer));
        }
        breaker.probes(at);
        breaker.released(at);
        assert_eq!(breaker.admits(Company::Alone, at), Admission::Probe, "it came to nothing");
        breaker.probes(at);
        assert_eq!(breaker.succeeded(), Turn::Closed);
        assert_eq!(breaker.succeeded(), Turn::None);
        assert_eq!(breaker.admits(Company::Alone, at), Admission::Go);
    }

    #[test]
    fn a_probe_that_takes_long_holds_nobody_up_who_has_nowhere_else_to_go() {
        use Admission::{Not, Probe};
        let (mut breaker, at) = (Breaker::default(), now());
        breaker.probes(at);
        let (soon, later) = (at + WHILE_PROBING / 2, at + WHILE_PROBING);
        for (company, now, expected) in [
            (Company::Alone, soon, Not(later)),
            (Company::Alone, later, Probe),
            (Company::Others, soon, Not(soon + WHILE_PROBING)),
            (Company::Others, later, Not(later + WHILE_PROBING)),
        ] {
            assert_eq!(breaker.admits(company, now), expected, "{company:?}");
        }
        // One a second, however many wait.
        breaker.probes(later);
        assert_eq!(breaker.admits(Company::Alone, later), Not(later + WHILE_PROBING));
        assert_eq!(breaker.succeeded(), Turn::Closed, "whichever of them has an answer");
    }

    #[test]
    fn a_success_begins_the_row_anew() {
        let (mut breaker, at) = (Breaker::default(), now());
        for _ in 0..9 {
            for _ in 0..2 {
                let turn = breaker.failed(Blame::Absent, Company::Alone, Role::Regular, &RULES, at);
                assert_eq!(turn, Turn::None);
            }
            breaker.succeeded();
        }
    }
}
