//! When a replica is left alone, and when it is asked again.

use std::time::{Duration, Instant};

use http::Method;

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

impl Rules {
    /// Longest that one is left alone.
    fn longest(&self, company: Company) -> Duration {
        let most = match company {
            Company::Others => self.open_max,
            Company::Alone => self.open_max.min(ALONE_MAX),
        };
        most.max(self.open)
    }
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

/// Whether a request may be risked on one that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// If it is lost it is asked again elsewhere.
    Repeatable,
    /// If it is lost it is lost.
    Once,
}

impl Risk {
    /// RFC 9110, section 9.2.2: what is idempotent may be repeated.
    pub fn of(method: &Method) -> Self {
        if method.is_idempotent() { Self::Repeatable } else { Self::Once }
    }
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
    pub fn admits(&self, company: Company, risk: Risk, rules: &Rules, now: Instant) -> Admission {
        match self.state {
            State::Closed => Admission::Go,
            State::Open(until) => {
                let due = self.due(until, company, rules);
                let due = match (company, risk) {
                    // Others are there for it. Where nothing but such requests comes, one has to
                    // find out all the same, or it would never be asked again.
                    (Company::Others, Risk::Once) => due + rules.open_max,
                    (Company::Others, Risk::Repeatable) | (Company::Alone, _) => due,
                };
                if due <= now { Admission::Probe } else { Admission::Not(due) }
            }
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
                self.open((self.span * 2).clamp(rules.open, rules.longest(company)), now)
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

    /// Who was left alone while there were others is not left alone as long if they are gone.
    fn due(&self, until: Instant, company: Company, rules: &Rules) -> Instant {
        let beyond = self.span.saturating_sub(rules.longest(company));
        until.checked_sub(beyond).unwrap_or(until)
    }

    fn open(&mut self, span: Duration, now: Instant) -> Turn {
        (self.state, self.span) = (State::Open(now + span), span);
        Turn::Opened(span)
    }
}

#[cfg(test)]
mod tests;
