//! What is left, for headers, metrics and the status page.

use std::time::{Duration, Instant};

use super::label::Label;
use super::state::Now;
use super::{LabelIndex, Limiter, Reason, Refused};
use crate::policy::day::{DayLedger, Denied, Keeping};
use crate::policy::quota::{Mode, PoolId};
use crate::policy::share::{ClientId, Share};

/// What is left of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowBudget {
    /// Its figure.
    pub limit: u32,
    /// Its length.
    pub per: Duration,
    /// What is left of it.
    pub remaining: usize,
}

/// What is left of a day's pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolBudget {
    /// Its name.
    pub id: PoolId,
    /// Its figure.
    pub limit: u32,
    /// What is left of it, by our own count or the upstream's; 0 while the upstream has closed it.
    pub remaining: u32,
    /// Until it begins anew.
    pub resets_in: Duration,
}

/// What is left of a label's budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Every window, the shortest first.
    pub windows: Vec<WindowBudget>,
    /// The day's pool.
    pub pool: Option<PoolBudget>,
    /// How many wait.
    pub queued: usize,
}

/// Everything there is to know about a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelStatus {
    /// What is left.
    pub budget: Budget,
    /// Whether it holds anybody back.
    pub mode: Mode,
    /// Who waits.
    pub queue: Vec<(ClientId, usize)>,
    /// The pace in thousandths of the figure; less after a 429.
    pub pace: u32,
    /// For how long nobody leaves, and why.
    pub closed: Option<(Duration, Reason)>,
    /// Open again after it was closed: one request at a time, until one is not refused.
    pub probing: bool,
    /// The pool's own affairs.
    pub day: Option<DayStatus>,
}

/// A pool's own affairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayStatus {
    /// What we have spent.
    pub spent: u32,
    /// What others have spent by the upstream's count.
    pub others: u32,
    /// What each client has spent.
    pub by_client: Vec<(ClientId, u32)>,
    /// 0, 50, 80 or 95 percent spent.
    pub alarm: u8,
    /// How well a restart will remember.
    pub keeping: Keeping,
}

impl Limiter {
    /// What is left of a label's budget.
    pub fn budget(&self, label: LabelIndex) -> Budget {
        let now = self.shared.now();
        let mut state = self.shared.state.lock();
        state.parts(label).map(|(label, pool)| budget(label, pool, now)).unwrap_or_default()
    }

    /// Whether the day would pay for so many more of a client's requests, if nobody else spends in
    /// between; else what the last of them would be told. Nothing is taken.
    pub fn day_pays(&self, label: LabelIndex, share: &Share, count: u32) -> Result<(), Refused> {
        let now = self.shared.now();
        let mut state = self.shared.state.lock();
        if state.mode(label) == Mode::Observe {
            return Ok(());
        }
        let Some((_, Some(pool))) = state.parts(label) else { return Ok(()) };
        let (reason, opens) = match pool.pays(share, count, now.wall) {
            Ok(()) | Err(Denied::Soon) => return Ok(()),
            Err(Denied::Spent(opens)) => (Reason::Day, opens),
            Err(Denied::Share(opens)) => (Reason::ClientShare, opens),
        };
        let retry_after = opens.duration_since(now.wall).unwrap_or_default();
        Err(Refused { reason, retry_after })
    }

    /// Everything there is to know about a label.
    pub fn status(&self, label: LabelIndex) -> Option<LabelStatus> {
        let now = self.shared.now();
        let mut state = self.shared.state.lock();
        let (label, mut pool) = state.parts(label)?;
        let budget = budget(label, pool.as_deref_mut(), now);
        let closed = label.pace.closed(now.mono);
        let closed = closed.map(|until| (until - now.mono, Reason::UpstreamClosed));
        let over = pool.as_deref().and_then(DayLedger::closed_until);
        let over = over.and_then(|until| until.duration_since(now.wall).ok());
        Some(LabelStatus {
            budget,
            mode: label.spec.mode,
            queue: label.queue.by_client().into_iter().collect(),
            pace: label.pace.thousandths(label.shortest(), now.mono),
            closed: over.map(|until| (until, Reason::Day)).or(closed),
            probing: label.pace.is_probing(now.mono),
            day: pool.map(|pool| day(pool)),
        })
    }
}

fn day(pool: &DayLedger) -> DayStatus {
    DayStatus {
        spent: pool.spent(),
        others: pool.others(),
        by_client: pool.by_client().iter().map(|(client, n)| (client.clone(), *n)).collect(),
        alarm: pool.alarm_reached(),
        keeping: pool.keeping(),
    }
}

fn budget(label: &Label, pool: Option<&mut DayLedger>, now: Now) -> Budget {
    let pool = pool.map(|pool| {
        pool.roll(now.wall);
        PoolBudget {
            id: pool.spec().id.clone(),
            limit: pool.spec().per_day.get(),
            remaining: if pool.closed_until().is_some() { 0 } else { pool.remaining() },
            resets_in: pool.ends().duration_since(now.wall).unwrap_or_default(),
        }
    });
    Budget { windows: windows(label, now.mono), pool, queued: label.queue.len() }
}

fn windows(label: &Label, now: Instant) -> Vec<WindowBudget> {
    let closed = label.pace.closed(now).is_some();
    let windows = label.windows.iter().enumerate().map(|(index, guard)| {
        let spec = guard.spec();
        let whole = usize::try_from(spec.limit.get()).unwrap_or(usize::MAX);
        let paced = || label.pace.allowed(spec.limit, spec.per, now);
        let allowed = if index == 0 { paced() } else { whole };
        let remaining = if closed { 0 } else { guard.remaining(allowed, now) };
        WindowBudget { limit: spec.limit.get(), per: spec.per, remaining }
    });
    windows.collect()
}
