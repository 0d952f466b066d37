//! How Zoom session ids are spelt in paths.
//!
//! An id is 16 bytes in base64, so one in four contains a `/` and some begin with one. Clients send
//! it raw, encoded once, twice or three times, and Zoom's own Node client encodes the whole path
//! twice. Here every spelling becomes one: a single segment, percent-encoded once. Everything that
//! does not look like an id is left as it came, and dot segments are never resolved.

use std::borrow::Cow;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

mod scan;

pub use self::scan::{PathFault, has_dot_segment, has_empty_segment, path_fault};
pub(super) use self::scan::{escapes, hex_pair};

/// How often a client may have encoded one character.
const MAX_LAYERS: u8 = 3;

const ID_LENGTH: usize = 24;
const ID_PADDING: usize = 2;

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path in which a session id is one segment, percent-encoded once.
///
/// `path` is what the client sent, less the mount. The answer matches a template like
/// `/videosdk/sessions/{sessionId}/users`, and the captured segment decoded once is the id.
pub fn canonical_zoom_path(path: &str) -> Cow<'_, str> {
    match unfold(path) {
        Some(unfolded) => Cow::Owned(with_canonical_id(&unfolded).unwrap_or(unfolded)),
        None => with_canonical_id(path).map_or(Cow::Borrowed(path), Cow::Owned),
    }
}

/// RFC 3986, section 6.2.2: unreserved characters are not encoded, and hex digits are upper case.
pub fn normal_path(path: &str) -> Cow<'_, str> {
    if !escapes(path.as_bytes()).any(is_abnormal) {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        match hex_pair(after.as_bytes()) {
            Some(byte) if is_unreserved(byte) => {
                normal.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            Some(byte) => {
                let written = write!(normal, "%{byte:02X}");
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                normal.push('%');
                rest = after;
            }
        }
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

/// Whether what follows a percent sign is an escape that has another normal spelling.
fn is_abnormal(after: &[u8]) -> bool {
    hex_pair(after).is_some_and(is_unreserved)
        || matches!(after, [high, low, ..] if hex_pair(after).is_some()
            && (high.is_ascii_lowercase() || low.is_ascii_lowercase()))
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a server that decodes a path parameter could take it for more than one segment, and for
/// another endpoint.
pub fn could_split(value: &str) -> bool {
    value.bytes().any(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#' | 0))
        && !is_session_id(value)
}

/// Whether the text, fully decoded, has the shape of a session id.
pub fn is_session_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().enumerate().all(|(at, byte)| fits(at, byte))
}

/// A text without any layer of percent-encoding: the same bytes, however often it was encoded.
///
/// Texts that only differ in their layers become one. That is for telling what belongs together,
/// never for telling what is the same.
pub fn innermost(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bare = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bare.extend_from_slice(before.as_bytes());
        let mut escape = after;
        while let Some(inner) = escape.strip_prefix("25")
            && hex_pair(inner.as_bytes()).is_some()
        {
            escape = inner;
        }
        let byte = hex_pair(escape.as_bytes());
        bare.push(byte.unwrap_or(b'%'));
        rest = if byte.is_some() { escape.get(2..).unwrap_or_default() } else { after };
    }
    bare.extend_from_slice(rest.as_bytes());
    Cow::Owned(bare)
}

/// How often a value is encoded on its way upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeTimes {
    /// As RFC 3986 says.
    Once,
    /// As Zoom asks for ids with slashes, and accepts for all others.
    Twice,
}

impl EncodeTimes {
    /// What Zoom expects for a path parameter with this value.
    pub fn for_zoom(value: &str) -> Self {
        if is_session_id(value) { Self::Twice } else { Self::Once }
    }
}

/// One path segment: unreserved characters literal, all others `%XX`.
///
/// A value that is a dot segment has its dots encoded too. With [`EncodeTimes::Once`] that does not
/// stop every server from resolving it: refuse such values, see [`is_dot_segment`].
pub fn encode_segment(value: &str, times: EncodeTimes) -> Cow<'_, str> {
    let set = if is_dot_segment(value) { NON_ALPHANUMERIC } else { RESERVED };
    let once: Cow<'_, str> = utf8_percent_encode(value, set).into();
    match times {
        EncodeTimes::Twice if once.contains('%') => Cow::Owned(once.replace('%', "%25")),
        EncodeTimes::Once | EncodeTimes::Twice => once,
    }
}

/// `.` or `..`, each dot literal or percent-encoded: what a server may resolve away.
pub fn is_dot_segment(segment: &str) -> bool {
    let spelt = [".", "..", "%2e", "%2e%2e", ".%2e", "%2e."];
    spelt.iter().any(|dots| segment.eq_ignore_ascii_case(dots))
}

/// Undoes the encoding of a whole path: `/%252Fvideosdk%252F...` becomes `/videosdk/...`.
///
/// Each layer is taken off once and no more, so an id that was encoded before stays encoded.
fn unfold(path: &str) -> Option<String> {
    let folded = path.strip_prefix('/')?;
    let (first, layers, _) = read_byte(folded.as_bytes())?;
    if first != b'/' || layers == 0 {
        return None;
    }
    let mut decoded = folded.to_owned();
    for _ in 0..layers {
        decoded = percent_decode_str(&decoded).decode_utf8().ok()?.into_owned();
    }
    let below = below_account(&decoded).strip_prefix("/videosdk")?;
    (below.is_empty() || below.starts_with('/')).then(|| as_legal_path(&decoded))
}

/// Decoding may have set free what no path may hold; that is encoded again.
fn as_legal_path(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let legal = match character {
            '%' => text.get(at + 1..).is_some_and(|after| hex_pair(after.as_bytes()).is_some()),
            _ => character.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@".contains(character),
        };
        if legal {
            path.push(character);
        } else {
            let mut buffer = [0; 4];
            let encoded = utf8_percent_encode(character.encode_utf8(&mut buffer), NON_ALPHANUMERIC);
            path.extend(encoded);
        }
    }
    path
}

/// The path with its session id spelt canonically; nothing if it has none, or has it so already.
fn with_canonical_id(path: &str) -> Option<String> {
    let tail = below_account(path).strip_prefix("/videosdk/sessions/")?;
    let (id, Spelt::Otherwise, rest) = read_id(tail)? else { return None };
    let prefix = path.strip_suffix(tail)?;
    let mut canonical = String::with_capacity(prefix.len() + 3 * ID_LENGTH + rest.len());
    canonical.push_str(prefix);
    for byte in id {
        if is_plain(byte) {
            canonical.push(char::from(byte));
        } else {
            canonical.push('%');
            canonical.extend([byte >> 4, byte & 0xF].map(upper_digit));
        }
    }
    canonical.push_str(rest);
    Some(canonical)
}

/// The path below the master-account prefix `/accounts/{accountId}`, if it has one.
fn below_account(path: &str) -> &str {
    path.strip_prefix("/accounts/")
        .and_then(|below| below.find('/').and_then(|end| below.get(end..)))
        .unwrap_or(path)
}

/// How an id is spelt.
enum Spelt {
    /// In the one spelling that all others become.
    Canonically,
    Otherwise,
}

/// Reads exactly one id, however each of its characters is encoded, up to the end or a slash.
fn read_id(text: &str) -> Option<([u8; ID_LENGTH], Spelt, &str)> {
    let mut id = [0; ID_LENGTH];
    let (mut rest, mut spelt) = (text.as_bytes(), Spelt::Canonically);
    for (at, slot) in id.iter_mut().enumerate() {
        let (byte, _, after) = read_byte(rest)?;
        if !fits(at, byte) {
            return None;
        }
        let is_canonical = match rest {
            [b'%', b'2', b'5', ..] => false,
            [b'%', high, low, ..] => {
                !is_plain(byte) && !high.is_ascii_lowercase() && !low.is_ascii_lowercase()
            }
            _ => is_plain(byte),
        };
        if !is_canonical {
            spelt = Spelt::Otherwise;
        }
        *slot = byte;
        rest = after;
    }
    let rest = text.get(text.len() - rest.len()..)?;
    (rest.is_empty() || rest.starts_with('/')).then_some((id, spelt, rest))
}

fn upper_digit(half: u8) -> char {
    char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

/// Whether a character of an id is not encoded.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Whether an id may have this byte at this place.
fn fits(at: usize, byte: u8) -> bool {
    if at < ID_LENGTH - ID_PADDING {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-')
    } else {
        byte == b'='
    }
}

/// Reads one ASCII character, raw or encoded up to [`MAX_LAYERS`] times: itself, how many layers
/// it wore, and what follows. `%25` is always a layer and never a character: no id holds a `%`.
fn read_byte(text: &[u8]) -> Option<(u8, u8, &[u8])> {
    let (first, mut escape) = text.split_first()?;
    if *first != b'%' {
        return Some((*first, 0, escape));
    }
    let mut layers = 1;
    while layers < MAX_LAYERS
        && let Some(inner) = escape.strip_prefix(b"25")
    {
        escape = inner;
        layers += 1;
    }
    Some((hex_pair(escape)?, layers, escape.get(2..)?))
}

#[cfg(test)]
mod tests;
