//! What arrived, what was admitted, and how close together.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::limits::{DailyPool, Figures};
use super::operations::Label;

/// Arrivals that one window remembers; beyond that the largest count stands still.
const MAX_TIMES: usize = 100_000;
/// Requests of which the head is kept.
const MAX_SEEN: usize = 200;
/// Larger heads are not kept.
const MAX_HEAD: usize = 16 * 1024;

/// How often one operation answered one status. Status 0 = no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCount {
    /// `operationId`; `oauthToken` and `unknown` besides.
    pub endpoint: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The label it spends from.
    pub label: Option<Label>,
    /// How often.
    pub count: u64,
}

/// What one label saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelCount {
    /// Which.
    pub label: Label,
    /// Its figure.
    pub limit: u32,
    /// How long its window is.
    pub window: Duration,
    /// Requests that asked for it, the unauthorized and refused ones included.
    pub arrived: u64,
    /// Requests that spent from it.
    pub admitted: u64,
    /// The most that arrived in any sliding window.
    pub largest_arrived: usize,
    /// The most that were admitted in any sliding window.
    pub largest_admitted: usize,
}

/// All counts since the start or the last reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Everything but the control surface.
    pub total: u64,
    /// By operation and status.
    pub requests: Vec<RequestCount>,
    /// By label, in the order of [`Label::ALL`].
    pub labels: Vec<LabelCount>,
    /// The daily pool.
    pub daily: Option<DailyPool>,
}

impl Counters {
    /// Requests to an operation, whatever the answer.
    pub fn requests_to(&self, endpoint: &str) -> u64 {
        self.sum(|request| request.endpoint == endpoint)
    }

    /// Requests that were answered with a status.
    pub fn with_status(&self, status: u16) -> u64 {
        self.sum(|request| request.status == status)
    }

    /// What one label saw.
    pub fn label(&self, label: Label) -> Option<LabelCount> {
        self.labels.iter().copied().find(|count| count.label == label)
    }

    /// As the control surface shows them.
    pub fn to_json(&self) -> Value {
        let requests = self.requests.iter().map(|request| {
            let label = request.label.map(Label::as_str);
            json!({ "endpoint": request.endpoint, "status": request.status, "label": label, "count": request.count })
        });
        let labels = self.labels.iter().map(|count| {
            json!({
                "label": count.label.as_str(),
                "limit": count.limit,
                "window_seconds": count.window.as_secs(),
                "arrived": count.arrived,
                "admitted": count.admitted,
                "largest_arrived": count.largest_arrived,
                "largest_admitted": count.largest_admitted,
            })
        });
        let daily =
            self.daily.map(|pool| json!({ "limit": pool.limit, "remaining": pool.remaining }));
        json!({
            "total": self.total,
            "requests": requests.collect::<Vec<_>>(),
            "labels": labels.collect::<Vec<_>>(),
            "daily": daily,
        })
    }

    fn sum(&self, which: impl Fn(&RequestCount) -> bool) -> u64 {
        self.requests.iter().filter(|request| which(request)).map(|request| request.count).sum()
    }
}

/// The head of a request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Path and query, undecoded.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
}

/// The largest count in any sliding window.
#[derive(Debug, Default)]
struct Peak {
    times: VecDeque<Instant>,
    largest: usize,
    total: u64,
}

impl Peak {
    fn note(&mut self, now: Instant, window: Duration) {
        while self
            .times
            .front()
            .is_some_and(|oldest| now.saturating_duration_since(*oldest) >= window)
        {
            self.times.pop_front();
        }
        if self.times.len() >= MAX_TIMES {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.largest = self.largest.max(self.times.len());
        self.total += 1;
    }
}

/// Where counting happens.
#[derive(Debug, Default)]
pub(super) struct Tally {
    requests: BTreeMap<(&'static str, u16, Option<Label>), u64>,
    arrived: [Peak; Label::ALL.len()],
    admitted: [Peak; Label::ALL.len()],
    seen: VecDeque<Seen>,
}

impl Tally {
    pub(super) fn saw(&mut self, seen: Seen) {
        let headers = seen.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        if seen.target.len() + headers.sum::<usize>() > MAX_HEAD {
            return;
        }
        if self.seen.len() >= MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(seen);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.iter().cloned().collect()
    }

    pub(super) fn arrived(&mut self, label: Label, now: Instant, figures: &Figures) {
        if let Some(peak) = self.arrived.get_mut(label as usize) {
            peak.note(now, figures.window(label).1);
        }
    }

    pub(super) fn admitted(&mut self, label: Label, now: Instant, figures: &Figures) {
        if let Some(peak) = self.admitted.get_mut(label as usize) {
            peak.note(now, figures.window(label).1);
        }
    }

    pub(super) fn answered(&mut self, endpoint: &'static str, label: Option<Label>, status: u16) {
        *self.requests.entry((endpoint, status, label)).or_default() += 1;
    }

    pub(super) fn read(&self, figures: &Figures, daily: Option<DailyPool>) -> Counters {
        let requests = self.requests.iter().map(|((endpoint, status, label), count)| {
            RequestCount { endpoint, status: *status, label: *label, count: *count }
        });
        let peaks = self.arrived.iter().zip(&self.admitted);
        let labels = Label::ALL.into_iter().zip(peaks).map(|(label, (arrived, admitted))| {
            let (limit, window) = figures.window(label);
            LabelCount {
                label,
                limit,
                window,
                arrived: arrived.total,
                admitted: admitted.total,
                largest_arrived: arrived.largest,
                largest_admitted: admitted.largest,
            }
        });
        Counters {
            total: self.requests.values().sum(),
            requests: requests.collect(),
            labels: labels.collect(),
            daily,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Plan;
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_largest_sliding_count_is_found_across_second_boundaries() {
        let figures = Plan::Pro.figures();
        let mut tally = Tally::default();
        let start = Clock::system().now();
        for ms in [0, 600, 700, 900, 1_500, 1_590, 1_601, 5_000] {
            tally.arrived(Label::Heavy, start + Duration::from_millis(ms), &figures);
        }
        tally.admitted(Label::Heavy, start, &figures);
        tally.answered("sessionUsers", Some(Label::Heavy), 200);
        tally.answered("sessionUsers", Some(Label::Heavy), 429);
        tally.answered("unknown", None, 404);
        let counters = tally.read(&figures, None);
        let heavy = counters.label(Label::Heavy).unwrap();
        // 600, 700, 900, 1500 and 1590 lie within one second; 1601 no longer with 600.
        assert_eq!((heavy.largest_arrived, heavy.arrived), (5, 8));
        assert_eq!((heavy.largest_admitted, heavy.admitted), (1, 1));
        assert_eq!(
            (counters.total, counters.requests_to("sessionUsers"), counters.with_status(429)),
            (3, 2, 1)
        );
        assert_eq!(counters.to_json()["labels"][2]["largest_arrived"], 5);
    }

    #[test]
    fn only_the_last_requests_are_kept() {
        let mut tally = Tally::default();
        for index in 0..MAX_SEEN + 3 {
            tally.saw(Seen {
                method: Method::GET,
                target: index.to_string(),
                headers: HeaderMap::new(),
            });
        }
        let target = "x".repeat(MAX_HEAD + 1);
        tally.saw(Seen { method: Method::GET, target, headers: HeaderMap::new() });
        let seen = tally.seen();
        assert_eq!((seen.len(), seen[0].target.as_str()), (MAX_SEEN, "3"));
    }
}
