//! Which HTTP a connection without TLS speaks: HTTP/2 with prior knowledge says so in its first
//! 24 bytes (RFC 9113, section 3.4), everything else is HTTP/1.
//!
//! The bytes are kept, so the chosen parser reads the connection from its beginning.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::io::AsyncRead;

use super::socket::{FIRST_BYTES, Rewind};

const PREFACE: &[u8; FIRST_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Reads until the version is certain. `None` when the peer closed or went silent.
pub(super) async fn sniff<I: AsyncRead + Unpin>(
    stream: &mut Rewind<I>,
    timeout: Duration,
) -> io::Result<Option<Version>> {
    match tokio::time::timeout(timeout, look(stream)).await {
        Ok(found) => found,
        Err(_elapsed) => Ok(None),
    }
}

async fn look<I: AsyncRead + Unpin>(stream: &mut Rewind<I>) -> io::Result<Option<Version>> {
    loop {
        if poll_fn(|cx| stream.poll_first(cx)).await? == 0 {
            return Ok(None);
        }
        if let Some(version) = decide(stream.first()) {
            return Ok(Some(version));
        }
    }
}

/// `None` while the bytes could still become the preface.
fn decide(bytes: &[u8]) -> Option<Version> {
    if !PREFACE.starts_with(bytes) {
        return Some(Version::Http1);
    }
    (bytes.len() == PREFACE.len()).then_some(Version::Http2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decided_on_the_first_byte_that_differs() {
        assert_eq!(decide(b"G"), Some(Version::Http1));
        assert_eq!(decide(b"PO"), Some(Version::Http1));
        assert_eq!(decide(b"PRI * HTTP/1.1\r\n"), Some(Version::Http1));
        assert_eq!(decide(PREFACE), Some(Version::Http2));
        for unfinished in 1..PREFACE.len() {
            assert_eq!(decide(&PREFACE[..unfinished]), None, "{unfinished} bytes");
        }
    }
}
