//! Field lines (RFC 9112, section 5), in heads and in trailers.

use super::{Fault, HeadLimits};

pub(super) const TOO_LONG: Fault = Fault::HeadTooLarge("one field");
pub(super) const TOO_MANY: Fault = Fault::HeadTooLarge("too many fields");

const TOKEN: u8 = 1;
const TEXT: u8 = 2;
const TARGET: u8 = 4;

/// What a byte may be part of.
const CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "the index is a u8, and evaluated when compiled")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        // RFC 9110, section 5.6.2.
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            classes[byte as usize] |= TOKEN;
        }
        // RFC 9110, section 5.5: visible ASCII, space, tab and obs-text.
        if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
            classes[byte as usize] |= TEXT;
        }
        // RFC 3986: what is not visible ASCII is escaped, and a fragment stays with the client.
        if matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'<' | b'>' | b'"' | b'`') {
            classes[byte as usize] |= TARGET;
        }
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}

/// Looks at every byte, as nearly every text is good: without a branch for each.
fn are(bytes: &[u8], class: u8) -> bool {
    let of = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or_default();
    bytes.iter().fold(class, |all, byte| all & of(byte)) != 0
}

/// A word (`1*tchar`), or nothing.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    are(bytes, TOKEN)
}

/// What may stand in a field's value.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    are(bytes, TEXT)
}

/// What may stand in a request target.
pub(super) fn is_target(bytes: &[u8]) -> bool {
    are(bytes, TARGET)
}

/// Name and value of a line without its end.
pub(super) fn read<'l>(line: &'l [u8], limits: &HeadLimits) -> Result<(&'l [u8], &'l [u8]), Fault> {
    if line.len() > limits.field_bytes {
        return Err(TOO_LONG);
    }
    // RFC 9112, section 5.2: a line that continues the one before is refused.
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Malformed("a field goes on in the next line"));
    }
    let colon = memchr::memchr(b':', line).ok_or(Fault::Malformed("a field has no colon"))?;
    let (name, value) = line.split_at(colon);
    // RFC 9112, section 5.1: no white space before the colon.
    if name.is_empty() || !is_token(name) {
        return Err(Fault::Malformed("a field's name is no word"));
    }
    let value = value.strip_prefix(b":").unwrap_or_default();
    if !is_text(value) {
        return Err(Fault::Malformed("a field's value holds a control character"));
    }
    Ok((name, trim(value)))
}

/// RFC 9110, section 5.6.3: white space is space and tab.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9112, section 6.2: one decimal number, and nothing that somebody might read as another.
pub(super) fn length(value: &[u8]) -> Result<u64, Fault> {
    const WRONG: Fault = Fault::Malformed("Content-Length is no number of bytes");
    let significant = value.iter().position(|byte| *byte != b'0').unwrap_or(value.len());
    if value.is_empty() || value.len() - significant > 18 {
        return Err(WRONG);
    }
    value.iter().try_fold(0, |sum, byte| match byte {
        b'0'..=b'9' => Ok(sum * 10 + u64::from(byte - b'0')),
        _ => Err(WRONG),
    })
}

/// RFC 9112, section 6.1: chunked is the last coding, and the only one that is undone here.
pub(super) fn coding(value: &[u8]) -> Result<(), Fault> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|byte| *byte == b',').map(trim);
    let last = codings.next_back().unwrap_or_default();
    let others_are_words = codings.all(|coding| {
        let name = coding.split(|byte| *byte == b';').next().map(trim).unwrap_or_default();
        !name.is_empty() && is_token(name) && !name.eq_ignore_ascii_case(b"chunked")
    });
    if others_are_words && last.eq_ignore_ascii_case(b"chunked") {
        Err(Fault::TransferCoding)
    } else {
        Err(Fault::Malformed("Transfer-Encoding does not end with chunked"))
    }
}
