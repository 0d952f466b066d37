//! The value of a path parameter, measured before it is written: most are what was sent.

use memchr::memchr;

use super::packed::Packer;
use super::{BadParameter, decode};
use crate::policy::spelling::{escapes, hex_pair};

pub(super) enum Decoded<'p> {
    /// Nothing is escaped.
    Plain(&'p str),
    /// Nothing but ASCII is escaped, as in a session id; and how long it is without.
    Escaped(&'p str, usize),
    /// Anything else.
    Whole(String),
}

impl<'p> Decoded<'p> {
    pub(super) fn of(name: &str, raw: &'p str) -> Result<Self, BadParameter> {
        let mut length = raw.len();
        for after in escapes(raw.as_bytes()) {
            if !hex_pair(after).is_some_and(|byte| byte.is_ascii()) {
                return Ok(Self::Whole(decode(name, raw)?.into_owned()));
            }
            length -= 2;
        }
        Ok(if length == raw.len() { Self::Plain(raw) } else { Self::Escaped(raw, length) })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            Self::Escaped(_, length) => *length,
            Self::Whole(text) => text.len(),
        }
    }

    pub(super) fn put_into(&self, packer: &mut Packer) {
        match self {
            Self::Plain(text) => packer.put(text),
            Self::Whole(text) => packer.put(text),
            Self::Escaped(raw, length) => {
                let (text, mut rest) = (packer.begin(*length), *raw);
                while let Some(at) = memchr(b'%', rest.as_bytes()) {
                    let (before, after) = rest.split_at(at);
                    text.push_str(before);
                    let byte = hex_pair(after.as_bytes().get(1..).unwrap_or_default());
                    text.push(byte.map_or('%', char::from));
                    rest = after.get(3..).unwrap_or_default();
                }
                text.push_str(rest);
            }
        }
    }
}

impl Default for Decoded<'_> {
    fn default() -> Self {
        Self::Plain("")
    }
}
