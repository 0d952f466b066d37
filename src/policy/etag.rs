//! Entity tags that are made here, and those that tell two answers apart.

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

/// Whether a confirmation with this tag may be of the stored answer.
///
/// RFC 9111, section 4.3.4: not if its tag is strong and another. A tag that the upstream has said
/// weakly before and strongly now is the same: some weaken it with the coding they send it in.
pub fn may_be_of(stored: Option<&HeaderValue>, confirmed: Option<&HeaderValue>) -> bool {
    let (Some(stored), Some(confirmed)) = (stored, confirmed) else { return true };
    let (stored, confirmed) = (stored.as_bytes(), confirmed.as_bytes());
    confirmed.starts_with(b"W/") || stored.strip_prefix(b"W/").unwrap_or(stored) == confirmed
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
    fn a_confirmation_of_another_tag_is_none() {
        let tag = |text: &'static str| (!text.is_empty()).then(|| HeaderValue::from_static(text));
        for (stored, confirmed, expected) in [
            ("\"a\"", "\"a\"", true),
            ("\"a\"", "\"b\"", false),
            ("\"a\"", "W/\"b\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"b\"", false),
            ("\"a\"", "", true),
            ("", "\"b\"", true),
        ] {
            let told = may_be_of(tag(stored).as_ref(), tag(confirmed).as_ref());
            assert_eq!(told, expected, "{stored} {confirmed}");
        }
    }
}
