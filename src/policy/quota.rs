//! What may be spent: labels, their windows, and the pools they share.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::id::id;
use super::share::Reserve;

/// The name of a rate-limit class of an upstream ("heavy").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelId(Arc<str>);

/// The name of a window that several labels share ("daily").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(Arc<str>);
id!(LabelId, PoolId);

/// A rate-limit class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSpec {
    /// Its name.
    pub id: LabelId,
    /// So many in any sliding second and/or minute; at most one window of each length.
    pub windows: Vec<WindowSpec>,
    /// How many may leave at once after a rest; at most the shortest window's limit.
    pub burst: NonZeroU32,
    /// The pool it also spends from.
    pub pool: Option<PoolId>,
    /// Longest a request waits for a token.
    pub max_wait: Duration,
    /// Most requests that wait at a time.
    pub max_queue: usize,
    /// Whether it holds anybody back.
    pub mode: Mode,
}

/// Whether a label holds anybody back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It lets everything through, and counts what it would have done.
    Observe,
}

/// So many in any sliding interval of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// How many.
    pub limit: NonZeroU32,
    /// In how long: a second or a minute.
    pub per: Duration,
}

/// A daily budget that several labels share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its name.
    pub id: PoolId,
    /// How many a day.
    pub per_day: NonZeroU32,
    /// When the day begins, as time since 00:00 UTC.
    pub resets_at: Duration,
    /// The last part of the day, which is kept for priority.
    pub reserve: Reserve,
}

/// How much longer than its name a window is kept, so that requests which bunch up on the way
/// still arrive at the upstream one window apart. 2 % of a second; less of a minute.
pub const JITTER_MARGIN: Duration = Duration::from_millis(20);

/// Guards one sliding window exactly, by remembering the last `limit` departures.
///
/// A token bucket of capacity B and rate R lets B + R through in one window. This guard does not:
/// departure n waits until departure n - limit is a whole window (and [`JITTER_MARGIN`]) ago.
///
/// What the upstream counts is arrivals. A request that has been admitted and is still looking for
/// a connection arrives some time from now, so it holds its place as if it left at each moment
/// anew ("pending") until [`WindowGuard::left`]; and where its answer shows that it was under way
/// for longer than others, [`WindowGuard::restamp`] moves its departure later. Never earlier.
#[derive(Debug)]
pub struct WindowGuard {
    limit: usize,
    per: Duration,
    /// In order of time; together with `pending` never more than `limit`.
    departures: VecDeque<Instant>,
    pending: usize,
}

impl WindowGuard {
    /// A window in which nothing has happened.
    pub fn new(spec: WindowSpec) -> Self {
        let limit = spec.limit.get() as usize;
        Self { limit, per: spec.per + JITTER_MARGIN, departures: VecDeque::new(), pending: 0 }
    }

    /// When a request may leave that has `ahead` others before it, each leaving as soon as it may.
    pub fn earliest(&self, ahead: usize, now: Instant) -> Instant {
        let rounds = u32::try_from(ahead / self.limit).unwrap_or(u32::MAX);
        let held = self.departures.len() + self.pending;
        let first = (held + ahead % self.limit).checked_sub(self.limit).map_or(now, |index| {
            self.departures.get(index).map_or(now + self.per, |&left| now.max(left + self.per))
        });
        first + self.per.saturating_mul(rounds)
    }

    /// Admits a request, if [`WindowGuard::earliest`] says that it may leave.
    pub fn take(&mut self) {
        if self.departures.len() + self.pending >= self.limit {
            self.departures.pop_front();
        }
        self.pending += 1;
    }

    /// An admitted request is on its way.
    pub fn left(&mut self, now: Instant) {
        self.pending = self.pending.saturating_sub(1);
        let index = self.departures.partition_point(|&departed| departed <= now);
        self.departures.insert(index, now);
    }

    /// A request that left then arrived as if it had left `to`.
    pub fn restamp(&mut self, from: Instant, to: Instant) {
        if to > from && self.forget(from) {
            self.pending += 1;
            self.left(to);
        }
    }

    /// An admitted request did not go after all; `left` is when it did, if it seemed to.
    pub fn give_back(&mut self, left: Option<Instant>) {
        match left {
            Some(at) => drop(self.forget(at)),
            None => self.pending = self.pending.saturating_sub(1),
        }
    }

    fn forget(&mut self, at: Instant) -> bool {
        let index = self.departures.iter().rposition(|&departed| departed == at);
        index.is_some_and(|index| self.departures.remove(index).is_some())
    }

    /// How many may leave now.
    pub fn remaining(&self, now: Instant) -> usize {
        let held = self.departures.iter().rev().take_while(|&&d| d + self.per > now).count();
        self.limit.saturating_sub(held + self.pending)
    }
}

/// What is left of a day's budget.
#[derive(Debug)]
pub struct DayLedger {
    per_day: u32,
    resets_at: Duration,
    spent: u32,
    ends: SystemTime,
    closed_until: Option<SystemTime>,
}

const DAY: Duration = Duration::from_secs(86_400);
/// How far the upstream's clock may be behind ours.
const CLOCKS_APART: Duration = Duration::from_secs(600);
const ASK_AGAIN: Duration = Duration::from_secs(60);

impl DayLedger {
    /// A day in which nothing has been spent.
    pub fn new(spec: &PoolSpec, wall: SystemTime) -> Self {
        let resets_at = spec.resets_at;
        let ends = next_reset(resets_at, wall);
        Self { per_day: spec.per_day.get(), resets_at, spent: 0, ends, closed_until: None }
    }

    /// Begins a new day if the old one has ended.
    pub fn roll(&mut self, wall: SystemTime) {
        if wall >= self.ends {
            self.spent = 0;
            self.ends = next_reset(self.resets_at, wall);
        } else if self.ends > wall + DAY {
            // The clock was wrong, and has been set back: the day must not last until then.
            self.ends = next_reset(self.resets_at, wall);
        }
        self.closed_until = self.closed_until.filter(|&until| wall < until);
    }

    /// What may still be spent. Call [`DayLedger::roll`] first.
    pub fn remaining(&self) -> u32 {
        if self.closed_until.is_some() { 0 } else { self.per_day.saturating_sub(self.spent) }
    }

    /// What may be spent at an instant, which may lie in the next day.
    pub fn remaining_at(&self, wall: SystemTime) -> u32 {
        let spent = if wall >= self.ends { 0 } else { self.spent };
        match self.closed_until {
            Some(until) if wall < until => 0,
            _ => self.per_day.saturating_sub(spent),
        }
    }

    /// The day's figure.
    pub fn per_day(&self) -> u32 {
        self.per_day
    }

    /// When spending is possible again, for a ledger that has nothing left.
    pub fn opens(&self) -> SystemTime {
        if self.per_day.saturating_sub(self.spent) == 0 {
            return self.closed_until.map_or(self.ends, |until| until.max(self.ends));
        }
        self.closed_until.unwrap_or(self.ends)
    }

    /// Spends one.
    pub fn take(&mut self) {
        self.spent = self.spent.saturating_add(1);
    }

    /// Gives one back, if the day it was taken on has not ended since.
    pub fn give_back(&mut self, taken_on_day_ending: SystemTime) {
        if taken_on_day_ending == self.ends {
            self.spent = self.spent.saturating_sub(1);
        }
    }

    /// When this day ends; names the day.
    pub fn ends(&self) -> SystemTime {
        self.ends
    }

    /// The upstream says that the day's budget is gone: nothing is spent until then. An instant
    /// just past is its midnight on a clock that is not quite ours, so it is asked again soon; one
    /// that is absent, long past or more than a day away is taken as the end of the day.
    pub fn close(&mut self, until: Option<SystemTime>, wall: SystemTime) {
        let until = match until {
            Some(at) if at > wall && at <= wall + DAY => at,
            Some(at) if at <= wall && wall < at + CLOCKS_APART => wall + ASK_AGAIN,
            _ => self.ends,
        };
        self.closed_until = Some(self.closed_until.map_or(until, |old| old.max(until)));
    }
}

fn next_reset(resets_at: Duration, wall: SystemTime) -> SystemTime {
    let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = since_epoch.saturating_sub(resets_at).as_secs() / DAY.as_secs();
    let candidate = SystemTime::UNIX_EPOCH + resets_at + DAY * u32::try_from(days).unwrap_or(0);
    if candidate > wall { candidate } else { candidate + DAY }
}

#[cfg(test)]
mod tests;
