//! Which endpoints a client may ask.

use super::endpoint::{EndpointId, UpstreamId};

/// Endpoints as an operator names them: `id` or `upstream/id`, where an id may end in `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPattern {
    upstream: Option<String>,
    id: String,
    is_prefix: bool,
}

impl EndpointPattern {
    /// Reads one; or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (upstream, id) = match text.split_once('/') {
            Some(("", _)) => return Err("has no upstream before its slash"),
            Some((upstream, id)) => (Some(upstream), id),
            None => (None, text),
        };
        let (id, is_prefix) = id.strip_suffix('*').map_or((id, false), |id| (id, true));
        if id.is_empty() && !is_prefix {
            return Err("names no endpoint");
        }
        if id.contains('*') || upstream.is_some_and(|upstream| upstream.contains('*')) {
            return Err("has a \"*\" that is not its end");
        }
        Ok(Self { upstream: upstream.map(ToOwned::to_owned), id: id.to_owned(), is_prefix })
    }

    /// Whether it means this endpoint.
    pub fn matches(&self, upstream: &UpstreamId, endpoint: &EndpointId) -> bool {
        let id = endpoint.as_str();
        let named = if self.is_prefix { id.starts_with(&self.id) } else { id == self.id };
        named && self.upstream.as_ref().is_none_or(|named| named == upstream.as_str())
    }
}

/// Endpoints by number: one look a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EndpointSet {
    /// All there are.
    #[default]
    All,
    /// These.
    Only(Box<[u64]>),
}

impl EndpointSet {
    /// Those of these numbers.
    pub fn only(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut words = Vec::new();
        for number in numbers {
            let (at, bit) = (number / 64, 1 << (number % 64));
            if words.len() <= at {
                words.resize(at + 1, 0);
            }
            words.get_mut(at).into_iter().for_each(|word| *word |= bit);
        }
        Self::Only(words.into())
    }

    /// Whether this one is among them.
    pub fn holds(&self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(words) => {
                words.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_endpoints() {
        let (zoom, other) = (UpstreamId::new("zoom"), UpstreamId::new("other"));
        let (users, get) = (EndpointId::new("list-users"), EndpointId::new("get-user"));
        for (text, hits) in [
            ("list-users", [true, true, false]),
            ("list-*", [true, true, false]),
            ("*", [true, true, true]),
            ("zoom/list-users", [true, false, false]),
            ("zoom/*", [true, false, true]),
            ("other/list-*", [false, true, false]),
            ("list", [false, false, false]),
            ("list-users*", [true, true, false]),
        ] {
            let pattern = EndpointPattern::parse(text).unwrap();
            let found = [(&zoom, &users), (&other, &users), (&zoom, &get)]
                .map(|(upstream, id)| pattern.matches(upstream, id));
            assert_eq!(found, hits, "{text}");
        }
        for bad in ["", "zoom/", "/list", "*-users", "z*/list", "list-**", "/"] {
            assert!(EndpointPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let numbers = [0, 5, 63, 64, 200];
        let set = EndpointSet::only(numbers);
        for number in 0..300 {
            assert_eq!(set.holds(number), numbers.contains(&number), "{number}");
            assert!(EndpointSet::All.holds(number));
            assert!(!EndpointSet::only([]).holds(number));
        }
    }
}
