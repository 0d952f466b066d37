//! What an upstream's budget consists of, and what is asked of it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use super::label::{Door, Label};
use super::{LabelIndex, Observed, Reason, Refused};
use crate::policy::day::{DayLedger, DayToken, Denied};
use crate::policy::endpoint::UpstreamId;
use crate::policy::fair_queue::FairQueue;
use crate::policy::quota::{LabelSpec, Mode, PoolSpec};
use crate::policy::share::{ClientId, Share};

#[derive(Debug)]
pub(super) struct State {
    pub(super) upstream: UpstreamId,
    /// By [`LabelIndex`]. One that is not configured any more keeps its place and its budget.
    pub(super) labels: Vec<Label>,
    pub(super) pools: Vec<DayLedger>,
    pub(super) draining: bool,
    /// What was spent is written down for good.
    pub(super) closed: bool,
    /// Wakes the task that writes the days down.
    pub(super) due: Arc<Notify>,
    /// Until when a process before this one may have sent something, of which nothing is known.
    pub(super) sent_before: Option<Instant>,
}

/// A token that has been taken in every window.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    client: ClientId,
    /// Index of the pool it was taken from, whichever is the label's by now.
    pool: Option<usize>,
    /// The day it was taken on.
    day: Option<DayToken>,
    /// When the request left, once it has.
    left: Option<Instant>,
    /// Its answer is here.
    answered: bool,
    /// The day knows what became of it.
    settled: bool,
    /// What would have become of it, if anybody were held back.
    pub(super) observed: Option<Observed>,
    /// Counted where it would have left then.
    counted: Option<Instant>,
}

/// The time now, on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) mono: Instant,
    pub(super) wall: SystemTime,
}

impl Now {
    fn until(self, wall: SystemTime) -> Duration {
        wall.duration_since(self.wall).unwrap_or_default()
    }
}

/// Why there is no token now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    /// There will be one, then.
    Until(Reason, Instant),
    /// The day will tell in a moment: somebody will say so.
    Soon,
    /// Not before the day changes, or what the upstream says of it.
    Refused(Refused),
}

impl State {
    /// Untouched and empty.
    pub(super) fn new(upstream: UpstreamId) -> Self {
        let (labels, pools) = (Vec::new(), Vec::new());
        let (draining, closed, due) = (false, false, Arc::default());
        Self { upstream, labels, pools, draining, closed, due, sent_before: None }
    }

    /// Makes labels and pools what a configuration says. What is known by the same name keeps its
    /// budget; pools that are not there yet begin untouched. The labels that are new.
    pub(super) fn adopt(
        &mut self,
        labels: &[LabelSpec],
        pools: &[PoolSpec],
        now: Now,
    ) -> Vec<LabelIndex> {
        for spec in pools {
            match self.pools.iter_mut().find(|pool| pool.spec().id == spec.id) {
                Some(pool) => pool.change(spec, now.wall),
                None => self.pools.push(DayLedger::new(spec, now.wall)),
            }
        }
        let mut new = Vec::new();
        for spec in labels {
            let pool = spec.pool.as_ref();
            let pool = pool.and_then(|id| self.pools.iter().position(|p| p.spec().id == *id));
            if let Some(label) = self.labels.iter_mut().find(|label| label.spec.id == spec.id) {
                label.change(spec, pool, now.mono);
                label.changed.notify_one();
            } else {
                new.push(LabelIndex(self.labels.len()));
                let mut label = Label::new(spec, pool, now.mono);
                if let Some(last) = self.sent_before {
                    label.windows.iter_mut().for_each(|guard| guard.full_until(last));
                }
                self.labels.push(label);
            }
        }
        self.due.notify_one();
        new
    }

    /// A label and its pool.
    pub(super) fn parts(
        &mut self,
        index: LabelIndex,
    ) -> Option<(&mut Label, Option<&mut DayLedger>)> {
        let label = self.labels.get_mut(index.0)?;
        let pool = label.pool.and_then(|at| self.pools.get_mut(at));
        Some((label, pool))
    }

    /// A label and the pool that a token of it was taken from.
    pub(super) fn parts_of(
        &mut self,
        index: LabelIndex,
        taken: &Taken,
    ) -> Option<(&mut Label, Option<&mut DayLedger>)> {
        let pool = taken.pool.and_then(|at| self.pools.get_mut(at));
        Some((self.labels.get_mut(index.0)?, pool))
    }

    /// Whether the day has something for a request that `ahead` others go before.
    pub(super) fn day_admits(
        &mut self,
        index: LabelIndex,
        share: &Share,
        ahead: usize,
        now: Now,
    ) -> Result<(), Held> {
        let Some((_, Some(pool))) = self.parts(index) else { return Ok(()) };
        let (reason, opens) = match pool.admits(share, ahead, now.wall) {
            Ok(()) => return Ok(()),
            Err(Denied::Soon) => {
                let due = pool.is_due();
                if due {
                    self.due.notify_one();
                }
                return Err(Held::Soon);
            }
            Err(Denied::Spent(opens)) => (Reason::Day, opens),
            Err(Denied::Share(opens)) => (Reason::ClientShare, opens),
        };
        Err(Held::Refused(Refused { reason, retry_after: now.until(opens) }))
    }

    /// Takes one in every window, or in none.
    pub(super) fn take(
        &mut self,
        index: LabelIndex,
        share: &Share,
        door: Door,
        now: Now,
    ) -> Result<Taken, Held> {
        self.day_admits(index, share, 0, now)?;
        let never = Refused { reason: Reason::Rate, retry_after: Duration::MAX };
        let Some((label, _)) = self.parts(index) else { return Err(Held::Refused(never)) };
        if !label.take(door, now.mono) {
            // Two pieces of arithmetic, the meter's and ours: where they disagree, it shall cost a
            // millisecond and not a core.
            let (reason, at) = label.free_at(door, now.mono);
            return Err(Held::Until(reason, at.max(now.mono + Duration::from_millis(1))));
        }
        Ok(self.taken(index, share, None, now))
    }

    /// Lets a request go, whatever there is, and says what would have become of it.
    pub(super) fn observe(
        &mut self,
        index: LabelIndex,
        share: &Share,
        deadline: Instant,
        now: Now,
    ) -> Option<Taken> {
        let day = self.day_admits(index, share, 0, now);
        let (label, _) = self.parts(index)?;
        let until = deadline.min(now.mono + label.spec.max_wait);
        let (reason, at) = label.free_at(Door::Open, now.mono);
        let mut counted = None;
        let observed = match day {
            Err(Held::Refused(refused)) => Some(Observed::Refused(refused.reason)),
            _ if at > until => Some(Observed::Refused(reason)),
            _ if at > now.mono => {
                // As if it left when it may: those who come after it find it there.
                label.windows.iter_mut().for_each(|guard| guard.count(at, now.mono));
                counted = Some(at);
                Some(Observed::Waits)
            }
            // The meter may disagree by a hair; then it has not been counted, and nobody waits.
            _ if label.take(Door::Open, now.mono) => None,
            _ => Some(Observed::Waits),
        };
        Some(Taken { counted, ..self.taken(index, share, observed, now) })
    }

    /// Takes one of the day.
    fn taken(
        &mut self,
        index: LabelIndex,
        share: &Share,
        observed: Option<Observed>,
        now: Now,
    ) -> Taken {
        let client = share.client.clone();
        let pool = self.labels.get(index.0).and_then(|label| label.pool);
        let mut taken = Taken {
            client,
            pool,
            day: None,
            left: None,
            answered: false,
            settled: false,
            observed,
            counted: None,
        };
        let upstream = self.upstream.clone();
        if let Some((_, Some(pool))) = self.parts(index) {
            taken.day = Some(pool.take(&taken.client, now.wall));
            if let Some(percent) = pool.alarm() {
                let (id, left) = (pool.spec().id.clone(), pool.remaining());
                tracing::warn!(%upstream, pool = %id, percent, left, "{percent} % of the day's pool is spent");
            }
            if pool.is_due() {
                self.due.notify_one();
            }
        }
        taken
    }

    /// A request is on its way.
    pub(super) fn left(&mut self, index: LabelIndex, taken: &mut Taken, now: Instant) {
        if taken.left.is_none()
            && let Some((label, _)) = self.parts(index)
        {
            if taken.observed.is_none() {
                label.windows.iter_mut().for_each(|guard| guard.left(now));
            }
            taken.left = Some(now);
        }
    }

    /// The head of a request's answer is here.
    pub(super) fn answered(&mut self, index: LabelIndex, taken: &mut Taken, now: Instant) {
        self.left(index, taken, now);
        taken.answered = true;
        if let (Some((label, _)), Some(left), None) =
            (self.parts(index), taken.left, taken.observed)
        {
            label.answered(left, now);
        }
        self.wake(index, taken.pool);
    }

    /// A request that has left comes to its end, with an answer or without.
    pub(super) fn ended(&mut self, index: LabelIndex, taken: &mut Taken, now: Instant) {
        if let (Some((label, _)), Some(left), None, false) =
            (self.parts(index), taken.left, taken.observed, taken.answered)
        {
            label.windows.iter_mut().for_each(|guard| guard.lost(left, now));
        }
        self.settle(index, taken);
    }

    /// What became of a request is known, or never will be. Those who wait for that are woken.
    pub(super) fn settle(&mut self, index: LabelIndex, taken: &mut Taken) {
        let Some(day) = taken.day.filter(|_| !taken.settled) else { return };
        if let Some((_, Some(pool))) = self.parts_of(index, taken) {
            pool.settle(day);
            taken.settled = true;
        }
        self.wake(index, taken.pool);
    }

    /// Gives a token back in every window.
    pub(super) fn give_back(&mut self, index: LabelIndex, taken: &Taken) {
        let Some((label, pool)) = self.parts_of(index, taken) else { return };
        match taken.counted {
            Some(at) => label.windows.iter_mut().for_each(|guard| guard.uncount(at)),
            None if taken.observed.is_none() => label.give_back(taken.left),
            None => {}
        }
        if let (Some(pool), Some(day)) = (pool, taken.day) {
            pool.give_back(day, &taken.client);
            if pool.is_due() {
                self.due.notify_one();
            }
        }
        self.wake(index, taken.pool);
    }

    /// Something may have become free for those who wait here, or for the label's pool.
    pub(super) fn wake_all_of_pool(&self, index: LabelIndex) {
        self.wake(index, self.labels.get(index.0).and_then(|label| label.pool));
    }

    /// Something may have become free for those who wait here, or for that pool.
    pub(super) fn wake(&self, index: LabelIndex, pool: Option<usize>) {
        let labels = self.labels.iter().enumerate();
        let concerned = labels.filter(|(at, label)| {
            !label.queue.is_empty() && (*at == index.0 || (pool.is_some() && pool == label.pool))
        });
        concerned.for_each(|(_, label)| label.changed.notify_one());
    }

    /// Refuses everybody who waits, and everybody who would.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        for label in &mut self.labels {
            label.queue = FairQueue::default();
        }
    }

    /// Whether a label holds anybody back.
    pub(super) fn mode(&self, index: LabelIndex) -> Mode {
        self.labels.get(index.0).map_or(Mode::Enforce, |label| label.spec.mode)
    }
}

impl Taken {
    pub(super) fn pool(&self) -> Option<usize> {
        self.pool
    }

    pub(super) fn day(&self) -> Option<DayToken> {
        self.day
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.is_some()
    }

    /// When the request left; now, if it has not.
    pub(super) fn left_by(&self, now: Instant) -> Instant {
        self.left.unwrap_or(now)
    }
}
