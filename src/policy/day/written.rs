//! A day as it is written down, and as it is read again.

use std::time::SystemTime;

use super::calendar::{instant, seconds};
use super::claim::Claim;
use super::counter::Counters;
use super::{DayLedger, Keeping, Record};
use crate::policy::quota::PoolSpec;
use crate::policy::share::ClientId;

impl DayLedger {
    /// The day as a record left it, to be written down from now on.
    pub fn kept(spec: &PoolSpec, record: Option<&Record>, wall: SystemTime) -> Self {
        let mut ledger = Self::new(spec, wall);
        ledger.claim = Claim::of(0);
        let Some(record) = record.filter(|record| instant(record.ends) > wall) else {
            return ledger;
        };
        ledger.spent = record.claimed.max(record.spent);
        ledger.settled = ledger.spent;
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
        ledger.claim = Claim::of(ledger.spent);
        ledger
    }

    /// How well a restart will remember.
    pub fn keeping(&self) -> Keeping {
        self.claim.keeping()
    }

    /// The most that a crash may forget of what was not spent: a two thousandth of the day or 16,
    /// whichever is more, but no more than a hundredth, and 1 at least. At a pace that spends the
    /// day in half an hour it lasts for a second.
    pub fn block(&self) -> u32 {
        let per_day = self.spec.per_day.get();
        (per_day / 2000).max(16).min(per_day / 100).max(1)
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
