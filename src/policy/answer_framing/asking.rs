//! The requests of one connection as they are written: where each begins, and for what it asks.

use super::Asked;
use super::chunks::Chunks;

/// What bytes that were written tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing new: the rest of a head, or a body, whatever it looks like.
    Nothing,
    /// A request has begun.
    Begun,
    /// Its method is whole.
    Method(Asked),
    /// Both.
    Both(Asked),
}

/// The requests so far.
#[derive(Debug)]
pub struct Asking {
    at: At,
}

#[derive(Debug)]
enum At {
    Head(Head),
    Body(u64),
    Chunks(Chunks),
}

/// Longer lines are neither of those that say what follows.
const MOST_OF_A_LINE: usize = 64;

#[derive(Debug, Default)]
struct Head {
    /// The beginning of the line at hand.
    line: Vec<u8>,
    lines: usize,
    length: u64,
    chunked: bool,
}

impl Default for Asking {
    fn default() -> Self {
        Self { at: At::Head(Head::default()) }
    }
}

impl Asking {
    /// These have been written.
    pub fn wrote(&mut self, bytes: &[u8]) -> Told {
        let mut told = Told::Nothing;
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.at {
                At::Head(head) => {
                    let (used, more) = head.read(rest);
                    told = match (told, more) {
                        (_, Told::Nothing) => told,
                        (Told::Begun | Told::Both(_), Told::Method(asked)) => Told::Both(asked),
                        (_, more) => more,
                    };
                    if head.is_whole() {
                        self.at = head.followed_by();
                    }
                    used
                }
                At::Body(left) => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= used as u64;
                    if *left == 0 {
                        *self = Self::default();
                    }
                    used
                }
                // It is our own client that writes them.
                At::Chunks(chunks) => match chunks.read(rest) {
                    Ok((used, false)) => used,
                    Ok((used, true)) => {
                        *self = Self::default();
                        used
                    }
                    Err(_) => rest.len(),
                },
            };
            rest = rest.get(used..).unwrap_or_default();
        }
        told
    }
}

impl Head {
    /// How many bytes belong to the line at hand, and what they tell.
    fn read(&mut self, bytes: &[u8]) -> (usize, Told) {
        let begins = self.lines == 0 && self.line.is_empty();
        let method = |line: &[u8]| {
            let end = line.iter().position(|&byte| byte == b' ')?;
            Some(if line.get(..end) == Some(b"HEAD") { Asked::ForHead } else { Asked::ForAll })
        };
        let known = self.lines > 0 || method(&self.line).is_some();
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(bytes.len(), |end| end + 1);
        let room = MOST_OF_A_LINE.saturating_sub(self.line.len());
        self.line.extend(bytes.iter().take(used.min(room)));
        let told = match (begins, method(&self.line).filter(|_| !known)) {
            (true, Some(asked)) => Told::Both(asked),
            (true, None) => Told::Begun,
            (false, Some(asked)) => Told::Method(asked),
            (false, None) => Told::Nothing,
        };
        if end.is_some() {
            self.lines += 1;
            self.field();
            if !self.is_whole() {
                self.line.clear();
            }
        }
        (used, told)
    }

    fn is_whole(&self) -> bool {
        self.lines > 0 && self.line == b"\r\n"
    }

    /// RFC 9112, section 6.3.
    fn field(&mut self) {
        let mut parts = self.line.splitn(2, |&byte| byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return };
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
            self.length = text.parse().unwrap_or_default();
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        }
    }

    fn followed_by(&self) -> At {
        match (self.chunked, self.length) {
            (true, _) => At::Chunks(Chunks::default()),
            (false, 0) => At::Head(Self::default()),
            (false, length) => At::Body(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests began, and for what the last asked.
    fn asked(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> (usize, Option<Asked>) {
        let (mut asking, mut begun, mut last) = (Asking::default(), 0, None);
        for piece in pieces {
            let told = asking.wrote(piece.as_ref());
            begun += usize::from(matches!(told, Told::Begun | Told::Both(_)));
            if let Told::Method(asked) | Told::Both(asked) = told {
                last = Some(asked);
            }
        }
        (begun, last)
    }

    #[test]
    fn only_a_head_says_for_what_is_asked_however_it_is_cut() {
        use Asked::{ForAll, ForHead};
        let post = "POST / HTTP/1.1\r\nContent-Length: 12\r\n\r\n";
        let chunked =
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n6\r\nHEAD /\r\n0\r\n\r\n";
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(999));
        for (requests, expected) in [
            (&["GET / HTTP/1.1\r\n\r\n"][..], (1, ForAll)),
            (&["HEAD / HTTP/1.1\r\nhost: a\r\n\r\n"], (1, ForHead)),
            (&["HEADER / HTTP/1.1\r\n\r\n"], (1, ForAll)),
            (&[post, "HEAD / HTTP/"], (1, ForAll)),
            (&[post, "HEAD / HTTP/", "HEAD / HTTP/1.1\r\n\r\n"], (2, ForHead)),
            (&[post, "HEAD ", "HEAD ", "ab", "GET / HTTP/1.1\r\n\r\n"], (2, ForAll)),
            (&[chunked, "HEAD / HTTP/1.1\r\n\r\n"], (2, ForHead)),
            (&[&long, "HEAD / HTTP/1.1\r\n\r\n"], (2, ForHead)),
        ] {
            let (begun, last) = expected;
            assert_eq!(asked(requests), (begun, Some(last)), "{requests:?}");
            let whole = requests.concat();
            assert_eq!(asked(whole.as_bytes().chunks(1)), (begun, Some(last)), "{requests:?}");
            assert_eq!(asked(whole.as_bytes().chunks(7)), (begun, Some(last)), "{requests:?}");
        }
    }
}
