//! Answers that carry a secret, whatever the rule says: kept, it would be handed out again and
//! again, long after whoever may know it has changed.

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

/// Members by which an answer hands a secret out (RFC 6749, section 5.1, and what is usual).
const SECRETS: [&str; 9] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "api_secret",
    "secret_token",
    "private_key",
    "password",
    "zak",
];

/// Whether a JSON object has one of these members at its top, and not empty.
pub fn carries_secret(body: &[u8]) -> bool {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return false;
    }
    serde_json::Deserializer::from_slice(body).deserialize_map(Members).unwrap_or(false)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
                let value: serde_json::Value = map.next_value()?;
                found |= value.as_str().is_some_and(|text| !text.is_empty());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_at_the_top_is_seen_and_nothing_else_is_taken_for_one() {
        for (body, expected) in [
            (r#"{"access_token":"x","expires_in":3600}"#, true),
            (r#" {"id":1,"Password":"x"}"#, true),
            (r#"{"acces\u0073_token":"x"}"#, true),
            (r#"{"password":""}"#, false),
            (r#"{"password":true}"#, false),
            (r#"{"users":[{"password":"x"}]}"#, false),
            (r#"{"next_page_token":"x"}"#, false),
            (r#"{"access_token":"x""#, false),
            ("[1]", false),
            ("", false),
        ] {
            assert_eq!(carries_secret(body.as_bytes()), expected, "{body}");
        }
    }
}
