//! A label's token bucket: governor's arithmetic on our clock, with refunds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::policy::quota::LabelSpec;

/// How many may leave at once after a rest, and how fast that comes back.
#[derive(Debug)]
pub(super) struct Bucket {
    limiter: Option<RateLimiter<NotKeyed, Cell, Manual, NoOpMiddleware<Duration>>>,
    time: Manual,
    epoch: Instant,
    period: Duration,
    burst: u32,
    /// Same cell as the limiter's.
    cell: Cell,
}

impl Bucket {
    pub(super) fn new(spec: &LabelSpec, epoch: Instant) -> Self {
        let window = spec.windows.iter().min_by_key(|window| window.per);
        let time = Manual::default();
        let cell = Cell::default();
        let period = window.map_or(Duration::ZERO, |window| window.per / window.limit.get());
        let limiter = Quota::with_period(period).map(|quota| {
            RateLimiter::new(quota.allow_burst(spec.burst), cell.clone(), time.clone())
        });
        Self { limiter, time, epoch, period, burst: spec.burst.get(), cell }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self, now: Instant) -> Option<()> {
        self.time.set(now.saturating_duration_since(self.epoch));
        self.limiter.as_ref().map_or(Some(()), |limiter| limiter.check().ok())
    }

    /// Puts a token back.
    pub(super) fn give_back(&self) {
        let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
        self.cell.lower(period);
    }

    /// When a token comes for a request with `ahead` others before it.
    pub(super) fn earliest(&self, ahead: usize, now: Instant) -> Instant {
        if self.limiter.is_none() {
            return now;
        }
        let tolerance = self.period * (self.burst - 1);
        let arrival = self.epoch + Duration::from_nanos(self.cell.value());
        let ahead = self.period * u32::try_from(ahead).unwrap_or(u32::MAX);
        let due = arrival.max(now) + ahead;
        due.checked_sub(tolerance).map_or(now, |due| due.max(now))
    }
}

/// Time as it was last set: the bucket is only asked under the limiter's lock, with `now` in hand.
#[derive(Clone, Debug, Default)]
struct Manual(std::sync::Arc<AtomicU64>);

impl Manual {
    fn set(&self, since_epoch: Duration) {
        let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl GovernorClock for Manual {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The bucket's one number (its theoretical arrival time), which governor's own store hides.
#[derive(Clone, Debug, Default)]
struct Cell(std::sync::Arc<AtomicU64>);

impl Cell {
    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn lower(&self, by: u64) {
        let lowered = self.value().saturating_sub(by);
        self.0.store(lowered, Ordering::Relaxed);
    }
}

impl StateStore for Cell {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, arrival) = f(Some(Nanos::from(self.value())).filter(|n| n.as_u64() > 0))?;
        self.0.store(arrival.as_u64(), Ordering::Relaxed);
        Ok(answer)
    }
}
