//! A head, and what it says of what follows.

use super::{Breach, MAX_HEAD};

/// A head that is being read.
#[derive(Debug, Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
    /// Of the line at hand, without its end.
    line: usize,
}

/// What matters of a head.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) status: u16,
    pub(super) length: Length,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Bytes(u64),
    Chunked,
    UntilClose,
}

impl Head {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes belong to it, and whether it is whole.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), Breach> {
        for (at, &byte) in bytes.iter().enumerate() {
            let after_cr = self.bytes.last() == Some(&b'\r');
            // RFC 9112, section 2.2: a line ends with both, and neither stands anywhere else.
            if byte == 0 || after_cr != (byte == b'\n') {
                let is_begun = self.bytes.contains(&b'\n');
                return Err(if is_begun { Breach::BareControl } else { Breach::StatusLine });
            }
            if self.bytes.len() >= MAX_HEAD {
                return Err(Breach::HeadTooLarge);
            }
            self.bytes.push(byte);
            match byte {
                b'\r' => {}
                b'\n' if self.line == 0 => return Ok((at + 1, true)),
                b'\n' => self.line = 0,
                _ => self.line += 1,
            }
        }
        Ok((bytes.len(), false))
    }

    pub(super) fn meaning(&self) -> Result<Meaning, Breach> {
        let mut lines = self.bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
        let (version, status) = status_line(lines.next().unwrap_or_default())?;
        let (mut length, mut coding) = (None, None);
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = field(line)?;
            if name.eq_ignore_ascii_case(b"content-length") {
                // RFC 9110, section 8.6: more than one is invalid.
                let told = length.replace(number(value)?);
                told.map_or(Ok(()), |_| Err(Breach::Length))?;
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                let is_chunked = value.eq_ignore_ascii_case(b"chunked");
                // RFC 9112, section 6.1: not in HTTP/1.0, and chunked but once.
                if !is_chunked || version == Version::Http10 || coding.replace(()).is_some() {
                    return Err(Breach::Coding);
                }
            }
        }
        let length = match (length, coding) {
            // RFC 9112, section 6.1: an attempt to smuggle.
            (Some(_), Some(())) => return Err(Breach::Length),
            (Some(length), None) => Length::Bytes(length),
            (None, Some(())) => Length::Chunked,
            (None, None) => Length::UntilClose,
        };
        Ok(Meaning { status, length })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// RFC 9112, section 4.
fn status_line(line: &[u8]) -> Result<(Version, u16), Breach> {
    let (version, rest) = match line.split_at_checked(b"HTTP/1.1 ".len()) {
        Some((b"HTTP/1.1 ", rest)) => (Version::Http11, rest),
        Some((b"HTTP/1.0 ", rest)) => (Version::Http10, rest),
        _ => return Err(Breach::StatusLine),
    };
    let (digits, reason) = rest.split_at_checked(3).ok_or(Breach::StatusLine)?;
    let is_reason = reason.first().is_none_or(|&byte| byte == b' ') && is_text(reason);
    let status = digits.iter().try_fold(0, |number, &digit| {
        digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
    });
    match status {
        Some(status @ 100..=599) if is_reason => Ok((version, status)),
        _ => Err(Breach::StatusLine),
    }
}

/// RFC 9112, section 5.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Breach> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Breach::Field)?;
    let (name, value) = line.split_at_checked(colon).ok_or(Breach::Field)?;
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let is_name = |&byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.iter().all(is_name) || !is_text(value) {
        return Err(Breach::Field);
    }
    Ok((name, value))
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

fn number(value: &[u8]) -> Result<u64, Breach> {
    // More digits than any body has bytes.
    let good = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number = value.iter().fold(0, |number: u64, &digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    });
    if good { Ok(number) } else { Err(Breach::Length) }
}
