//! What a scenario's file says. A field that nobody knows is an error, so that a misspelt one does
//! not quietly do nothing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

/// One file of `tests/scenarios`; its name is the file's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    #[serde(skip)]
    pub(super) name: String,
    /// What it shows, in a sentence or two.
    pub(super) shows: String,
    /// How many runs, each with its own luck.
    pub(super) seeds: u64,
    /// What the wall clock reads at first.
    pub(super) starts: Instant,
    pub(super) lasts: Span,
    /// Answers before that are nobody's: a burst at the start goes to whoever is first.
    #[serde(default)]
    pub(super) warm_up: Span,
    pub(super) budget: Budget,
    pub(super) upstream: Upstream,
    #[serde(default)]
    pub(super) others: Vec<Other>,
    pub(super) client: Vec<Asker>,
    /// By what is measured; see `tally`.
    pub(super) expect: BTreeMap<String, Range>,
}

/// Our own figures.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Budget {
    pub(super) per_second: u32,
    pub(super) per_day: u32,
    pub(super) max_wait: Span,
    pub(super) max_queue: usize,
    /// Kept for those of high priority, in percent of the day.
    #[serde(default)]
    pub(super) reserve_high: u16,
    /// Kept for those of normal priority, before that.
    #[serde(default)]
    pub(super) reserve_normal: u16,
}

/// How the upstream behaves, and the way to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    pub(super) per_second: u32,
    pub(super) per_day: u32,
    /// What it works on an answer, and up to how much longer by chance.
    pub(super) work: Span,
    #[serde(default)]
    pub(super) work_jitter: Span,
    /// One way, and up to how much longer by chance, each way for itself.
    pub(super) network: Span,
    #[serde(default)]
    pub(super) jitter_there: Span,
    #[serde(default)]
    pub(super) jitter_back: Span,
    pub(super) headers: Headers,
    /// The number that is always the same.
    #[serde(default)]
    pub(super) constant: i64,
    /// How far its clock is behind ours.
    #[serde(default)]
    pub(super) clock_behind: Span,
    /// The part of requests that need a new connection, and how long that takes.
    #[serde(default)]
    pub(super) new_connections: f64,
    #[serde(default)]
    pub(super) connect: Span,
    /// The part of new connections that do not come about.
    #[serde(default)]
    pub(super) failed_connects: f64,
    /// The part of requests that it counts and never answers.
    #[serde(default)]
    pub(super) lost_answers: f64,
}

/// What it says of the day in its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Headers {
    Honest,
    Missing,
    /// Nothing left, from 12:00 for an hour; else honest.
    ZeroAtNoon,
    /// Always the same number.
    Constant,
    /// Always less than nothing.
    Negative,
    /// Numbers beyond all measure, and things that are none.
    Absurd,
    /// Anything from nothing to the whole day.
    Random,
}

/// Another application of the same account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Other {
    /// What it asks for in the mean: by the second, or as a part of the day.
    #[serde(default)]
    pub(super) per_second: f64,
    #[serde(default)]
    pub(super) day_share: f64,
    /// All at once, so often; none = steadily.
    #[serde(default)]
    pub(super) bursts_every: Span,
}

/// A client of ours.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asker {
    pub(super) name: String,
    #[serde(default = "one")]
    pub(super) weight: u32,
    #[serde(default)]
    pub(super) priority: Priority,
    /// The most it may spend, in percent of the day.
    pub(super) daily_share: Option<u16>,
    /// So many requests by chance, however the earlier ones fare; or else:
    #[serde(default)]
    pub(super) per_second: f64,
    /// So many at a time, each asking again after it was answered and has thought.
    #[serde(default)]
    pub(super) at_a_time: u32,
    #[serde(default)]
    pub(super) thinks: Span,
    /// How long one that was refused waits before it asks again, in the mean.
    #[serde(default = "a_second")]
    pub(super) backs_off: Span,
    /// From which hour of the day (UTC) to which it asks.
    #[serde(default = "always")]
    pub(super) hours: (u64, u64),
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// Both ends belong to it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
}

impl Range {
    pub(super) fn holds(self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

/// "90s", "2ms", "24h".
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Duration);

impl TryFrom<String> for Span {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_duration(&text).map(Self)
    }
}

/// "2024-10-04T12:00:00Z".
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Instant(pub(super) SystemTime);

impl TryFrom<String> for Instant {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_rfc3339(&text).map(Self)
    }
}

fn one() -> u32 {
    1
}

fn a_second() -> Span {
    Span(Duration::from_secs(1))
}

fn always() -> (u64, u64) {
    (0, 24)
}
