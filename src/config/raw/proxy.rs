//! A proxy's address, which may hold a password.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::SecretSource;
use crate::secret::Secret;

/// The address itself, or where to find it. Written out again it shows no password.
#[derive(Clone, Debug)]
pub(crate) enum ProxySource {
    /// It stands in the file.
    Plain(Secret),
    /// It stands elsewhere.
    From(SecretSource),
}

impl Serialize for ProxySource {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::From(source) => source.serialize(to),
            Self::Plain(plain) => match plain.expose().rsplit_once('@') {
                Some((_, host)) => to.collect_str(&format_args!("http://***@{host}")),
                None => to.serialize_str(plain.expose()),
            },
        }
    }
}

impl<'de> Deserialize<'de> for ProxySource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ProxySource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or where to find it")
            }
            fn visit_str<E>(self, text: &str) -> Result<ProxySource, E> {
                Ok(ProxySource::Plain(Secret::new(text)))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ProxySource, A::Error> {
                let source = de::value::MapAccessDeserializer::new(map);
                SecretSource::deserialize(source).map(ProxySource::From)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for ProxySource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProxySource".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"], "format": "proxy-text",
            "properties": {
                "env": { "type": "string", "description": "Name of an environment variable." },
                "file": { "type": "string", "description": "Path of a file." },
                "value": { "type": "string", "description": "The address itself." }
            }
        })
    }
}
