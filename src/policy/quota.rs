//! What may be spent: labels, their windows, and the pools they share. The arithmetic is in
//! [`window`](super::window), [`day`](super::day) and [`pace`](super::pace).

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::id::id;
use super::share::Reserve;

/// The name of a rate-limit class of an upstream ("heavy").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelId(Arc<str>);

/// The name of a window that several labels share ("daily").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(Arc<str>);
id!(LabelId, PoolId);

/// A rate-limit class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSpec {
    /// Its name.
    pub id: LabelId,
    /// So many in any sliding second and/or minute; at most one window of each length.
    pub windows: Vec<WindowSpec>,
    /// How many may leave at once after a rest; at most the shortest window's limit.
    pub burst: NonZeroU32,
    /// The pool it also spends from.
    pub pool: Option<PoolId>,
    /// Longest a request waits for a token.
    pub max_wait: Duration,
    /// Most requests that wait at a time.
    pub max_queue: usize,
    /// Whether it holds anybody back.
    pub mode: Mode,
}

/// Whether a label holds anybody back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It lets everything through, and counts what it would have done.
    Observe,
}

/// So many in any sliding interval of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// How many.
    pub limit: NonZeroU32,
    /// In how long: a second or a minute.
    pub per: Duration,
}

/// A daily budget that several labels share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Its name.
    pub id: PoolId,
    /// How many a day.
    pub per_day: NonZeroU32,
    /// When the day begins, as time since 00:00 UTC.
    pub resets_at: Duration,
    /// The last part of the day, which is kept for priority.
    pub reserve: Reserve,
}
