//! What is wrong with a path: asked of every request, and told without a copy of it.

use memchr::memchr_iter;

/// Whether a server that decodes more often than once, or slashes before it resolves, would find a
/// dot segment in this path.
pub fn has_dot_segment(path: &str) -> bool {
    // Hardly any path has a dot where a segment could begin.
    may_begin_with_dot(path.as_bytes()) && holds_dot_segment(path.as_bytes())
}

/// Whether a percent sign begins no escape (RFC 3986, section 2.1).
pub fn has_broken_escape(path: &str) -> bool {
    escapes(path.as_bytes()).any(|after| hex_pair(after).is_none())
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

/// True of every path with a dot segment, and of few others.
fn may_begin_with_dot(path: &[u8]) -> bool {
    let begins_segment = |at: usize| match at.checked_sub(1).and_then(|before| path.get(before)) {
        // An escaped slash ends in one of these letters.
        Some(before) => matches!(before, b'/' | b'f' | b'F' | b'c' | b'C'),
        None => true,
    };
    memchr_iter(b'.', path).any(begins_segment)
        || escapes(path).any(|after| hex_pair(below_layers(after)) == Some(b'.'))
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
