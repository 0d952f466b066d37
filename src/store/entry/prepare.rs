//! What an answer becomes before it is stored: without what concerns one client or one moment, and
//! with what it lacks.

use std::time::SystemTime;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Kept;
use crate::http::strip_hop_by_hop;
use crate::policy::coding::{self, NoTransform, Worth};
use crate::policy::endpoint::SetCookie;
use crate::policy::etag;

/// Who said something: the upstream, or weir in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Upstream,
    Here,
}

/// Whether an answer may be sent in other codings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encode {
    AsAsked,
    Never,
}

/// What has been added, and what has not.
pub(super) struct Added {
    pub(super) tagged: By,
    pub(super) dated: By,
    pub(super) encode: Encode,
}

/// Fields of an answer that concern the client which fetched it, or the moment, and are never
/// replayed to another.
const NEVER_STORED: [HeaderName; 12] = [
    header::RETRY_AFTER,
    header::AGE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-ratelimit-category"),
    HeaderName::from_static("x-ratelimit-type"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// Names the stored fetch in the upstream's own tracking; on a hit it must not look as if the
/// upstream had been asked.
pub(super) const TRACKING: HeaderName = HeaderName::from_static("x-zm-trackingid");
pub(super) const STORED_TRACKING: HeaderName = HeaderName::from_static("weir-stored-trackingid");

/// Added where the answer is sent in other codings too.
const OUR_VARY: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Makes the fields of an answer those of an entry.
pub(super) fn prepare(
    status: StatusCode,
    headers: &mut HeaderMap,
    body: &[u8],
    received: SystemTime,
    kept: &Kept,
) -> Added {
    strip_hop_by_hop(headers);
    for name in NEVER_STORED.iter().chain(&kept.without) {
        headers.remove(name);
    }
    if kept.set_cookie != SetCookie::Store {
        headers.remove(header::SET_COOKIE);
    }
    if let Some(tracking) = headers.remove(TRACKING) {
        headers.insert(STORED_TRACKING, tracking);
    }
    let by = |name| if headers.contains_key(name) { By::Upstream } else { By::Here };
    let (tagged, dated) = (by(header::ETAG), by(header::DATE));
    // RFC 9110, section 6.6.1: who keeps an answer gives it the date it lacks.
    if dated == By::Here
        && let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(received))
    {
        headers.insert(header::DATE, now);
    }
    if status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    if status.is_success() && tagged == By::Here {
        headers.insert(header::ETAG, etag::strong(body));
    }
    let worth = |no_transform: NoTransform| {
        status == StatusCode::OK
            && coding::worth(headers, body.len(), no_transform) == Worth::Encode
    };
    let encode = if kept.transform.is_some_and(worth) { Encode::AsAsked } else { Encode::Never };
    if encode == Encode::AsAsked {
        // RFC 9110, section 12.5.5: also where this one is sent as it is.
        headers.append(header::VARY, OUR_VARY);
    }
    Added { tagged, dated, encode }
}
