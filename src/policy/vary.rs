//! What in a request an answer depends on (RFC 9111, section 4.1).

use std::sync::Arc;

use http::HeaderMap;
use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING,
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, RANGE, VARY,
};

/// What an answer's `Vary` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// It is the same for every request.
    Nothing,
    /// It depends on these fields.
    On(Arc<[HeaderName]>),
    /// No other request can be known to get the same: `*`, a field that cannot be read, or more
    /// names than are looked at.
    Everything,
}

/// Fields of a client's request that are no part of what is asked for everybody: the stored answer
/// is whole, unconditional and uncoded, cookies are not sent on, and the question has no content: a
/// length that says otherwise would swallow the connection's next request.
pub const NOT_ASKED: [HeaderName; 10] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    EXPECT,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_RANGE,
    RANGE,
    ACCEPT_ENCODING,
    COOKIE,
];

/// More names than this, and hardly two requests are alike.
const MOST_NAMES: usize = 16;

impl Vary {
    /// From an answer's fields.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut names: Vec<HeaderName> = Vec::new();
        for value in headers.get_all(VARY) {
            for name in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() {
                    continue;
                }
                let Ok(name) = HeaderName::from_bytes(name) else { return Self::Everything };
                if NOT_ASKED.contains(&name) {
                    continue;
                }
                // `*` is a legal name to the parser.
                if name.as_str() == "*" || name == AUTHORIZATION {
                    return Self::Everything;
                }
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        match names.len() {
            0 => Self::Nothing,
            1..=MOST_NAMES => Self::On(names.into()),
            _ => Self::Everything,
        }
    }
}

/// The part of a request that selects one of several answers to the same question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    names: Arc<[HeaderName]>,
    /// By name; none = absent, which is another value than empty.
    values: Box<[Option<Box<[u8]>>]>,
}

impl Selector {
    /// What a request has for these names.
    pub fn of(names: &Arc<[HeaderName]>, request: &HeaderMap) -> Self {
        let values = names.iter().map(|name| normalised(name, request)).collect();
        Self { names: Arc::clone(names), values }
    }

    /// What it looks at.
    pub fn names(&self) -> &Arc<[HeaderName]> {
        &self.names
    }

    /// Whether a request would get the answer that was given to the one it was made from.
    pub fn selects(&self, request: &HeaderMap) -> bool {
        let mut pairs = self.names.iter().zip(&self.values);
        pairs.all(|(name, value)| normalised(name, request) == *value)
    }

    /// Bytes of memory it occupies.
    pub fn size(&self) -> usize {
        let text: usize = self.values.iter().flatten().map(|value| value.len()).sum();
        size_of::<Self>() + self.names.len() * 64 + text
    }
}

/// RFC 9111, section 4.1: equal but for white space where the syntax allows it, but for being on
/// one line or several, and, where a field's own definition says that it does not matter, but for
/// case and order.
fn normalised(name: &HeaderName, request: &HeaderMap) -> Option<Box<[u8]>> {
    let mut fields = request.get_all(name).iter();
    let first = fields.next()?;
    let mut members: Vec<Vec<u8>> = Vec::new();
    for value in std::iter::once(first).chain(fields) {
        split(value.as_bytes(), &mut members);
    }
    // RFC 9110, section 12.5: preferences are told by weights, not by order, in any case.
    if [ACCEPT, ACCEPT_CHARSET, ACCEPT_LANGUAGE].contains(name) {
        for member in &mut members {
            // RFC 9110, section 5.6.6: whether a parameter's value knows case is its own affair,
            // and what is quoted is to be left alone.
            if member.contains(&b'"') {
                continue;
            }
            member.retain(|byte| !byte.is_ascii_whitespace());
            for byte in member.iter_mut().take_while(|byte| **byte != b';') {
                byte.make_ascii_lowercase();
            }
            if let Some(plain) = member.strip_suffix(b";q=1") {
                *member = plain.to_vec();
            }
        }
        members.sort_unstable();
        members.dedup();
    }
    Some(members.join(&b',').into_boxed_slice())
}

/// Splits at commas outside quoted strings, without the white space around the members.
fn split(mut text: &[u8], members: &mut Vec<Vec<u8>>) {
    while let Some(comma) = unquoted_comma(text) {
        let (member, rest) = text.split_at(comma);
        members.push(member.trim_ascii().to_vec());
        text = rest.strip_prefix(b",").unwrap_or(rest);
    }
    members.push(text.trim_ascii().to_vec());
}

fn unquoted_comma(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn on(names: &[&str]) -> Vary {
        Vary::On(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn what_vary_says() {
        for (fields, expected) in [
            (&[][..], Vary::Nothing),
            (&[("vary", "")], Vary::Nothing),
            (&[("vary", "Accept-Encoding, Cookie")], Vary::Nothing),
            (&[("vary", "Content-Type, If-None-Match, Range")], Vary::Nothing),
            (&[("vary", "Foo, bar , FOO,,")], on(&["bar", "foo"])),
            (&[("vary", "foo"), ("vary", "Accept-Language")], on(&["accept-language", "foo"])),
            (&[("vary", "*")], Vary::Everything),
            (&[("vary", "foo, *")], Vary::Everything),
            (&[("vary", ""), ("vary", "*")], Vary::Everything),
            (&[("vary", "foo bar")], Vary::Everything),
            (&[("vary", "authorization")], Vary::Everything),
        ] {
            assert_eq!(Vary::of(&map(fields)), expected, "{fields:?}");
        }
        let many: Vec<String> = (0..=MOST_NAMES).map(|n| format!("x-{n}")).collect();
        assert_eq!(Vary::of(&map(&[("vary", &many.join(","))])), Vary::Everything);
        assert_ne!(Vary::of(&map(&[("vary", &many[1..].join(","))])), Vary::Everything);
    }

    #[test]
    fn what_is_the_same_to_a_field_is_the_same_request() {
        let language = "accept-language";
        for (name, stored, asked, same) in [
            ("foo", &["1, 2"][..], &["1,2"][..], true),
            ("foo", &["1, 2"], &["1", "2"], true),
            ("foo", &["1, 2"], &[" 1 , 2 "], true),
            ("foo", &["1, 2"], &["2, 1"], false),
            ("foo", &["a"], &["A"], false),
            ("foo", &["\"1, 2\""], &["\"1,2\""], false),
            ("foo", &["1"], &[], false),
            ("foo", &[], &[], true),
            ("foo", &[""], &[], false),
            (language, &["en, de"], &["de, EN"], true),
            (language, &["en, de;q=0.5"], &["de; q=0.5, en;q=1"], true),
            (language, &["en, de"], &["en, de;q=0.5"], false),
            (language, &["en;q=0.50"], &["en;q=0.5"], false),
            ("accept", &["text/html"], &["text/html, */*"], false),
            ("accept", &["Text/HTML;level=1, a/b"], &["a/b, text/html; level=1"], true),
            ("accept", &["a/b;profile=X"], &["a/b;profile=x"], false),
            ("accept", &["a/b;profile=\"x y\""], &["a/b;profile=\"xy\""], false),
            ("accept", &["a/b;profile=\"X\""], &["a/b;profile=\"x\""], false),
            ("accept-encoding", &["gzip, br"], &["br, gzip"], false),
        ] {
            let request = |values: &[&str]| {
                let fields: Vec<_> = values.iter().map(|value| (name, *value)).collect();
                map(&fields)
            };
            let names: Arc<[HeaderName]> = [name.parse().unwrap()].into();
            let selector = Selector::of(&names, &request(stored));
            assert_eq!(selector.selects(&request(asked)), same, "{name}: {stored:?} {asked:?}");
            let other = Selector::of(&names, &request(asked));
            assert_eq!(selector == other, same, "and the other way round");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_a_request_selects_its_own(
            vary in prop::collection::vec(any::<u8>(), 0..64),
            value in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut headers = HeaderMap::new();
            if let Ok(vary) = http::HeaderValue::from_bytes(&vary) {
                headers.insert(VARY, vary);
            }
            let _any_will_do = Vary::of(&headers);
            let mut request = HeaderMap::new();
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                request.insert("x-own", value.clone());
                request.insert("accept-language", value);
            }
            let names: Arc<[HeaderName]> =
                [HeaderName::from_static("x-own"), ACCEPT_LANGUAGE].into();
            prop_assert!(Selector::of(&names, &request).selects(&request));
        }
    }
}
