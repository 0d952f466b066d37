//! What a head says of its request's content (RFC 9112, section 6), line by line.

use super::line::RequestLine;
use super::{Content, Fault, HeadLimits, field};

/// What the lines so far say.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) line: RequestLine,
    fields: usize,
    host: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Head {
    pub(super) fn beginning(line: RequestLine) -> Self {
        Self { line, fields: 0, host: false, length: None, chunked: false }
    }

    pub(super) fn field(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), Fault> {
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(field::TOO_MANY);
        }
        let (name, value) = field::read(line, limits)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                // RFC 9112, section 3.2: exactly one, and a valid one.
                if std::mem::replace(&mut self.host, true) {
                    return Err(Fault::Malformed("more than one Host"));
                }
                if !crate::policy::authority::is_host(value) {
                    return Err(Fault::Malformed("Host names no host"));
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Fault::Malformed("more than one Content-Length"));
                }
                self.length = Some(field::length(value)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if std::mem::replace(&mut self.chunked, true) {
                    return Err(Fault::Malformed("more than one Transfer-Encoding"));
                }
                field::coding(value)?;
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn content(&self) -> Result<Content, Fault> {
        if self.line.minor > 0 && !self.host {
            return Err(Fault::Malformed("no Host"));
        }
        match (self.chunked, self.length) {
            // RFC 9112, section 6.1: no message has both.
            (true, Some(_)) => Err(Fault::Malformed("both Transfer-Encoding and Content-Length")),
            // RFC 9112, section 6.1: the framing of such a message is faulty.
            (true, None) if self.line.minor == 0 => {
                Err(Fault::Malformed("Transfer-Encoding in HTTP/1.0"))
            }
            (true, None) => Ok(Content::Chunked),
            (false, length) => Ok(Content::Length(length.unwrap_or(0))),
        }
    }
}
