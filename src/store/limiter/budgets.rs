//! Every upstream's budget, for as long as the process lives: a reload finds them here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::keeper::keep;
use super::{Limiter, Shared};
use crate::clock::Clock;
use crate::policy::day::{DayLedger, Record};
use crate::policy::endpoint::UpstreamId;
use crate::policy::quota::{LabelSpec, PoolId, PoolSpec};
use crate::store::ledger::{LastRun, Ledger, LedgerError};

/// All budgets. One that is not configured any more is kept: it may come back, and what it has
/// spent is spent. So there are as many as upstreams were ever configured.
#[derive(Debug)]
pub struct Budgets {
    clock: Clock,
    ledger: Option<Arc<Ledger>>,
    /// Until when a process before this one may have sent something.
    sent_before: Option<Instant>,
    limiters: Mutex<BTreeMap<UpstreamId, Limiter>>,
}

/// What an upstream's configuration asks for.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'s> {
    /// Its name.
    pub upstream: &'s UpstreamId,
    /// Its labels.
    pub labels: &'s [LabelSpec],
    /// Its pools.
    pub pools: &'s [PoolSpec],
}

impl Budgets {
    /// Untouched, kept in memory only.
    pub fn new(clock: Clock) -> Self {
        Self { clock, ledger: None, sent_before: None, limiters: Mutex::default() }
    }

    /// As they stand in a directory, in which they are kept from now on.
    pub fn kept(directory: &Path, clock: Clock) -> Result<Self, LedgerError> {
        let ledger = Ledger::open(directory)?;
        let (now, wall) = (clock.now(), clock.wall());
        let sent_before = match ledger.last_run() {
            LastRun::None => None,
            LastRun::Ended(at) => now.checked_sub(wall.duration_since(at).unwrap_or_default()),
            LastRun::Crashed => {
                tracing::warn!(
                    "the last run did not end by itself: every window is taken for full"
                );
                Some(now)
            }
        };
        Ok(Self { ledger: Some(Arc::new(ledger)), sent_before, ..Self::new(clock) })
    }

    /// Reads what the pools that are not known yet have spent. Changes nobody's budget, so that a
    /// configuration may still be refused afterwards.
    pub fn prepare<'s>(
        &self,
        needs: impl IntoIterator<Item = Needs<'s>>,
    ) -> Result<(), LedgerError> {
        let mut limiters = self.limiters.lock();
        for Needs { upstream, pools, .. } in needs {
            let limiter = limiters.entry(upstream.clone());
            let limiter = limiter.or_insert_with(|| self.limiter(upstream));
            if let Some(ledger) = &self.ledger {
                prepare(&limiter.shared, ledger, upstream, pools)?;
            }
        }
        Ok(())
    }

    fn limiter(&self, upstream: &UpstreamId) -> Limiter {
        let limiter = Limiter::empty(upstream.clone(), self.clock.clone(), self.ledger.clone());
        limiter.shared.state.lock().sent_before = self.sent_before;
        if let Some(ledger) = &limiter.shared.ledger {
            let shared = Arc::clone(&limiter.shared);
            tokio::spawn(keep(shared, Arc::clone(ledger), limiter.stopped.clone()));
        }
        limiter
    }

    /// Makes an upstream's budget what its configuration says; [`Budgets::prepare`] comes first.
    pub fn adopt(&self, needs: Needs<'_>) -> Limiter {
        let mut limiters = self.limiters.lock();
        let limiter = limiters.entry(needs.upstream.clone());
        let limiter = limiter.or_insert_with(|| self.limiter(needs.upstream)).clone();
        limiter.adopt(needs.labels, needs.pools);
        limiter
    }

    /// Refuses everybody who waits for a token, and everybody who would.
    pub fn drain(&self) {
        self.limiters.lock().values().for_each(Limiter::drain);
    }

    /// Writes down exactly what was spent. Nothing is spent afterwards. Blocks.
    pub fn close(&self) {
        self.drain();
        let Some(ledger) = &self.ledger else { return };
        for (upstream, limiter) in &*self.limiters.lock() {
            // The state is not locked while the disk is waited for: a write may be under way.
            for (id, record) in last_records(&limiter.shared) {
                if let Err(error) = ledger.write(upstream, &id, &record) {
                    tracing::error!(%upstream, pool = %id, %error,
                        "cannot write what was spent today to server.state_dir");
                }
            }
        }
        if let Err(error) = ledger.ended(self.clock.wall()) {
            tracing::error!(%error, "cannot write to server.state_dir that this run has ended");
        }
    }
}

fn last_records(shared: &Shared) -> Vec<(PoolId, Record)> {
    let now = shared.now();
    let mut state = shared.state.lock();
    state.closed = true;
    let record = |pool: &mut DayLedger| {
        pool.roll(now.wall);
        (pool.spec().id.clone(), pool.last_record())
    };
    state.pools.iter_mut().map(record).collect()
}

fn prepare(
    shared: &Shared,
    ledger: &Ledger,
    upstream: &UpstreamId,
    pools: &[PoolSpec],
) -> Result<(), LedgerError> {
    let now = shared.now();
    for spec in pools {
        if shared.state.lock().pools.iter().any(|pool| pool.spec().id == spec.id) {
            continue;
        }
        let record = ledger.read(upstream, &spec.id)?;
        let pool = DayLedger::kept(spec, record.as_ref(), now.wall);
        tracing::info!(%upstream, pool = %spec.id, spent = pool.spent(), "the day so far");
        shared.state.lock().pools.push(pool);
    }
    Ok(())
}
