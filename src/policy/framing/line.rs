//! The request line (RFC 9112, section 3).

use super::{Fault, HeadLimits, field};
use crate::policy::authority::is_host;

/// Longest method. The longest that is registered has 17 letters.
const MAX_METHOD: usize = 32;
/// A space and the version, after the target.
const VERSION_LEN: usize = " HTTP/1.1".len();
const BROKEN: Fault = Fault::Malformed("the request line is broken");

#[derive(Debug)]
pub(super) struct RequestLine {
    /// 0 or 1.
    pub(super) minor: u8,
}

impl RequestLine {
    /// Reads a line without its end. A later minor version than 1 is made 1 in place.
    pub(super) fn read(line: &mut [u8], limits: &HeadLimits) -> Result<Self, Fault> {
        let space = |line: &[u8]| memchr::memchr(b' ', line);
        let method = space(line).ok_or(BROKEN)?;
        let target = memchr::memrchr(b' ', line).filter(|at| *at > method).ok_or(BROKEN)?;
        let (before, version) = line.split_at_mut(target + 1);
        let method_name = before.get(..method).unwrap_or_default();
        let target = before.get(method + 1..target).unwrap_or_default();
        check_method(method_name)?;
        check_target(method_name, target, limits)?;
        Ok(Self { minor: check_version(version)? })
    }

    /// Whether a line that has no end yet may still become one.
    pub(super) fn could_begin(line: &[u8], limits: &HeadLimits) -> Result<(), Fault> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = memchr::memchr(b' ', line);
        let (method, rest) = line.split_at(end.unwrap_or(line.len()));
        if end.is_some() || !method.is_empty() {
            check_method(method)?;
        }
        let target = rest.strip_prefix(b" ").unwrap_or_default();
        if target.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(BROKEN);
        }
        let end = memchr::memchr(b' ', target).unwrap_or(target.len());
        if end > limits.uri_bytes {
            return Err(Fault::UriTooLong);
        }
        if target.len() - end > VERSION_LEN {
            return Err(BROKEN);
        }
        Ok(())
    }
}

fn check_method(method: &[u8]) -> Result<(), Fault> {
    if method.is_empty() || !field::is_token(method) {
        return Err(Fault::Malformed("the method is no word"));
    }
    if method.len() > MAX_METHOD {
        return Err(Fault::Malformed("the method is too long"));
    }
    Ok(())
}

/// RFC 9112, section 3.2: a path, a whole URL, `*` for OPTIONS, or an authority for CONNECT.
fn check_target(method: &[u8], target: &[u8], limits: &HeadLimits) -> Result<(), Fault> {
    if target.len() > limits.uri_bytes {
        return Err(Fault::UriTooLong);
    }
    if !field::is_target(target) {
        return Err(Fault::Malformed(
            "the request target holds a character that has no place there",
        ));
    }
    let sound = match target {
        _ if method == b"CONNECT" => is_host(target),
        [b'/', ..] => true,
        b"*" => method == b"OPTIONS",
        _ => absolute(target).is_some_and(is_host),
    };
    if sound { Ok(()) } else { Err(Fault::Malformed("the request target is neither path nor URL")) }
}

/// The authority of an `http` or `https` URL.
fn absolute(target: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', target)?;
    let (scheme, rest) = target.split_at(colon);
    let known = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    let rest = rest.strip_prefix(b"://").filter(|_| known)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    rest.get(..end)
}

fn check_version(version: &mut [u8]) -> Result<u8, Fault> {
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = version else { return Err(BROKEN) };
    match (*major, *minor) {
        (b'1', b'0') => Ok(0),
        (b'1', b'1'..=b'9') => {
            *minor = b'1';
            Ok(1)
        }
        (b'0'..=b'9', b'0'..=b'9') => Err(Fault::Version),
        _ => Err(BROKEN),
    }
}
