//! Where a request of HTTP/1 begins and ends (RFC 9112), read strictly.
//!
//! The parser below forgives what others read differently, and every such difference is a way to
//! smuggle a request past somebody. So bytes are looked at before it sees them: heads, chunk
//! sizes and trailers go on when they are whole and beyond doubt; content goes on as it comes.

mod chunk;
mod field;
mod head;
mod line;

use self::chunk::Chunks;
use self::head::Head;
use self::line::RequestLine;

/// What a request's head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// All of it, bytes.
    pub head_bytes: usize,
    /// The request target, bytes.
    pub uri_bytes: usize,
    /// One field line, bytes.
    pub field_bytes: usize,
    /// Field lines, and those of a trailer.
    pub fields: usize,
}

/// Why what came is no request that could be answered or passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It breaks the rules; in words for the client.
    #[error("{0}")]
    Malformed(&'static str),
    /// The request target is longer than allowed.
    #[error("the request target is too long")]
    UriTooLong,
    /// The head, a field or the number of fields is more than allowed.
    #[error("the request's head is too large: {0}")]
    HeadTooLarge(&'static str),
    /// Another major version.
    #[error("only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here")]
    Version,
    /// Content in a coding that is not to be undone here.
    #[error("of transfer codings only chunked is known here")]
    TransferCoding,
    /// The head did not come in time.
    #[error("the request's head did not come in time")]
    HeadTimeout,
    /// Its content has no bounds that could be trusted; the head has gone on already.
    #[error("the request's content is broken: {0}")]
    Content(&'static str),
}

/// What is known of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// So many of the first may go on.
    pub pass: usize,
    /// After them comes what may not; otherwise the rest has to wait for more.
    pub fault: Option<Fault>,
}

/// How the content of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// So many bytes, or none.
    Length(u64),
    Chunked,
}

/// What comes next.
#[derive(Debug)]
enum State {
    /// A request, after so many blank lines.
    Start {
        blank: u8,
    },
    /// A field line, or the blank line after the last.
    Fields(Head),
    /// So many bytes of content.
    Content(u64),
    /// Content in chunks.
    Chunked(Chunks),
    Refused(Fault),
}

/// RFC 9112, section 2.2: at least one blank line before a request is ignored.
const MAX_BLANK: u8 = 4;

/// Reads the requests of one connection.
#[derive(Debug)]
pub struct Framing {
    limits: HeadLimits,
    state: State,
    /// Of the bytes that have not gone on: where the line at hand begins, and how far it was read.
    line: usize,
    seen: usize,
    /// Where the field lines of the head at hand begin.
    fields: usize,
    /// Heads that have gone on.
    heads: u64,
    /// The last of them had content.
    content: bool,
    /// The fields of the last that had none, to the end of the head. What was good once is good
    /// again, and clients that keep a connection say the same all the time.
    good: Vec<u8>,
}

/// Longer ones are read anew.
const LONGEST_GOOD: usize = 1024;

impl Framing {
    /// At the beginning of a connection.
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            state: State::Start { blank: 0 },
            line: 0,
            seen: 0,
            fields: 0,
            heads: 0,
            content: false,
            good: Vec::new(),
        }
    }

    /// How many requests have gone on.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Nothing of a request has been seen since the last one ended, but blank lines.
    pub fn is_between_requests(&self) -> bool {
        match self.state {
            State::Start { .. } => self.seen == self.line,
            State::Content(0) => true,
            _ => false,
        }
    }

    /// The last request that went on had content.
    pub fn had_content(&self) -> bool {
        self.content
    }

    /// The head that went on last ends its request.
    pub fn is_without_content(&self) -> bool {
        matches!(self.state, State::Content(0))
    }

    /// Something of a request's head has been seen, and not all of it.
    pub fn is_in_head(&self) -> bool {
        match self.state {
            State::Start { .. } => self.seen > self.line,
            State::Fields(_) => true,
            State::Content(_) | State::Chunked(_) | State::Refused(_) => false,
        }
    }

    /// Nothing more comes of what has begun.
    pub fn refuse(&mut self, fault: Fault) {
        self.state = State::Refused(fault);
    }

    /// Looks at all bytes that have not gone on yet, in the order they came. Those that go on are
    /// not to be shown again.
    ///
    /// A later minor version is read as the one that is spoken here, and written so
    /// (RFC 9110, section 2.5).
    pub fn feed(&mut self, bytes: &mut [u8]) -> Verdict {
        let mut pass = 0;
        loop {
            let next = self.next(bytes.get_mut(pass..).unwrap_or_default());
            pass += next.pass;
            if next.pass == 0 || next.fault.is_some() {
                return Verdict { pass, ..next };
            }
        }
    }

    /// The same, up to the end of a head or of a piece of content.
    pub fn next(&mut self, bytes: &mut [u8]) -> Verdict {
        match self.step(bytes) {
            Ok(pass) => Verdict { pass, fault: None },
            Err(fault) => {
                self.state = State::Refused(fault);
                Verdict { pass: 0, fault: Some(fault) }
            }
        }
    }

    /// How many bytes may go on; 0 = more are needed.
    fn step(&mut self, bytes: &mut [u8]) -> Result<usize, Fault> {
        match &mut self.state {
            State::Content(0) => {
                self.state = State::Start { blank: 0 };
                self.step(bytes)
            }
            State::Content(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= here as u64;
                Ok(here)
            }
            State::Chunked(chunks) => {
                let passed = chunks.step(bytes, &self.limits)?;
                if chunks.have_ended() {
                    self.state = State::Start { blank: 0 };
                }
                Ok(passed)
            }
            State::Start { .. } | State::Fields(_) => self.head(bytes),
            State::Refused(fault) => Err(*fault),
        }
    }

    /// Line by line, so that what is wrong is told at once; it goes on when it is whole.
    fn head(&mut self, bytes: &mut [u8]) -> Result<usize, Fault> {
        loop {
            let begun = bytes.get(self.seen..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', begun).map(|at| self.seen + at) else {
                self.seen = bytes.len();
                self.unfinished(bytes.get(self.line..).unwrap_or_default())?;
                self.bounded(bytes.len())?;
                return Ok(0);
            };
            self.bounded(end + 1)?;
            let line = bytes.get_mut(self.line..end).unwrap_or_default();
            let [line @ .., b'\r'] = line else {
                return Err(Fault::Malformed("a line ends with LF alone"));
            };
            (self.line, self.seen) = (end + 1, end + 1);
            let begins = matches!(self.state, State::Start { .. }) && !line.is_empty();
            let content = Self::take(&mut self.state, line, &self.limits)?;
            if begins {
                self.fields = end + 1;
                if let Some(end) = self.ends_as_the_last(bytes) {
                    self.bounded(end)?;
                    self.passed(Content::Length(0));
                    return Ok(end);
                }
            }
            if let Some(content) = content {
                self.remember(content, bytes.get(self.fields..=end).unwrap_or_default());
                self.passed(content);
                return Ok(end + 1);
            }
        }
    }

    fn passed(&mut self, content: Content) {
        self.heads += 1;
        self.content = content != Content::Length(0);
        self.state = match content {
            Content::Length(length) => State::Content(length),
            Content::Chunked => State::Chunked(Chunks::default()),
        };
        (self.line, self.seen) = (0, 0);
    }

    /// Where the head ends whose request line has been read, if its fields are the last one's. The
    /// version has to be one in which they are good.
    fn ends_as_the_last(&self, bytes: &[u8]) -> Option<usize> {
        let State::Fields(Head { line: RequestLine { minor: 1 }, .. }) = self.state else {
            return None;
        };
        let rest = bytes.get(self.fields..)?;
        let same = !self.good.is_empty() && rest.starts_with(&self.good);
        same.then_some(self.fields + self.good.len())
    }

    fn remember(&mut self, content: Content, fields: &[u8]) {
        self.good.clear();
        let is_first_version = matches!(&self.state, State::Fields(head) if head.line.minor == 1);
        if content == Content::Length(0) && is_first_version && fields.len() <= LONGEST_GOOD {
            self.good.extend_from_slice(fields);
        }
    }

    /// Gives back what is only kept to be quick.
    pub fn give_back(&mut self) {
        self.good = Vec::new();
    }

    /// One more line; the content's bounds after the last.
    fn take(
        state: &mut State,
        line: &mut [u8],
        limits: &HeadLimits,
    ) -> Result<Option<Content>, Fault> {
        match state {
            State::Start { blank } if line.is_empty() => {
                *blank += 1;
                if *blank > MAX_BLANK {
                    return Err(Fault::Malformed("too many blank lines before a request"));
                }
                Ok(None)
            }
            State::Fields(head) if line.is_empty() => head.content().map(Some),
            State::Fields(head) => {
                head.field(line, limits)?;
                Ok(None)
            }
            _ => {
                let line = RequestLine::read(line, limits)?;
                *state = State::Fields(Head::beginning(line));
                Ok(None)
            }
        }
    }

    /// What can be said of a line that has no end yet.
    fn unfinished(&self, line: &[u8]) -> Result<(), Fault> {
        match &self.state {
            State::Start { .. } => RequestLine::could_begin(line, &self.limits),
            // The last may be the carriage return before its end.
            _ if line.len() > self.limits.field_bytes + 1 => Err(field::TOO_LONG),
            _ => Ok(()),
        }
    }

    fn bounded(&self, head: usize) -> Result<(), Fault> {
        if head > self.limits.head_bytes {
            return Err(Fault::HeadTooLarge("all of it"));
        }
        Ok(())
    }
}

/// Names and values of field lines that have been found good, each line with its end.
pub fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
    lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        Some((name, field::trim(value.get(1..)?)))
    })
}

#[cfg(test)]
mod tests;
