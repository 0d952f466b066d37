use std::num::NonZeroU32;
use std::time::SystemTime;

use super::*;
use crate::policy::endpoint::{Priority, Weight};
use crate::policy::feedback::{Throttle, Word};
use crate::policy::quota::{Mode, PoolId, WindowSpec};
use crate::policy::share::{ClientId, Percent, Reserve};
use crate::policy::window::TICK;

mod exact;
mod fair;
mod feedback;
mod ledger;
mod observe;
mod reload;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const NS: Duration = Duration::from_nanos(1);

fn figure(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn heavy(per_second: u32) -> LabelSpec {
    LabelSpec {
        id: LabelId::new("heavy"),
        windows: vec![WindowSpec { limit: figure(per_second), per: SECOND }],
        burst: figure(per_second),
        pool: Some(PoolId::new("daily")),
        max_wait: 5 * SECOND,
        max_queue: 100,
        mode: Mode::Enforce,
    }
}

fn daily(per_day: u32) -> PoolSpec {
    let (id, per_day) = (PoolId::new("daily"), figure(per_day));
    PoolSpec { id, per_day, resets_at: Duration::ZERO, reserve: Reserve::default() }
}

fn clock() -> Clock {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 20_000 + 43_200);
    Clock::starting_at(noon)
}

fn limiter(label: LabelSpec, per_day: u32) -> (Limiter, Clock, LabelIndex) {
    let clock = clock();
    let id = label.id.clone();
    let pools = [daily(per_day)];
    let limiter = Limiter::new(UpstreamId::new("zoom"), &[label], &pools, clock.clone());
    let label = limiter.label(&id).unwrap();
    (limiter, clock, label)
}

fn share(client: &str) -> Share {
    let (client, weight) = (ClientId::new(client), Weight::MIN);
    Share { client, weight, priority: Priority::Normal, daily: None }
}

/// Leaves, and is answered at once.
async fn spend_as(
    limiter: &Limiter,
    label: LabelIndex,
    share: &Share,
    deadline: Instant,
) -> Result<(), Refused> {
    limiter.acquire(label, share, deadline).await.map(|mut permit| {
        permit.spend().now();
        permit.answered();
    })
}

async fn spend(limiter: &Limiter, label: LabelIndex, deadline: Instant) -> Result<(), Refused> {
    spend_as(limiter, label, &share("console"), deadline).await
}

/// Leaves, and is answered so.
async fn told(
    limiter: &Limiter,
    label: LabelIndex,
    deadline: Instant,
    word: Word,
    throttle: Option<Throttle>,
) -> Result<Heard, Refused> {
    limiter.acquire(label, &share("console"), deadline).await.map(|mut permit| {
        permit.spend().now();
        permit.answered();
        permit.heard(&mut word.clone(), throttle)
    })
}

fn left(limiter: &Limiter, label: LabelIndex) -> (usize, u32) {
    let budget = limiter.budget(label);
    (budget.windows[0].remaining, budget.pool.unwrap().remaining)
}

/// Somebody who waits.
fn waits(
    limiter: &Limiter,
    label: LabelIndex,
    share: &Share,
    deadline: Instant,
) -> tokio::task::JoinHandle<Result<(), Refused>> {
    let (limiter, share) = (limiter.clone(), share.clone());
    tokio::spawn(async move { spend_as(&limiter, label, &share, deadline).await })
}

async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}
