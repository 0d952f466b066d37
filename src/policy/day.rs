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

mod claim;
mod counter;

pub use claim::{Keeping, Record};
pub use counter::Heeded;

use claim::Claim;
use counter::Counters;

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
            unnamed: 0,
            heard: Counters::default(),
            taken: 0,
            closed_until: None,
            probe: None,
            claim: Claim::Off,
            alarm: 0,
        }
    }

    /// The day as a record left it, to be written down from now on.
    pub fn kept(spec: &PoolSpec, record: Option<&Record>, wall: SystemTime) -> Self {
        let mut ledger = Self::new(spec, wall);
        ledger.claim = Claim::of(0);
        let Some(record) = record.filter(|record| instant(record.ends) > wall) else {
            return ledger;
        };
        ledger.spent = record.claimed.max(record.spent);
        ledger.settled = ledger.spent;
        ledger.claim = Claim::of(ledger.spent);
        // Any client may have spent the block that was not told apart any more.
        let unknown = ledger.spent - record.spent;
        let clients = record.clients.iter();
        ledger.by_client = clients
            .map(|(name, spent)| (ClientId::new(name.as_str()), spent.saturating_add(unknown)))
            .collect();
        ledger.unnamed = record.unnamed.saturating_add(unknown);
        ledger.heard = Counters::remembered(&record.others);
        if let Some(until) = record.closed_until.map(instant).filter(|until| *until > wall) {
            ledger.close(Some(until), wall);
        }
        ledger
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
            (self.spent, self.settled, self.unnamed, self.alarm) = (0, 0, 0, 0);
            self.by_client.clear();
            self.heard = Counters::default();
            self.ends = next_reset(self.spec.resets_at, wall);
            self.probe = None;
            self.claim.begin_day();
        } else if self.ends > wall + DAY {
            // The clock was wrong, and has been set back: the day must not last until then.
            self.ends = next_reset(self.spec.resets_at, wall);
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
            self.probe = Some(Probe { at: wall, after: self.taken });
        }
    }

    /// Whether a request may spend one, if `ahead` others spend theirs first. Rolls.
    pub fn admits(&mut self, share: &Share, ahead: usize, wall: SystemTime) -> Result<(), Denied> {
        self.roll(wall);
        let until = self.closed_until.or(self.probe.map(|probe| probe.at));
        if let Some(until) = until.filter(|until| wall < *until) {
            return Err(Denied::Spent(until));
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
            let soon = lacking <= self.spent.saturating_sub(self.settled);
            return Err(if soon { Denied::Soon } else { Denied::Spent(self.ends) });
        }
        if self.claim.allows(self.spent) { Ok(()) } else { Err(Denied::Soon) }
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
            probe.at = wall + PROBE_EVERY;
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
        if let Some(probe) = self.probe.as_mut().filter(|probe| token.nth > probe.after)
            && token.nth == self.taken
        {
            probe.at = SystemTime::UNIX_EPOCH;
        }
    }

    /// A spent one has been answered, or never will be.
    pub fn settle(&mut self, token: DayToken) {
        if token.day == self.day {
            self.settled = self.settled.saturating_add(1).min(self.spent);
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
        let under_way = self.spent.saturating_sub(self.settled);
        let empty = (remaining == 0).then_some(self.taken);
        let heeded = self.heard.heard(label, others, under_way, empty);
        if remaining == 0 && heeded != Heeded::Distrusted && self.probe.is_none() {
            self.probe = Some(Probe { at: wall + PROBE_EVERY, after: self.taken });
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

    /// How well a restart will remember.
    pub fn keeping(&self) -> Keeping {
        self.claim.keeping()
    }

    /// The most that a crash may forget of what was not spent: a two thousandth of the day, and 1 at
    /// least. At a pace that spends the day in half an hour it lasts for a second.
    pub fn block(&self) -> u32 {
        (self.spec.per_day.get() / 2000).max(1)
    }

    /// Whether something is to be written down now.
    pub fn is_due(&self) -> bool {
        self.claim.is_due(self.spent, self.block(), self.target())
    }

    fn target(&self) -> u32 {
        let most = self.spec.per_day.get().max(self.spent);
        self.spent.saturating_add(self.block()).min(most)
    }

    /// What is to be written down, if the disk is not busy with it; say [`DayLedger::written`] or
    /// [`DayLedger::failed`] afterwards. Until then nothing is spent beyond the less of both.
    pub fn to_write(&mut self) -> Option<Record> {
        let claimed = self.target();
        self.claim.begin_write(claimed)?;
        Some(Record { claimed, ..self.last_record() })
    }

    /// The record of a clean stop, after which nothing is spent.
    pub fn last_record(&self) -> Record {
        let clients = self.by_client.iter();
        Record {
            ends: seconds(self.ends),
            claimed: self.spent,
            spent: self.spent,
            clients: clients.map(|(client, spent)| (client.to_string(), *spent)).collect(),
            unnamed: self.unnamed,
            others: self.heard.to_remember(),
            closed_until: self.closed_until.map(seconds),
        }
    }

    /// It stands on the disk.
    pub fn written(&mut self, record: &Record) {
        let today = record.ends == seconds(self.ends);
        self.claim.written(if today { record.claimed } else { 0 });
    }

    /// The disk has refused it.
    pub fn failed(&mut self) {
        self.claim.failed();
    }
}

/// In percent of the day.
const ALARMS: [u8; 3] = [50, 80, 95];

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Far instants are as good as the end of the calendar.
fn instant(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX)))
}

fn next_reset(resets_at: Duration, wall: SystemTime) -> SystemTime {
    let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = since_epoch.saturating_sub(resets_at).as_secs() / DAY.as_secs();
    let candidate = SystemTime::UNIX_EPOCH + resets_at + DAY * u32::try_from(days).unwrap_or(0);
    if candidate > wall { candidate } else { candidate + DAY }
}

#[cfg(test)]
mod tests;
