//! What is wrong with a path: asked of every request, and told without a copy of it.

use memchr::{memchr_iter, memchr2_iter};

/// Why a path is not looked at any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// A percent sign begins no escape (RFC 3986, section 2.1).
    BrokenEscape,
    /// See [`has_dot_segment`].
    DotSegment,
}

/// What is wrong with a path, if anything.
pub fn path_fault(path: &str) -> Option<PathFault> {
    let path = path.as_bytes();
    // Hardly any path has a dot where a segment could begin.
    let mut may_begin_with_dot = false;
    for at in memchr2_iter(b'%', b'.', path) {
        match path.get(at..) {
            Some([b'%', after @ ..]) if hex_pair(after).is_none() => {
                return Some(PathFault::BrokenEscape);
            }
            Some([b'%', after @ ..]) => may_begin_with_dot |= is_escaped_dot(after),
            _ => may_begin_with_dot |= may_begin_segment(path, at),
        }
    }
    (may_begin_with_dot && holds_dot_segment(path)).then_some(PathFault::DotSegment)
}

/// Whether a server that decodes more often than once, or slashes before it resolves, would find a
/// dot segment in this path.
pub fn has_dot_segment(path: &str) -> bool {
    let path = path.as_bytes();
    let may_begin_with_dot = memchr_iter(b'.', path).any(|at| may_begin_segment(path, at))
        || escapes(path).any(is_escaped_dot);
    may_begin_with_dot && holds_dot_segment(path)
}

/// Whether a segment is empty: a slash follows another, or ends the path.
pub fn has_empty_segment(path: &str) -> bool {
    let bytes = path.as_bytes();
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    // Without a way out early the compiler takes many bytes at a time.
    let differs = pairs.map(|(one, next)| (one ^ b'/') | (next ^ b'/'));
    differs.fold(u8::MAX, u8::min) == 0 || (bytes.len() > 1 && bytes.ends_with(b"/"))
}

/// What follows each percent sign.
pub(in crate::policy) fn escapes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr_iter(b'%', text).map(|at| text.get(at + 1..).unwrap_or_default())
}

/// The byte that the two hex digits at the beginning stand for.
pub(in crate::policy) fn hex_pair(text: &[u8]) -> Option<u8> {
    match text {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// True wherever a segment begins, and in few other places.
fn may_begin_segment(path: &[u8], at: usize) -> bool {
    match at.checked_sub(1).and_then(|before| path.get(before)) {
        // An escaped slash ends in one of these letters.
        Some(before) => matches!(before, b'/' | b'f' | b'F' | b'c' | b'C'),
        None => true,
    }
}

fn is_escaped_dot(after: &[u8]) -> bool {
    hex_pair(below_layers(after)) == Some(b'.')
}

/// What follows a percent sign once it is no longer encoded itself.
fn below_layers(mut escape: &[u8]) -> &[u8] {
    while let Some(inner) = escape.strip_prefix(b"25") {
        escape = inner;
    }
    escape
}

fn holds_dot_segment(path: &[u8]) -> bool {
    // Of the segment so far; none = it holds something else, too.
    let mut dots = Some(0_u8);
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let (byte, after) = match first {
            b'%' => innermost_byte(after),
            byte => (*byte, after),
        };
        rest = after;
        dots = match byte {
            b'/' if matches!(dots, Some(1 | 2)) => return true,
            b'/' => Some(0),
            b'.' => dots.map(|dots| dots.saturating_add(1)),
            _ => None,
        };
    }
    matches!(dots, Some(1 | 2))
}

/// What an escape stands for, a backslash for a slash, and what follows it. A literal backslash is
/// none: it is not escaped.
fn innermost_byte(after: &[u8]) -> (u8, &[u8]) {
    let escape = below_layers(after);
    let byte = match hex_pair(escape) {
        Some(b'.') => b'.',
        Some(b'/' | b'\\') => b'/',
        _ => return (b'%', escape),
    };
    (byte, escape.get(2..).unwrap_or_default())
}
