//! Spending: an upstream's labels and pools, and the queues in front of them.
//!
//! One lock guards everything an upstream's budget consists of, so that a token is taken in every
//! window of its label (bucket, sliding windows, day pool) or in none. Nothing is awaited under
//! it. A task a label wakes when the next token comes and hands it to whoever is next.
//!
//! `governor` meters the bucket: how many may leave at once after a rest, and how fast it refills.
//! A bucket alone lets capacity + rate through in one window; `policy::quota::WindowGuard` closes
//! that gap.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;
use crate::policy::fair_queue::{FairQueue, Rank, Share};
use crate::policy::feedback::Throttle;
use crate::policy::quota::{LabelId, LabelSpec, PoolSpec};

mod bucket;
mod permit;
mod state;

pub use permit::{Departure, Permit};

use state::{Now, State, Taken};

/// Which label of an upstream: its position in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelIndex(usize);

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The second's or minute's figure is used up for longer than the request can wait.
    Rate,
    /// The day's pool is used up.
    Day,
    /// The upstream has closed the label.
    UpstreamClosed,
    /// Too many wait already.
    QueueFull,
    /// The request's own time ran out while it waited.
    Deadline,
    /// The gateway is stopping.
    Draining,
}

impl Reason {
    /// As a metric label, problem type and error code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate-second",
            Self::Day => "quota-day",
            Self::UpstreamClosed => "upstream-closed",
            Self::QueueFull => "queue-full",
            Self::Deadline => "deadline",
            Self::Draining => "draining",
        }
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// A request that comes after so long finds a token, if nobody else takes it.
    pub retry_after: Duration,
}

/// What is left, for headers, metrics and the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The shortest window of the label: limit, length, what is left.
    pub window: Option<(u32, Duration, usize)>,
    /// Every window of the label: limit, length, what is left.
    pub windows: Vec<(u32, Duration, usize)>,
    /// The day's pool: name, figure, what is left, time until it begins anew.
    pub pool: Option<(String, u32, u32, Duration)>,
    /// How many wait.
    pub queued: usize,
}

/// One upstream's budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Limiter {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    changed: Vec<Notify>,
}

impl Limiter {
    /// An upstream's labels and pools, all untouched. Spawns one task a label.
    pub fn new(labels: &[LabelSpec], pools: &[PoolSpec], clock: Clock) -> Self {
        let now = Now { mono: clock.now(), wall: clock.wall() };
        let state = State::new(labels, pools, now);
        let changed = labels.iter().map(|_| Notify::new()).collect();
        let shared = Arc::new(Shared { clock, state: Mutex::new(state), changed });
        let stop = CancellationToken::new();
        for index in 0..labels.len() {
            let pump = pump(Arc::clone(&shared), LabelIndex(index), stop.clone());
            tokio::spawn(pump);
        }
        Self { shared, _stop: Arc::new(stop.drop_guard()) }
    }

    /// Finds a label by name.
    pub fn label(&self, id: &LabelId) -> Option<LabelIndex> {
        let state = self.shared.state.lock();
        state.labels.iter().position(|label| label.spec.id == *id).map(LabelIndex)
    }

    /// Takes one token in every window of the label, now or when it comes, if that is before the
    /// deadline and within the label's `max_wait`; else refuses at once.
    ///
    /// Cancel-safe: a future that is dropped leaves the queue and costs nothing.
    pub async fn acquire(
        &self,
        label: LabelIndex,
        share: Share,
        deadline: Instant,
    ) -> Result<Permit, Refused> {
        let (rank, grant, until) = match self.shared.ask(label, share, deadline) {
            Asked::Taken(taken) => return Ok(self.permit(label, taken)),
            Asked::Refused(refused) => return Err(refused),
            Asked::Queued { rank, grant, until } => (rank, grant, until),
        };
        let mut place = Place { shared: &self.shared, label, rank: Some(rank), grant };
        let timer = self.shared.clock.timer(until);
        match tokio::time::timeout_at(timer, &mut place.grant).await {
            Ok(Ok(taken)) => {
                place.rank = None;
                Ok(self.permit(label, taken))
            }
            Ok(Err(_queue_cleared)) => {
                Err(Refused { reason: Reason::Draining, retry_after: Duration::from_secs(1) })
            }
            Err(_elapsed) => Err(self.shared.refusal(label)),
        }
    }

    /// The upstream has refused a request of this label: hold the label or its pool back. Says for
    /// how long the client had better wait.
    pub fn throttled(
        &self,
        label: LabelIndex,
        throttle: Throttle,
        until: Option<SystemTime>,
    ) -> Option<Duration> {
        let now = self.shared.now();
        let said = until.and_then(|at| at.duration_since(now.wall).ok());
        let mut state = self.shared.state.lock();
        let State { labels, pools, .. } = &mut *state;
        let found = labels.get_mut(label.0)?;
        match throttle {
            Throttle::Rate => {
                // Its window is not quite ours: let it pass once, whatever it says, but not longer
                // than a minute.
                let shortest = found.spec.windows.iter().map(|w| w.per).min().unwrap_or_default();
                let pause = said.unwrap_or_default().max(shortest).min(Duration::from_secs(60));
                let until = now.mono + pause;
                found.closed_until = Some(found.closed_until.map_or(until, |old| old.max(until)));
                Some(pause)
            }
            Throttle::Day => {
                let pool = found.pool.and_then(|index| pools.get_mut(index))?;
                pool.roll(now.wall);
                pool.close(until, now.wall);
                pool.opens().duration_since(now.wall).ok()
            }
            Throttle::Resource => said,
        }
    }

    /// What is left of a label's budget.
    pub fn budget(&self, label: LabelIndex) -> Budget {
        let now = self.shared.now();
        let mut state = self.shared.state.lock();
        let State { labels, pools, .. } = &mut *state;
        let Some(label) = labels.get(label.0) else {
            return Budget { window: None, windows: Vec::new(), pool: None, queued: 0 };
        };
        let windows: Vec<_> = label
            .spec
            .windows
            .iter()
            .zip(&label.windows)
            .map(|(spec, guard)| (spec.limit.get(), spec.per, guard.remaining(now.mono)))
            .collect();
        let pool = label.pool.and_then(|index| pools.get_mut(index)).map(|pool| {
            pool.roll(now.wall);
            let left = pool.ends().duration_since(now.wall).unwrap_or_default();
            let name = label.spec.pool.as_ref().map(ToString::to_string).unwrap_or_default();
            (name, pool.per_day(), pool.remaining(), left)
        });
        let window = windows.iter().copied().min_by_key(|&(_, per, _)| per);
        Budget { window, windows, pool, queued: label.queue.len() }
    }

    /// Refuses everybody who waits, and everybody who would.
    pub fn drain(&self) {
        let mut state = self.shared.state.lock();
        state.draining = true;
        for label in &mut state.labels {
            label.queue = FairQueue::default();
        }
    }

    fn permit(&self, label: LabelIndex, taken: Taken) -> Permit {
        Permit::new(Arc::clone(&self.shared), label, taken)
    }
}

enum Asked {
    Taken(Taken),
    Refused(Refused),
    Queued { rank: Rank, grant: oneshot::Receiver<Taken>, until: Instant },
}

impl Shared {
    fn now(&self) -> Now {
        Now { mono: self.clock.now(), wall: self.clock.wall() }
    }

    fn ask(&self, index: LabelIndex, share: Share, deadline: Instant) -> Asked {
        let now = self.now();
        let mut state = self.state.lock();
        if state.draining {
            let retry_after = Duration::from_secs(1);
            return Asked::Refused(Refused { reason: Reason::Draining, retry_after });
        }
        if state.labels.get(index.0).is_some_and(|label| label.queue.is_empty())
            && let Some(taken) = state.take(index, now)
        {
            return Asked::Taken(taken);
        }
        let Some(label) = state.labels.get(index.0) else {
            let retry_after = Duration::MAX;
            return Asked::Refused(Refused { reason: Reason::Rate, retry_after });
        };
        let until = deadline.min(now.mono + label.spec.max_wait);
        let ahead = label.queue.ahead_of(label.queue.rank(share));
        let (reason, comes_at) = state.earliest(index, ahead, now);
        let full = label.queue.len() >= label.spec.max_queue;
        if full || comes_at > until {
            let last = label.queue.len();
            let (_, free_at) = state.earliest(index, last, now);
            let reason = if full && comes_at <= until { Reason::QueueFull } else { reason };
            let retry_after = free_at.saturating_duration_since(now.mono);
            return Asked::Refused(Refused { reason, retry_after });
        }
        let (sender, grant) = oneshot::channel();
        let Some(label) = state.labels.get_mut(index.0) else {
            return Asked::Refused(Refused { reason, retry_after: Duration::MAX });
        };
        let rank = label.queue.push(share, sender);
        drop(state);
        self.wake(index);
        Asked::Queued { rank, grant, until }
    }

    /// What to tell a request whose own time ran out in the queue.
    fn refusal(&self, index: LabelIndex) -> Refused {
        let now = self.now();
        let state = self.state.lock();
        let queued = state.labels.get(index.0).map_or(0, |label| label.queue.len());
        let (reason, free_at) = state.earliest(index, queued, now);
        let reason = if reason == Reason::Rate { Reason::Deadline } else { reason };
        Refused { reason, retry_after: free_at.saturating_duration_since(now.mono) }
    }

    fn give_back(&self, index: LabelIndex, taken: &Taken) {
        let waiting = self.state.lock().give_back(index, taken);
        for label in waiting {
            self.wake(label);
        }
    }

    fn wake(&self, index: LabelIndex) {
        if let Some(changed) = self.changed.get(index.0) {
            changed.notify_one();
        }
    }

    /// Hands out what may leave now; says when the next may.
    fn serve(&self, index: LabelIndex) -> Option<Instant> {
        let now = self.now();
        let mut state = self.state.lock();
        loop {
            if state.labels.get(index.0)?.queue.is_empty() {
                return None;
            }
            let Some(taken) = state.take(index, now) else {
                // The estimate and the bucket are two pieces of arithmetic: where they disagree, it
                // shall cost a millisecond and not a core.
                let next = state.earliest(index, 0, now).1;
                return Some(next.max(now.mono + Duration::from_millis(1)));
            };
            let waiter = state.labels.get_mut(index.0)?.queue.pop();
            if let Some(Err(taken)) = waiter.map(|waiter| waiter.send(taken)) {
                // Hung up between leaving the queue and being served: the next gets it.
                drop(state);
                self.give_back(index, &taken);
                state = self.state.lock();
            }
        }
    }
}

/// A place in the queue that is given up with the future that holds it.
struct Place<'l> {
    shared: &'l Shared,
    label: LabelIndex,
    rank: Option<Rank>,
    grant: oneshot::Receiver<Taken>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(rank) = self.rank else { return };
        if let Some(label) = self.shared.state.lock().labels.get_mut(self.label.0) {
            label.queue.remove(rank);
        }
        // A token may have been handed over in the same moment.
        self.grant.close();
        if let Ok(taken) = self.grant.try_recv() {
            self.shared.give_back(self.label, &taken);
        }
    }
}

async fn pump(shared: Arc<Shared>, label: LabelIndex, stop: CancellationToken) {
    let Some(changed) = shared.changed.get(label.0) else { return };
    loop {
        let next = shared.serve(label);
        let tick = async {
            match next {
                Some(at) => tokio::time::sleep_until(shared.clock.timer(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            () = tick => {}
        }
    }
}

#[cfg(test)]
mod tests;
