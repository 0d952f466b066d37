//! A request's parameters are few.

use std::mem::take;

/// Most requests have no more.
const FEW: usize = 4;

/// A list that is on the heap where there are many only.
#[derive(Debug, Default)]
pub(in crate::policy) struct Few<T> {
    inline: [T; FEW],
    /// How many of those there are.
    used: usize,
    /// All of them, where that is not enough.
    many: Vec<T>,
}

impl<T: Default> Few<T> {
    pub(in crate::policy) fn all(&self) -> &[T] {
        if self.many.is_empty() {
            self.inline.get(..self.used).unwrap_or_default()
        } else {
            &self.many
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [T] {
        if self.many.is_empty() {
            self.inline.get_mut(..self.used).unwrap_or_default()
        } else {
            &mut self.many
        }
    }

    /// It grows as far as it is told to: callers keep a bound.
    pub(super) fn push(&mut self, pair: T) {
        if self.many.is_empty() {
            if let Some(free) = self.inline.get_mut(self.used) {
                *free = pair;
                self.used += 1;
                return;
            }
            self.many.extend(self.inline.iter_mut().map(take));
            self.used = 0;
        }
        self.many.push(pair);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.many.retain(&keep);
        let mut kept = 0;
        for at in 0..self.used {
            if self.inline.get(at).is_some_and(&keep) {
                self.inline.swap(kept, at);
                kept += 1;
            }
        }
        self.used = kept;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(String),
        Keep(char),
        Sort,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => "[abc]{1,2}".prop_map(Step::Push),
            1 => prop::sample::select(vec!['a', 'b', 'z']).prop_map(Step::Keep),
            1 => Just(Step::Sort),
        ]
    }

    proptest! {
        #[test]
        fn few_or_many_they_are_a_list(steps in prop::collection::vec(step(), 0..24)) {
            let (mut pairs, mut list) = (Few::default(), Vec::new());
            for (number, step) in steps.iter().enumerate() {
                match step {
                    Step::Push(name) => {
                        let pair = (name.clone(), number);
                        pairs.push(pair.clone());
                        list.push(pair);
                    }
                    Step::Keep(letter) => {
                        pairs.retain(|(name, _)| name.starts_with(*letter));
                        list.retain(|(name, _)| name.starts_with(*letter));
                    }
                    Step::Sort => {
                        pairs.all_mut().sort_by(|(a, _), (b, _)| a.cmp(b));
                        list.sort_by(|(a, _), (b, _)| a.cmp(b));
                    }
                }
                prop_assert_eq!(pairs.all(), list.as_slice());
            }
        }
    }
}
