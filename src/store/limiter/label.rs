//! A label's state, and when it lets a request go.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::bucket::Bucket;
use super::state::Taken;
use super::{Reason, Refused};
use crate::policy::fair_queue::{AGED_EVERY, FairQueue};
use crate::policy::pace::Pace;
use crate::policy::quota::{LabelSpec, WindowSpec};
use crate::policy::share::{ClientId, Share};
use crate::policy::window::{TICK, WindowGuard};

#[derive(Debug)]
pub(super) struct Label {
    pub(super) spec: LabelSpec,
    /// The shortest first.
    pub(super) windows: Vec<WindowGuard>,
    bucket: Bucket,
    /// The queue's pace; see `policy::window`.
    spread: Option<Bucket>,
    /// Index of the pool it also spends from.
    pub(super) pool: Option<usize>,
    pub(super) pace: Pace,
    /// When one was last let through to find out whether the upstream still refuses.
    probed: Option<Instant>,
    /// How late this machine does things at present.
    lag: Duration,
    pub(super) queue: FairQueue<Waiter>,
    /// Wakes the task that serves the queue.
    pub(super) changed: Arc<Notify>,
}

/// Somebody in the queue.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) share: Share,
    /// When it is too late.
    pub(super) until: Instant,
    pub(super) grant: oneshot::Sender<Result<Taken, Refused>>,
}

/// By which door a request comes to its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// At once: nobody waits.
    Open,
    /// From the queue, in which one client waits.
    Queue,
    /// From the queue, in which several clients wait: one after the other.
    Contended,
}

/// By which figure of the shortest window.
#[derive(Clone, Copy)]
enum Allowed {
    /// The one in force: one, as long as a closed label is probed.
    Now,
    /// The one in force once the upstream refuses nothing more.
    Later,
}

const SECOND: Duration = Duration::from_secs(1);

/// A machine that was late by more was asleep, and is awake now.
const MOST_LAG: Duration = Duration::from_millis(200);

/// How fast those leave who have to wait while several clients do: one after the other, a quarter
/// faster than the figure, so that a delay is caught up with. Only by the second: in a minute's
/// window it would keep people waiting for nothing.
fn spread(spec: &LabelSpec) -> Option<Duration> {
    let second = spec.windows.iter().find(|window| window.per == SECOND)?;
    Some(second.per * 4 / 5 / second.limit.get())
}

/// How fast a burst comes back.
fn refill(spec: &LabelSpec) -> Duration {
    let shortest = spec.windows.iter().min_by_key(|window| window.per);
    shortest.map_or(Duration::ZERO, |window| window.per / window.limit.get())
}

impl Label {
    pub(super) fn new(spec: &LabelSpec, pool: Option<usize>, now: Instant) -> Self {
        let spread = spread(spec).map(|period| Bucket::new(period, NonZeroU32::MIN, now));
        Self {
            windows: spec.windows.iter().map(|&window| WindowGuard::new(window)).collect(),
            bucket: Bucket::new(refill(spec), spec.burst, now),
            spread,
            pool,
            pace: Pace::new(now),
            probed: None,
            lag: Duration::ZERO,
            queue: FairQueue::default(),
            changed: Arc::default(),
            spec: spec.clone(),
        }
    }

    /// Other figures for the same label; what has left has left.
    pub(super) fn change(&mut self, spec: &LabelSpec, pool: Option<usize>, now: Instant) {
        let old = std::mem::take(&mut self.windows);
        let guard = |window: &WindowSpec| {
            // A new one has to know of those under way: what becomes of them it is told too.
            let new = || match old.last() {
                Some(longest) => WindowGuard::beside(longest, *window),
                None => WindowGuard::new(*window),
            };
            let same = old.iter().find(|guard| guard.spec().per == window.per);
            let mut guard = same.map_or_else(new, WindowGuard::clone);
            guard.change(*window);
            guard
        };
        self.windows = spec.windows.iter().map(guard).collect();
        self.bucket.change(refill(spec), spec.burst, now);
        self.spread = spread(spec).map(|period| match self.spread.take() {
            Some(mut spread) => {
                spread.change(period, NonZeroU32::MIN, now);
                spread
            }
            None => Bucket::new(period, NonZeroU32::MIN, now),
        });
        self.pool = pool;
        self.spec = spec.clone();
    }

    /// The length of the shortest window; a second for a label that has none.
    pub(super) fn shortest(&self) -> Duration {
        self.windows.first().map_or(SECOND, |guard| guard.spec().per)
    }

    fn meters(&self, door: Door) -> impl Iterator<Item = &Bucket> {
        std::iter::once(&self.bucket)
            .chain(self.spread.as_ref().filter(|_| door == Door::Contended))
    }

    /// The door of whoever is next in the queue, or of somebody who would enter it.
    pub(super) fn queue_door(&self, newcomer: Option<&ClientId>) -> Door {
        if self.queue.is_contended(newcomer) { Door::Contended } else { Door::Queue }
    }

    /// When a request may leave with `ahead` others before it, by every window and meter.
    fn free_after(&self, ahead: usize, allowed: Allowed, door: Door, now: Instant) -> Instant {
        let windows = self.windows.iter().enumerate().map(|(index, guard)| {
            let WindowSpec { limit, per } = guard.spec();
            let whole = usize::try_from(limit.get()).unwrap_or(usize::MAX);
            // The pace is about the shortest window; one request in a minute's would be too few.
            let allowed = match allowed {
                _ if index > 0 => whole,
                Allowed::Now => self.pace.allowed(limit, per, now),
                Allowed::Later => self.pace.expected(limit, per, now),
            };
            guard.earliest(allowed, ahead, now)
        });
        let meters = self.meters(door).map(|bucket| bucket.earliest(ahead, now));
        // Where there is no window there is no figure that could be lowered to one.
        let probes =
            matches!(allowed, Allowed::Now) && self.windows.is_empty() && self.pace.is_probing(now);
        let next_probe = self.probed.filter(|_| probes).map(|at| now.max(at + SECOND));
        windows.chain(meters).chain(next_probe).max().unwrap_or(now)
    }

    /// When the next request may leave, and what it waits for.
    pub(super) fn free_at(&self, door: Door, now: Instant) -> (Reason, Instant) {
        let free = self.free_after(0, Allowed::Now, door, now);
        match self.pace.closed(now) {
            Some(until) if until >= free => (Reason::UpstreamClosed, until),
            _ => (Reason::Rate, free),
        }
    }

    /// When a request of the queue leaves at the earliest that has `ahead` others before it, if
    /// nobody comes in between and the upstream refuses nothing more.
    fn comes_at(&self, ahead: usize, door: Door, now: Instant) -> (Reason, Instant) {
        let closed = self.pace.closed(now);
        let from = closed.unwrap_or(now);
        let free = |ahead| self.free_after(ahead, Allowed::Later, door, from);
        let mut at = free(ahead);
        let spread = self.spread.as_ref().filter(|_| door == Door::Contended);
        if let (Some(spread), Some(guard)) = (spread, self.windows.first()) {
            // One after the other from when the first may, and each a window after the one whose
            // place it takes.
            let WindowSpec { limit, per } = guard.spec();
            let allowed = self.pace.expected(limit, per, from);
            let times = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let rounds = (per + TICK).saturating_mul(times(ahead / allowed));
            let ahead = ahead % allowed;
            let in_line = free(0) + spread.period().saturating_mul(times(ahead));
            at = at.max(in_line.max(free(ahead)) + rounds);
        }
        (if closed.is_some() { Reason::UpstreamClosed } else { Reason::Rate }, at)
    }

    /// How long a waiter of a lower class is passed over at most before it has its turn: half of
    /// what it would wait.
    pub(super) fn ageing(&self) -> Duration {
        self.spec.max_wait / 2
    }

    /// When a request would leave that entered the queue now.
    pub(super) fn joins_at(&self, share: &Share, now: Instant) -> (Reason, Instant) {
        let door = self.queue_door(Some(&share.client));
        let ahead = self.queue.ahead(share);
        let (reason, strict) = self.comes_at(ahead.strict, door, now);
        let aged = ahead.aged.map(|aged| {
            let grants = AGED_EVERY.saturating_mul(aged + 1) - 1;
            self.comes_at(grants, door, now).1.max(now + self.ageing())
        });
        (reason, aged.map_or(strict, |aged| aged.min(strict)))
    }

    /// Takes one of every meter and window, if [`Label::free_at`] says so; else nothing of any.
    pub(super) fn take(&mut self, door: Door, now: Instant) -> bool {
        if self.free_at(door, now).1 > now {
            return false;
        }
        if self.bucket.take(now).is_none() {
            return false;
        }
        let spread = self.spread.as_ref().filter(|_| door == Door::Contended);
        if spread.is_some_and(|spread| spread.take(now).is_none()) {
            self.bucket.give_back();
            return false;
        }
        self.windows.iter_mut().for_each(|guard| guard.take(now));
        if self.pace.is_probing(now) {
            self.probed = Some(now);
        }
        true
    }

    /// The head of an answer is here, to a request that left then.
    pub(super) fn answered(&mut self, left: Instant, now: Instant) {
        let lag = self.lag;
        self.windows.iter_mut().for_each(|guard| guard.answered(left, lag, now));
    }

    /// Something was due at an instant and is done now: so late is this machine, and it forgets
    /// that slowly. A timer ticks in milliseconds.
    pub(super) fn was_due(&mut self, at: Instant, now: Instant) {
        let late = now.saturating_duration_since(at + TICK);
        self.lag = late.max(self.lag - self.lag / 16).min(MOST_LAG);
    }

    /// Puts back what [`Label::take`] took, for a request that left then, or has not.
    pub(super) fn give_back(&mut self, left: Option<Instant>) {
        // The queue's pace keeps its token: who is next waits for it a moment, at most.
        self.bucket.give_back();
        self.windows.iter_mut().for_each(|guard| guard.give_back(left));
    }
}
