//! The purges that are remembered, by scope.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Mark, Mode, Scope, Scopes, Verdict};

/// The last purges of one scope; 0 = none.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    soft: Mark,
    hard: Mark,
}

impl Last {
    fn newest(self) -> Mark {
        self.soft.max(self.hard)
    }
}

/// The purges so far, as far as anything that was made since `floor` may ask.
#[derive(Debug)]
pub(super) struct Remembered {
    most: usize,
    newest: Mark,
    /// What was made before is gone.
    floor: Mark,
    by_scope: HashMap<Scope, Last, RandomState>,
}

impl Remembered {
    /// `most` scopes at a time, at least two.
    pub(super) fn new(most: usize) -> Self {
        let by_scope = HashMap::default();
        Self { most, newest: Mark(0), floor: Mark(0), by_scope }
    }

    pub(super) fn len(&self) -> usize {
        self.by_scope.len()
    }

    pub(super) fn add(&mut self, scope: Scope, mode: Mode, is_everything: bool) -> Mark {
        self.newest = Mark(self.newest.0 + 1);
        if is_everything && mode == Mode::Hard {
            // Nothing made before is asked about again, so none of it need be remembered.
            self.floor = self.newest;
            self.by_scope.clear();
            return self.newest;
        }
        if self.by_scope.len() >= self.most && !self.by_scope.contains_key(&scope) {
            self.forget_the_older_half();
        }
        let last = self.by_scope.entry(scope).or_default();
        match mode {
            Mode::Soft => last.soft = self.newest,
            Mode::Hard => last.hard = self.newest,
        }
        self.newest
    }

    /// A purge is never forgotten in what it does: whatever one of the forgotten could have hit is
    /// gone from now on.
    fn forget_the_older_half(&mut self) {
        let mut marks: Vec<Mark> = self.by_scope.values().map(|last| last.newest()).collect();
        let middle = (marks.len() / 2).saturating_sub(1);
        let (_, newest_forgotten, _) = marks.select_nth_unstable(middle);
        self.floor = self.floor.max(*newest_forgotten);
        let floor = self.floor;
        self.by_scope.retain(|_, last| last.newest() > floor);
    }

    pub(super) fn verdict(&self, everything: Scope, scopes: &Scopes, made: Mark) -> Verdict {
        if made < self.floor {
            return Verdict::Gone;
        }
        let mut hit = Last::default();
        for scope in std::iter::once(everything).chain(scopes.iter()) {
            if let Some(last) = self.by_scope.get(&scope) {
                hit.soft = hit.soft.max(last.soft);
                hit.hard = hit.hard.max(last.hard);
            }
        }
        if hit.hard > made {
            Verdict::Gone
        } else if hit.soft > made {
            Verdict::Stale
        } else {
            Verdict::Current { at: self.newest.max(made) }
        }
    }
}
