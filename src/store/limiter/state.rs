//! What an upstream's budget consists of, and the two questions asked of it.

use std::time::{Instant, SystemTime};

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
}

/// A token that has been taken and not yet given to a request's care.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) at: Instant,
    pub(super) day: Option<SystemTime>,
}

/// The time now, on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) mono: Instant,
    pub(super) wall: SystemTime,
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
            (None, Some(closed)) if closed >= rate => (Reason::UpstreamClosed, closed),
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
            window.take(now.mono);
        }
        let day = pool.map(|pool| {
            pool.roll(now.wall);
            pool.take();
            pool.ends()
        });
        Some(Taken { at: now.mono, day })
    }
}
