//! governor's arithmetic with one thing more: a token can be given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};

/// A meter's one number (its theoretical arrival time), which governor's own store hides. Clones
/// are the same number. Lock-free.
#[derive(Clone, Debug, Default)]
pub struct Arrival(Arc<AtomicU64>);

impl Arrival {
    /// In nanoseconds since the meter's epoch.
    pub(super) fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, nanos: u64) {
        self.0.store(nanos, Ordering::Relaxed);
    }

    /// Gives a token back to a meter that has one every `period`.
    pub fn give_back(&self, period: Duration) {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let lower = |nanos: u64| Some(nanos.saturating_sub(period));
        // Never fails: there is always a lower number.
        let _same = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower);
    }
}

impl StateStore for Arrival {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut seen = self.nanos();
        loop {
            let (answer, next) = f(Some(Nanos::from(seen)).filter(|n| n.as_u64() > 0))?;
            let (wrote, any) = (Ordering::AcqRel, Ordering::Relaxed);
            match self.0.compare_exchange_weak(seen, next.as_u64(), wrote, any) {
                Ok(_) => return Ok(answer),
                Err(other) => seen = other,
            }
        }
    }
}
