//! A day's pool: what has been spent of it, by us and by others, and what may be written down.
//!
//! The upstream's own counter is followed where it says less than ours, because other applications
//! spend from the same account. It is never followed blindly: what others have spent can only grow
//! within a day, so an upstream whose counter says otherwise again and again, or that answers
//! although it says that nothing is left, is not believed until the day ends.
//!
//! What is spent is claimed before: nothing leaves beyond what has been written down
//! ([`DayLedger::to_write`]), so a crash may lose a block of budget that was not spent, and never
//! forgets what was.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::quota::{LabelId, PoolSpec};
use super::share::{ClientId, Share};

mod ahead;
mod calendar;
mod claim;
mod counter;
mod written;

pub use claim::{Keeping, Record};
pub use counter::Heeded;

use calendar::next_reset;
use claim::Claim;
use counter::{Counters, Said};

const DAY: Duration = Duration::from_secs(86_400);
/// How far the upstream's clock may be behind ours.
const CLOCKS_APART: Duration = Duration::from_secs(600);
/// An upstream that says that the day is over, at an instant just past.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// One request in so long finds out whether the day is really over.
pub const PROBE_EVERY: Duration = Duration::from_secs(5);

/// What is left of a day's budget.
#[derive(Debug)]
pub struct DayLedger {
    spec: PoolSpec,
    ends: SystemTime,
    /// Days begun: tells today's tokens from yesterday's, whenever the day ends.
    day: u64,
    spent: u32,
    /// Of those, how many have been answered, or never will be.
    settled: u32,
    by_client: BTreeMap<ClientId, u32>,
    /// The day before, should it come back.
    before: Option<Before>,
    /// What each of the others may have spent before a crash.
    unnamed: u32,
    heard: Counters,
    /// Tokens ever taken: tells which came after an event.
    taken: u64,
    closed_until: Option<SystemTime>,
    probe: Option<Probe>,
    claim: Claim,
    /// The highest alarm of this day.
    alarm: u8,
}

/// The upstream has said that the day is over; one request at a time finds out whether it is.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// When the next may try.
    at: SystemTime,
    /// Tokens taken until it was said: the answers to those tell nothing.
    after: u64,
    /// Who is finding out.
    out: Option<u64>,
}

impl Probe {
    fn new(at: SystemTime, after: u64) -> Self {
        Self { at, after, out: None }
    }
}

/// Why a day's pool has nothing for a request, and when it will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is used up, or closed by the upstream, or the rest is kept for others.
    Spent(SystemTime),
    /// The client has had its share.
    Share(SystemTime),
    /// In a moment: the next block is being written down, or answers under way will tell.
    Soon,
}

/// Which day a token was taken on, and as which of that day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayToken {
    day: u64,
    nth: u64,
}

/// A day that is over.
#[derive(Debug)]
struct Before {
    ends: SystemTime,
    spent: u32,
    by_client: BTreeMap<ClientId, u32>,
}

impl DayLedger {
    /// A day in which nothing has been spent, kept in memory only.
    pub fn new(spec: &PoolSpec, wall: SystemTime) -> Self {
        Self {
            spec: spec.clone(),
            ends: next_reset(spec.resets_at, wall),
            day: 0,
            spent: 0,
            settled: 0,
            by_client: BTreeMap::new(),
            before: None,
            unnamed: 0,
            heard: Counters::default(),
            taken: 0,
            closed_until: None,
            probe: None,
            claim: Claim::Off,
            alarm: 0,
        }
    }

    /// Other figures for the same pool; what has been spent has been spent.
    pub fn change(&mut self, spec: &PoolSpec, wall: SystemTime) {
        if spec.resets_at != self.spec.resets_at {
            self.ends = next_reset(spec.resets_at, wall);
        }
        self.spec = spec.clone();
    }

    /// The pool's figures.
    pub fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// Begins a new day if the old one has ended.
    pub fn roll(&mut self, wall: SystemTime) {
        if wall >= self.ends {
            self.day += 1;
            let (ends, spent) = (self.ends, self.spent);
            let by_client = std::mem::take(&mut self.by_client);
            self.before = Some(Before { ends, spent, by_client });
            (self.spent, self.settled, self.unnamed, self.alarm) = (0, 0, 0, 0);
            self.heard = Counters::default();
            self.ends = next_reset(self.spec.resets_at, wall);
            self.probe = None;
            self.claim.begin_day();
        } else if self.ends > wall + DAY {
            // The clock was wrong, and has been set back: the day must not last until then, and if
            // it had begun before, it goes on where it was.
            self.ends = next_reset(self.spec.resets_at, wall);
            if let Some(before) = self.before.take_if(|before| before.ends == self.ends) {
                self.spent = self.spent.saturating_add(before.spent);
                self.settled = self.settled.saturating_add(before.spent);
                for (client, spent) in before.by_client {
                    *self.by_client.entry(client).or_default() += spent;
                }
            }
        }
        // The same with what was said, and with who finds out, while it was wrong.
        if let Some(until) = self.closed_until.as_mut().filter(|until| **until > wall + DAY) {
            *until = self.ends;
        }
        if let Some(probe) = &mut self.probe {
            probe.at = probe.at.min(wall + PROBE_EVERY);
        }
        if self.closed_until.is_some_and(|until| wall >= until) {
            self.closed_until = None;
            self.probe = Some(Probe::new(wall, self.taken));
        }
    }

    /// Whether a request may spend one, if `ahead` others spend theirs first. Rolls.
    pub fn admits(&mut self, share: &Share, ahead: usize, wall: SystemTime) -> Result<(), Denied> {
        self.roll(wall);
        if let Some(until) = self.closed_until {
            return Err(Denied::Spent(until));
        }
        if let Some(probe) = self.probe.filter(|probe| wall < probe.at) {
            // Somebody is finding out: in a moment it is known.
            return Err(if probe.out.is_some() { Denied::Soon } else { Denied::Spent(probe.at) });
        }
        if share.daily.is_some_and(|daily| {
            let spent = self.by_client.get(&share.client).copied().unwrap_or(self.unnamed);
            spent >= daily.of(self.spec.per_day.get())
        }) {
            return Err(Denied::Share(self.ends));
        }
        let kept = self.spec.reserve.kept_from(share.priority, self.spec.per_day.get());
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let needed = kept.saturating_add(ahead).saturating_add(1);
        if self.own_remaining() < needed {
            return Err(Denied::Spent(self.ends));
        }
        // One that probes needs nothing but our own count.
        let lacking = needed.saturating_sub(self.remaining());
        if lacking > 0 && self.probe.is_none() {
            // The upstream may have counted those under way already, and then they count twice.
            let under_way = self.spent.saturating_sub(self.settled);
            if lacking <= under_way {
                return Err(Denied::Soon);
            }
            // Nothing is left by a word that no answer will set right any more.
            let is_last_word = under_way == 0 && self.remaining() == 0;
            return Err(Denied::Spent(if is_last_word { self.look_into(wall) } else { self.ends }));
        }
        if self.claim.allows(self.spent) { Ok(()) } else { Err(Denied::Soon) }
    }

    /// Lets one request find out whether nothing is left, and says when.
    fn look_into(&mut self, wall: SystemTime) -> SystemTime {
        let at = wall + PROBE_EVERY;
        self.probe = Some(Probe::new(at, self.taken));
        self.heard.emptied(self.taken);
        at
    }

    fn own_remaining(&self) -> u32 {
        self.spec.per_day.get().saturating_sub(self.spent)
    }

    /// What others have spent, as far as the upstream tells.
    pub fn others(&self) -> u32 {
        self.heard.others()
    }

    /// What is left, by our own count or the upstream's, whichever is less. Call
    /// [`DayLedger::roll`] first.
    pub fn remaining(&self) -> u32 {
        self.own_remaining().saturating_sub(self.others())
    }

    /// What we have spent. Call [`DayLedger::roll`] first.
    pub fn spent(&self) -> u32 {
        self.spent
    }

    /// What we have spent, by client.
    pub fn by_client(&self) -> &BTreeMap<ClientId, u32> {
        &self.by_client
    }

    /// When this day ends.
    pub fn ends(&self) -> SystemTime {
        self.ends
    }

    /// Until when the upstream has closed the day.
    pub fn closed_until(&self) -> Option<SystemTime> {
        self.closed_until
    }

    /// Spends one, whether [`DayLedger::admits`] allows it or not.
    pub fn take(&mut self, client: &ClientId, wall: SystemTime) -> DayToken {
        self.roll(wall);
        self.spent = self.spent.saturating_add(1);
        self.taken += 1;
        if let Some(spent) = self.by_client.get_mut(client) {
            *spent = spent.saturating_add(1);
        } else {
            self.by_client.insert(client.clone(), self.unnamed.saturating_add(1));
        }
        if let Some(probe) = &mut self.probe {
            (probe.at, probe.out) = (wall + PROBE_EVERY, Some(self.taken));
        }
        DayToken { day: self.day, nth: self.taken }
    }

    /// Gives one back, if the day it was taken on has not ended since.
    pub fn give_back(&mut self, token: DayToken, client: &ClientId) {
        if token.day == self.day {
            self.spent = self.spent.saturating_sub(1);
            if let Some(spent) = self.by_client.get_mut(client) {
                *spent = spent.saturating_sub(1);
            }
        }
        // Where it was to find out whether the day is open, the next one may at once.
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.out == Some(token.nth)) {
            (probe.at, probe.out) = (SystemTime::UNIX_EPOCH, None);
        }
    }

    /// A spent one has been answered, or never will be.
    pub fn settle(&mut self, token: DayToken) {
        if token.day == self.day {
            self.settled = self.settled.saturating_add(1).min(self.spent);
        }
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.out == Some(token.nth)) {
            probe.out = None;
        }
    }

    /// A request was answered, and the day was no objection. True if that opens it again.
    pub fn passed(&mut self, token: DayToken) -> bool {
        let opens = self.probe.is_some_and(|probe| token.nth > probe.after);
        if opens {
            self.probe = None;
        }
        self.heard.passed(token.nth);
        opens
    }

    /// The upstream's counter, as an answer to a settled request tells it.
    pub fn heard(
        &mut self,
        token: DayToken,
        label: &LabelId,
        remaining: u32,
        wall: SystemTime,
    ) -> Heeded {
        if token.day != self.day {
            return Heeded::Taken;
        }
        let others = self.spec.per_day.get().saturating_sub(remaining).saturating_sub(self.settled);
        let said = Said {
            others,
            is_empty: remaining == 0,
            nth: token.nth,
            under_way: self.spent.saturating_sub(self.settled),
            taken: self.taken,
        };
        let heeded = self.heard.heard(label, said);
        if remaining == 0 && heeded != Heeded::Distrusted && self.probe.is_none() {
            self.probe = Some(Probe::new(wall + PROBE_EVERY, self.taken));
        }
        heeded
    }

    /// The upstream says that the day's budget is gone: nothing is spent until then. An instant
    /// just past is its midnight on a clock that is not quite ours, so it is asked again soon; one
    /// that is absent, long past or more than a day away is taken as the end of the day.
    pub fn close(&mut self, until: Option<SystemTime>, wall: SystemTime) {
        let until = match until {
            Some(at) if at > wall && at <= wall + DAY => at,
            Some(at) if at <= wall && wall < at + CLOCKS_APART => wall + ASK_AGAIN,
            _ => self.ends,
        };
        self.closed_until = Some(self.closed_until.map_or(until, |old| old.max(until)));
        self.heard.confirmed();
        self.claim.news();
    }

    /// Forgets what the upstream has said: the operator knows better.
    pub fn reopen(&mut self) {
        (self.closed_until, self.probe) = (None, None);
        self.heard = Counters::default();
        self.claim.news();
    }

    /// The alarm that has newly been reached, in percent of the day. Each is raised once a day.
    pub fn alarm(&mut self) -> Option<u8> {
        let reached = self.alarm_reached();
        (reached > self.alarm).then(|| {
            self.alarm = reached;
            reached
        })
    }

    /// The highest alarm reached: 0, 50, 80 or 95 percent of the day.
    pub fn alarm_reached(&self) -> u8 {
        let per_day = u64::from(self.spec.per_day.get());
        let gone = per_day - u64::from(self.remaining()).min(per_day);
        ALARMS.into_iter().rev().find(|&at| gone * 100 >= per_day * u64::from(at)).unwrap_or(0)
    }
}

/// In percent of the day.
const ALARMS: [u8; 3] = [50, 80, 95];

#[cfg(test)]
mod tests;
