//! The fast way, as a connection sees it: what can be answered at once is answered without hyper.
//!
//! Only HTTP/1.1 goes by it, and only a bare GET; what it does not answer goes the long way, which
//! answers everything.

use std::fmt;

use bytes::Bytes;

use crate::peer::{PeerAddr, PeerCertificate};

/// Answers bare requests at once, or leaves them to the service. Shared by all connections.
pub trait Express: fmt::Debug + Send + Sync {
    /// For the requests of one connection.
    fn seat(&self, peer: PeerAddr, certificate: Option<&PeerCertificate>) -> Box<dyn Seat>;
}

/// One connection's place on the fast way. It may remember what the last request was like.
pub trait Seat: Send {
    /// Appends the answer's head to `head`, whole, and returns the body; none = nothing was done,
    /// and the service has to be asked.
    fn answer(&mut self, request: Bare<'_>, head: &mut Vec<u8>) -> Option<Bytes>;
}

/// A GET over HTTP/1.1 without content, whose head has been found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bare<'r> {
    /// The path, and the query if there is one.
    pub target: &'r str,
    /// The field lines, each with its end.
    pub fields: &'r [u8],
}

impl<'r> Bare<'r> {
    /// From a whole head; none if it is of another kind.
    pub(super) fn read(head: &'r [u8]) -> Option<Self> {
        let rest = head.strip_prefix(b"GET ").filter(|rest| rest.starts_with(b"/"))?;
        let (target, rest) = rest.split_at_checked(memchr::memchr(b' ', rest)?)?;
        let fields = rest.strip_prefix(b" HTTP/1.1\r\n")?.strip_suffix(b"\r\n")?;
        Some(Self { target: std::str::from_utf8(target).ok()?, fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_of_a_path_over_http_1_1_is_bare() {
        let (target, fields) = ("/a?b=c", &b"host: h\r\naccept: */*\r\n"[..]);
        for (head, bare) in [
            (
                "GET /a?b=c HTTP/1.1\r\nhost: h\r\naccept: */*\r\n\r\n",
                Some(Bare { target, fields }),
            ),
            ("GET / HTTP/1.1\r\n\r\n", Some(Bare { target: "/", fields: b"" })),
            ("GET /a?b=c HTTP/1.0\r\nhost: h\r\naccept: */*\r\n\r\n", None),
            ("HEAD / HTTP/1.1\r\nhost: h\r\n\r\n", None),
            ("GET http://h/ HTTP/1.1\r\nhost: h\r\n\r\n", None),
            ("\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n", None),
            ("GET /", None),
        ] {
            assert_eq!(Bare::read(head.as_bytes()), bare, "{head:?}");
        }
    }
}
