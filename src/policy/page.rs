//! Pages of a listing: an answer that names the next page must not outlive the name.

use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::endpoint::PageTokenRule;

/// How old an answer may get: as long as its token lives, less the margin that a reader needs to
/// use it. `None` = it names no next page, or is no JSON object, and may get as old as its rule says.
pub fn oldest_age(rule: &PageTokenRule, body: &[u8]) -> Option<Duration> {
    names_next_page(&rule.response, body).then(|| rule.lifetime.saturating_sub(rule.margin))
}

/// Whether a top-level member of a JSON object is a non-empty string. Reads no further values.
fn names_next_page(member: &str, body: &[u8]) -> bool {
    let mut json = serde_json::Deserializer::from_slice(body);
    Member(member).deserialize(&mut json).unwrap_or(false)
}

struct Member<'m>(&'m str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                let value: serde_json::Value = map.next_value()?;
                found |= value.as_str().is_some_and(|token| !token.is_empty());
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
        let capped = Some(Duration::from_secs(780));
        for (body, expected) in [
            (r#"{"next_page_token":"abc","users":[]}"#, capped),
            (r#"{"users":[{"next_page_token":"inner"}],"next_page_token":""}"#, None),
            (r#"{"users":[{}, {"a":[1,2]}],"next_page_token":"\u0061"}"#, capped),
            (r#"{"next_page_token":null}"#, None),
            (r#"{"users":[]}"#, None),
            ("[1]", None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(oldest_age(&rule, body.as_bytes()), expected, "{body}");
        }
    }
}
