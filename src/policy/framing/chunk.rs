//! Content in chunks (RFC 9112, section 7.1).

use super::field::{self, is_text, is_token};
use super::{Fault, HeadLimits};

/// Longest line of a chunk's size and extensions.
const MAX_LINE: usize = 1024;
/// All extensions of one request's content: they cost reading and mean nothing here.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// More hex digits than a size can have.
const MAX_DIGITS: usize = 15;

#[derive(Debug, Default)]
pub(super) struct Chunks {
    next: Next,
    /// Bytes of lines that have been seen already.
    seen: usize,
    extensions: usize,
    trailers: usize,
}

#[derive(Debug, Default)]
enum Next {
    #[default]
    Size,
    Data(u64),
    /// CR and LF after a chunk's data.
    Close,
    Trailer,
    Nothing,
}

impl Chunks {
    pub(super) fn have_ended(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    /// How many bytes may go on; 0 = more are needed.
    pub(super) fn step(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<usize, Fault> {
        match &mut self.next {
            Next::Data(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                if *left == 0 {
                    self.next = Next::Close;
                }
                Ok(here)
            }
            Next::Close => match bytes {
                [b'\r', b'\n', ..] => {
                    self.next = Next::Size;
                    Ok(2)
                }
                [] | [b'\r'] => Ok(0),
                _ => Err(Fault::Content("a chunk is longer than its size")),
            },
            Next::Size => self.line(bytes, MAX_LINE, Self::size),
            Next::Trailer => {
                self.line(bytes, limits.field_bytes, |chunks, line| chunks.trailer(line, limits))
            }
            Next::Nothing => Ok(0),
        }
    }

    /// A whole line, once it is there.
    fn line(
        &mut self,
        bytes: &[u8],
        longest: usize,
        read: impl FnOnce(&mut Self, &[u8]) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let begun = bytes.get(self.seen..).unwrap_or_default();
        let end = memchr::memchr(b'\n', begun).map(|at| self.seen + at);
        if end.unwrap_or(bytes.len()) > longest {
            return Err(Fault::Content("a line between chunks is too long"));
        }
        let Some(end) = end else {
            self.seen = bytes.len();
            return Ok(0);
        };
        let Some([line @ .., b'\r']) = bytes.get(..end) else {
            return Err(Fault::Content("a line ends with LF alone"));
        };
        self.seen = 0;
        read(self, line)?;
        Ok(end + 1)
    }

    fn size(&mut self, line: &[u8]) -> Result<(), Fault> {
        let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let (digits, extensions) = line.split_at(end);
        let significant = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
        if digits.is_empty() || digits.len() - significant > MAX_DIGITS {
            return Err(Fault::Content("a chunk's size is no number"));
        }
        let size = digits.iter().fold(0, |sum, digit| {
            sum << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or(0))
        });
        self.extensions += extensions.len();
        if !are_extensions(extensions) {
            return Err(Fault::Content("a chunk's size is followed by what is no extension"));
        }
        if self.extensions > MAX_EXTENSIONS {
            return Err(Fault::Content("there are too many chunk extensions"));
        }
        self.next = if size == 0 { Next::Trailer } else { Next::Data(size) };
        Ok(())
    }

    fn trailer(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), Fault> {
        if line.is_empty() {
            self.next = Next::Nothing;
            return Ok(());
        }
        self.trailers += 1;
        if self.trailers > limits.fields {
            return Err(Fault::Content("there are too many trailers"));
        }
        let read = field::read(line, limits);
        let (name, _) = read.map_err(|_any| Fault::Content("a trailer is no field"))?;
        // RFC 9110, section 6.5.1: what frames and routes a message comes before its content.
        let comes_first = [&b"content-length"[..], b"transfer-encoding", b"host"];
        if comes_first.iter().any(|first| name.eq_ignore_ascii_case(first)) {
            return Err(Fault::Content("a trailer comes too late to frame or route the request"));
        }
        Ok(())
    }
}

/// RFC 9112, section 7.1.1: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
fn are_extensions(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(named) = skip_space(text).strip_prefix(b";").map(skip_space) else { return false };
        let Some(after) = after_token(named) else { return false };
        text = match skip_space(after).strip_prefix(b"=").map(skip_space) {
            None => after,
            Some(quoted @ [b'"', ..]) => match after_quoted(quoted) {
                Some(after) => after,
                None => return false,
            },
            Some(value) => match after_token(value) {
                Some(after) => after,
                None => return false,
            },
        };
    }
    true
}

fn skip_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| !is_token(&[*byte])).unwrap_or(text.len());
    if end == 0 { None } else { text.get(end..) }
}

fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut text = text.strip_prefix(b"\"")?;
    loop {
        match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_text(&[*escaped]) => text = rest,
            [plain, rest @ ..] if is_text(&[*plain]) && *plain != b'\\' => text = rest,
            _ => return None,
        }
    }
}
