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
    /// The most that it ever was.
    peak: Peak,
    /// Tokens taken when it said that nothing is left.
    empty_after: Option<u64>,
    contradictions: u8,
}

/// The most that others have spent, and when that was heard.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    others: u32,
    /// Ours that were under way then: it may have counted them already.
    under_way: u32,
    /// Tokens taken until then: an answer to one of those may have been written before.
    taken: u64,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// What others have spent.
    pub(super) others: u32,
    /// It says that nothing is left.
    pub(super) is_empty: bool,
    /// The token it answers to.
    pub(super) nth: u64,
    /// Of ours, how many were under way when it came.
    pub(super) under_way: u32,
    /// Tokens taken until then.
    pub(super) taken: u64,
}

impl Counters {
    pub(super) fn remembered(others: &BTreeMap<String, u32>) -> Self {
        let counter = |&others: &u32| {
            let peak = Peak { others, ..Peak::default() };
            Counter { others, peak, ..Counter::default() }
        };
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

    /// What others have spent by the label's latest word.
    pub(super) fn heard(&mut self, label: &LabelId, said: Said) -> Heeded {
        let counter = self.0.entry(label.clone()).or_default();
        if counter.contradictions >= MOST_CONTRADICTIONS {
            return Heeded::Distrusted;
        }
        let Said { others, is_empty, nth, under_way, taken } = said;
        let peak = counter.peak;
        // What others have spent only grows, but for those of ours that were counted as theirs.
        let shrunk = others.saturating_add(LAG).saturating_add(peak.under_way) < peak.others;
        if shrunk && nth <= peak.taken {
            // Overtaken on its way by the answer that said more: old, and not wrong.
            return Heeded::Taken;
        }
        let rises = others > peak.others;
        let peak = if shrunk || rises { Peak { others, under_way, taken } } else { peak };
        let contradictions = counter.contradictions + u8::from(shrunk);
        let empty_after = is_empty.then_some(taken);
        *counter = if contradictions < MOST_CONTRADICTIONS {
            Counter { others, peak, empty_after, contradictions }
        } else {
            Counter { contradictions, ..Counter::default() }
        };
        if shrunk { Heeded::Contradictory } else { Heeded::Taken }
    }

    /// By the word that counts, nothing is left after so many tokens.
    pub(super) fn emptied(&mut self, taken: u64) {
        let most = self.others();
        for counter in self.0.values_mut().filter(|counter| counter.others == most) {
            counter.empty_after = Some(taken);
        }
    }

    /// The upstream refuses, so it was true that nothing is left; what it lets through later is of
    /// another day, or has been added.
    pub(super) fn confirmed(&mut self) {
        self.0.values_mut().for_each(|counter| counter.empty_after = None);
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
