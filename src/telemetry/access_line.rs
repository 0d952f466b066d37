//! One request as a line of the access log.
//!
//! A line names the endpoint's path template. The path itself and the query never appear: ids
//! and tokens live there.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

/// Longer values are cut: a method or a request id is the client's text.
const MAX_VALUE: usize = 128;

/// What is known of a request once it is answered.
#[derive(Clone, Copy, Debug)]
pub struct AccessLine<'a> {
    /// When it was answered.
    pub time: SystemTime,
    /// `X-Request-Id`
    pub request_id: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The path template of its endpoint.
    pub template: Option<&'a str>,
    /// The endpoint it was routed to.
    pub endpoint: Option<&'a str>,
    /// Who called.
    pub client: Option<&'a str>,
    /// The answer's status.
    pub status: u16,
    /// What the cache had for it.
    pub cache: Option<&'a str>,
    /// The budget it belongs to.
    pub label: Option<&'a str>,
    /// Time spent waiting for a token.
    pub wait: Option<Duration>,
    /// Time spent waiting for the upstream.
    pub upstream: Option<Duration>,
    /// From its head to its answer's head.
    pub duration: Duration,
    /// Size of the answer's body, if known by then.
    pub bytes: Option<u64>,
}

impl AccessLine<'_> {
    /// Appends one JSON object and a line feed.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        push_time(out, self.time);
        out.extend_from_slice(b"\",\"level\":\"info\",\"message\":\"request\"");
        json_text(out, b",\"request_id\":\"", Some(self.request_id));
        json_text(out, b",\"http.request.method\":\"", Some(self.method));
        json_text(out, b",\"url.template\":\"", self.template);
        json_text(out, b",\"endpoint\":\"", self.endpoint);
        json_text(out, b",\"client\":\"", self.client);
        out.extend_from_slice(b",\"http.response.status_code\":");
        push_number(out, u64::from(self.status));
        json_text(out, b",\"cache\":\"", self.cache);
        json_text(out, b",\"label\":\"", self.label);
        json_millis(out, b",\"wait_ms\":", self.wait);
        json_millis(out, b",\"upstream_ms\":", self.upstream);
        json_millis(out, b",\"duration_ms\":", Some(self.duration));
        if let Some(bytes) = self.bytes {
            out.extend_from_slice(b",\"bytes\":");
            push_number(out, bytes);
        }
        out.extend_from_slice(b"}\n");
    }

    /// Appends one line for people.
    pub(super) fn write_pretty(&self, out: &mut Vec<u8>) {
        push_time(out, self.time);
        for word in [Some(self.method), self.template.or(Some("-"))] {
            pretty_text(out, "", word);
        }
        out.push(b' ');
        push_number(out, u64::from(self.status));
        pretty_text(out, "", self.cache);
        out.push(b' ');
        push_millis(out, self.duration);
        out.extend_from_slice(b"ms");
        if let Some(bytes) = self.bytes {
            out.push(b' ');
            push_number(out, bytes);
            out.push(b'B');
        }
        pretty_text(out, "client=", self.client);
        pretty_text(out, "endpoint=", self.endpoint);
        pretty_text(out, "label=", self.label);
        for (name, time) in [(" wait=", self.wait), (" upstream=", self.upstream)] {
            if let Some(time) = time {
                out.extend_from_slice(name.as_bytes());
                push_millis(out, time);
                out.extend_from_slice(b"ms");
            }
        }
        pretty_text(out, "id=", Some(self.request_id));
        out.push(b'\n');
    }
}

/// `before` is all that stands before the value, its own quotation mark included.
fn json_text<const N: usize>(out: &mut Vec<u8>, before: &[u8; N], value: Option<&str>) {
    let Some(value) = value else { return };
    out.extend_from_slice(before);
    push_escaped(out, cut(value));
    out.push(b'"');
}

fn json_millis<const N: usize>(out: &mut Vec<u8>, before: &[u8; N], value: Option<Duration>) {
    if let Some(value) = value {
        out.extend_from_slice(before);
        push_millis(out, value);
    }
}

/// RFC 8259, section 7. Nearly every value has nothing to escape and is copied whole.
fn push_escaped(out: &mut Vec<u8>, value: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    // All are counted, so that many bytes are looked at together.
    if value.bytes().filter(|byte| needs_escape(*byte)).count() == 0 {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ if needs_escape(byte) => {
                out.extend_from_slice(b"\\u00");
                for digit in [byte >> 4, byte & 0xf] {
                    out.extend(HEX.get(usize::from(digit)));
                }
            }
            _ => out.push(byte),
        }
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f || byte == b'"' || byte == b'\\'
}

/// Control characters become `?`: a value must not draw on the terminal or forge a line.
fn pretty_text(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    let mut utf8 = [0; 4];
    for char in cut(value).chars() {
        let char = if char.is_control() { '?' } else { char };
        out.extend_from_slice(char.encode_utf8(&mut utf8).as_bytes());
    }
}

fn cut(value: &str) -> &str {
    if value.len() <= MAX_VALUE {
        return value;
    }
    value.get(..value.floor_char_boundary(MAX_VALUE)).unwrap_or(value)
}

/// RFC 3339 in milliseconds. All but those is the same for a whole second.
fn push_time(out: &mut Vec<u8>, time: SystemTime) {
    const SECOND: usize = "2026-01-01T00:00:00".len();
    thread_local! {
        static LAST: Cell<(u64, [u8; SECOND])> = const { Cell::new((u64::MAX, [0; SECOND])) };
    }
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut text) = LAST.get();
    if second != since.as_secs() {
        second = since.as_secs();
        let whole = humantime::format_rfc3339_seconds(time).to_string();
        // A year has four digits in all the time that this can show.
        let Some(first) = whole.as_bytes().first_chunk() else { return };
        text = *first;
        LAST.set((second, text));
    }
    out.extend_from_slice(&text);
    push_decimals(out, since.subsec_millis());
    out.push(b'Z');
}

/// Milliseconds with three decimals.
fn push_millis(out: &mut Vec<u8>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    push_number(out, micros / 1_000);
    push_decimals(out, u32::try_from(micros % 1_000).unwrap_or_default());
}

fn push_decimals(out: &mut Vec<u8>, thousandths: u32) {
    let digit = |unit: u32| b'0' + u8::try_from(thousandths / unit % 10).unwrap_or_default();
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> AccessLine<'static> {
        AccessLine {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_763_900_000_042),
            request_id: "id-1",
            method: "GET",
            template: Some("/videosdk/sessions/{sessionId}/users"),
            endpoint: Some("list-session-users"),
            client: Some("console"),
            status: 200,
            cache: Some("hit"),
            label: Some("heavy"),
            wait: None,
            upstream: Some(Duration::from_micros(12_345)),
            duration: Duration::from_micros(98),
            bytes: Some(1_234),
        }
    }

    fn json(line: &AccessLine<'_>) -> serde_json::Value {
        let mut out = Vec::new();
        line.write_json(&mut out);
        assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1), "one line");
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn json_holds_every_known_field_and_omits_the_unknown() {
        let expected = serde_json::json!({
            "time": "2025-11-23T12:13:20.042Z",
            "level": "info",
            "message": "request",
            "request_id": "id-1",
            "http.request.method": "GET",
            "url.template": "/videosdk/sessions/{sessionId}/users",
            "endpoint": "list-session-users",
            "client": "console",
            "http.response.status_code": 200,
            "cache": "hit",
            "label": "heavy",
            "upstream_ms": 12.345,
            "duration_ms": 0.098,
            "bytes": 1234,
        });
        assert_eq!(json(&line()), expected);
    }

    #[test]
    fn hostile_values_stay_inside_their_string() {
        let hostile = "a\"b\\c\nd\r\te\u{1}\u{7f}\u{1b}[2J ü 漢 \u{2028}";
        let parsed = json(&AccessLine { request_id: hostile, ..line() });
        assert_eq!(parsed["request_id"], hostile);
    }

    #[test]
    fn every_control_character_is_escaped() {
        let all: String = (0..=0x7f_u8).map(char::from).collect();
        let parsed = json(&AccessLine { request_id: &all, ..line() });
        assert_eq!(parsed["request_id"], all);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "ü".repeat(4_000);
        let parsed = json(&AccessLine { method: &long, ..line() });
        assert_eq!(parsed["http.request.method"], "ü".repeat(MAX_VALUE / 2));
    }

    #[test]
    fn the_pretty_face_is_one_readable_line() {
        let mut out = Vec::new();
        AccessLine { client: Some("con\u{1b}[31m\nsole"), ..line() }.write_pretty(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "2025-11-23T12:13:20.042Z GET /videosdk/sessions/{sessionId}/users 200 hit 0.098ms \
             1234B client=con?[31m?sole endpoint=list-session-users label=heavy \
             upstream=12.345ms id=id-1\n"
        );
    }
}
