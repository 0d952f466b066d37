//! A token bucket: governor's arithmetic on our clock, with refunds and figures that change.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::NotKeyed;
use governor::{Quota, RateLimiter};

use crate::store::meter::Arrival;

type Meter = RateLimiter<NotKeyed, Arrival, Manual, NoOpMiddleware<Duration>>;

/// How many may leave at once after a rest, and how fast that comes back.
#[derive(Debug)]
pub(super) struct Bucket {
    meter: Option<Meter>,
    time: Manual,
    epoch: Instant,
    period: Duration,
    burst: u32,
    /// The meter's own.
    arrival: Arrival,
}

impl Bucket {
    /// One token every `period`, up to `burst`. A period of zero meters nothing.
    pub(super) fn new(period: Duration, burst: NonZeroU32, epoch: Instant) -> Self {
        let (time, arrival) = (Manual::default(), Arrival::default());
        let meter = meter(period, burst, &arrival, &time);
        Self { meter, time, epoch, period, burst: burst.get(), arrival }
    }

    /// Other figures; so many tokens as have been taken are taken.
    pub(super) fn change(&mut self, period: Duration, burst: NonZeroU32, now: Instant) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let now = nanos(now.saturating_duration_since(self.epoch));
        let taken = u128::from(self.arrival.nanos().saturating_sub(now));
        let scaled = taken * period.as_nanos() / self.period.as_nanos().max(1);
        self.arrival.set(now.saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX)));
        self.meter = meter(period, burst, &self.arrival, &self.time);
        (self.period, self.burst) = (period, burst.get());
    }

    /// The time between two tokens.
    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self, now: Instant) -> Option<()> {
        self.time.set(now.saturating_duration_since(self.epoch));
        self.meter.as_ref().map_or(Some(()), |meter| meter.check().ok())
    }

    /// Puts a token back.
    pub(super) fn give_back(&self) {
        self.arrival.give_back(self.period);
    }

    /// When a token comes for a request with `ahead` others before it.
    pub(super) fn earliest(&self, ahead: usize, now: Instant) -> Instant {
        if self.meter.is_none() {
            return now;
        }
        let tolerance = self.period * (self.burst - 1);
        let arrival = self.epoch + Duration::from_nanos(self.arrival.nanos());
        let ahead = self.period.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
        let due = arrival.max(now) + ahead;
        due.checked_sub(tolerance).map_or(now, |due| due.max(now))
    }
}

fn meter(period: Duration, burst: NonZeroU32, arrival: &Arrival, time: &Manual) -> Option<Meter> {
    // The meter counts from what its clock reads now: from the epoch, as every other one.
    time.set(Duration::ZERO);
    let quota = Quota::with_period(period)?.allow_burst(burst);
    Some(RateLimiter::new(quota, arrival.clone(), time.clone()))
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
