//! Which part of a stored answer a client wants (RFC 9110, section 14).

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::header::{HeaderValue, IF_RANGE, RANGE};
use http::{HeaderMap, Method};

use super::condition::{Tag, Validators, http_date, only};

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranged {
    /// All of it: 200.
    Whole,
    /// From the byte `first` to the byte `last`, which is included: 206. `first <= last < len`.
    Part {
        /// Counted from zero.
        first: u64,
        /// Counted from zero.
        last: u64,
    },
    /// Nothing: 416.
    Unsatisfiable,
}

impl Ranged {
    /// The value for `Content-Range` in an answer of `len` bytes; none for the whole of it.
    pub fn content_range(self, len: u64) -> Option<HeaderValue> {
        let text = match self {
            Self::Whole => return None,
            Self::Part { first, last } => format!("bytes {first}-{last}/{len}"),
            // RFC 9110, section 15.5.17.
            Self::Unsatisfiable => format!("bytes */{len}"),
        };
        HeaderValue::try_from(text).ok()
    }
}

/// Decides for a stored answer of `len` bytes that would be sent as 200, in the coding that the
/// client gets; `stored.etag` is the tag of that coding.
///
/// After [`super::condition::verdict`] (RFC 9110, section 13.2.2). One range of bytes at most:
/// RFC 9110, section 14.2 allows to ignore the rest, and sending everything is always correct.
pub fn range(method: &Method, request: &HeaderMap, stored: &Validators<'_>, len: u64) -> Ranged {
    // RFC 9110, section 14.2: GET is the only method with ranges.
    if method != Method::GET {
        return Ranged::Whole;
    }
    let Some(spec) = only(request, RANGE).and_then(|field| Spec::read(field.as_bytes())) else {
        return Ranged::Whole;
    };
    // RFC 9110, section 13.1.5: when it fails, the range counts as absent.
    if request.contains_key(IF_RANGE) && !is_same(request, stored) {
        return Ranged::Whole;
    }
    spec.within(len)
}

/// RFC 9110, section 13.1.5: whether the part would fit what the client has.
fn is_same(request: &HeaderMap, stored: &Validators<'_>) -> bool {
    let Some(wanted) = only(request, IF_RANGE) else { return false };
    if let Some(date) = http_date(wanted) {
        return stored.last_modified == Some(date) && is_strong_date(stored);
    }
    let own = stored.etag.and_then(|etag| Tag::of(etag.as_bytes()));
    Tag::of(wanted.as_bytes()).zip(own).is_some_and(|(wanted, own)| wanted.equals_strongly(own))
}

/// RFC 9110, section 8.8.2.2: the answer could have changed twice within the second it was made in.
fn is_strong_date(stored: &Validators<'_>) -> bool {
    stored.last_modified.zip(stored.date).is_some_and(|(modified, date)| {
        date.duration_since(modified).is_ok_and(|apart| apart >= Duration::from_secs(1))
    })
}

/// RFC 9110, section 14.1.2. Numbers too large to count stand for the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    From { first: u64, last: u64 },
    Suffix { length: u64 },
}

impl Spec {
    /// `None` for anything but a single, well-formed range of bytes.
    fn read(field: &[u8]) -> Option<Self> {
        let (unit, set) = split_at_byte(field, b'=')?;
        // RFC 9110, section 14.1: units ignore case.
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        // RFC 9110, section 5.6.1.2: empty elements count for nothing.
        let mut ranges =
            set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty());
        let (only, None) = (ranges.next()?, ranges.next()) else { return None };
        let (first, last) = split_at_byte(only, b'-')?;
        match (first.is_empty(), last.is_empty()) {
            (true, _) => Some(Self::Suffix { length: number(last)? }),
            (false, true) => Some(Self::From { first: number(first)?, last: u64::MAX }),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From { first, last })
            }
        }
    }

    fn within(self, len: u64) -> Ranged {
        match (self, len.checked_sub(1)) {
            (Self::From { first, last }, Some(end)) if first <= end => {
                Ranged::Part { first, last: last.min(end) }
            }
            (Self::From { .. } | Self::Suffix { length: 0 }, _) => Ranged::Unsatisfiable,
            (Self::Suffix { length }, Some(end)) => {
                Ranged::Part { first: len.saturating_sub(length), last: end }
            }
            // Satisfiable by RFC 9110, section 14.1.2, but no Content-Range can say "nothing".
            (Self::Suffix { .. }, None) => Ranged::Whole,
        }
    }
}

fn split_at_byte(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let mut parts = text.splitn(2, |&byte| byte == separator);
    Some((parts.next()?, parts.next()?))
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(value.saturating_mul(10).saturating_add(digit))
    })
}
