//! One question, one spelling: path and query parameters, checked, defaulted and put in order.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::endpoint::{Endpoint, KeyRule, Parameter, ParameterKind, Spelling};
use super::spelling::{EncodeTimes, encode_segment};

/// What is wrong with which parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter \"{name}\": {why}")]
pub struct BadParameter {
    /// Its name as the client spelt it, shortened to something printable.
    pub name: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// The parameters of a request in their one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Canonical {
    /// Decoded path parameters in template order.
    pub path: Vec<(String, String)>,
    /// Decoded query parameters sorted by name; repeated ones in the client's order.
    pub query: Vec<(String, String)>,
}

/// Largest number of query parameters a request may carry.
const MAX_PARAMETERS: usize = 64;

impl Canonical {
    /// Checks the raw parameters of a request for an endpoint.
    pub fn new(
        endpoint: &Endpoint,
        captures: &[(String, &str)],
        query: Option<&str>,
    ) -> Result<Self, BadParameter> {
        let mut path = Vec::with_capacity(captures.len());
        for (name, raw) in captures {
            // The text of a catch-all is the upstream's own path: decoded, its %2F would split.
            let catch_all = endpoint.path.ends_with(&format!("{{*{name}}}"));
            let value = if catch_all { Cow::Borrowed(*raw) } else { decode(name, raw)? };
            path.push((name.clone(), value.into_owned()));
        }
        let mut query = parse_query(query.unwrap_or_default())?;
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
            query.retain(|(name, _)| names.contains(name));
        }
        query.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self { path, query })
    }

    /// The value of a parameter of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, path first.
    pub fn value(&self, name: &str) -> Option<&str> {
        let path = self.path.iter().find(|(n, _)| n == name);
        path.map(|(_, value)| value.as_str()).or_else(|| self.query(name))
    }

    /// The same question, with this value of a parameter of the query.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut query = self.query.clone();
        query.retain(|(n, _)| n != name);
        let at = query.partition_point(|(n, _)| n.as_str() < name);
        query.insert(at, (name.to_owned(), value.to_owned()));
        Self { path: self.path.clone(), query }
    }

    /// Path and query as they are sent to the upstream, relative to its base URL.
    pub fn target(&self, template: &str, spelling: Spelling) -> String {
        let mut target = render(template, &self.path, spelling);
        for (index, (name, value)) in self.query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(&encode_segment(name, EncodeTimes::Once));
            target.push('=');
            target.push_str(&encode_segment(value, EncodeTimes::Once));
        }
        target
    }
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

pub(super) fn parse_query(query: &str) -> Result<Vec<(String, String)>, BadParameter> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name, &name.replace('+', " "))?.into_owned();
        let value = decode(&name, &value.replace('+', " "))?.into_owned();
        if pairs.len() == MAX_PARAMETERS {
            return Err(bad(&name, format!("is one of more than {MAX_PARAMETERS} parameters")));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Checks a declared parameter and makes its default explicit.
fn settle(parameter: &Parameter, query: &mut Vec<(String, String)>) -> Result<(), BadParameter> {
    let name = &parameter.name;
    if let ParameterKind::Text { .. } = parameter.kind {
        query.retain(|(n, value)| n != name || !value.is_empty());
    }
    let mut given = query.iter_mut().filter(|(n, _)| n == name).map(|(_, value)| value);
    let (first, repeated) = (given.next(), given.next().is_some());
    match first {
        _ if repeated => Err(bad(name, "is given more than once")),
        Some(value) => {
            *value = checked(name, value, &parameter.kind)?;
            Ok(())
        }
        None if parameter.required => Err(bad(name, "is required")),
        None => {
            if let Some(default) = &parameter.default {
                query.push((name.clone(), default.clone()));
            }
            Ok(())
        }
    }
}

fn checked(name: &str, value: &str, kind: &ParameterKind) -> Result<String, BadParameter> {
    match kind {
        ParameterKind::OneOf(allowed) => {
            if allowed.iter().any(|one| one == value) {
                return Ok(value.to_owned());
            }
            Err(bad(name, format!("must be one of {}", allowed.join(", "))))
        }
        ParameterKind::Integer { min, max } => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            match value.parse::<i64>() {
                Ok(number) if all_digits && (*min..=*max).contains(&number) => {
                    Ok(number.to_string())
                }
                _ => Err(bad(name, format!("must be a whole number from {min} to {max}"))),
            }
        }
        ParameterKind::Text { max_length } => {
            if value.len() <= *max_length {
                return Ok(value.to_owned());
            }
            Err(bad(name, format!("must not be longer than {max_length} bytes")))
        }
    }
}

/// Fills a matchit template.
fn render(template: &str, values: &[(String, String)], spelling: Spelling) -> String {
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
        let value = values.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
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
