//! How durations, sizes, secrets and loosely typed values are written in the file.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::policy::share::Percent;
use crate::secret::Secret;

/// Instants are computed by adding durations to the time of day; beyond this that could overflow.
const LONGEST: Duration = Duration::from_hours(24_000);

/// A duration: `"250ms"`, `"10s"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub Duration);

impl Span {
    pub(super) const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok().filter(|span| *span <= LONGEST).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a duration"))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration-text", "examples": ["10s", "1h 30m"] })
    }
}

/// A number of bytes: `"256MiB"`, `"64KiB"`, `1048576`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub u64);

impl Bytes {
    pub(super) const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }
    pub(super) const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only exact figures: bytesize rounds to one decimal.
        match self.0 {
            n if n != 0 && n.trailing_zeros() >= 30 => write!(f, "{}GiB", n >> 30),
            n if n != 0 && n.trailing_zeros() >= 20 => write!(f, "{}MiB", n >> 20),
            n if n != 0 && n.trailing_zeros() >= 10 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(from)?;
        let size = text.parse::<bytesize::ByteSize>();
        size.map(|size| Self(size.as_u64())).map_err(|_why| de::Error::custom("not a size"))
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"], "format": "size-text", "examples": ["256MiB", 1_048_576]
        })
    }
}

/// A part of a whole: `"20%"`, `"2.5%"`; 0 to 100, at most one decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part(pub Percent);

impl Part {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
        // `parse` alone would take a sign too.
        let digits = |text: &str, most: usize| {
            let good = text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| good)
        };
        Percent::from_tenths(digits(whole, 3)? * 10 + digits(tenths, 1)?).map(Self)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a percentage"))
    }
}

impl JsonSchema for Part {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percentage".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "percent-text", "examples": ["20%", "2.5%"] })
    }
}

/// The text of a query parameter's value, which may be written as a number or a boolean too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar(pub String);

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a whole number or a boolean")
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_bool<E>(self, truth: bool) -> Result<Scalar, E> {
                Ok(Scalar(truth.to_string()))
            }
        }
        from.deserialize_any(Text)
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}

/// One string or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OneOrMany(pub Vec<String>);

impl Serialize for OneOrMany {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => to.serialize_str(one),
            many => many.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<OneOrMany, A::Error> {
                let items = de::value::SeqAccessDeserializer::new(seq);
                Vec::deserialize(items).map(OneOrMany)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"], "format": "string-or-list", "items": { "type": "string" }
        })
    }
}

/// A secret written in the file itself. Written out again it is a mask.
#[derive(Clone, Debug)]
pub(crate) struct Plain(pub Secret);

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Secret::deserialize(from).map(Self)
    }
}

impl JsonSchema for Plain {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Plain".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_exactly() {
        let written = [0, 1023, 1024, 1536, 1 << 20, 4 << 30, (1 << 30) + 1024];
        let written = written.map(|n| Bytes(n).to_string());
        assert_eq!(written, ["0B", "1023B", "1KiB", "1536B", "1MiB", "4GiB", "1048577KiB"]);
        for text in &written {
            assert_eq!(
                &Bytes(text.parse::<bytesize::ByteSize>().unwrap().as_u64()).to_string(),
                text
            );
        }
    }

    #[test]
    fn percentages_have_a_sign_a_decimal_at_most_and_an_end() {
        for text in ["0%", "0.1%", "2.5%", "20%", "99.9%", "100%"] {
            assert_eq!(Part::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Part::parse("7.0%").unwrap().to_string(), "7%");
        for wrong in
            ["20", "20 %", "2.55%", "100.1%", "101%", "-1%", "+1%", "1.%", ".5%", "1.+%", "%", ""]
        {
            assert_eq!(Part::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_an_end() {
        assert_eq!(Span::parse("1h 30m").unwrap().to_string(), "1h 30m");
        assert_eq!(Span::parse("10"), None, "ten of what?");
        assert_eq!(Span::parse("1000000y"), None, "would overflow an instant");
    }
}
