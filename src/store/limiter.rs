//! Spending: an upstream's labels and pools, and the queues in front of them.
//!
//! One lock guards everything an upstream's budget consists of, so that a token is taken in every
//! window of its label (meter, sliding windows, day pool, client's share) or in none. Nothing is
//! awaited under it. A task a label wakes when the next token comes and hands it to whoever is
//! next; a task an upstream writes the days down.
//!
//! The arithmetic is in `policy`: `window`, `pace`, `day`, `fair_queue`. `governor` meters how many
//! may leave at once after a rest, and how fast the queue is served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;
use crate::policy::endpoint::UpstreamId;
use crate::policy::quota::{LabelId, LabelSpec, PoolSpec};
use crate::policy::share::Share;
use crate::store::ledger::Ledger;

mod bucket;
mod budgets;
mod keeper;
mod label;
mod permit;
mod queue;
mod state;
mod status;

pub use budgets::{Budgets, Needs};
pub use permit::{Departure, Heard, Permit};
pub use status::{Budget, LabelStatus, PoolBudget, WindowBudget};

use queue::{Asked, Place, pump};
use state::State;

/// Which label of an upstream. The same for as long as the limiter lives, whatever is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelIndex(usize);

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The second's or minute's figure is used up for longer than the request can wait.
    Rate,
    /// The day's pool is used up.
    Day,
    /// The client has had its share.
    ClientShare,
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
            Self::ClientShare => "client-share",
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
    /// The same request is not refused after so long, if nobody else comes in between.
    pub retry_after: Duration,
}

/// What would have become of a request whose label only observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It would have waited.
    Waits,
    /// It would have been refused.
    Refused(Reason),
}

impl Observed {
    /// As a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waits => "wait",
            Self::Refused(reason) => reason.as_str(),
        }
    }
}

/// One upstream's budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Limiter {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
    stopped: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    ledger: Option<Arc<Ledger>>,
}

impl Limiter {
    /// An upstream's labels and pools, all untouched, kept in memory only. Needs a tokio runtime:
    /// every label has a task.
    pub fn new(
        upstream: UpstreamId,
        labels: &[LabelSpec],
        pools: &[PoolSpec],
        clock: Clock,
    ) -> Self {
        let limiter = Self::empty(upstream, clock, None);
        limiter.adopt(labels, pools);
        limiter
    }

    fn empty(upstream: UpstreamId, clock: Clock, ledger: Option<Arc<Ledger>>) -> Self {
        let state = Mutex::new(State::new(upstream));
        let stopped = CancellationToken::new();
        let stop = Arc::new(stopped.clone().drop_guard());
        Self { shared: Arc::new(Shared { clock, state, ledger }), _stop: stop, stopped }
    }

    /// Makes labels and pools what a configuration says. What is known by the same name keeps its
    /// budget: nothing is refilled, nothing forgotten, and what has left counts against the new
    /// figures.
    fn adopt(&self, labels: &[LabelSpec], pools: &[PoolSpec]) {
        let new = self.shared.state.lock().adopt(labels, pools, self.shared.now());
        for index in new {
            tokio::spawn(pump(Arc::clone(&self.shared), index, self.stopped.clone()));
        }
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
        share: &Share,
        deadline: Instant,
    ) -> Result<Permit, Refused> {
        let (ticket, granted, until) = match self.shared.ask(label, share, deadline) {
            Asked::Taken(taken) => return Ok(self.permit(label, taken)),
            Asked::Refused(refused) => return Err(refused),
            Asked::Queued(ticket, granted, until) => (ticket, granted, until),
        };
        let mut place = Place { shared: &self.shared, label, ticket: Some(ticket), granted };
        // The queue is served by its own timer: where both ring at once, it goes first.
        let timer = self.shared.clock.timer(until + queue::GRACE);
        let granted = tokio::time::timeout_at(timer, &mut place.granted).await;
        match granted {
            Ok(Ok(answer)) => {
                place.ticket = None;
                answer.map(|taken| self.permit(label, taken))
            }
            Ok(Err(_queue_cleared)) => {
                Err(Refused { reason: Reason::Draining, retry_after: queue::A_MOMENT })
            }
            Err(_elapsed) => Err(self.shared.too_late(label, share)),
        }
    }

    /// Forgets what the upstream has said about a label and its pool: closed, slowed down, used up
    /// by others. What we have spent ourselves stays spent.
    pub fn reopen(&self, label: LabelIndex) {
        let now = self.shared.now();
        let mut state = self.shared.state.lock();
        if let Some((label, pool)) = state.parts(label) {
            label.pace.reopen(now.mono);
            if let Some(pool) = pool {
                pool.reopen();
            }
        }
        state.due.notify_one();
        state.wake_all_of_pool(label);
    }

    /// Refuses everybody who waits, and everybody who would.
    pub fn drain(&self) {
        self.shared.state.lock().drain();
    }

    fn permit(&self, label: LabelIndex, taken: state::Taken) -> Permit {
        Permit::new(Arc::clone(&self.shared), label, taken)
    }
}

#[cfg(test)]
mod tests;
