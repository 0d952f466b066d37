//! Entity tags that are made here, and the condition that asks about them.

use aws_lc_rs::digest;
use http::HeaderValue;

/// A strong tag: the same for the same bytes, and for no others.
pub fn strong(body: &[u8]) -> HeaderValue {
    let digest = digest::digest(&digest::SHA256, body);
    let mut text = String::with_capacity(34);
    text.push('"');
    for byte in digest.as_ref().iter().take(16) {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text.push('"');
    HeaderValue::try_from(text).unwrap_or_else(|_hex_is_always_legal| HeaderValue::from_static(""))
}

/// Whether an `If-None-Match` names a tag.
///
/// RFC 9110, section 13.1.2: weak comparison, `*` matches whatever there is.
pub fn is_known(if_none_match: &HeaderValue, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let (Ok(known), Ok(etag)) = (if_none_match.to_str(), etag.to_str()) else { return false };
    known.trim() == "*" || known.split(',').any(|tag| opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_have_the_same_tag_and_others_another() {
        assert_eq!(strong(b"a"), strong(b"a"));
        assert_ne!(strong(b"a"), strong(b"b"));
        assert_eq!(strong(b"").to_str().unwrap().len(), 34);
    }

    #[test]
    fn a_condition_names_tags_one_by_one_or_all() {
        let etag = HeaderValue::from_static("\"7\"");
        for (condition, known) in [
            ("\"7\"", true),
            ("\"6\", W/\"7\"", true),
            ("*", true),
            ("\"6\"", false),
            ("7", false),
            ("", false),
        ] {
            assert_eq!(is_known(&HeaderValue::from_static(condition), &etag), known, "{condition}");
        }
    }
}
