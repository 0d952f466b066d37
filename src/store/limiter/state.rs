//! What an upstream's budget consists of, and the two questions asked of it.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::bucket::Bucket;
use super::{LabelIndex, Reason};
use crate::policy::fair_queue::FairQueue;
use crate::policy::quota::{DayLedger, LabelSpec, PoolSpec, WindowGuard};

#[derive(Debug)]
pub(super) struct State {
    pub(super) labels: Vec<Label>,
    pub(super) pools: Vec<DayLedger>,
    pub(super) draining: bool,
}

#[derive(Debug)]
pub(super) struct Label {
    pub(super) spec: LabelSpec,
    pub(super) bucket: Bucket,
    pub(super) windows: Vec<WindowGuard>,
    pub(super) pool: Option<usize>,
    pub(super) closed_until: Option<Instant>,
    pub(super) queue: FairQueue<oneshot::Sender<Taken>>,
    latency: Latency,
}

/// A token that has been taken in every window.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// The day it was taken on, named by its end.
    pub(super) day: Option<SystemTime>,
    /// When the request left, once it has.
    pub(super) left: Option<Instant>,
}

/// The time now, on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) mono: Instant,
    pub(super) wall: SystemTime,
}

/// How long the upstream takes to answer when nothing is in the way.
#[derive(Debug, Default)]
struct Latency {
    least: Duration,
    answers: u32,
}

/// Before so many answers nothing is known: all of them may have been late, as on a cold start.
const WARM_UP: u32 = 50;

/// How late requests may arrive without their answers telling, because all of them were. It costs
/// a twentieth of a second's figure where the upstream takes longer than that to answer, and next
/// to nothing where it does not.
const DOUBT: Duration = Duration::from_millis(50);

impl Latency {
    /// How long after it left a request may have arrived.
    fn lateness(&self, took: Duration) -> Duration {
        if self.answers < WARM_UP {
            return took;
        }
        took.saturating_sub(self.least).max(DOUBT).min(took)
    }

    /// The fastest answers show the upstream's own time. It drifts up slowly, should the upstream
    /// slow down for good.
    fn seen(&mut self, took: Duration) {
        self.least = if self.answers == 0 || took < self.least {
            took
        } else {
            self.least + (took - self.least) / 64
        };
        self.answers = self.answers.saturating_add(1);
    }
}

impl State {
    /// Untouched.
    pub(super) fn new(labels: &[LabelSpec], pools: &[PoolSpec], now: Now) -> Self {
        let label = |spec: &LabelSpec| Label {
            bucket: Bucket::new(spec, now.mono),
            windows: spec.windows.iter().map(|&window| WindowGuard::new(window)).collect(),
            pool: spec.pool.as_ref().and_then(|id| pools.iter().position(|pool| pool.id == *id)),
            closed_until: None,
            queue: FairQueue::default(),
            latency: Latency::default(),
            spec: spec.clone(),
        };
        Self {
            labels: labels.iter().map(label).collect(),
            pools: pools.iter().map(|pool| DayLedger::new(pool, now.wall)).collect(),
            draining: false,
        }
    }

    /// When a request may leave that has `ahead` others before it, and what it waits for.
    pub(super) fn earliest(&self, index: LabelIndex, ahead: usize, now: Now) -> (Reason, Instant) {
        let Some(label) = self.labels.get(index.0) else {
            return (Reason::Rate, now.mono);
        };
        let windows = label.windows.iter().map(|window| window.earliest(ahead, now.mono));
        let rate = windows.max().unwrap_or(now.mono).max(label.bucket.earliest(ahead, now.mono));
        let closed = label.closed_until.filter(|&until| until > now.mono);
        let day = label.pool.and_then(|index| self.pools.get(index)).and_then(|pool| {
            let short = usize::try_from(pool.remaining_at(now.wall)).unwrap_or(usize::MAX) <= ahead;
            short.then(|| now.mono + pool.opens().duration_since(now.wall).unwrap_or_default())
        });
        match (day, closed) {
            (Some(day), _) => (Reason::Day, day.max(rate)),
            // Those ahead leave when it opens, at the label's pace.
            (None, Some(closed)) => {
                (Reason::UpstreamClosed, closed + rate.saturating_duration_since(now.mono))
            }
            _ => (Reason::Rate, rate),
        }
    }

    /// Takes one in every window, or in none.
    pub(super) fn take(&mut self, index: LabelIndex, now: Now) -> Option<Taken> {
        let label = self.labels.get_mut(index.0)?;
        let pool = label.pool.and_then(|index| self.pools.get_mut(index));
        if let Some(pool) = &pool
            && pool.remaining_at(now.wall) == 0
        {
            return None;
        }
        let closed = label.closed_until.is_some_and(|until| until > now.mono);
        if closed || label.windows.iter().any(|w| w.earliest(0, now.mono) > now.mono) {
            return None;
        }
        // Last, because it is the only check that takes.
        label.bucket.take(now.mono)?;
        for window in &mut label.windows {
            window.take();
        }
        let day = pool.map(|pool| {
            pool.roll(now.wall);
            pool.take();
            pool.ends()
        });
        Some(Taken { day, left: None })
    }

    /// A request is on its way.
    pub(super) fn left(&mut self, index: LabelIndex, taken: &mut Taken, now: Instant) {
        if taken.left.is_none()
            && let Some(label) = self.labels.get_mut(index.0)
        {
            label.windows.iter_mut().for_each(|window| window.left(now));
            taken.left = Some(now);
        }
    }

    /// A request has been answered. It arrived between leaving and now: later than others by as
    /// much as its answer came later than theirs, and by [`DOUBT`] where they may have been late
    /// themselves.
    pub(super) fn answered(&mut self, index: LabelIndex, taken: &mut Taken, now: Instant) {
        self.left(index, taken, now);
        let (Some(left), Some(label)) = (taken.left, self.labels.get_mut(index.0)) else { return };
        let took = now.saturating_duration_since(left);
        let arrived = left + label.latency.lateness(took);
        label.windows.iter_mut().for_each(|window| window.restamp(left, arrived));
        taken.left = Some(arrived);
        label.latency.seen(took);
    }

    /// Gives a token back in every window; the labels that may have waited for it.
    pub(super) fn give_back(&mut self, index: LabelIndex, taken: &Taken) -> Vec<LabelIndex> {
        let Some(label) = self.labels.get_mut(index.0) else { return Vec::new() };
        label.bucket.give_back();
        label.windows.iter_mut().for_each(|window| window.give_back(taken.left));
        let pool = label.pool;
        if let (Some(pool), Some(day)) = (pool.and_then(|i| self.pools.get_mut(i)), taken.day) {
            pool.give_back(day);
        }
        let waits = |(at, label): (usize, &Label)| {
            let concerned = at == index.0 || (pool.is_some() && label.pool == pool);
            (concerned && !label.queue.is_empty()).then_some(LabelIndex(at))
        };
        self.labels.iter().enumerate().filter_map(waits).collect()
    }
}
