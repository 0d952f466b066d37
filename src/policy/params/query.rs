//! The pairs of a query, decoded: borrowed from it where nothing was encoded, and without a list
//! on the heap where there are few.

use std::borrow::Cow;
use std::mem::take;

use memchr::memchr2;

use super::{BadParameter, bad, decode};

/// A name and its value.
pub(in crate::policy) type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// Largest number of query parameters a request may carry.
pub(super) const MAX_PARAMETERS: usize = 64;

/// Most requests have no more.
const FEW: usize = 4;

/// Pairs in the client's order.
#[derive(Debug, Default)]
pub(in crate::policy) struct Pairs<'q> {
    few: [Pair<'q>; FEW],
    /// How many of the few there are.
    used: usize,
    /// All of them, where the few are not enough.
    many: Vec<Pair<'q>>,
}

impl<'q> Pairs<'q> {
    pub(in crate::policy) fn all(&self) -> &[Pair<'q>] {
        if self.many.is_empty() {
            self.few.get(..self.used).unwrap_or_default()
        } else {
            &self.many
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [Pair<'q>] {
        if self.many.is_empty() {
            self.few.get_mut(..self.used).unwrap_or_default()
        } else {
            &mut self.many
        }
    }

    /// Callers keep the bound: [`MAX_PARAMETERS`], and what an endpoint declares.
    pub(super) fn push(&mut self, pair: Pair<'q>) {
        if self.many.is_empty() {
            if let Some(free) = self.few.get_mut(self.used) {
                *free = pair;
                self.used += 1;
                return;
            }
            self.many.extend(self.few.iter_mut().map(take));
            self.used = 0;
        }
        self.many.push(pair);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        self.many.retain(|(name, value)| keep(name, value));
        let mut kept = 0;
        for at in 0..self.used {
            if self.few.get(at).is_some_and(|(name, value)| keep(name, value)) {
                self.few.swap(kept, at);
                kept += 1;
            }
        }
        self.used = kept;
    }
}

pub(in crate::policy) fn parse_query(query: &str) -> Result<Pairs<'_>, BadParameter> {
    let mut pairs = Pairs::default();
    if query.is_empty() {
        return Ok(pairs);
    }
    let is_plain = memchr2(b'%', b'+', query.as_bytes()).is_none();
    for (number, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = if is_plain {
            (Cow::Borrowed(name), Cow::Borrowed(value))
        } else {
            let name = decode_form(name, name)?;
            let value = decode_form(&name, value)?;
            (name, value)
        };
        if number == MAX_PARAMETERS {
            return Err(bad(&name, format!("is one of more than {MAX_PARAMETERS} parameters")));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// As forms encode it: a plus sign is a space.
fn decode_form<'q>(name: &str, raw: &'q str) -> Result<Cow<'q, str>, BadParameter> {
    if raw.contains('+') {
        return Ok(Cow::Owned(decode(name, &raw.replace('+', " "))?.into_owned()));
    }
    decode(name, raw)
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
            let (mut pairs, mut list) = (Pairs::default(), Vec::new());
            for (number, step) in steps.iter().enumerate() {
                match step {
                    Step::Push(name) => {
                        let pair: Pair<'_> = (name.as_str().into(), number.to_string().into());
                        pairs.push(pair.clone());
                        list.push(pair);
                    }
                    Step::Keep(letter) => {
                        pairs.retain(|name, _| name.starts_with(*letter));
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

        #[test]
        fn a_query_is_read_as_forms_are(query in "([ab=&+]|%3D|%2B|%20|%C3%A9|%FF|%){0,12}") {
            let decode = |raw: &str| {
                let spaced = raw.replace('+', " ");
                percent_encoding::percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned)
            };
            let pairs = query.split('&').filter(|pair| !pair.is_empty());
            let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let expected: Result<Vec<_>, std::str::Utf8Error> =
                pairs.map(|(name, value)| Ok((decode(name)?, decode(value)?))).collect();
            let read = parse_query(&query).ok().map(|pairs| {
                let owned = |(name, value): &Pair<'_>| (name.to_string(), value.to_string());
                pairs.all().iter().map(owned).collect::<Vec<_>>()
            });
            prop_assert_eq!(read, expected.ok());
        }
    }
}
