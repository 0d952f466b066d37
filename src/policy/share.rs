//! Who spends, and how much of a budget that comes to in numbers.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint::{Priority, Weight};
use super::id::id;
use super::quota::{LabelSpec, PoolSpec};

/// The name of a client. Safe to log; a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(Arc<str>);
id!(ClientId);

/// A part of a whole, in tenths of a percent: 0 % to 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Percent {
    /// Everything.
    pub const WHOLE: Self = Self(1000);

    /// So many tenths of a percent; none if that is more than the whole.
    pub fn from_tenths(tenths: u16) -> Option<Self> {
        (tenths <= Self::WHOLE.0).then_some(Self(tenths))
    }

    /// In tenths of a percent.
    pub fn tenths(self) -> u16 {
        self.0
    }

    /// That part of a whole, rounded down.
    pub fn of(self, whole: u32) -> u32 {
        let part = u64::from(whole) * u64::from(self.0) / u64::from(Self::WHOLE.0);
        u32::try_from(part).unwrap_or(whole)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, tenth) => write!(f, "{whole}.{tenth}%"),
        }
    }
}

/// Who asks for a token, and what it is entitled to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which client.
    pub client: ClientId,
    /// Its part of a contended second, relative to the others of its priority.
    pub weight: Weight,
    /// Its place among those who wait.
    pub priority: Priority,
    /// The most it may spend of a day's pool.
    pub daily: Option<Percent>,
}

/// What a caller without a key is called.
pub const ANONYMOUS: &str = "anonymous";

impl Share {
    /// Everybody's, where no clients are configured.
    pub fn anonymous() -> Self {
        let (client, weight) = (ClientId::new(ANONYMOUS), Weight::MIN);
        Self { client, weight, priority: Priority::Normal, daily: None }
    }
}

/// The last part of a day's pool, which is kept for those who matter most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// Kept for high priority.
    pub high: Percent,
    /// Kept for normal priority, before that.
    pub normal: Percent,
}

impl Reserve {
    /// What is kept from clients of a priority, of a day's figure.
    pub fn kept_from(self, priority: Priority, per_day: u32) -> u32 {
        match priority {
            Priority::High => 0,
            Priority::Normal => self.high.of(per_day),
            Priority::Low => self.high.of(per_day).saturating_add(self.normal.of(per_day)),
        }
    }
}

impl PoolSpec {
    /// The most that a client may spend in a day: its own share, and nothing of what is kept from
    /// its priority.
    pub fn most_for(&self, share: &Share) -> u32 {
        let per_day = self.per_day.get();
        let open = per_day.saturating_sub(self.reserve.kept_from(share.priority, per_day));
        share.daily.map_or(open, |daily| daily.of(per_day).min(open))
    }
}

/// What a client gets of a label if all of its priority want more than there is.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveShare {
    /// Who, and by what right.
    pub share: Share,
    /// Its part of each window that the label's priority class shares: requests, in how long.
    pub windows: Vec<(f64, Duration)>,
    /// The most it may spend in a day.
    pub per_day: Option<u32>,
}

/// The shares of all clients in a label, in their order.
pub fn effective(
    label: &LabelSpec,
    pool: Option<&PoolSpec>,
    clients: &[Share],
) -> Vec<EffectiveShare> {
    let together = |priority: Priority| {
        let equals = clients.iter().filter(|client| client.priority == priority);
        as_f64(equals.map(|client| u64::from(client.weight.get())).sum())
    };
    // Once for everybody: there may be many clients.
    let [high, normal, low] = [Priority::High, Priority::Normal, Priority::Low].map(together);
    let of = |share: &Share| {
        let all = match share.priority {
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Low => low,
        };
        let part = |limit: NonZeroU32| f64::from(limit.get()) * f64::from(share.weight.get()) / all;
        EffectiveShare {
            share: share.clone(),
            windows: label.windows.iter().map(|w| (part(w.limit), w.per)).collect(),
            per_day: pool.map(|pool| pool.most_for(share)),
        }
    };
    clients.iter().map(of).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a sum of weights, shown to people")]
fn as_f64(sum: u64) -> f64 {
    sum as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::quota::{LabelId, Mode, PoolId, WindowSpec};

    fn percent(tenths: u16) -> Percent {
        Percent::from_tenths(tenths).unwrap()
    }

    fn share(client: &str, weight: u32, priority: Priority, daily: Option<u16>) -> Share {
        let weight = Weight::new(weight).unwrap();
        Share { client: ClientId::new(client), weight, priority, daily: daily.map(percent) }
    }

    #[test]
    fn percents_are_parts() {
        assert_eq!((percent(200).of(30_000), percent(1).of(999)), (6_000, 0));
        assert_eq!(Percent::WHOLE.of(u32::MAX), u32::MAX);
        assert_eq!(Percent::from_tenths(1001), None);
        assert_eq!(
            (percent(200).to_string(), percent(25).to_string()),
            ("20%".into(), "2.5%".into())
        );
    }

    #[test]
    fn shares_come_to_numbers() {
        let limit = |n| NonZeroU32::new(n).unwrap();
        let pool = PoolSpec {
            id: PoolId::new("daily"),
            per_day: limit(30_000),
            resets_at: Duration::ZERO,
            reserve: Reserve { high: percent(200), normal: percent(100) },
        };
        let label = LabelSpec {
            id: LabelId::new("heavy"),
            windows: vec![WindowSpec { limit: limit(40), per: Duration::from_secs(1) }],
            burst: limit(40),
            pool: Some(pool.id.clone()),
            max_wait: Duration::ZERO,
            max_queue: 1,
            mode: Mode::Enforce,
        };
        let clients = [
            share("a", 3, Priority::Normal, None),
            share("b", 1, Priority::Normal, Some(500)),
            share("c", 7, Priority::High, None),
            share("d", 1, Priority::Low, Some(900)),
        ];
        let shares = effective(&label, Some(&pool), &clients);
        let numbers: Vec<_> = shares.iter().map(|s| (s.windows[0].0, s.per_day)).collect();
        assert_eq!(
            numbers,
            [
                (30.0, Some(24_000)),
                (10.0, Some(15_000)),
                (40.0, Some(30_000)),
                (40.0, Some(21_000))
            ]
        );
        assert_eq!(effective(&label, None, &clients)[0].per_day, None);
    }
}
