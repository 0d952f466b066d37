//! `Cache-Control` and its relatives, read as far as a shared cache has to (RFC 9111, section 5.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderName, PRAGMA};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

/// What an answer says about being kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a directive, there or not")]
pub struct AnswerDirectives {
    /// `no-store`
    pub no_store: bool,
    /// `private`, without or with names: what is for one client is not kept for others.
    pub private: bool,
    /// `no-cache` without names: not served without asking.
    pub no_cache: bool,
    /// Of `no-cache="…"`: these fields are not served without asking.
    pub no_cache_fields: Vec<HeaderName>,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `must-understand`
    pub must_understand: bool,
    /// `no-transform`
    pub no_transform: bool,
    /// `immutable` (RFC 8246)
    pub immutable: bool,
    /// It was `CDN-Cache-Control` that spoke (RFC 9213).
    pub targeted: bool,
    /// `max-age`
    pub max_age: Option<Duration>,
    /// `s-maxage`
    pub s_maxage: Option<Duration>,
    /// `stale-while-revalidate` (RFC 5861, section 3)
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861, section 4)
    pub stale_if_error: Option<Duration>,
}

/// RFC 9213: meant for caches like this one, and before `Cache-Control` there.
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

impl AnswerDirectives {
    /// `CDN-Cache-Control` where it is there and can be read, else `Cache-Control`.
    pub fn of(headers: &HeaderMap) -> Self {
        Self::targeted(headers).unwrap_or_else(|| Self::untargeted(headers))
    }

    fn untargeted(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            for (name, argument) in List(value.as_bytes()) {
                read.take(name, argument);
            }
        }
        read
    }

    /// RFC 9213, section 2.2: a dictionary (RFC 9651), ignored whole where it is none, where it is
    /// empty, or where a member is not of the type it has to be.
    fn targeted(headers: &HeaderMap) -> Option<Self> {
        let fields: Option<Vec<&str>> =
            headers.get_all(CDN_CACHE_CONTROL).iter().map(|value| value.to_str().ok()).collect();
        let text = fields.filter(|fields| !fields.is_empty())?.join(", ");
        let members: Dictionary = Parser::new(&text).parse().ok()?;
        let mut read = Self { targeted: true, ..Self::default() };
        for (name, value) in &members {
            let name = name.as_str();
            let kind = kind(name);
            // RFC 9111, section 5.2.3: whatever an unknown directive is, it is ignored.
            if let Kind::Unknown = kind {
                continue;
            }
            let ListEntry::Item(Item { bare_item, .. }) = value else { return None };
            match (bare_item, kind) {
                (BareItem::Integer(figure), Kind::Seconds) => {
                    let text = i64::from(*figure).to_string();
                    read.take(name.as_bytes(), Some(text.as_bytes()));
                }
                (BareItem::Boolean(true), Kind::Flag | Kind::Fields) => {
                    read.take(name.as_bytes(), None);
                }
                (_, Kind::Unknown) | (BareItem::Boolean(false), Kind::Flag | Kind::Fields) => {}
                (BareItem::String(names), Kind::Fields) => {
                    read.take(name.as_bytes(), Some(names.as_str().as_bytes()));
                }
                _ => return None,
            }
        }
        (!members.is_empty()).then_some(read)
    }

    fn take(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("no-store") {
            self.no_store = true;
        } else if is("private") {
            self.private = true;
        } else if is("no-cache") {
            // Section 5.2.2.4: names that cannot be read could be any.
            match argument.and_then(names).filter(|names| !names.is_empty()) {
                Some(names) => self.no_cache_fields.extend(names),
                None => self.no_cache = true,
            }
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("no-transform") {
            self.no_transform = true;
        } else if is("immutable") {
            self.immutable = true;
        } else if is("max-age") {
            least(&mut self.max_age, argument);
        } else if is("s-maxage") {
            least(&mut self.s_maxage, argument);
        } else if is("stale-while-revalidate") {
            least(&mut self.stale_while_revalidate, argument);
        } else if is("stale-if-error") {
            least(&mut self.stale_if_error, argument);
        }
    }
}

/// What a request says about being answered from memory (RFC 9111, section 5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `no-cache`, or `Pragma: no-cache` where there is no `Cache-Control` (section 5.4).
    pub no_cache: bool,
    /// `no-store`
    pub no_store: bool,
    /// `only-if-cached`
    pub only_if_cached: bool,
    /// `max-age`
    pub max_age: Option<Duration>,
    /// `min-fresh`
    pub min_fresh: Option<Duration>,
    /// `max-stale`; without a figure, however stale.
    pub max_stale: Option<Duration>,
}

impl RequestDirectives {
    /// From a request's fields.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        if headers.is_empty() {
            return read;
        }
        let mut fields = headers.get_all(CACHE_CONTROL).iter().peekable();
        if fields.peek().is_none() {
            let pragma = headers.get_all(PRAGMA).iter().flat_map(|v| List(v.as_bytes()));
            read.no_cache = { pragma }.any(|(name, _)| is(name, "no-cache"));
        }
        for (name, argument) in fields.flat_map(|value| List(value.as_bytes())) {
            read.no_cache |= is(name, "no-cache");
            read.no_store |= is(name, "no-store");
            read.only_if_cached |= is(name, "only-if-cached");
            if is(name, "max-age") {
                least(&mut read.max_age, argument);
            } else if is(name, "min-fresh") {
                // One that cannot be read could ask for anything: nothing is fresh enough.
                let figure = argument.and_then(seconds).unwrap_or(MOST);
                read.min_fresh = Some(read.min_fresh.map_or(figure, |known| known.max(figure)));
            } else if is(name, "max-stale") {
                let figure = argument.map_or(Some(MOST), seconds).unwrap_or_default();
                read.max_stale = Some(read.max_stale.map_or(figure, |known| known.min(figure)));
            }
        }
        read
    }
}

fn is(name: &[u8], known: &str) -> bool {
    name.eq_ignore_ascii_case(known.as_bytes())
}

/// RFC 9111, section 4.2.1: of contradictory values the most restrictive; one that cannot be read
/// makes the answer stale.
fn least(known: &mut Option<Duration>, argument: Option<&[u8]>) {
    let value = argument.and_then(seconds).unwrap_or_default();
    *known = Some(known.map_or(value, |known| known.min(value)));
}

/// RFC 9111, section 1.2.2: a figure too large to be represented is taken as the largest.
const MOST: Duration = Duration::from_secs(1 << 31);

/// RFC 9111, section 1.2.2: delta-seconds.
pub fn seconds(text: &[u8]) -> Option<Duration> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(Duration::from_secs(text.iter().fold(0, add)).min(MOST))
}

/// What a directive's argument has to be.
enum Kind {
    Seconds,
    Flag,
    /// Nothing, or the names of fields.
    Fields,
    Unknown,
}

fn kind(name: &str) -> Kind {
    match name {
        "max-age" | "s-maxage" | "stale-while-revalidate" | "stale-if-error" => Kind::Seconds,
        "no-cache" | "private" => Kind::Fields,
        "no-store" | "public" | "must-revalidate" | "proxy-revalidate" | "must-understand"
        | "no-transform" | "immutable" => Kind::Flag,
        _ => Kind::Unknown,
    }
}

/// Names of fields, separated by commas; `None` = one of them is no name.
fn names(list: &[u8]) -> Option<Vec<HeaderName>> {
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

/// The members of a comma-separated list of `token [= (token | quoted-string)]`, whatever their
/// bytes: in a quoted string a comma separates nothing.
struct List<'v>(&'v [u8]);

impl<'v> Iterator for List<'v> {
    type Item = (&'v [u8], Option<&'v [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let end = end_of_member(self.0);
            let (member, rest) = self.0.split_at(end);
            self.0 = rest.get(1..).unwrap_or_default();
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            let equals = member.iter().position(|byte| *byte == b'=');
            let Some(equals) = equals else { return Some((member, None)) };
            // RFC 9110, section 5.6.6: no space belongs around it. Before it, the name still counts,
            // for a forbidding one must not get lost, with an argument that cannot be read.
            let (spelt, argument) = member.split_at(equals);
            let name = spelt.trim_ascii_end();
            let argument = if name.len() == spelt.len() {
                argument.strip_prefix(b"=").unwrap_or(argument)
            } else {
                argument
            };
            return Some((name, Some(unquoted(argument))));
        }
    }
}

/// Where a member ends. RFC 9110, section 5.6.4: in a quoted string a comma separates nothing; a
/// quote that is never closed, or does not follow the equals sign, begins no string, and hides
/// nothing of what comes after it.
fn end_of_member(text: &[u8]) -> usize {
    let comma = |from: usize| {
        let found = text.iter().skip(from).position(|byte| *byte == b',');
        found.map_or(text.len(), |index| from + index)
    };
    let end = comma(0);
    let equals = text.iter().take(end).position(|byte| *byte == b'=');
    match equals.map(|equals| equals + 1) {
        Some(argument) if text.get(argument) == Some(&b'"') => {
            end_of_string(text, argument + 1).map_or(end, comma)
        }
        _ => end,
    }
}

/// Where the quoted string is closed whose content begins there.
fn end_of_string(text: &[u8], begin: usize) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate().skip(begin) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index),
            _ => {}
        }
    }
    None
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text)
}

#[cfg(test)]
mod tests;
