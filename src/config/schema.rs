//! The JSON Schema of the configuration, for editors and for messages that name known keys.

use schemars::schema_for;
use serde_json::Value;

use super::raw::Raw;

/// The JSON Schema of the configuration file.
pub fn json_schema() -> String {
    format!("{:#}", schema_for!(Raw).to_value())
}

/// The schema as a tree to walk along the keys of a file.
pub(super) struct Tree(Value);

/// What the schema says about the value at one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    root: &'a Value,
    at: &'a Value,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self(schema_for!(Raw).to_value())
    }

    pub(super) fn root(&self) -> Node<'_> {
        Node { root: &self.0, at: &self.0 }
    }

    /// The node at a path of keys, `None` where there is no such key. A number is an index.
    pub(super) fn at<'p>(&self, path: impl IntoIterator<Item = &'p str>) -> Option<Node<'_>> {
        path.into_iter().try_fold(self.root(), Node::child)
    }
}

impl<'a> Node<'a> {
    /// Steps into a key of a table, whatever its name in a map, or into any row of a list.
    pub(super) fn child(self, key: &str) -> Option<Self> {
        let at = self.target();
        if let Some(items) = at.get("items") {
            return key.parse::<usize>().is_ok().then_some(self.with(items));
        }
        let listed = at.get("properties").and_then(|known| known.get(key));
        let next = listed.or_else(|| at.get("additionalProperties").filter(|any| any.is_object()));
        next.map(|next| self.with(next))
    }

    /// The keys that a table may have; none for a map.
    pub(super) fn keys(self) -> impl Iterator<Item = &'a str> + Clone {
        let known = self.target().get("properties").and_then(Value::as_object);
        known.into_iter().flat_map(|known| known.keys().map(String::as_str))
    }

    pub(super) fn is_list(self) -> bool {
        // What may be one string as well is no list to the environment.
        let at = self.target();
        at.get("items").is_some() && !types(at).any(|kind| kind == "string")
    }

    /// A list that may be written as one string.
    pub(super) fn is_one_or_many(self) -> bool {
        text(self.target(), "format") == "string-or-list"
    }

    /// A table whose keys are names chosen by the author.
    #[cfg(test)]
    pub(super) fn is_map(self) -> bool {
        self.target().get("additionalProperties").is_some_and(Value::is_object)
    }

    pub(super) fn is_secret_source(self) -> bool {
        self.keys().any(|key| key == "env")
    }

    /// What a value here has to look like, for people.
    pub(super) fn expected(self) -> String {
        let at = self.target();
        if text(at, "format") == "proxy-text" {
            return r#"a proxy such as "http://proxy:3128", or { env = "NAME" }"#.into();
        }
        if self.is_secret_source() {
            return r#"{ env = "NAME" } or { file = "path" }"#.into();
        }
        let choice = choices(at);
        if !choice.is_empty() {
            return format!("one of {}", choice.join(", "));
        }
        match text(at, "format") {
            "duration-text" => return r#"a duration such as "10s", "5m" or "1h 30m""#.into(),
            "size-text" => return r#"a size such as "64KiB" or "256MiB""#.into(),
            "percent-text" => return r#"a percentage such as "20%" or "2.5%""#.into(),
            "string-or-list" => return "a string or a list of strings".into(),
            "uint32" => return format!("a whole number from 0 to {}", u32::MAX),
            _ => {}
        }
        let words: Vec<_> = types(at).filter_map(word).collect();
        words.join(" or ")
    }

    /// The values that may stand here, if they are a closed set.
    pub(super) fn choices(self) -> Vec<&'a str> {
        let at = self.target();
        variants(at).filter_map(|one| one.get("const")).filter_map(Value::as_str).collect()
    }

    /// The documented default.
    #[cfg(test)]
    pub(super) fn default(self) -> Option<&'a Value> {
        self.at.get("default")
    }

    fn with(self, at: &'a Value) -> Self {
        Self { root: self.root, at }
    }

    /// Follows references, and the one real alternative of an optional value.
    fn target(self) -> &'a Value {
        let mut at = self.at;
        loop {
            let some = at.get("anyOf").and_then(Value::as_array);
            let some = some.and_then(|any| any.iter().find(|one| text(one, "type") != "null"));
            let referred = at.get("$ref").and_then(Value::as_str);
            let referred = referred.and_then(|to| self.root.pointer(to.trim_start_matches('#')));
            match some.or(referred) {
                Some(next) => at = next,
                None => return at,
            }
        }
    }
}

fn variants(at: &Value) -> impl Iterator<Item = &Value> {
    at.get("oneOf").and_then(Value::as_array).into_iter().flatten()
}

fn choices(at: &Value) -> Vec<String> {
    variants(at).filter_map(|one| one.get("const")).map(ToString::to_string).collect()
}

fn text<'v>(at: &'v Value, key: &str) -> &'v str {
    at.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn types(at: &Value) -> impl Iterator<Item = &str> {
    let one = at.get("type").and_then(Value::as_str);
    let many = at.get("type").and_then(Value::as_array).into_iter().flatten();
    one.into_iter().chain(many.filter_map(Value::as_str))
}

fn word(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "a string",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_every_kind_of_value() {
        let tree = Tree::new();
        let expected = |path: &str| tree.at(path.split('.')).unwrap().expected();
        assert_eq!(expected("server.listen"), "a string or a list of strings");
        assert_eq!(expected("admin.listen"), "a string");
        assert_eq!(expected("server.workers"), "a whole number from 0 to 4294967295");
        assert_eq!(expected("server.allow_anonymous"), "true or false");
        assert_eq!(expected("log.format"), r#"one of "auto", "pretty", "json""#);
        assert_eq!(expected("cache.max_bytes"), r#"a size such as "64KiB" or "256MiB""#);
        assert_eq!(expected("clients.0.daily_share"), r#"a percentage such as "20%" or "2.5%""#);
        assert_eq!(expected("upstreams.any.labels.l.mode"), r#"one of "enforce", "observe""#);
        assert_eq!(expected("upstreams.any"), "a table");
        assert_eq!(expected("upstreams.any.endpoints"), "a list");
        assert_eq!(
            expected("upstreams.any.auth.lifetime"),
            r#"a duration such as "10s", "5m" or "1h 30m""#
        );
        assert_eq!(expected("upstreams.any.auth.key"), r#"{ env = "NAME" } or { file = "path" }"#);
        assert_eq!(expected("upstreams.any.endpoints.0.method"), "a string or a list of strings");
        assert_eq!(expected("upstreams.any.endpoints.0.parameters.p.min"), "a whole number");
        assert_eq!(
            expected("upstreams.any.endpoints.0.parameters.p.default"),
            "a string or a whole number or true or false"
        );
        assert!(tree.at(["server", "listn"]).is_none());
        assert!(tree.at(["upstreams", "any"]).unwrap().keys().any(|key| key == "base_url"));
    }

    #[test]
    fn every_key_is_described_for_editors() {
        fn walk(path: &str, at: &Value, undescribed: &mut Vec<String>) {
            let tables = at.get("properties").and_then(Value::as_object);
            for (key, property) in tables.into_iter().flatten() {
                if property.get("description").is_none() {
                    undescribed.push(format!("{path}.{key}"));
                }
            }
            let definitions = at.get("$defs").and_then(Value::as_object);
            for (name, definition) in definitions.into_iter().flatten() {
                walk(name, definition, undescribed);
            }
        }
        let schema: Value = serde_json::from_str(&json_schema()).unwrap();
        let mut undescribed = Vec::new();
        walk("", &schema, &mut undescribed);
        assert_eq!(undescribed, Vec::<String>::new());
        assert_eq!(schema["$defs"]["Server"]["properties"]["request_timeout"]["default"], "30s");
    }
}
