//! Which HTTP a connection without TLS speaks: HTTP/2 with prior knowledge says so in its first
//! 24 bytes (RFC 9113, section 3.4), everything else is HTTP/1.
//!
//! The bytes stay in the kernel, so the chosen parser reads the connection from its beginning.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Pauses between looks at an unfinished preface. A socket with unread bytes stays readable, so
/// waiting for readiness would spin.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Looks until the version is certain. `None` when the peer closed or went silent.
pub(super) async fn sniff(stream: &TcpStream, timeout: Duration) -> io::Result<Option<Version>> {
    match tokio::time::timeout(timeout, look(stream)).await {
        Ok(found) => found,
        Err(_elapsed) => Ok(None),
    }
}

async fn look(stream: &TcpStream) -> io::Result<Option<Version>> {
    let mut bytes = [0; PREFACE.len()];
    let mut pause = FIRST_PAUSE;
    loop {
        let seen = stream.peek(&mut bytes).await?;
        if seen == 0 {
            return Ok(None);
        }
        if let Some(version) = decide(bytes.get(..seen).unwrap_or_default()) {
            return Ok(Some(version));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
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
