//! The upstream's own count of the day, and how far it is believed.

use std::collections::BTreeMap;

use crate::policy::quota::LabelId;

/// What others have spent may seem to shrink by so much: counters lag.
const LAG: u32 = 16;
/// Seen so often to shrink by more, a counter is no counter.
const MOST_CONTRADICTIONS: u8 = 3;

/// What became of the upstream's word about its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heeded {
    /// It fits.
    Taken,
    /// It contradicts what was said or done before.
    Contradictory,
    /// It has done so too often: not believed until the day ends.
    Distrusted,
}

/// By label, because an upstream may count each on its own.
#[derive(Debug, Default)]
pub(super) struct Counters(BTreeMap<LabelId, Counter>);

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    /// What others have spent.
    others: u32,
    /// The most that it ever was, and how many of ours were under way then, which it may have
    /// counted already.
    peak: (u32, u32),
    /// Tokens taken when it said that nothing is left.
    empty_after: Option<u64>,
    contradictions: u8,
}

impl Counters {
    pub(super) fn remembered(others: &BTreeMap<String, u32>) -> Self {
        let counter =
            |others: &u32| Counter { others: *others, peak: (*others, 0), ..Counter::default() };
        let all = others.iter().map(|(label, n)| (LabelId::new(label.as_str()), counter(n)));
        Self(all.collect())
    }

    pub(super) fn to_remember(&self) -> BTreeMap<String, u32> {
        let told = self.0.iter().filter(|(_, counter)| counter.others > 0);
        told.map(|(label, counter)| (label.to_string(), counter.others)).collect()
    }

    pub(super) fn others(&self) -> u32 {
        self.0.values().map(|counter| counter.others).max().unwrap_or(0)
    }

    /// What others have spent by the label's latest word; `empty` = tokens taken so far, if it says
    /// that nothing is left.
    pub(super) fn heard(
        &mut self,
        label: &LabelId,
        others: u32,
        under_way: u32,
        empty: Option<u64>,
    ) -> Heeded {
        let counter = self.0.entry(label.clone()).or_default();
        if counter.contradictions >= MOST_CONTRADICTIONS {
            return Heeded::Distrusted;
        }
        // What others have spent only grows, but for those of ours that were counted as theirs.
        let (most, then_under_way) = counter.peak;
        let shrunk = others.saturating_add(LAG).saturating_add(then_under_way) < most;
        let peak = if shrunk || others > most { (others, under_way) } else { counter.peak };
        let contradictions = counter.contradictions + u8::from(shrunk);
        *counter = if contradictions < MOST_CONTRADICTIONS {
            Counter { others, peak, empty_after: empty, contradictions }
        } else {
            Counter { contradictions, ..Counter::default() }
        };
        if shrunk { Heeded::Contradictory } else { Heeded::Taken }
    }

    /// A request was let through. Whoever has said before that nothing is left is not believed any
    /// more; true if there was one.
    pub(super) fn passed(&mut self, nth: u64) -> bool {
        let mut any = false;
        for counter in self.0.values_mut() {
            if counter.empty_after.is_some_and(|after| nth > after) {
                *counter = Counter { contradictions: MOST_CONTRADICTIONS, ..Counter::default() };
                any = true;
            }
        }
        any
    }
}
