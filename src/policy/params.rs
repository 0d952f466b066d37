//! One question, one spelling: path and query parameters, checked, defaulted and put in order.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::endpoint::{Endpoint, KeyRule, Parameter, ParameterKind, Spelling};
use super::spelling::{EncodeTimes, encode_segment};

mod decoded;
mod packed;
mod query;

use self::decoded::Decoded;
use self::packed::{Packed, Packer, field};
use self::query::Pairs;
pub(super) use self::query::parse_query;

/// What is wrong with which parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter \"{name}\": {why}")]
pub struct BadParameter {
    /// Its name as the client spelt it, shortened to something printable.
    pub name: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// The parameters of a request in their one spelling: decoded path parameters in template order, and
/// decoded query parameters sorted by name, repeated ones in the client's order.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Canonical(Packed);

impl Canonical {
    /// Checks the raw parameters of a request for an endpoint. `captures` are names and raw texts of
    /// its path parameters.
    pub fn new<'c>(
        endpoint: &Endpoint,
        captures: impl IntoIterator<Item = (&'c str, &'c str)>,
        query: Option<&str>,
    ) -> Result<Self, BadParameter> {
        let value = |name, raw| {
            // The text of a catch-all is the upstream's own path: decoded, its %2F would split.
            if is_catch_all(&endpoint.path, name) {
                return Ok(Decoded::Plain(raw));
            }
            Decoded::of(name, raw)
        };
        let (mut path, mut length) = (SmallVec::<[_; 4]>::new(), 0);
        for (name, raw) in captures {
            let value = value(name, raw)?;
            length += field(name.len()) + field(value.len());
            path.push((name, value));
        }
        let query = settled(endpoint, query.unwrap_or_default())?;
        let lengths = query.iter().map(|(name, text)| field(name.len()) + field(text.len()));
        let mut packer = Packer::new(path.len(), length + lengths.sum::<usize>());
        for (name, value) in &path {
            packer.put(name);
            value.put_into(&mut packer);
        }
        for (name, text) in &query {
            packer.put(name);
            packer.put(text);
        }
        Ok(Self(packer.finish()))
    }

    /// Parameters that are in their one spelling, and in order, already.
    pub fn of(path: &[(&str, &str)], query: &[(&str, &str)]) -> Self {
        Self(Packed::new(path.len(), path.iter().chain(query).copied()))
    }

    /// Names and values of the path.
    pub fn path(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.path()
    }

    /// The value of a parameter of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.0.query().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The value of a parameter, path first.
    pub fn value(&self, name: &str) -> Option<&str> {
        let path = self.path().find(|(n, _)| *n == name);
        path.map(|(_, value)| value).or_else(|| self.query(name))
    }

    /// The same question, with this value of a parameter of the query.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let path: Vec<_> = self.path().collect();
        let mut query: Vec<_> = self.0.query().filter(|(n, _)| *n != name).collect();
        let at = query.partition_point(|(n, _)| *n < name);
        query.insert(at, (name, value));
        Self::of(&path, &query)
    }

    /// All of it as one text, which no other parameters have.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Path and query as they are sent to the upstream, relative to its base URL.
    pub fn target(&self, template: &str, spelling: Spelling) -> String {
        let mut target = render(template, self, spelling);
        for (index, (name, value)) in self.0.query().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(&encode_segment(name, EncodeTimes::Once));
            target.push('=');
            target.push_str(&encode_segment(value, EncodeTimes::Once));
        }
        target
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.path()).entries(self.0.query()).finish()
    }
}

/// Whether this parameter is the one at the end that takes all segments.
fn is_catch_all(template: &str, name: &str) -> bool {
    let before = template.strip_suffix('}').and_then(|rest| rest.strip_suffix(name));
    before.is_some_and(|before| before.ends_with("{*"))
}

fn decode<'t>(name: &str, raw: &'t str) -> Result<Cow<'t, str>, BadParameter> {
    percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_error| bad(name, "is not UTF-8 once percent-decoded"))
}

pub(super) fn bad(name: &str, why: impl Into<String>) -> BadParameter {
    let name = name.chars().filter(|c| !c.is_control()).take(64).collect();
    BadParameter { name, why: why.into() }
}

/// The query's part of the question.
fn settled<'q>(endpoint: &'q Endpoint, query: &'q str) -> Result<Pairs<'q>, BadParameter> {
    let mut query = parse_query(query)?;
    // A credential in the query is the client's, never part of the question.
    query.retain(|(name, _)| !name.eq_ignore_ascii_case("access_token"));
    // What asks for a whole listing is about how it is answered; see `listing::Extent`.
    if let Some((_, whole)) = endpoint.whole() {
        query.retain(|(name, _)| *name != whole.parameter);
    }
    for parameter in &endpoint.parameters {
        settle(parameter, &mut query)?;
    }
    if let KeyRule::Only(names) = &endpoint.key {
        query.retain(|(name, _)| names.iter().any(|one| one == name));
    }
    query.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(query)
}

/// Checks a declared parameter and makes its default explicit.
fn settle<'q>(parameter: &'q Parameter, query: &mut Pairs<'q>) -> Result<(), BadParameter> {
    let name = parameter.name.as_str();
    if let ParameterKind::Text { .. } = parameter.kind {
        query.retain(|(n, value)| n != name || !value.is_empty());
    }
    let mut given = query.iter_mut().filter(|(n, _)| n == name).map(|(_, value)| value);
    let (first, repeated) = (given.next(), given.next().is_some());
    match first {
        _ if repeated => Err(bad(name, "is given more than once")),
        Some(value) => {
            if let Some(right) = checked(name, value, &parameter.kind)? {
                *value = Cow::Owned(right);
            }
            Ok(())
        }
        None if parameter.required => Err(bad(name, "is required")),
        None => {
            if let Some(default) = &parameter.default {
                query.push((Cow::Borrowed(name), Cow::Borrowed(default)));
            }
            Ok(())
        }
    }
}

/// The value's one spelling, where it is another.
fn checked(name: &str, value: &str, kind: &ParameterKind) -> Result<Option<String>, BadParameter> {
    match kind {
        ParameterKind::OneOf(allowed) => {
            if allowed.iter().any(|one| one == value) {
                return Ok(None);
            }
            Err(bad(name, format!("must be one of {}", allowed.join(", "))))
        }
        ParameterKind::Integer { min, max } => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            match value.parse::<i64>() {
                Ok(number) if all_digits && (*min..=*max).contains(&number) => {
                    // Zero has no sign, and nothing else begins with one.
                    Ok(digits.starts_with('0').then(|| number.to_string()))
                }
                _ => Err(bad(name, format!("must be a whole number from {min} to {max}"))),
            }
        }
        ParameterKind::Text { max_length } => {
            if value.len() <= *max_length {
                return Ok(None);
            }
            Err(bad(name, format!("must not be longer than {max_length} bytes")))
        }
    }
}

/// Fills a matchit template.
fn render(template: &str, values: &Canonical, spelling: Spelling) -> String {
    let mut path = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        path.push_str(&literal.replace("}}", "%7D"));
        if let Some(after) = after.strip_prefix('{') {
            path.push_str("%7B");
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else { break };
        rest = after;
        let (name, catch_all) = match name.strip_prefix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let value = values.path().find(|(n, _)| *n == name).map_or("", |(_, value)| value);
        if catch_all {
            path.push_str(value);
        } else {
            path.push_str(&spelling.encode(value));
        }
    }
    path.push_str(&rest.replace("}}", "%7D"));
    path
}

#[cfg(test)]
mod tests;
