//! Pages of a listing: an answer that names the next page must not outlive the name.

use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::endpoint::PageTokenRule;

/// How old an answer that names a next page may get: as long as its token lives, less the margin
/// that a reader needs to use it.
pub fn oldest_age(rule: &PageTokenRule) -> Duration {
    rule.lifetime.saturating_sub(rule.margin)
}

/// The token of the next page; `None` = it names none, or is no JSON object, and may get as old as
/// its rule says. Reads no further values.
pub fn next_token(rule: &PageTokenRule, body: &[u8]) -> Option<String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    Member(&rule.response).deserialize(&mut json).ok().flatten()
}

struct Member<'m>(&'m str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                if let serde_json::Value::String(token) = map.next_value()?
                    && !token.is_empty()
                {
                    found = Some(token);
                }
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
    fn only_an_answer_that_names_a_next_page_is_capped() {
        let rule = PageTokenRule {
            request: "next_page_token".into(),
            response: "next_page_token".into(),
            lifetime: Duration::from_secs(900),
            margin: Duration::from_secs(120),
            all: None,
        };
        assert_eq!(oldest_age(&rule), Duration::from_secs(780));
        for (body, expected) in [
            (r#"{"next_page_token":"abc","users":[]}"#, Some("abc")),
            (r#"{"users":[{"next_page_token":"inner"}],"next_page_token":""}"#, None),
            (r#"{"users":[{}, {"a":[1,2]}],"next_page_token":"\u0061"}"#, Some("a")),
            (r#"{"next_page_token":null}"#, None),
            (r#"{"users":[]}"#, None),
            ("[1]", None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(next_token(&rule, body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
