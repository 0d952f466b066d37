//! The `Cache-Status` field (RFC 9211).

use std::io::Write as _;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::Bypass;
use crate::http::Body;
use crate::metrics::CacheResult;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How the cache handled a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Answered from memory; fresh for so long.
    Hit { ttl: Duration },
    /// Answered from memory, stale by so much, while it is being refreshed.
    StaleHit { by: Duration },
    /// Answered from memory, because asking failed for this reason.
    StaleIfError { detail: &'static str },
    /// Answered by the upstream.
    Forwarded { why: Forward, status: StatusCode, stored: bool, collapsed: bool },
}

/// Why a request went to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forward {
    /// Nothing was stored.
    Miss,
    /// What was stored is too old.
    Stale,
    /// It does not go by the cache.
    Bypass(Bypass),
}

impl Forward {
    /// RFC 9211, section 2.2.
    fn token(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Bypass(Bypass::Method) => "method",
            Self::Bypass(Bypass::Rule) => "bypass",
            Self::Bypass(Bypass::Request) => "request",
        }
    }
}

impl Status {
    /// What is counted for it.
    pub(super) fn result(self) -> CacheResult {
        match self {
            Self::Hit { .. } => CacheResult::Hit,
            Self::StaleHit { .. } | Self::StaleIfError { .. } => CacheResult::Stale,
            Self::Forwarded { collapsed: true, .. } => CacheResult::Collapsed,
            Self::Forwarded { why: Forward::Bypass(_), .. } => CacheResult::Bypass,
            Self::Forwarded { .. } => CacheResult::Miss,
        }
    }

    /// Adds the field to an answer, after whatever caches nearer to the source have said.
    pub(super) fn onto(self, mut answer: Response<Body>) -> Response<Body> {
        let mut text = Vec::with_capacity(64);
        self.write(&mut text);
        if let Ok(value) = HeaderValue::try_from(text) {
            answer.headers_mut().append(CACHE_STATUS, value);
        }
        answer
    }

    pub(super) fn write(self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"weir");
        let written = match self {
            // The one that is written all the time.
            Self::Hit { ttl } => {
                text.extend_from_slice(b"; hit; ttl=");
                text.extend_from_slice(itoa::Buffer::new().format(ttl.as_secs()).as_bytes());
                Ok(())
            }
            Self::StaleHit { by } => {
                write!(text, "; hit; ttl=-{}; detail=stale", by.as_secs().max(1))
            }
            Self::StaleIfError { detail } => write!(text, "; fwd=stale; detail={detail}"),
            Self::Forwarded { why, status, stored, collapsed } => {
                let stored = if stored { "; stored" } else { "" };
                let collapsed = if collapsed { "; collapsed" } else { "" };
                let (why, status) = (why.token(), status.as_u16());
                write!(text, "; fwd={why}; fwd-status={status}{stored}{collapsed}")
            }
        };
        debug_assert!(written.is_ok(), "a Vec takes every byte");
    }
}

#[cfg(test)]
mod tests {
    use sfv::Parser;

    use super::*;

    #[test]
    fn every_status_is_a_structured_field_with_the_registered_parameters() {
        let forwarded = |why, stored, collapsed| Status::Forwarded {
            why,
            status: StatusCode::OK,
            stored,
            collapsed,
        };
        for (status, expected) in [
            (Status::Hit { ttl: Duration::from_millis(7_900) }, "weir; hit; ttl=7"),
            (Status::StaleHit { by: Duration::from_secs(3) }, "weir; hit; ttl=-3; detail=stale"),
            (Status::StaleIfError { detail: "quota" }, "weir; fwd=stale; detail=quota"),
            (forwarded(Forward::Miss, true, false), "weir; fwd=miss; fwd-status=200; stored"),
            (
                forwarded(Forward::Stale, true, true),
                "weir; fwd=stale; fwd-status=200; stored; collapsed",
            ),
            (
                forwarded(Forward::Bypass(Bypass::Rule), false, false),
                "weir; fwd=bypass; fwd-status=200",
            ),
        ] {
            let answer = status.onto(Response::new(Body::Empty));
            let value = answer.headers()["cache-status"].to_str().unwrap();
            assert_eq!(value, expected);
            Parser::new(value).parse::<sfv::List>().expect("RFC 9651");
        }
    }
}
