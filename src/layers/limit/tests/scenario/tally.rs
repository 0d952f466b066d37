//! What is measured in a run, by the names that a scenario's `[expect]` uses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::upstream::Seen;
use crate::store::limiter::Reason;

pub(super) type Measured = BTreeMap<String, f64>;

/// What became of the clients' requests.
#[derive(Debug)]
pub(super) struct Tally {
    clients: Vec<OfClient>,
    refused: BTreeMap<&'static str, u32>,
    failed: u32,
    passed_on: u32,
    waits: Vec<Duration>,
    /// Of all clients together.
    outage: Outage,
    /// How far our count of what is left was from the upstream's.
    apart: u32,
    /// And how far at last.
    at_last_apart: u32,
    /// From when to when answers count as anybody's share.
    from: Instant,
    to: Instant,
}

#[derive(Clone, Debug, Default)]
struct OfClient {
    asked: u32,
    answered: u32,
    outage: Outage,
}

/// The longest time without a 200 while somebody asks and the upstream has something left.
#[derive(Clone, Debug, Default)]
struct Outage {
    /// The first that was asked in vain, and the last.
    since: Option<(Instant, Instant)>,
    longest: Duration,
}

/// Whoever does not ask for so long has gone home, and misses nothing.
const GONE: Duration = Duration::from_secs(600);

impl Outage {
    fn asked(&mut self, now: Instant) {
        match &mut self.since {
            Some((_, last)) if now - *last < GONE => *last = now,
            _ => {
                self.over(now);
                self.since = Some((now, now));
            }
        }
    }

    fn over(&mut self, now: Instant) {
        if let Some((since, last)) = self.since.take() {
            let end = if now - last < GONE { now } else { last };
            self.longest = self.longest.max(end - since);
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Answered,
    /// A 429 of the upstream, passed on.
    PassedOn,
    Refused(Reason),
    Failed,
}

impl Tally {
    pub(super) fn new(clients: usize, from: Instant, to: Instant) -> Self {
        Self {
            clients: vec![OfClient::default(); clients],
            refused: BTreeMap::new(),
            failed: 0,
            passed_on: 0,
            waits: Vec::new(),
            outage: Outage::default(),
            apart: 0,
            at_last_apart: 0,
            from,
            to,
        }
    }

    /// A client asks, while the upstream has so much left of the day.
    pub(super) fn asks(&mut self, client: usize, left: u32, now: Instant) {
        let of = &mut self.clients[client];
        of.asked += 1;
        for outage in [&mut of.outage, &mut self.outage] {
            if left > 0 { outage.asked(now) } else { outage.over(now) }
        }
    }

    pub(super) fn ends(&mut self, client: usize, end: End, waited: Duration, now: Instant) {
        match end {
            End::Answered => {
                let of = &mut self.clients[client];
                of.answered += u32::from(self.from <= now && now <= self.to);
                of.outage.over(now);
                self.outage.over(now);
                self.waits.push(waited);
            }
            End::PassedOn => self.passed_on += 1,
            End::Refused(reason) => *self.refused.entry(reason.as_str()).or_default() += 1,
            End::Failed => self.failed += 1,
        }
    }

    pub(super) fn apart(&mut self, by: u32) {
        self.apart = self.apart.max(by);
        self.at_last_apart = by;
    }

    /// Nobody asks any more.
    pub(super) fn stops(&mut self, now: Instant) {
        self.outage.over(now);
        self.clients.iter_mut().for_each(|of| of.outage.over(now));
    }

    pub(super) fn measured(&mut self, plan: &Plan, totals: &Totals) -> Measured {
        let mut all = Measured::new();
        let mut say = |name: &str, value: f64| {
            all.insert(name.to_owned(), value);
        };
        let answered: u32 = self.clients.iter().map(|of| of.answered).sum();
        say("asked", f64::from(self.clients.iter().map(|of| of.asked).sum::<u32>()));
        say("answered", f64::from(answered));
        say("outage_s", self.outage.longest.as_secs_f64());
        for (of, asker) in self.clients.iter().zip(&plan.client) {
            let name = &asker.name;
            say(&format!("answered.{name}"), f64::from(of.answered));
            say(&format!("share.{name}"), f64::from(of.answered) / f64::from(answered.max(1)));
            say(&format!("outage_s.{name}"), of.outage.longest.as_secs_f64());
        }
        for reason in REASONS {
            let refused = self.refused.get(reason.as_str()).copied().unwrap_or(0);
            say(&format!("refused.{}", reason.as_str()), f64::from(refused));
        }
        say("failed", f64::from(self.failed));
        say("passed_on", f64::from(self.passed_on));
        say("remaining_apart", f64::from(self.apart));
        say("remaining_apart_at_last", f64::from(self.at_last_apart));
        self.waits.sort_unstable();
        let part = |percent| self.waits.get(self.waits.len() * percent / 100).copied();
        say("wait_median_s", part(50).unwrap_or_default().as_secs_f64());
        say("wait_p99_s", part(99).unwrap_or_default().as_secs_f64());
        totals.measured(plan, &mut all);
        all
    }
}

const REASONS: [Reason; 7] = [
    Reason::Rate,
    Reason::Day,
    Reason::ClientShare,
    Reason::UpstreamClosed,
    Reason::QueueFull,
    Reason::Deadline,
    Reason::Draining,
];

/// What both sides have in their books.
#[derive(Debug)]
pub(super) struct Totals {
    /// When nobody asks any more.
    pub(super) at_end: Seen,
    /// When everybody is answered.
    pub(super) after: Seen,
    /// What the upstream counted on the day that has not ended.
    pub(super) today: u32,
    /// Of ours on our own day, whatever became of them.
    pub(super) arrived_today: u32,
    /// What our ledger says of the day, and our metrics of the whole time.
    pub(super) ledger: u32,
    pub(super) metrics: u32,
}

impl Totals {
    fn measured(&self, plan: &Plan, all: &mut Measured) {
        let mut say = |name: &str, value: u32| {
            all.insert(name.to_owned(), f64::from(value));
        };
        let seen = &self.after;
        say("upstream_429_second", seen.refused_second);
        say("upstream_429_day", seen.refused_day);
        say("others_429_second", seen.others_refused_second);
        say("others_counted", seen.others_counted);
        say("largest_second", u32::try_from(seen.largest_second).unwrap());
        say("lost", seen.lost);
        say("unconnected", seen.unconnected);
        let mut say = |name: &str, value: f64| {
            all.insert(name.to_owned(), value);
        };
        let arrived = f64::from(seen.arrived);
        say("upstream_429_second_share", f64::from(seen.refused_second) / arrived.max(1.0));
        say("spent_less_seen", f64::from(self.metrics) - arrived);
        say("ledger_less_seen", f64::from(self.ledger) - f64::from(self.arrived_today));
        let could = f64::from(plan.upstream.per_second) * plan.lasts.0.as_secs_f64()
            - f64::from(self.at_end.others_counted);
        say("second_used", f64::from(self.at_end.counted) / could);
        let least = seen.days.iter().copied().min().unwrap_or(self.today);
        say("day_used", f64::from(least) / f64::from(plan.upstream.per_day));
    }
}
