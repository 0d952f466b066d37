//! One sliding window: never more than its figure, and never much less.
//!
//! # The arithmetic
//!
//! A token bucket of capacity B and rate R lets B + R through in one window, so capacity and rate
//! alone cannot be exact, full, and let a whole figure leave at once after a rest. Three parts do
//! that together:
//!
//! - **The guard** (here) remembers when the requests of the last window arrived. Request n leaves
//!   when request n - figure arrived a whole window and a [`TICK`] ago. That is exact by
//!   construction, whatever the pattern, and it is full: nothing else holds a request back, so
//!   under saturation the figure goes through in every window.
//! - **The bucket** (`store`, metered by governor) bounds how many leave at once after a rest, for
//!   a label whose `burst` is below its figure.
//! - **The queue's pace** (the same meter) lets those who have to wait leave one after the other, a
//!   quarter faster than the figure, while several clients do: so a client with few requests under
//!   way finds its turn again and again, and not once in every window.
//!
//! # When a request arrives
//!
//! What the upstream counts is arrivals, and we only know that a request arrived after it left and
//! before its answer came. The later end of that is always safe, and costs the figure as much as
//! answers take. So the first window's answers are taken for the arrivals; from then on an answer
//! is believed to take a base time, and its request to be late by what it took longer. The base
//! begins as the fastest of the first window, and is moved such that what answers take beyond it
//! is [`DOUBT`] on average: an upstream whose own time varies costs no more than that. It moves
//! over several windows, so that a moment in which everything is late does not pass for usual; and
//! when a whole window of answers was faster it follows at once.
//!
//! To that comes [`JITTER`], also for a request under way: the margin for what the network does and
//! no answer tells. Where answers come within it they are the arrivals, and the guard is certain. What this machine is late itself,
//! because others keep it busy, is measured by the caller and added to the margin; as long as it
//! is, nothing is learned about the upstream. One whose answer is overdue may be arriving at every
//! moment anew, for a second window at most.
//!
//! The price is at most one hundredth of the figure in the long run, and once, when the upstream's
//! time is not known yet, as much time as its answers take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::quota::WindowSpec;

/// How much longer than its name a window is kept: clocks tick, and some upstreams count both ends.
pub const TICK: Duration = Duration::from_millis(1);

/// How much later than others a request may arrive without its answer telling.
pub const JITTER: Duration = Duration::from_millis(5);

/// What not knowing the arrival may cost on average: a hundredth of the window.
pub const DOUBT: u32 = 100;

/// How late a machine may be that is not busy.
const QUIET: Duration = Duration::from_millis(3);

/// Guards one sliding window; see the module.
#[derive(Clone, Debug)]
pub struct WindowGuard {
    spec: WindowSpec,
    /// When the answered requests of the last window arrived at the latest, in order.
    arrivals: VecDeque<Instant>,
    /// When those left whose answers are not here, in order.
    under_way: VecDeque<Instant>,
    /// Admitted, and still looking for a connection: each as if it left at every moment anew.
    pending: usize,
    usual: Usual,
}

/// What answers are believed to take when the request was not late.
#[derive(Clone, Debug, Default)]
struct Usual {
    base: Duration,
    /// The first window has been seen.
    known: bool,
    /// Of the answers since the last whole window of them: how many, the fastest, the slowest.
    answers: u32,
    fastest: Option<Duration>,
    slowest: Duration,
}

impl WindowGuard {
    /// A window in which nothing has happened.
    pub fn new(spec: WindowSpec) -> Self {
        let (arrivals, under_way) = (VecDeque::new(), VecDeque::new());
        Self { spec, arrivals, under_way, pending: 0, usual: Usual::default() }
    }

    /// A window that begins to be guarded beside another: it knows what the other one does.
    pub fn beside(other: &Self, spec: WindowSpec) -> Self {
        Self { spec, usual: Usual::default(), ..other.clone() }
    }

    /// Somebody before us may have sent a whole figure until then.
    pub fn full_until(&mut self, last: Instant) {
        self.arrivals = (0..self.spec.limit.get()).map(|_| last).collect();
    }

    /// The window.
    pub fn spec(&self) -> WindowSpec {
        self.spec
    }

    /// Another figure for the same length; what has left has left.
    pub fn change(&mut self, spec: WindowSpec) {
        self.spec = spec;
    }

    fn kept(&self) -> Duration {
        self.spec.per + TICK
    }

    /// When a request may leave that has `ahead` others before it, each leaving as soon as it may
    /// and its answer coming at once. `allowed` is the figure now in force, 1 or more.
    pub fn earliest(&self, allowed: usize, ahead: usize, now: Instant) -> Instant {
        let allowed = allowed.max(1);
        let rounds = u32::try_from(ahead / allowed).unwrap_or(u32::MAX);
        let (arrived, unknown) = self.held(now);
        let held = arrived.len() + unknown + self.pending;
        let first = (held + ahead % allowed).checked_sub(allowed).map_or(now, |index| {
            let kept = self.kept();
            arrived.nth(index).map_or(now + kept, |arrived| now.max(arrived + kept))
        });
        first + self.kept().saturating_mul(rounds)
    }

    /// What stands in the window: those who have arrived by an instant that is known, and how many
    /// may be arriving right now. An answer that is overdue says that its request may be late, but
    /// nobody is waited for longer than a second window: an upstream that hangs is not left alone.
    fn held(&self, now: Instant) -> (Merged<'_>, usize) {
        let late = self.usual.base + self.spec.per / DOUBT + JITTER;
        let gone = self.under_way.partition_point(|&left| left + self.kept() * 2 <= now);
        let overdue = self.under_way.partition_point(|&left| left + late < now).max(gone);
        let arrived = Merged { arrivals: &self.arrivals, left: &self.under_way, from: overdue };
        (arrived, overdue - gone)
    }

    /// Admits a request, if [`WindowGuard::earliest`] says that it may leave.
    pub fn take(&mut self, now: Instant) {
        self.drop_past(now);
        self.pending += 1;
    }

    /// Counts a request as arriving at an instant to come, without having admitted it.
    pub fn count(&mut self, at: Instant, now: Instant) {
        self.drop_past(now);
        insert(&mut self.arrivals, at);
    }

    /// One that was counted so will not leave.
    pub fn uncount(&mut self, at: Instant) {
        forget(&mut self.arrivals, at);
    }

    /// An admitted request is on its way.
    pub fn left(&mut self, now: Instant) {
        self.pending = self.pending.saturating_sub(1);
        insert(&mut self.under_way, now);
    }

    /// The answer's head to a request that left then is here. `lag` is how late this machine does
    /// things at present: so late a request may have been sent.
    pub fn answered(&mut self, left: Instant, lag: Duration, now: Instant) {
        let took = now.saturating_duration_since(left);
        let late = (self.usual.late(took, lag, self.spec) + lag).min(took);
        forget(&mut self.under_way, left);
        insert(&mut self.arrivals, left + late);
    }

    /// There will be no answer to a request that left then. It may have arrived until now.
    pub fn lost(&mut self, left: Instant, now: Instant) {
        forget(&mut self.under_way, left);
        if now < left + self.kept() * 2 {
            insert(&mut self.arrivals, now);
        }
    }

    /// An admitted request did not go after all; `left` is when it did, if it seemed to.
    pub fn give_back(&mut self, left: Option<Instant>) {
        match left {
            Some(at) => forget(&mut self.under_way, at),
            None => self.pending = self.pending.saturating_sub(1),
        }
    }

    /// How many of `allowed` may leave now.
    pub fn remaining(&self, allowed: usize, now: Instant) -> usize {
        let (arrived, unknown) = self.held(now);
        let past = arrived.until(now.checked_sub(self.kept()));
        allowed.saturating_sub(arrived.len() - past + unknown + self.pending)
    }

    fn drop_past(&mut self, now: Instant) {
        let kept = self.kept();
        while self.arrivals.front().is_some_and(|&arrived| arrived + kept <= now) {
            self.arrivals.pop_front();
        }
        while self.under_way.front().is_some_and(|&left| left + kept * 2 <= now) {
            self.under_way.pop_front();
        }
    }
}

fn insert(instants: &mut VecDeque<Instant>, at: Instant) {
    let index = instants.partition_point(|&other| other <= at);
    instants.insert(index, at);
}

fn forget(instants: &mut VecDeque<Instant>, at: Instant) {
    let index = instants.partition_point(|&other| other < at);
    if instants.get(index) == Some(&at) {
        instants.remove(index);
    }
}

/// Two lists in order, read as one: arrivals, and those under way as if they arrive within the
/// margin.
struct Merged<'g> {
    arrivals: &'g VecDeque<Instant>,
    left: &'g VecDeque<Instant>,
    /// Of those under way the first that counts.
    from: usize,
}

impl Merged<'_> {
    fn len(&self) -> usize {
        self.arrivals.len() + self.left.len() - self.from
    }

    fn left(&self, index: usize) -> Option<Instant> {
        self.left.get(self.from + index).map(|&left| left + JITTER)
    }

    /// The one at an index, by halving how many of the first `index` are arrivals.
    fn nth(&self, index: usize) -> Option<Instant> {
        let under_way = self.left.len() - self.from;
        let mut low = index.saturating_sub(under_way);
        let mut high = index.min(self.arrivals.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            // Too few arrivals among the first, if the next of them comes before the last of the
            // others.
            let next = self.arrivals.get(middle).copied();
            let last = (index - middle).checked_sub(1).and_then(|last| self.left(last));
            if next < last { low = middle + 1 } else { high = middle }
        }
        let arrived = self.arrivals.get(low).copied();
        match (arrived, self.left(index - low)) {
            (Some(arrived), Some(left)) => Some(arrived.min(left)),
            (arrived, left) => arrived.or(left),
        }
    }

    /// How many come until an instant.
    fn until(&self, at: Option<Instant>) -> usize {
        let Some(at) = at else { return 0 };
        let arrived = self.arrivals.partition_point(|&arrived| arrived <= at);
        let left = self.left.partition_point(|&left| left + JITTER <= at);
        arrived + left.saturating_sub(self.from)
    }
}

impl Usual {
    /// How late a request is taken to have arrived whose answer took so long.
    fn late(&mut self, took: Duration, lag: Duration, spec: WindowSpec) -> Duration {
        let (limit, doubt) = (spec.limit.get(), spec.per / DOUBT);
        let mut late = took;
        if self.known {
            late = (took.saturating_sub(self.base) + JITTER).min(took);
            // By no more than the margin in a window: those who are late together are all late.
            let memory = limit.saturating_mul(8).max(64);
            self.base = if late > doubt {
                // From a machine that is late itself nothing is to be learned about the upstream.
                let step = if lag > QUIET { Duration::ZERO } else { (late - doubt).min(doubt * 4) };
                self.base + step / memory
            } else {
                self.base.saturating_sub((doubt - late) / memory)
            };
        }
        self.answers += 1;
        self.fastest = Some(self.fastest.map_or(took, |fastest| fastest.min(took)));
        self.slowest = self.slowest.max(took);
        if self.answers >= limit {
            let fastest = self.fastest.unwrap_or_default();
            let base = if self.known { self.base.min(self.slowest) } else { fastest };
            *self = Self { base, known: true, ..Self::default() };
        }
        late
    }
}

#[cfg(test)]
mod tests;
