//! JSON written straight into one string: a page of 300 users has 7,000 fields.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::world::Millis;

/// An object that is being written.
#[derive(Debug)]
pub(super) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// The place where the value of `name` goes.
    pub(super) fn value(&mut self, name: &str) -> &mut String {
        self.out.push_str(if self.empty { "\"" } else { ",\"" });
        self.empty = false;
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        string(self.value(name), text);
    }

    pub(super) fn flag(&mut self, name: &str, flag: bool) {
        self.value(name).push_str(if flag { "true" } else { "false" });
    }

    pub(super) fn number(&mut self, name: &str, number: impl Into<i64>) {
        put(self.value(name), format_args!("{}", number.into()));
    }

    /// A string value that is formatted, and needs no escape.
    pub(super) fn plain(&mut self, name: &str, text: std::fmt::Arguments<'_>) {
        let out = self.value(name);
        out.push('"');
        put(out, text);
        out.push('"');
    }

    pub(super) fn time(&mut self, name: &str, at: Millis) {
        self.plain(name, format_args!("{}", humantime::format_rfc3339_seconds(moment(at))));
    }

    pub(super) fn close(self) {
        self.out.push('}');
    }
}

/// An array, each element written by `each`.
pub(super) fn array<T>(out: &mut String, items: &[T], mut each: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

/// Milliseconds since 1970 as ISO 8601 in UTC.
pub(super) fn iso(at: Millis) -> String {
    humantime::format_rfc3339_seconds(moment(at)).to_string()
}

pub(super) fn moment(at: Millis) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_millis(at)
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    if !text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(text);
        out.push('"');
        return;
    }
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => put(out, format_args!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Writing into a string has no way to fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back() {
        let mut out = String::new();
        let mut object = Object::open(&mut out);
        object.text("name", "a\"b\\c\n\u{1}é");
        object.flag("flag", true);
        object.number("number", -7);
        object.plain("plain", format_args!("{}-{}", 1, 2));
        object.time("time", 1_638_855_748_000);
        array(object.value("list"), &[1, 2], |out, item| out.push_str(&item.to_string()));
        object.close();
        let read: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "name": "a\"b\\c\n\u{1}é", "flag": true, "number": -7, "plain": "1-2",
                "time": "2021-12-07T05:42:28Z", "list": [1, 2],
            })
        );
    }
}
