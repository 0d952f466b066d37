//! Asking for a token, waiting for it, and the task that hands tokens out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::label::{Door, Waiter};
use super::state::{Held, Now, State, Taken};
use super::{LabelIndex, Reason, Refused, Shared};
use crate::policy::fair_queue::Ticket;
use crate::policy::quota::Mode;
use crate::policy::share::Share;

/// Told to those who are refused because the gateway stops, or because nothing is known.
pub(super) const A_MOMENT: Duration = Duration::from_secs(1);
/// How much longer than its time somebody waits for the last word of the queue.
pub(super) const GRACE: Duration = Duration::from_millis(10);
/// However short a label's `max_wait` is, a block of the ledger may be waited for.
const LEDGER_PATIENCE: Duration = Duration::from_secs(1);

pub(super) enum Asked {
    Taken(Taken),
    Refused(Refused),
    Queued(Ticket, oneshot::Receiver<Result<Taken, Refused>>, Instant),
}

impl Shared {
    pub(super) fn now(&self) -> Now {
        Now { mono: self.clock.now(), wall: self.clock.wall() }
    }

    pub(super) fn ask(&self, index: LabelIndex, share: &Share, deadline: Instant) -> Asked {
        let now = self.now();
        let mut state = self.state.lock();
        if state.draining {
            return Asked::Refused(Refused { reason: Reason::Draining, retry_after: A_MOMENT });
        }
        if state.mode(index) == Mode::Observe {
            let taken = state.observe(index, share, deadline, now);
            return taken.map_or(Asked::Refused(unknown()), Asked::Taken);
        }
        let Some((label, _)) = state.parts(index) else { return Asked::Refused(unknown()) };
        let held = if label.queue.is_empty() {
            match state.take(index, share, Door::Open, now) {
                Ok(taken) => return Asked::Taken(taken),
                Err(held) => Err(held),
            }
        } else {
            let ahead = label.queue.ahead(share).strict;
            state.day_admits(index, share, ahead, now)
        };
        let mut patience = Duration::ZERO;
        match held {
            Err(Held::Refused(refused)) => return Asked::Refused(refused),
            Err(Held::Soon) => patience = LEDGER_PATIENCE,
            Err(Held::Until(..)) | Ok(()) => {}
        }
        let Some((label, _)) = state.parts(index) else { return Asked::Refused(unknown()) };
        let until = deadline.min(now.mono + label.spec.max_wait);
        let (reason, at) = label.joins_at(share, now.mono);
        if at > until {
            return Asked::Refused(Refused { reason, retry_after: at - until });
        }
        if label.queue.len() >= label.spec.max_queue {
            let (_, next) = label.free_at(label.queue_door(None), now.mono);
            let retry_after = next.saturating_duration_since(now.mono);
            let full = Refused { reason: Reason::QueueFull, retry_after };
            let Some(last) = label.queue.displaced_by(share) else { return Asked::Refused(full) };
            turn_away(&mut state, index, &last, full);
        }
        let Some((label, _)) = state.parts(index) else { return Asked::Refused(unknown()) };
        let (grant, granted) = oneshot::channel();
        let waiter = Waiter { share: share.clone(), until, grant };
        let ticket = label.queue.push(share, waiter, now.mono);
        label.changed.notify_one();
        Asked::Queued(ticket, granted, until.max(deadline.min(now.mono + patience)))
    }

    /// What to tell a request whose own time ran out in the queue.
    pub(super) fn too_late(&self, index: LabelIndex, share: &Share) -> Refused {
        let now = self.now();
        let mut state = self.state.lock();
        let Some((label, _)) = state.parts(index) else { return unknown() };
        let (reason, at) = label.joins_at(share, now.mono);
        let reason = if reason == Reason::Rate { Reason::Deadline } else { reason };
        let retry_after = at.saturating_duration_since(now.mono + label.spec.max_wait);
        Refused { reason, retry_after: retry_after.max(A_MOMENT) }
    }

    pub(super) fn give_back(&self, index: LabelIndex, taken: &Taken) {
        self.state.lock().give_back(index, taken);
    }

    /// Hands out what may leave now, which was `due` at an instant; says when the next may.
    fn serve(&self, index: LabelIndex, due: Option<Instant>) -> Option<Instant> {
        let now = self.now();
        let mut state = self.state.lock();
        if let (Some(due), Some((label, _))) = (due, state.parts(index)) {
            label.was_due(due, now.mono);
        }
        let mut aged = state.parts(index).and_then(|(l, _)| now.mono.checked_sub(l.ageing()));
        loop {
            let (label, _) = state.parts(index)?;
            let ticket = label.queue.next(aged)?;
            let waiter = label.queue.get(&ticket)?;
            let (share, until) = (waiter.share.clone(), waiter.until);
            let door = label.queue_door(None);
            match state.take(index, &share, door, now) {
                Ok(taken) => hand_over(&mut state, index, &ticket, taken),
                // Whoever it is about is told now, and holds up nobody behind.
                Err(Held::Refused(refused)) => turn_away(&mut state, index, &ticket, refused),
                Err(Held::Until(reason, at)) if at > until => {
                    let refused = Refused { reason, retry_after: at - until };
                    turn_away(&mut state, index, &ticket, refused);
                }
                Err(Held::Until(_, at)) => return Some(at),
                // The rest of the day may be kept from the lower class only.
                Err(Held::Soon) if aged.is_some() => aged = None,
                // The ledger and every answer wake the queue; this is for the case that none comes.
                Err(Held::Soon) => return Some(now.mono + A_MOMENT),
            }
        }
    }
}

fn unknown() -> Refused {
    Refused { reason: Reason::Rate, retry_after: A_MOMENT }
}

fn hand_over(state: &mut State, index: LabelIndex, ticket: &Ticket, taken: Taken) {
    let waiter = state.parts(index).and_then(|(label, _)| label.queue.serve(ticket));
    let refused = match waiter {
        Some(waiter) => waiter.grant.send(Ok(taken)),
        None => Err(Ok(taken)),
    };
    if let Err(Ok(taken)) = refused {
        // Hung up between leaving the queue and being served: the next gets it.
        state.give_back(index, &taken);
    }
}

fn turn_away(state: &mut State, index: LabelIndex, ticket: &Ticket, refused: Refused) {
    let waiter = state.parts(index).and_then(|(label, _)| label.queue.remove(ticket));
    if let Some(waiter) = waiter {
        // Whoever has hung up need not be told.
        drop(waiter.grant.send(Err(refused)));
    }
}

/// A place in the queue that is given up with the future that holds it.
pub(super) struct Place<'l> {
    pub(super) shared: &'l Shared,
    pub(super) label: LabelIndex,
    pub(super) ticket: Option<Ticket>,
    pub(super) granted: oneshot::Receiver<Result<Taken, Refused>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(ticket) = &self.ticket else { return };
        if let Some((label, _)) = self.shared.state.lock().parts(self.label) {
            label.queue.remove(ticket);
            // Whoever is next may not have to wait any longer.
            label.changed.notify_one();
        }
        // A token may have been handed over in the same moment.
        self.granted.close();
        if let Ok(Ok(taken)) = self.granted.try_recv() {
            self.shared.give_back(self.label, &taken);
        }
    }
}

/// Serves one label's queue.
pub(super) async fn pump(shared: Arc<Shared>, index: LabelIndex, stop: CancellationToken) {
    let changed = shared.state.lock().labels.get(index.0).map(|label| Arc::clone(&label.changed));
    let Some(changed) = changed else { return };
    let mut due = None;
    loop {
        let next = shared.serve(index, due);
        let tick = async {
            match next {
                Some(at) => tokio::time::sleep_until(shared.clock.timer(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => due = None,
            () = tick => due = next,
        }
    }
}
