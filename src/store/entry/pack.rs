//! The fields of an answer in as little memory as they need.

use bytes::BytesMut;
use http::header::{HeaderMap, HeaderValue};

/// The same fields, their values in one block of memory of their own.
///
/// What came from the wire shares the connection's read buffer: kept as it is, a hundred bytes
/// would hold eight thousand. And a map that has grown has room for more than it holds.
pub(super) fn packed(headers: &HeaderMap) -> HeaderMap {
    let mut block = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    headers.values().for_each(|value| block.extend_from_slice(value.as_bytes()));
    let mut block = block.freeze();
    let mut exact = headers.clone();
    for value in exact.values_mut() {
        let own = block.split_to(value.len());
        // The bytes of a value are a legal value.
        if let Ok(own) = HeaderValue::from_maybe_shared(own) {
            *value = own;
        }
    }
    exact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_or_changed_and_nothing_of_the_old_memory_is_kept() {
        let wire = bytes::Bytes::from(b"text/plain, and then much more of it".to_vec());
        let mut headers = HeaderMap::with_capacity(64);
        let value = HeaderValue::from_maybe_shared(wire.slice(..10)).unwrap();
        headers.insert("content-type", value);
        headers.append("x-twice", HeaderValue::from_static("1"));
        headers.append("x-twice", HeaderValue::from_static("2"));
        headers.insert("x-empty", HeaderValue::from_static(""));
        let packed = packed(&headers);
        assert_eq!(packed, headers);
        drop(headers);
        assert!(wire.is_unique(), "the read buffer is free");
    }
}
