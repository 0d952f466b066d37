//! The account's rate limits, as strict as the real API could be.
//!
//! A label's window is exact: a request that would make any sliding second (minute for
//! Resource-intensive) hold more than the figure is refused. Heavy and Resource-intensive also
//! spend from one daily pool, which is full again at 00:00 UTC. A refused request spends nothing.
//! The limits are the account's: its other applications spend them too.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::operations::Label;
use super::world::{DAY, Millis};

/// The kind of account, which decides its figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// The lower figures.
    #[default]
    Pro,
    /// Business, Education, Enterprise and Partners.
    Business,
}

/// How much each label may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Light, a second.
    pub light: u32,
    /// Medium, a second.
    pub medium: u32,
    /// Heavy, a second.
    pub heavy: u32,
    /// Resource-intensive, a minute.
    pub resource_intensive: u32,
    /// Heavy and Resource-intensive together, a day.
    pub daily: u32,
}

impl Plan {
    /// The published figures.
    pub fn figures(self) -> Figures {
        match self {
            Self::Pro => {
                Figures { light: 30, medium: 20, heavy: 10, resource_intensive: 10, daily: 30_000 }
            }
            Self::Business => {
                Figures { light: 80, medium: 60, heavy: 40, resource_intensive: 20, daily: 60_000 }
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pro => "pro",
            Self::Business => "business",
        })
    }
}

impl FromStr for Plan {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pro" => Ok(Self::Pro),
            "business" => Ok(Self::Business),
            _ => Err("a plan is pro or business"),
        }
    }
}

impl Figures {
    /// The figure of a label and the length of its window.
    pub fn window(&self, label: Label) -> (u32, Duration) {
        match label {
            Label::Light => (self.light, Duration::from_secs(1)),
            Label::Medium => (self.medium, Duration::from_secs(1)),
            Label::Heavy => (self.heavy, Duration::from_secs(1)),
            Label::ResourceIntensive => (self.resource_intensive, Duration::from_mins(1)),
        }
    }
}

/// The daily pool after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyPool {
    /// A day's figure.
    pub limit: u32,
    /// What is left of it.
    pub remaining: u32,
    /// When it is full again.
    pub(super) resets_at: Millis,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    /// The sliding window is full.
    Window,
    /// The day is spent.
    Day,
}

/// What the account has spent.
#[derive(Debug)]
pub(super) struct Limits {
    figures: Figures,
    taken: [VecDeque<Instant>; Label::ALL.len()],
    day: u64,
    spent: u32,
}

impl Limits {
    pub(super) fn new(figures: Figures) -> Self {
        Self { figures, taken: Default::default(), day: 0, spent: 0 }
    }

    /// Admits or refuses one request, in every window of its label or in none.
    pub(super) fn admit(&mut self, label: Label, now: Instant, wall: Millis) -> Verdict {
        self.turn_day(wall);
        if label.daily() && self.spent >= self.figures.daily {
            return Verdict::Day;
        }
        let (limit, window) = self.figures.window(label);
        let Some(taken) = self.taken.get_mut(label as usize) else { return Verdict::Window };
        // Two requests exactly one window apart never lie in the same sliding window.
        while taken.front().is_some_and(|oldest| now.saturating_duration_since(*oldest) >= window) {
            taken.pop_front();
        }
        if taken.len() >= limit as usize {
            return Verdict::Window;
        }
        taken.push_back(now);
        self.spent += u32::from(label.daily());
        Verdict::Admitted
    }

    /// Takes up to `count` from the day's pool, as far as it reaches, and none from the window.
    /// The answer is how many were taken.
    pub(super) fn spend(&mut self, label: Label, count: u32, wall: Millis) -> u32 {
        self.turn_day(wall);
        let left = self.pool(label).map_or(0, |pool| pool.remaining);
        let taken = count.min(left);
        self.spent += taken;
        taken
    }

    /// Admits up to `count` requests at once; the answer is how many found room.
    pub(super) fn crowd(&mut self, label: Label, count: u32, now: Instant, wall: Millis) -> u32 {
        // The first refusal ends it: at one instant no later request finds more room.
        let refused = (0..count).find(|_| self.admit(label, now, wall) != Verdict::Admitted);
        refused.unwrap_or(count)
    }

    /// The daily pool, if the label spends from it.
    pub(super) fn pool(&self, label: Label) -> Option<DailyPool> {
        label.daily().then(|| DailyPool {
            limit: self.figures.daily,
            remaining: self.figures.daily.saturating_sub(self.spent),
            resets_at: (self.day + 1) * DAY,
        })
    }

    /// The daily pool, whatever has been spent from it by `wall`.
    pub(super) fn today(&mut self, wall: Millis) -> Option<DailyPool> {
        self.turn_day(wall);
        self.pool(Label::Heavy)
    }

    pub(super) fn figures(&self) -> &Figures {
        &self.figures
    }

    fn turn_day(&mut self, wall: Millis) {
        let day = wall / DAY;
        if day != self.day {
            self.day = day;
            self.spent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use proptest::prelude::*;

    const NOON: Millis = 20_000 * DAY + DAY / 2;

    #[test]
    fn the_figures_are_the_published_ones() {
        let of = |plan: Plan| Label::ALL.map(|label| plan.figures().window(label).0);
        assert_eq!((of(Plan::Pro), Plan::Pro.figures().daily), ([30, 20, 10, 10], 30_000));
        assert_eq!(
            (of(Plan::Business), Plan::Business.figures().daily),
            ([80, 60, 40, 20], 60_000)
        );
        assert_eq!("business".parse(), Ok(Plan::Business));
        assert!("Business+".parse::<Plan>().is_err());
        assert_eq!(Plan::Pro.to_string(), "pro");
    }

    #[test]
    fn a_second_holds_its_figure_and_not_one_more() {
        let mut limits = Limits::new(Plan::Pro.figures());
        let start = Clock::system().now();
        for _ in 0..10 {
            assert_eq!(limits.admit(Label::Heavy, start, NOON), Verdict::Admitted);
        }
        let almost = start + Duration::from_nanos(999_999_999);
        assert_eq!(limits.admit(Label::Heavy, almost, NOON), Verdict::Window);
        assert_eq!(limits.admit(Label::Light, almost, NOON), Verdict::Admitted);
        assert_eq!(
            limits.admit(Label::Heavy, start + Duration::from_secs(1), NOON),
            Verdict::Admitted
        );
        assert_eq!(limits.pool(Label::Heavy).unwrap().remaining, 30_000 - 11);
        assert_eq!(limits.pool(Label::Light), None);
    }

    #[test]
    fn the_day_is_shared_and_full_again_at_midnight_utc() {
        let figures = Figures { heavy: 10, daily: 3, ..Plan::Pro.figures() };
        let mut limits = Limits::new(figures);
        let start = Clock::system().now();
        for label in [Label::Heavy, Label::ResourceIntensive, Label::Heavy] {
            assert_eq!(limits.admit(label, start, NOON), Verdict::Admitted);
        }
        for label in [Label::Heavy, Label::ResourceIntensive] {
            assert_eq!(limits.admit(label, start, NOON + DAY / 2 - 1), Verdict::Day);
        }
        assert_eq!(limits.admit(Label::Medium, start, NOON), Verdict::Admitted);
        assert_eq!(limits.pool(Label::Heavy).unwrap().resets_at, 20_001 * DAY);
        assert_eq!(limits.admit(Label::Heavy, start, NOON + DAY / 2), Verdict::Admitted);
        assert_eq!(limits.pool(Label::Heavy).unwrap().remaining, 2);
    }

    proptest! {
        #[test]
        fn no_sliding_window_ever_holds_more_than_the_figure(
            steps in prop::collection::vec((0u64..400, 0usize..4), 1..400),
        ) {
            let mut limits = Limits::new(Figures { resource_intensive: 3, ..Plan::Pro.figures() });
            let mut now = Clock::system().now();
            let mut admitted: Vec<Vec<Instant>> = vec![Vec::new(); 4];
            for (ms, label) in steps {
                now += Duration::from_millis(ms / 4);
                let label = Label::ALL[label];
                if limits.admit(label, now, NOON) == Verdict::Admitted {
                    admitted[label as usize].push(now);
                }
            }
            for label in Label::ALL {
                let (limit, window) = limits.figures().window(label);
                let times = &admitted[label as usize];
                for (index, first) in times.iter().enumerate() {
                    let within = times[index..].iter().filter(|time| time.duration_since(*first) < window);
                    prop_assert!(within.count() <= limit as usize);
                }
            }
        }
    }
}
