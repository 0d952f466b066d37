//! What the day would still pay, for somebody who wants to know before the first is spent.

use std::time::SystemTime;

use super::{DayLedger, Denied};
use crate::policy::share::Share;

impl DayLedger {
    /// Whether so many more could be spent, if nobody else spends in between. Nothing is taken.
    /// Rolls.
    pub fn pays(&mut self, share: &Share, count: u32, wall: SystemTime) -> Result<(), Denied> {
        self.roll(wall);
        if let Some(until) = self.closed_until {
            return Err(Denied::Spent(until));
        }
        let spent = self.by_client.get(&share.client).copied().unwrap_or(self.unnamed);
        let day = self.spec.per_day.get();
        if share.daily.is_some_and(|daily| spent.saturating_add(count) > daily.of(day)) {
            return Err(Denied::Share(self.ends));
        }
        let needed = self.spec.reserve.kept_from(share.priority, day).saturating_add(count);
        // The upstream may have counted those under way already, and then they count twice.
        let under_way = self.spent.saturating_sub(self.settled);
        if self.own_remaining() < needed || self.remaining().saturating_add(under_way) < needed {
            return Err(Denied::Spent(self.ends));
        }
        Ok(())
    }
}
