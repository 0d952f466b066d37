//! Somebody else's server: it counts by its own clock and its own code, and is strict. A request
//! counts when it arrives; one that is refused counts nowhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use http::Response;
use parking_lot::Mutex;

use super::plan::{self, Headers};
use crate::clock::Clock;
use crate::http::Body;
use crate::layers::testing::{Answer, SECOND, answer};
use crate::request::FetchRequest;
use crate::upstream::{Phase, UpstreamError};

const DAY: Duration = Duration::from_secs(86_400);
/// When the gateway gives up on an answer.
const GIVES_UP: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Upstream {
    clock: Clock,
    spec: plan::Upstream,
    books: Mutex<Books>,
}

/// What it has counted, and what came to it.
#[derive(Debug)]
pub(super) struct Books {
    spec: plan::Upstream,
    rng: Rng,
    /// When the requests of the last second came that counted, whosever they were.
    second: VecDeque<SystemTime>,
    today: u64,
    ours: u32,
    theirs: u32,
    others: Vec<Others>,
    pub(super) seen: Seen,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Ours, whatever became of them.
    pub(super) arrived: u32,
    pub(super) counted: u32,
    pub(super) others_counted: u32,
    pub(super) refused_second: u32,
    pub(super) refused_day: u32,
    pub(super) others_refused_second: u32,
    /// Counted, and never answered.
    pub(super) lost: u32,
    pub(super) unconnected: u32,
    /// The most of ours that arrived in any second, both ends of it included.
    pub(super) largest_second: usize,
    last_second: VecDeque<SystemTime>,
    /// What was spent of every day that has ended.
    pub(super) days: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Counted,
    TooFast,
    DayOver,
}

/// Another application of the account.
#[derive(Debug)]
struct Others {
    /// Between two of its bursts, in the mean.
    gap: Duration,
    at_once: u32,
    next: SystemTime,
}

impl Others {
    fn new(spec: &plan::Other, per_day: u32, starts: SystemTime) -> Self {
        let rate = spec.per_second + spec.day_share * f64::from(per_day) / DAY.as_secs_f64();
        let every = spec.bursts_every.0;
        if every.is_zero() {
            let gap = Duration::from_secs_f64(1.0 / rate);
            return Self { gap, at_once: 1, next: starts + gap };
        }
        let at_once = (rate * every.as_secs_f64()).round();
        #[expect(clippy::cast_possible_truncation, reason = "a count of requests")]
        #[expect(clippy::cast_sign_loss, reason = "a count of requests")]
        let at_once = at_once as u32;
        Self { gap: every, at_once, next: starts + every }
    }
}

impl Books {
    /// What is left of the day.
    pub(super) fn left(&mut self, wall: SystemTime) -> u32 {
        self.catch_up(wall);
        self.spec.per_day.saturating_sub(self.ours + self.theirs)
    }

    /// What is spent today, if the day ended now.
    pub(super) fn spent_today(&self) -> u32 {
        self.ours + self.theirs
    }

    /// Lets the others come that were before now.
    fn catch_up(&mut self, wall: SystemTime) {
        loop {
            let first = self.others.iter_mut().min_by_key(|others| others.next);
            let Some(first) = first.filter(|others| others.next <= wall) else { break };
            let (at, at_once) = (first.next, first.at_once);
            first.next = at + first.gap.mul_f64(0.5 + self.rng.f64());
            for _ in 0..at_once {
                match self.judge(at) {
                    Verdict::Counted => {
                        self.theirs += 1;
                        self.seen.others_counted += 1;
                    }
                    Verdict::TooFast => self.seen.others_refused_second += 1,
                    Verdict::DayOver => {}
                }
            }
        }
        self.roll(wall);
    }

    fn roll(&mut self, wall: SystemTime) {
        let theirs = wall - self.spec.clock_behind.0;
        let today = theirs.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
        if today != self.today {
            if self.today != 0 {
                self.seen.days.push(self.ours + self.theirs);
            }
            (self.today, self.ours, self.theirs) = (today, 0, 0);
        }
    }

    fn judge(&mut self, at: SystemTime) -> Verdict {
        self.roll(at);
        while self.second.front().is_some_and(|&then| then + SECOND < at) {
            self.second.pop_front();
        }
        if self.ours + self.theirs >= self.spec.per_day {
            Verdict::DayOver
        } else if self.second.len() >= self.spec.per_second as usize {
            Verdict::TooFast
        } else {
            self.second.push_back(at);
            Verdict::Counted
        }
    }

    fn arrives(&mut self, wall: SystemTime) -> Verdict {
        self.catch_up(wall);
        let verdict = self.judge(wall);
        let seen = &mut self.seen;
        seen.arrived += 1;
        match verdict {
            Verdict::Counted => {
                self.ours += 1;
                seen.counted += 1;
            }
            Verdict::TooFast => seen.refused_second += 1,
            Verdict::DayOver => seen.refused_day += 1,
        }
        while seen.last_second.front().is_some_and(|&then| then + SECOND < wall) {
            seen.last_second.pop_front();
        }
        seen.last_second.push_back(wall);
        seen.largest_second = seen.largest_second.max(seen.last_second.len());
        verdict
    }

    /// What it says is left; none = it does not say.
    fn remaining(&mut self, wall: SystemTime) -> Option<String> {
        let left = self.spec.per_day.saturating_sub(self.ours + self.theirs);
        let theirs = (wall - self.spec.clock_behind.0).duration_since(SystemTime::UNIX_EPOCH);
        let noon = theirs.unwrap().as_secs() % 86_400 / 3600 == 12;
        Some(match self.spec.headers {
            Headers::Missing => return None,
            Headers::ZeroAtNoon if noon => "0".to_owned(),
            Headers::Honest | Headers::ZeroAtNoon => left.to_string(),
            Headers::Constant => self.spec.constant.to_string(),
            Headers::Negative => "-5".to_owned(),
            Headers::Absurd => {
                let all = ["99999999999", "99999999999999999999999", "NaN", "", "1e3", "0x10"];
                all[self.rng.usize(..all.len())].to_owned()
            }
            Headers::Random => self.rng.u32(..=self.spec.per_day).to_string(),
        })
    }
}

/// One request's luck.
struct Way {
    connect: Option<Duration>,
    connects: bool,
    there: Duration,
    back: Duration,
    is_lost: bool,
}

impl Upstream {
    pub(super) fn new(plan: &plan::Plan, clock: &Clock, rng: Rng) -> Arc<Self> {
        let spec = plan.upstream.clone();
        let others = plan.others.iter();
        let others = others.map(|o| Others::new(o, spec.per_day, clock.wall())).collect();
        let books = Books {
            spec: spec.clone(),
            rng,
            second: VecDeque::new(),
            today: 0,
            ours: 0,
            theirs: 0,
            others,
            seen: Seen::default(),
        };
        Arc::new(Self { clock: clock.clone(), spec, books: Mutex::new(books) })
    }

    pub(super) fn books(&self) -> parking_lot::MutexGuard<'_, Books> {
        self.books.lock()
    }

    /// What is left of the day.
    pub(super) fn left(&self) -> u32 {
        self.books().left(self.clock.wall())
    }

    /// What is left of the day that we can know of: our ledger counts what it refused us, too.
    pub(super) fn left_to_us(&self) -> u32 {
        let mut books = self.books();
        let uncounted = books.seen.refused_second + books.seen.refused_day;
        books.left(self.clock.wall()).saturating_sub(uncounted)
    }

    fn way(&self) -> Way {
        let (spec, rng) = (&self.spec, &mut self.books.lock().rng);
        let is_new = rng.f64() < spec.new_connections;
        let mut by_chance = |most: plan::Span| most.0.mul_f64(rng.f64());
        let there = spec.network.0 + by_chance(spec.jitter_there);
        let back = spec.work.0
            + by_chance(spec.work_jitter)
            + spec.network.0
            + by_chance(spec.jitter_back);
        let connects = !is_new || rng.f64() >= spec.failed_connects;
        let is_lost = rng.f64() < spec.lost_answers;
        Way { connect: is_new.then_some(spec.connect.0), connects, there, back, is_lost }
    }

    pub(super) async fn serve(self: Arc<Self>, request: FetchRequest) -> Answer {
        let way = self.way();
        if let Some(connect) = way.connect {
            tokio::time::sleep(connect).await;
            if !way.connects {
                self.books().seen.unconnected += 1;
                return Err(UpstreamError::Timeout(Phase::Connect).into());
            }
        }
        if let Some(departure) = &request.departure {
            departure.now();
        }
        tokio::time::sleep(way.there).await;
        let answer = {
            let wall = self.clock.wall();
            let mut books = self.books();
            let verdict = books.arrives(wall);
            self.answer(&mut books, verdict, wall)
        };
        if way.is_lost {
            self.books().seen.lost += 1;
            tokio::time::sleep(GIVES_UP).await;
            return Err(UpstreamError::Timeout(Phase::FirstByte).into());
        }
        tokio::time::sleep(way.back).await;
        Ok(answer)
    }

    fn answer(&self, books: &mut Books, verdict: Verdict, wall: SystemTime) -> Response<Body> {
        let (limit, remaining) = (self.spec.per_day.to_string(), books.remaining(wall));
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs((books.today + 1) * 86_400);
        let midnight = humantime::format_rfc3339_seconds(midnight).to_string();
        let mut fields = Vec::with_capacity(5);
        if let Some(remaining) = &remaining {
            fields.extend([
                ("x-ratelimit-category", "Heavy"),
                ("x-ratelimit-limit", &*limit),
                ("x-ratelimit-remaining", &**remaining),
            ]);
        }
        match verdict {
            Verdict::Counted => return answer(200, &fields, ""),
            Verdict::TooFast => fields.push(("x-ratelimit-type", "QPS")),
            Verdict::DayOver => {
                fields.extend([("x-ratelimit-type", "Daily-limit"), ("retry-after", &midnight)]);
            }
        }
        answer(429, &fields, r#"{"code":429,"message":"You have reached a limit."}"#)
    }
}
