//! Whether a client has the stored answer already (RFC 9110, section 13; RFC 9111, section 4.3.2).

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use http::header::{HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, Method};

/// What tells one state of a stored answer from another.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// Its `ETag`: the one of the coding it would be sent in.
    pub etag: Option<&'a HeaderValue>,
    /// Its `Last-Modified`.
    pub last_modified: Option<SystemTime>,
    /// Its `Date`, as the upstream said it.
    pub date: Option<SystemTime>,
    /// When it arrived.
    pub received: SystemTime,
}

/// What to answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The client has not got it, or did not ask: send it.
    Modified,
    /// The client has it: 304.
    NotModified,
}

/// Decides by `If-None-Match`, or in its absence by `If-Modified-Since`.
///
/// Only for a stored answer that would be sent as 200 (RFC 9110, section 13.2.1), and before
/// [`super::range::range`] (section 13.2.2). Whatever cannot be understood counts as absent or as
/// another tag, and the client gets the whole answer. Allocates nothing.
pub fn verdict(method: &Method, request: &HeaderMap, stored: &Validators<'_>) -> Verdict {
    // RFC 9110, section 13.1.2: for other methods a match means 412, which is the upstream's to say.
    if method != Method::GET && method != Method::HEAD {
        return Verdict::Modified;
    }
    let holds = if request.contains_key(IF_NONE_MATCH) {
        matches_any(request, stored.etag)
    } else {
        // RFC 9110, section 13.1.3: ignored next to If-None-Match.
        unmodified_since(request, stored)
    };
    if holds { Verdict::NotModified } else { Verdict::Modified }
}

/// RFC 9110, section 13.1.2: weak comparison; `*` is any answer there is.
fn matches_any(request: &HeaderMap, etag: Option<&HeaderValue>) -> bool {
    let own = etag.and_then(|etag| Tag::of(etag.as_bytes()));
    request.get_all(IF_NONE_MATCH).iter().any(|field| {
        field.as_bytes().trim_ascii() == b"*"
            || own.is_some_and(|own| tags(field.as_bytes()).any(|tag| tag.equals_weakly(own)))
    })
}

fn unmodified_since(request: &HeaderMap, stored: &Validators<'_>) -> bool {
    // RFC 9110, section 13.1.3: no date, or more than one, counts as absent.
    let Some(since) = only(request, IF_MODIFIED_SINCE).and_then(http_date) else { return false };
    // RFC 9111, section 4.3.2: without Last-Modified its Date, and without that its arrival.
    let modified = stored.last_modified.or(stored.date).unwrap_or(stored.received);
    modified <= since
}

/// The value of a field that stands there once.
pub(super) fn only(
    headers: &HeaderMap,
    name: impl http::header::AsHeaderName,
) -> Option<&HeaderValue> {
    let mut fields = headers.get_all(name).iter();
    fields.next().filter(|_| fields.next().is_none())
}

/// RFC 9110, section 5.6.7: all three forms of a date.
pub fn http_date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// An entity tag (RFC 9110, section 8.8.3).
///
/// Its opaque part includes the quotes. So a tag that was sent without them, as some upstreams
/// do, is equal to itself as it comes back, and to nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    strength: Strength,
    opaque: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    Strong,
    Weak,
}

impl<'a> Tag<'a> {
    /// The tag in an `ETag` field; `None` if the field is empty.
    pub fn of(field: &'a [u8]) -> Option<Self> {
        // RFC 9110, section 8.8.3: the mark of a weak tag is case-sensitive.
        let (strength, opaque) = match field.trim_ascii() {
            [b'W', b'/', opaque @ ..] => (Strength::Weak, opaque),
            opaque => (Strength::Strong, opaque),
        };
        (!opaque.is_empty()).then_some(Self { strength, opaque })
    }

    /// RFC 9110, section 8.8.3.2: equal whatever their strength.
    pub fn equals_weakly(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    /// RFC 9110, section 8.8.3.2: equal and both strong. Nothing is known of a malformed tag, so
    /// it is not strong.
    pub fn equals_strongly(self, other: Self) -> bool {
        self.is_strong() && other.is_strong() && self.opaque == other.opaque
    }

    fn is_strong(self) -> bool {
        let quoted = matches!(self.opaque, [b'"', within @ .., b'"'] if !within.contains(&b'"'));
        quoted && self.strength == Strength::Strong
    }
}

/// The tags of a list. A comma within quotes is part of its tag (RFC 9110, section 8.8.3); empty
/// elements count for nothing (section 5.6.1.2), and malformed ones equal nothing well-formed.
pub fn tags(list: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    let mut quoted = false;
    let ends = move |&byte: &u8| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    };
    list.split(ends).filter_map(Tag::of)
}
