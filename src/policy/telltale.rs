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
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.trim_ascii_start().first() != Some(&b'{') {
        return false;
    }
    let mut found = false;
    // What follows may be no JSON: what was seen was there all the same.
    let _whether_it_is =
        serde_json::Deserializer::from_slice(body).deserialize_map(Members(&mut found));
    found
}

struct Members<'f>(&'f mut bool);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
                // If it cannot even be read, it could be anything.
                let value = map.next_value::<serde_json::Value>();
                *self.0 |= match &value {
                    Ok(serde_json::Value::String(text)) => !text.is_empty(),
                    Ok(value) => value.is_number(),
                    Err(_) => true,
                };
                value?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
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
            (r#"{"access_token":"x""#, true),
            (r#"{"access_token":"x","y":}"#, true),
            (r#"{"password":1e999}"#, true),
            (r#"{"password":123456}"#, true),
            ("\u{feff}{\"password\":\"x\"}", true),
            ("[1]", false),
            ("", false),
        ] {
            assert_eq!(carries_secret(body.as_bytes()), expected, "{body}");
        }
    }
}
