//! Each coding of an entry has its own entity tag (RFC 9110, section 8.8.3.3).

use http::header::HeaderValue;

use super::{Coding, PREFERRED};

/// The tag for `coding`: `"abc"` becomes `"abc-gzip"`, and `W/"abc"` becomes `W/"abc-gzip"`.
///
/// A tag without its closing quote gets the suffix at its end, and an empty one stays empty:
/// both are as malformed as before, and differ by coding where they differed by content.
/// Allocates; meant to be called once for each encoding, not for each hit.
pub fn etag_of(original: &HeaderValue, coding: Coding) -> HeaderValue {
    let (bytes, Some(token)) = (original.as_bytes(), coding.token()) else {
        return original.clone();
    };
    if bytes.is_empty() {
        return original.clone();
    }
    let (opaque, close): (&[u8], &[u8]) = match bytes {
        [b'"'] => (bytes, b""),
        [opaque @ .., b'"'] => (opaque, b"\""),
        _ => (bytes, b""),
    };
    let tag = [opaque, b"-", token.as_bytes(), close].concat();
    // A legal value with letters in it stays legal.
    HeaderValue::from_bytes(&tag).unwrap_or_else(|_always_legal| original.clone())
}

/// Undoes [`etag_of`] in `If-Match` or `If-None-Match`, for a request that goes on to the
/// upstream: it has never heard of our tags, and would answer 412 to a `PUT` that is in order.
/// `None` = the field holds none of them.
pub fn plain_tags(field: &HeaderValue) -> Option<HeaderValue> {
    let mut rest = field.as_bytes();
    let mut plain = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        // `-gzip"` can only be the end of a tag: no tag has a quote within.
        if let Some(close) = PREFERRED.iter().find_map(|&coding| after_suffix(rest, coding)) {
            rest = close;
        } else {
            plain.push(byte);
            rest = after;
        }
    }
    if plain.len() == field.len() {
        return None;
    }
    HeaderValue::from_bytes(&plain).ok()
}

/// What follows the suffix of `coding`, if `text` starts with it and a closing quote is next.
fn after_suffix(text: &[u8], coding: Coding) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"-")?.strip_prefix(coding.token()?.as_bytes())?;
    rest.starts_with(b"\"").then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_coding_has_a_tag_of_its_own() {
        for (original, coding, expected) in [
            ("\"abc\"", Coding::Identity, "\"abc\""),
            ("\"abc\"", Coding::Gzip, "\"abc-gzip\""),
            ("\"abc\"", Coding::Brotli, "\"abc-br\""),
            ("\"abc\"", Coding::Zstd, "\"abc-zstd\""),
            ("W/\"abc\"", Coding::Gzip, "W/\"abc-gzip\""),
            ("\"\"", Coding::Gzip, "\"-gzip\""),
            // malformed
            ("abc", Coding::Gzip, "abc-gzip"),
            ("W/abc", Coding::Gzip, "W/abc-gzip"),
            ("\"abc", Coding::Gzip, "\"abc-gzip"),
            ("\"", Coding::Gzip, "\"-gzip"),
            ("", Coding::Gzip, ""),
        ] {
            let tag = etag_of(&original.parse().unwrap(), coding);
            assert_eq!(tag, expected, "{original} {coding:?}");
        }
        let latin = HeaderValue::from_bytes(b"\"\xe9\"").unwrap();
        assert_eq!(etag_of(&latin, Coding::Gzip).as_bytes(), b"\"\xe9-gzip\"");
    }

    #[test]
    fn the_upstream_is_asked_about_its_own_tags() {
        for (field, expected) in [
            ("\"abc-gzip\"", Some("\"abc\"")),
            ("\"a-br\", W/\"b-zstd\",\"c\"", Some("\"a\", W/\"b\",\"c\"")),
            ("\"abc\"", None),
            ("*", None),
            ("\"a-gzip-x\", b-gzip", None),
            ("\"a-gzip-br\"", Some("\"a-gzip\"")),
        ] {
            let plain = plain_tags(&field.parse().unwrap());
            assert_eq!(plain.as_ref().map(|tag| tag.to_str().unwrap()), expected, "{field}");
        }
    }

    proptest! {
        #[test]
        fn the_way_there_and_back_leads_home(tag in "(W/)?\"[!#-~]{0,12}\"") {
            let original = HeaderValue::try_from(tag).unwrap();
            for coding in PREFERRED {
                let tag = etag_of(&original, coding);
                prop_assert_ne!(&tag, &original);
                prop_assert_eq!(plain_tags(&tag), Some(original.clone()));
            }
        }

        #[test]
        fn no_value_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let tags = PREFERRED.map(|coding| etag_of(&value, coding));
                prop_assert!(bytes.is_empty() || tags.iter().all(|tag| *tag != value));
                plain_tags(&value);
            }
        }
    }
}
