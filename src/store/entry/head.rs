//! The head of a stored answer: the very bytes in which it leaves over HTTP/1.1.
//!
//! A status line and the field lines, each with its line break, and no empty line: what differs
//! from one time to the next follows. Whoever wants the fields one by one reads them out of it; the
//! values are slices of it, and nothing is copied.

use std::ops::Range;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

const VERSION: &[u8] = b"HTTP/1.1 ";
const SEPARATOR: &[u8] = b": ";
const LINE_BREAK: &[u8] = b"\r\n";

/// Bytes of the field lines.
pub(super) fn length(headers: &HeaderMap) -> usize {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() + SEPARATOR.len() + value.len() + LINE_BREAK.len()
    };
    headers.iter().map(line).sum()
}

/// The head of an answer, in a buffer that has room for `more` bytes and none to spare.
pub(super) fn write(status: StatusCode, headers: &HeaderMap, more: usize) -> Vec<u8> {
    // RFC 9112, section 4: the reason may be empty, the space before it stays.
    let reason = status.canonical_reason().unwrap_or_default();
    let first = VERSION.len() + "200 ".len() + reason.len() + LINE_BREAK.len();
    let mut head = Vec::with_capacity(first + length(headers) + more);
    for part in [VERSION, status.as_str().as_bytes(), b" ", reason.as_bytes(), LINE_BREAK] {
        head.extend_from_slice(part);
    }
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), SEPARATOR, value.as_bytes(), LINE_BREAK] {
            head.extend_from_slice(part);
        }
    }
    head
}

/// The fields, in their order.
pub(super) fn read(head: &Bytes) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(lines(head).count());
    for (name, value) in lines(head) {
        // What was a name and a value before is one again.
        let name = head.get(name).and_then(|name| HeaderName::from_bytes(name).ok());
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(head.slice(value))) {
            headers.append(name, value);
        }
    }
    headers
}

/// The first field of a name.
pub(super) fn field(head: &Bytes, wanted: &HeaderName) -> Option<HeaderValue> {
    let is_wanted =
        |name: &Range<usize>| head.get(name.clone()) == Some(wanted.as_str().as_bytes());
    let (_, value) = lines(head).find(|(name, _)| is_wanted(name))?;
    HeaderValue::from_maybe_shared(head.slice(value)).ok()
}

/// Where names and values stand. No name has a colon in it, no value the end of a line.
fn lines(head: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + '_ {
    let mut at = memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1);
    std::iter::from_fn(move || {
        let line = head.get(at..)?;
        let colon = memchr::memchr(b':', line)?;
        let end = memchr::memchr(b'\r', line.get(colon..)?)? + colon;
        let found = (at..at + colon, at + colon + SEPARATOR.len()..at + end);
        at += end + LINE_BREAK.len();
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names that repeat, of both kinds, and values of any legal byte.
    fn headers() -> impl Strategy<Value = HeaderMap> {
        let name = prop_oneof![Just("vary"), Just("x-own"), Just("etag"), Just("set-cookie")];
        let inner = prop_oneof![32..=126_u8, Just(b'\t'), 128..=255_u8];
        let value = prop::collection::vec(inner, 0..20);
        prop::collection::vec((name, value), 0..12).prop_map(|fields| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, HeaderValue::from_bytes(&value).unwrap());
            }
            headers
        })
    }

    /// The lines, read as naively as can be.
    fn by_hand(head: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let text: String = head.iter().map(|&byte| char::from(byte)).collect();
        let bytes = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect();
        let mut lines = text.split("\r\n").skip(1).collect::<Vec<_>>();
        assert_eq!(lines.pop(), Some(""), "every line ends");
        let split = |line: &str| line.split_once(": ").map(|(n, v)| (bytes(n), bytes(v))).unwrap();
        lines.into_iter().map(split).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(headers in headers(), more in 0_usize..9) {
            let written = write(StatusCode::OK, &headers, more);
            prop_assert!(written.starts_with(b"HTTP/1.1 200 OK\r\n"));
            prop_assert_eq!(written.capacity(), written.len() + more);
            let pair = |(n, v): (&HeaderName, &HeaderValue)| {
                (n.as_str().as_bytes().to_vec(), v.as_bytes().to_vec())
            };
            let expected: Vec<_> = headers.iter().map(pair).collect();
            prop_assert_eq!(&by_hand(&written), &expected);
            let head = Bytes::from(written);
            let read = read(&head);
            prop_assert_eq!(read.iter().map(pair).collect::<Vec<_>>(), expected);
            for name in headers.keys() {
                prop_assert_eq!(field(&head, name), headers.get(name).cloned());
            }
            prop_assert_eq!(field(&head, &HeaderName::from_static("x-absent")), None);
        }
    }

    #[test]
    fn a_status_without_a_reason_keeps_its_space() {
        let status = StatusCode::from_u16(299).unwrap();
        assert_eq!(write(status, &HeaderMap::new(), 0), b"HTTP/1.1 299 \r\n");
    }

    #[test]
    fn values_are_slices_and_not_copies() {
        let headers = [(http::header::ETAG, HeaderValue::from_static("\"7\""))].into_iter();
        let head = Bytes::from(write(StatusCode::OK, &headers.collect(), 0));
        let read = read(&head);
        let value = read["etag"].as_bytes().as_ptr_range();
        let within = head.as_ptr_range();
        assert!(within.start < value.start && value.end < within.end);
    }
}
