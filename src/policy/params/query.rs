//! The pairs of a query, decoded: borrowed from it where nothing was encoded.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use smallvec::SmallVec;

use super::{BadParameter, bad, decode};

/// A name and its value.
pub(in crate::policy) type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// Largest number of query parameters a request may carry.
pub(super) const MAX_PARAMETERS: usize = 64;

/// Pairs in the client's order. Most requests have so few that they need no memory of their own.
pub(in crate::policy) type Pairs<'q> = SmallVec<[Pair<'q>; 4]>;

pub(in crate::policy) fn parse_query(query: &str) -> Result<Pairs<'_>, BadParameter> {
    let mut pairs = Pairs::default();
    if query.is_empty() {
        return Ok(pairs);
    }
    let is_plain = memchr2(b'%', b'+', query.as_bytes()).is_none();
    let (mut rest, mut number) = (Some(query), 0);
    while let Some(text) = rest {
        let (pair, after) = split(text, b'&');
        rest = after;
        if pair.is_empty() {
            continue;
        }
        let (name, value) = split(pair, b'=');
        let value = value.unwrap_or_default();
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
        number += 1;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// What stands before the first of these, and after it if there is one.
fn split(text: &str, at: u8) -> (&str, Option<&str>) {
    let found = memchr(at, text.as_bytes());
    let halves = found.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?)));
    halves.map_or((text, None), |(before, after)| (before, Some(after)))
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

    proptest! {
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
                pairs.iter().map(owned).collect::<Vec<_>>()
            });
            prop_assert_eq!(read, expected.ok());
        }
    }
}
