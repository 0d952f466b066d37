//! What may be spent: labels, their windows, and the pools they share.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::id::id;

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
}

/// How much longer than its name a window is kept, so that requests which bunch up on the way
/// still arrive at the upstream one window apart. 2 % of a second; less of a minute.
pub const JITTER_MARGIN: Duration = Duration::from_millis(20);

/// Guards one sliding window exactly, by remembering the last `limit` departures.
///
/// A token bucket of capacity B and rate R lets B + R through in one window. This guard does not:
/// departure n waits until departure n - limit is a whole window (and [`JITTER_MARGIN`]) ago.
#[derive(Debug)]
pub struct WindowGuard {
    limit: usize,
    per: Duration,
    departures: VecDeque<Instant>,
}

impl WindowGuard {
    /// A window in which nothing has happened.
    pub fn new(spec: WindowSpec) -> Self {
        let limit = spec.limit.get() as usize;
        Self { limit, per: spec.per + JITTER_MARGIN, departures: VecDeque::new() }
    }

    /// When a request may leave that has `ahead` others before it, each leaving as soon as it may.
    pub fn earliest(&self, ahead: usize, now: Instant) -> Instant {
        let rounds = u32::try_from(ahead / self.limit).unwrap_or(u32::MAX);
        let index = (self.departures.len() + ahead % self.limit).checked_sub(self.limit);
        let first = index
            .and_then(|index| self.departures.get(index))
            .map_or(now, |&departed| now.max(departed + self.per));
        first + self.per.saturating_mul(rounds)
    }

    /// Records a departure. Instants do not run backwards between calls.
    pub fn take(&mut self, now: Instant) {
        if self.departures.len() == self.limit {
            self.departures.pop_front();
        }
        self.departures.push_back(now);
    }

    /// Forgets a departure that did not happen after all.
    pub fn give_back(&mut self, at: Instant) {
        if let Some(index) = self.departures.iter().rposition(|&departed| departed == at) {
            self.departures.remove(index);
        }
    }

    /// How many may leave now.
    pub fn remaining(&self, now: Instant) -> usize {
        let held = self.departures.iter().rev().take_while(|&&d| d + self.per > now).count();
        self.limit - held
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
    /// that is absent, past or more than a day away is taken as the end of the day.
    pub fn close(&mut self, until: Option<SystemTime>, wall: SystemTime) {
        let until = until.filter(|&at| at > wall && at <= wall + DAY).unwrap_or(self.ends);
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
