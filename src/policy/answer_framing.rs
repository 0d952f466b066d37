//! Where an HTTP/1 answer ends, read strictly: whoever reads an answer in two ways can be made to
//! take one for two, or a part for the whole. Bytes go in as they come; nothing is kept but a head
//! that is not whole yet.

mod asking;
mod chunks;
mod head;

pub use self::asking::{Asking, Told};
use self::chunks::Chunks;
use self::head::{Head, Length};

/// What an answer must not do. The text goes into log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Bytes that nobody has asked for.
    Unasked,
    /// A carriage return or a line feed alone, or a NUL.
    BareControl,
    /// No `HTTP/1.0` or `HTTP/1.1`, three digits from 100 to 599, and a reason or none.
    StatusLine,
    /// Not `name: value`: no colon, white space before it, a continued line, control characters.
    Field,
    /// A length that is no number, told more than once, or besides a transfer coding.
    Length,
    /// A transfer coding other than `chunked`, once, in HTTP/1.1.
    Coding,
    /// A body where there cannot be one.
    Body,
    /// A larger head than anybody needs.
    HeadTooLarge,
    /// More interim answers than anybody needs, or another protocol.
    Interim,
    /// A chunk that breaks the grammar.
    Chunk,
}

impl Breach {
    /// In a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unasked => "bytes that were not asked for",
            Self::BareControl => "a bare CR or LF, or a NUL, in the head",
            Self::StatusLine => "no status line",
            Self::Field => "a malformed field",
            Self::Length => "no single content length",
            Self::Coding => "a transfer coding that is not chunked",
            Self::Body => "a body where there is none",
            Self::HeadTooLarge => "too large a head",
            Self::Interim => "too many interim answers",
            Self::Chunk => "a malformed chunk",
        }
    }
}

/// How the request shapes its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// No body follows, whatever the head says.
    ForHead,
    /// The head says what follows.
    ForAll,
}

/// Larger heads are refused.
pub const MAX_HEAD: usize = 256 * 1024;
/// More interim answers to one request are refused.
pub const MAX_INTERIM: u32 = 32;

/// The answers of one connection, one after the other.
#[derive(Debug, Default)]
pub struct Framing {
    at: At,
    interim: u32,
}

#[derive(Debug, Default)]
enum At {
    /// Nothing is asked.
    #[default]
    Rest,
    /// Before the end of a head.
    Head(Asked, Head),
    /// So many bytes are to come.
    Body(u64),
    Chunks(Chunks),
    /// Whatever comes belongs to it.
    UntilClose,
}

impl Framing {
    /// Whether nothing is awaited.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.at, At::Rest)
    }

    /// A request begins; again once more is known of it.
    pub fn asked(&mut self, asked: Asked) {
        match &mut self.at {
            At::Rest => {
                self.interim = 0;
                self.at = At::Head(asked, Head::default());
            }
            At::Head(before, head) if head.is_empty() => *before = asked,
            _ => {}
        }
    }

    /// The next bytes. After a breach none of them is to be believed: who sends more than an answer
    /// has framed it wrongly.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.at {
                At::Rest => return Err(Breach::Unasked),
                At::UntilClose => rest.len(),
                At::Head(..) => self.head(rest)?,
                At::Body(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= used as u64;
                    if *left == 0 {
                        self.at = At::Rest;
                    }
                    used
                }
                At::Chunks(chunks) => {
                    let (used, ended) = chunks.read(rest)?;
                    if ended {
                        self.at = At::Rest;
                    }
                    used
                }
            };
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn head(&mut self, bytes: &[u8]) -> Result<usize, Breach> {
        let At::Head(asked, head) = &mut self.at else { return Ok(0) };
        let (used, whole) = head.read(bytes)?;
        if !whole {
            return Ok(used);
        }
        let (asked, meaning) = (*asked, head.meaning()?);
        let is_last = used == bytes.len();
        self.at = match (meaning.status, meaning.length) {
            // Nobody has asked for another protocol.
            (101, _) => return Err(Breach::Interim),
            // RFC 9110, section 8.6, and RFC 9112, section 6.1.
            (100..=199 | 204, Length::Bytes(1..) | Length::Chunked) => return Err(Breach::Body),
            (100..=199, _) => {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err(Breach::Interim);
                }
                At::Head(asked, Head::default())
            }
            // What comes in one piece with it is a body that it must not have.
            (204 | 304, _) if !is_last => return Err(Breach::Body),
            (204 | 304, _) | (_, Length::Bytes(0)) => At::Rest,
            _ if asked == Asked::ForHead => At::Rest,
            (_, Length::Bytes(length)) => At::Body(length),
            (_, Length::Chunked) => At::Chunks(Chunks::default()),
            (_, Length::UntilClose) => At::UntilClose,
        };
        Ok(used)
    }
}

#[cfg(test)]
mod tests;
