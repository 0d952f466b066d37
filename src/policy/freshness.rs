//! How long an answer may be served, and how.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::directives::RequestDirectives;
use super::endpoint::{Lifetimes, Override, WhenRule, WhenValue};
use super::params::Canonical;

/// When an answer was made and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Just before the request for it left: the answer cannot be older than that.
    pub made_at: Instant,
    /// How old it already was on arrival.
    pub initial_age: Duration,
    /// What the rule allows.
    pub lifetimes: Lifetimes,
    /// Beyond this age it is not served at all, stale or not: a page token in it would die in the
    /// reader's hands.
    pub oldest_age: Option<Duration>,
    /// Whether a client's own `max-stale` may be granted.
    pub stale: Stale,
    /// RFC 8246: while it is fresh, a reload changes nothing.
    pub immutable: bool,
    /// How long it is kept after it can be served no more, because the upstream may confirm it.
    pub keep: Duration,
}

/// Whether an answer may be served past its freshness because the client says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Nothing speaks against it.
    Allowed,
    /// RFC 9111, section 4.2.4: `must-revalidate` and its relatives, or a rule of ours.
    Forbidden,
}

/// What may be done with an entry now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Serve it; it stays fresh for so long.
    Fresh {
        /// Time left.
        ttl: Duration,
    },
    /// Serve it and refresh it behind the reader's back (RFC 5861, section 3).
    StaleWhileRevalidate {
        /// How long it has been stale.
        by: Duration,
    },
    /// Serve it, because this client takes it as stale as it is (RFC 9111, section 5.2.1.2).
    StaleAsWished {
        /// How long it has been stale.
        by: Duration,
    },
    /// Fetch; serve it only if that fails (RFC 5861, section 4).
    StaleIfError,
    /// Fetch.
    Dead,
}

impl Times {
    /// RFC 9111, section 4.2.3: time since it was made, plus the age it arrived with.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made_at) + self.initial_age
    }

    /// How long it is served without asking.
    pub fn lifetime(&self) -> Duration {
        let fresh = self.lifetimes.fresh;
        self.oldest_age.map_or(fresh, |oldest| fresh.min(oldest))
    }

    /// Whether so many thousandths of its life are over.
    pub fn is_due(&self, thousandths: u16, now: Instant) -> bool {
        self.age(now) * 1000 >= self.lifetime() * u32::from(thousandths)
    }

    /// What may be done with it.
    pub fn freshness(&self, now: Instant) -> Freshness {
        let (age, fresh) = (self.age(now), self.lifetime());
        if self.oldest_age.is_some_and(|oldest| age >= oldest) {
            Freshness::Dead
        } else if age < fresh {
            Freshness::Fresh { ttl: fresh - age }
        } else {
            self.stale_by(age - fresh)
        }
    }

    fn stale_by(&self, by: Duration) -> Freshness {
        if by < self.lifetimes.stale_while_revalidate {
            Freshness::StaleWhileRevalidate { by }
        } else {
            self.if_error(by)
        }
    }

    fn if_error(&self, by: Duration) -> Freshness {
        let allowed = by < self.lifetimes.stale_if_error;
        if allowed { Freshness::StaleIfError } else { Freshness::Dead }
    }

    /// The same for something that was declared stale before its time.
    pub fn purged(&self, now: Instant) -> Freshness {
        match self.freshness(now) {
            Freshness::Fresh { .. } => self.stale_by(Duration::ZERO),
            stale => stale,
        }
    }

    /// What is left of it once the client's own wishes are heard (RFC 9111, section 5.2.1).
    pub fn wished(&self, found: Freshness, wishes: &RequestDirectives, now: Instant) -> Freshness {
        let age = self.age(now);
        let is_fresh = matches!(found, Freshness::Fresh { .. });
        if wishes.no_cache {
            return Freshness::Dead;
        }
        if let Some(most) = wishes.max_age {
            // RFC 8246, section 2: a reload of what does not change while it is fresh.
            let too_old = age > most && !(is_fresh && self.immutable);
            // RFC 9111, section 5.2.1.1: and nothing stale, unless max-stale says so.
            if too_old || (!is_fresh && wishes.max_stale.is_none()) {
                return Freshness::Dead;
            }
        }
        let lacks = |ttl| wishes.min_fresh.is_some_and(|least| ttl < least);
        match (found, wishes.max_stale) {
            (Freshness::Fresh { ttl }, _) if lacks(ttl) => Freshness::Dead,
            (fresh @ Freshness::Fresh { .. }, _) => fresh,
            _ if lacks(Duration::ZERO) => Freshness::Dead,
            // RFC 9111, section 5.2.1.2: the upstream would allow it, this client does not.
            (Freshness::StaleWhileRevalidate { by }, Some(most)) if by > most => self.if_error(by),
            (Freshness::StaleIfError | Freshness::Dead, Some(most))
                if self.stale == Stale::Allowed =>
            {
                let by = age.saturating_sub(self.lifetime());
                let dies = self.oldest_age.is_some_and(|oldest| age >= oldest);
                if by <= most && !dies { Freshness::StaleAsWished { by } } else { found }
            }
            _ => found,
        }
    }

    /// How long after `made_at` the entry may still be of use; it may be forgotten then.
    pub fn retention(&self) -> Duration {
        let Lifetimes { fresh, stale_while_revalidate, stale_if_error } = self.lifetimes;
        let stale = stale_while_revalidate.max(stale_if_error).max(self.keep);
        let rule = fresh.saturating_add(stale);
        // A confirmed page would be old all the same: its token is.
        self.oldest_age.map_or(rule, |oldest| rule.min(oldest)).saturating_sub(self.initial_age)
    }
}

/// Whether a stale answer may stand in for one with this status (RFC 5861, section 4; and a 429,
/// which says that the budget is gone).
pub fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// Our own figures for an answer; none = it is not stored.
pub fn by_rule(
    rule: &Override,
    when: &[WhenRule],
    status: StatusCode,
    parameters: &Canonical,
) -> Option<Lifetimes> {
    if status == StatusCode::OK {
        return Some(lifetimes(rule.lifetimes, when, parameters));
    }
    let listed = rule.by_status.iter().find(|(listed, _)| *listed == status);
    listed.map(|(_, fresh)| Lifetimes::only_fresh(*fresh))
}

/// The figures for a request: those of the first `when` that matches its parameters.
pub fn lifetimes(default: Lifetimes, when: &[WhenRule], parameters: &Canonical) -> Lifetimes {
    let holds = |(name, value): &(String, WhenValue)| match (value, parameters.value(name)) {
        (WhenValue::Present, actual) => actual.is_some(),
        (WhenValue::Is(expected), actual) => actual == Some(expected.as_str()),
    };
    when.iter().find(|rule| rule.matches.iter().all(holds)).map_or(default, |rule| rule.lifetimes)
}

#[cfg(test)]
mod tests;
