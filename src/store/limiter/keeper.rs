//! Writes an upstream's days down, ahead of what is spent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::policy::day::{Keeping, Record};
use crate::policy::quota::PoolId;
use crate::store::ledger::Ledger;

/// A disk that has refused is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Runs until stopped. One write at a time an upstream, and none on a thread that serves.
pub(super) async fn keep(shared: Arc<Shared>, ledger: Arc<Ledger>, stop: CancellationToken) {
    let due = Arc::clone(&shared.state.lock().due);
    let mut failing = BTreeSet::new();
    let mut again = tokio::time::interval(TRY_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut from, mut retry, mut progress) = (0, false, false);
    loop {
        // One after the other, so that none that fails, or is due all the time, holds up another.
        while let Some((at, pool, record)) = next(&shared, from, retry) {
            from = at + 1;
            let (to, upstream) = (Arc::clone(&ledger), shared.state.lock().upstream.clone());
            let (of, written) = (pool.clone(), record.clone());
            let of_all = Arc::clone(&shared);
            let write = move || {
                // Whoever stops has the last word.
                let closed = || of_all.state.lock().closed;
                to.write_unless(closed, &upstream, &of, &written).map_err(|e| e.to_string())
            };
            let outcome = on_a_thread_of_its_own(write).await;
            if outcome.is_err() && failing.is_empty() {
                again.reset();
            }
            tell(&shared, &pool, &outcome, &mut failing);
            settle(&shared, &pool, &record, outcome.is_ok());
            progress |= outcome.is_ok();
        }
        (from, retry) = (0, false);
        if std::mem::take(&mut progress) {
            // Something may be due again meanwhile.
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = due.notified() => {}
            _ = again.tick(), if !failing.is_empty() => retry = true,
        }
    }
}

/// The shared threads may all be busy with something that hangs (names that are looked up, say), and
/// the day's budget does not wait for that. One write at a time an upstream.
async fn on_a_thread_of_its_own(
    write: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    let (done, outcome) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || {
        // Whoever asked may have gone.
        drop(done.send(write()));
    });
    match thread {
        Ok(_detached) => outcome.await.unwrap_or_else(|lost| Err(lost.to_string())),
        Err(error) => Err(error.to_string()),
    }
}

/// The first pool from there on that is due; with `retry`, also one that the disk has refused.
fn next(shared: &Shared, from: usize, retry: bool) -> Option<(usize, PoolId, Record)> {
    let now = shared.now();
    let mut state = shared.state.lock();
    if state.closed {
        return None;
    }
    state.pools.iter_mut().enumerate().skip(from).find_map(|(at, pool)| {
        pool.roll(now.wall);
        let due = pool.is_due() || (retry && pool.keeping() == Keeping::Failing);
        let record = due.then(|| pool.to_write())??;
        Some((at, pool.spec().id.clone(), record))
    })
}

/// Says once when the disk begins to refuse, and once when it takes again.
fn tell(
    shared: &Shared,
    pool: &PoolId,
    outcome: &Result<(), String>,
    failing: &mut BTreeSet<PoolId>,
) {
    let upstream = shared.state.lock().upstream.clone();
    match outcome {
        Err(why) if failing.insert(pool.clone()) => tracing::error!(%upstream, %pool, why,
            "cannot write what is spent today to server.state_dir: spending goes on, and a crash \
             would forget some of it"),
        Ok(()) if failing.remove(pool) => {
            tracing::info!(%upstream, %pool, "what is spent today is written again");
        }
        _ => {}
    }
}

fn settle(shared: &Shared, id: &PoolId, record: &Record, written: bool) {
    let mut state = shared.state.lock();
    let Some(at) = state.pools.iter().position(|pool| pool.spec().id == *id) else { return };
    if let Some(pool) = state.pools.get_mut(at) {
        if written { pool.written(record) } else { pool.failed() }
    }
    let waits = state.labels.iter().filter(|label| label.pool == Some(at));
    waits.for_each(|label| label.changed.notify_one());
}
