//! A token on its way with a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::label::Label;
use super::state::Taken;
use super::{LabelIndex, Observed, Reason, Refused, Shared};
use crate::policy::day::Heeded;
use crate::policy::feedback::{Day, Oddity, Throttle, Word};

/// A token in a request's care. Dropped before the request has left, it is given back.
#[derive(Debug)]
pub struct Permit {
    departure: Departure,
    fate: Fate,
}

/// What becomes of a token with its permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    GivenBack,
    Spent,
}

/// What the limiter made of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// For how long the client had better wait, after a 429.
    pub wait: Option<Duration>,
    /// The upstream refuses no more: the label or the day is open again.
    pub reopened: bool,
}

/// No upstream's word closes a second's or minute's window for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A day that is said to be over although much of it is left is asked for again after so long.
const DOUBTFUL: Duration = Duration::from_secs(60);
/// What may be left when the day is over: counters lag.
const NEXT_TO_NOTHING: u32 = 16;

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, label: LabelIndex, taken: Taken) -> Self {
        let taken = Arc::new(Mutex::new(taken));
        Self { departure: Departure { shared, label, taken }, fate: Fate::GivenBack }
    }

    /// What would have become of the request, if its label held anybody back.
    pub fn observed(&self) -> Option<Observed> {
        self.departure.taken.lock().observed
    }

    /// The request is on its way: from when it leaves the token is spent, whatever happens.
    pub fn spend(&mut self) -> Departure {
        self.fate = Fate::Spent;
        self.departure.clone()
    }

    /// The request may have reached the upstream.
    pub fn sent(&self) {
        self.departure.now();
    }

    /// Whether the request has left.
    pub fn has_left(&self) -> bool {
        self.fate == Fate::Spent && self.departure.has_left()
    }

    /// The request did not reach the upstream after all.
    pub fn never_sent(mut self) {
        self.fate = Fate::GivenBack;
    }

    /// The answer's head is here.
    pub fn answered(&self) {
        let Departure { shared, label, taken } = &self.departure;
        let now = shared.clock.now();
        shared.state.lock().answered(*label, &mut taken.lock(), now);
    }

    /// The day that the token was taken from, to read the upstream's word with.
    pub fn day(&self) -> Option<Day> {
        let Departure { shared, label, taken } = &self.departure;
        let mut state = shared.state.lock();
        let (label, pool) = state.parts_of(*label, &taken.lock())?;
        let pool = pool?;
        Some(Day {
            per_day: pool.spec().per_day.get(),
            ends: pool.ends(),
            windows: label.windows.iter().map(|guard| guard.spec().limit.get()).collect(),
        })
    }

    /// What the upstream says, after [`Permit::answered`]; `throttle` if it is a 429.
    pub fn heard(&self, word: &mut Word, throttle: Option<Throttle>) -> Heard {
        let Departure { shared, label, taken } = &self.departure;
        let now = shared.now();
        let mut state = shared.state.lock();
        let taken = {
            let mut taken = taken.lock();
            // Not before its word is heard: whoever waits for it is judged by both.
            state.settle(*label, &mut taken);
            taken.clone()
        };
        let left = taken.left_by(now.mono);
        let mut heard = Heard::default();
        let id = state.labels.get(label.0).map(|label| label.spec.id.clone());
        let Some((of, mut pool)) = state.parts_of(*label, &taken) else { return heard };
        if let (Some(pool), Some(token)) = (pool.as_deref_mut(), taken.day()) {
            if throttle.is_none() {
                heard.reopened |= pool.passed(token);
            }
            if let (Some(remaining), Some(id)) = (word.remaining, id)
                && pool.heard(token, &id, remaining, now.wall) != Heeded::Taken
            {
                word.odd.push(Oddity::Contradictory);
            }
        }
        let said = word.retry_at.and_then(|at| at.duration_since(now.wall).ok());
        match (throttle, pool) {
            (Some(Throttle::Day), Some(pool)) => {
                pool.roll(now.wall);
                let doubtful = word.remaining.is_some_and(|left| left > NEXT_TO_NOTHING);
                if doubtful {
                    word.odd.push(Oddity::Contradictory);
                }
                let until = if doubtful { Some(now.wall + DOUBTFUL) } else { word.retry_at };
                pool.close(until, now.wall);
                let opens = pool.closed_until().unwrap_or(now.wall);
                heard.wait = opens.duration_since(now.wall).ok();
            }
            // A day of which we know nothing is a window that is longer than ours.
            (Some(Throttle::Rate | Throttle::Day), _) => {
                // Its window is not quite ours: let it pass once, whatever it says, but not longer
                // than a minute.
                let per = of.shortest();
                let pause = said.unwrap_or_default().max(per).min(LONGEST_PAUSE.max(per));
                of.pace.throttled(left, now.mono + pause, per, now.mono);
                heard.wait = Some(pause);
            }
            // Whatever else is wrong with it, the label's rate was no objection.
            (Some(Throttle::Concurrency | Throttle::Resource), _) => {
                heard.wait = said;
                heard.reopened |= of.pace.passed(left, now.mono);
            }
            (None, _) => heard.reopened |= of.pace.passed(left, now.mono),
        }
        turn_away_late(of, now.mono);
        if throttle == Some(Throttle::Day) {
            state.due.notify_one();
        }
        state.wake(*label, taken.pool());
        heard
    }
}

/// Tells those at once who cannot be served in time any more since the label is closed.
fn turn_away_late(label: &mut Label, now: Instant) {
    let Some(opens) = label.pace.closed(now) else { return };
    for waiter in label.queue.remove_where(|waiter| waiter.until < opens) {
        let retry_after = opens - waiter.until;
        let refused = Refused { reason: Reason::UpstreamClosed, retry_after };
        // Whoever has hung up need not be told.
        drop(waiter.grant.send(Err(refused)));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Departure { shared, label, taken } = &self.departure;
        if self.has_left() {
            let now = shared.clock.now();
            shared.state.lock().ended(*label, &mut taken.lock(), now);
        } else {
            // A copy, because the state is locked before a token, never after.
            let taken = taken.lock().clone();
            shared.give_back(*label, &taken);
        }
    }
}

/// Tells the limiter when a request really leaves. Clones are the same request.
#[derive(Clone, Debug)]
pub struct Departure {
    shared: Arc<Shared>,
    label: LabelIndex,
    taken: Arc<Mutex<Taken>>,
}

impl Departure {
    /// There is a connection, and the request goes out on it. Only the first call counts.
    pub fn now(&self) {
        let now = self.shared.clock.now();
        self.shared.state.lock().left(self.label, &mut self.taken.lock(), now);
    }

    /// Whether it has been called.
    pub fn has_left(&self) -> bool {
        self.taken.lock().has_left()
    }
}
