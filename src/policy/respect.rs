//! What a shared cache may store when the upstream speaks HTTP caching (RFC 9111).
//!
//! Pure, and in the RFC's own order: may it be stored (section 3), how long is it fresh (4.2), how
//! old is it (4.2.3), may it be served stale (4.2.4). What it depends on is `vary`'s business.

use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, ETAG, EXPIRES, HeaderName, LAST_MODIFIED, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::condition::http_date;
use super::directives::{AnswerDirectives, seconds};
use super::endpoint::{Lifetimes, SetCookie};
use super::freshness::{Stale, is_error};
use super::vary::Vary;

/// Whether the request carried an `Authorization`, a client's or ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorized {
    /// It did.
    Yes,
    /// It did not.
    No,
}

/// How an answer came to be.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Of the request.
    pub authorized: Authorized,
    /// The endpoint's rule for answers that set a cookie.
    pub set_cookie: SetCookie,
    /// When its head arrived.
    pub wall: SystemTime,
    /// From sending the request until then.
    pub delay: Duration,
}

/// An answer that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storable {
    /// For how long it is served, fresh and stale.
    pub lifetimes: Lifetimes,
    /// How old it was when the request for it left (section 4.2.3; the time since is added later).
    pub initial_age: Duration,
    /// Whether a client's `max-stale` may be granted.
    pub stale: Stale,
    /// RFC 8246: a client that reloads is answered from memory while it is fresh.
    pub immutable: bool,
    /// What in the request it depends on.
    pub vary: Vary,
    /// Fields that are not served without asking.
    pub without: Vec<HeaderName>,
}

/// Whether an answer may be kept; `None` = it is for the one who asked.
pub fn storable(status: StatusCode, headers: &HeaderMap, arrival: &Arrival) -> Option<Storable> {
    let directives = AnswerDirectives::of(headers);
    // Section 3, a final status; and of the final ones: 206 and 304 are parts of something else
    // (section 3.3, 4.3.4).
    if !is_final(status) || matches!(status.as_u16(), 206 | 304) {
        return None;
    }
    // Section 3 and 5.2.2.3: whoever knows what the status means may ignore the `no-store` beside
    // `must-understand`, and nobody else may store it.
    if directives.must_understand && !is_understood(status) {
        return None;
    }
    let no_store = directives.no_store && !directives.must_understand;
    if no_store || directives.private || !cookie_allowed(headers, arrival.set_cookie) {
        return None;
    }
    // Section 3.5: an answer to an authorized request needs an explicit permission.
    let permitted =
        directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if arrival.authorized == Authorized::Yes && !permitted {
        return None;
    }
    let vary = Vary::of(headers);
    if let Vary::Everything = vary {
        return None;
    }
    let fresh = match lifetime(status, headers, &directives, arrival.wall)? {
        // Section 5.2.2.4.
        _ if directives.no_cache => Duration::ZERO,
        fresh => fresh,
    };
    // Section 4.2.4; s-maxage has the meaning of proxy-revalidate (section 5.2.2.10).
    let forbidden = directives.must_revalidate
        || directives.proxy_revalidate
        || directives.no_cache
        || directives.s_maxage.is_some();
    let stale = if forbidden { Stale::Forbidden } else { Stale::Allowed };
    let window = |figure: Option<Duration>| match stale {
        Stale::Allowed => figure.unwrap_or_default(),
        Stale::Forbidden => Duration::ZERO,
    };
    let lifetimes = Lifetimes {
        fresh,
        stale_while_revalidate: window(directives.stale_while_revalidate),
        stale_if_error: window(directives.stale_if_error),
    };
    // Nothing could ever be done with it.
    if lifetimes == Lifetimes::NONE && !has_validator(headers) {
        return None;
    }
    Some(Storable {
        lifetimes,
        initial_age: initial_age(headers, arrival),
        stale,
        immutable: directives.immutable,
        vary,
        without: directives.no_cache_fields,
    })
}

/// Whether an answer that may not be stored is a failure that all who wait for it at this moment
/// have in common: one for nobody in particular. Whoever asks later asks again.
pub fn is_everybodys_failure(status: StatusCode, headers: &HeaderMap) -> bool {
    let directives = AnswerDirectives::of(headers);
    is_error(status)
        && !directives.no_store
        && !directives.private
        && !headers.contains_key(SET_COOKIE)
        && Vary::of(headers) == Vary::Nothing
}

/// Whether an error says for how long it holds or what tells it from others: then it is an answer,
/// and not to be held for a moment longer than it says.
pub fn is_deliberate(headers: &HeaderMap) -> bool {
    let directives = AnswerDirectives::of(headers);
    directives != AnswerDirectives::default()
        || headers.contains_key(EXPIRES)
        || has_validator(headers)
}

/// RFC 9110, section 15: 1xx is not final.
fn is_final(status: StatusCode) -> bool {
    status.as_u16() >= 200
}

/// The statuses whose caching rules are known here (RFC 9110, section 15, and its registry).
fn is_understood(status: StatusCode) -> bool {
    status.canonical_reason().is_some()
}

/// RFC 9110, section 15.1: what may be kept although nobody said for how long.
fn is_heuristic(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

fn cookie_allowed(headers: &HeaderMap, rule: SetCookie) -> bool {
    rule != SetCookie::Private || !headers.contains_key(SET_COOKIE)
}

fn has_validator(headers: &HeaderMap) -> bool {
    headers.contains_key(ETAG) || headers.get(LAST_MODIFIED).and_then(http_date).is_some()
}

/// Section 4.2.1: how long it is fresh; `None` = nothing allows to keep it.
fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    directives: &AnswerDirectives,
    wall: SystemTime,
) -> Option<Duration> {
    if let Some(explicit) = directives.s_maxage.or(directives.max_age) {
        return Some(explicit);
    }
    // RFC 9213, section 2.2: where a targeted field speaks, Expires does not.
    if !directives.targeted
        && let Some(expires) = expires_in(headers, wall)
    {
        return Some(expires);
    }
    let allowed = is_heuristic(status) || directives.public;
    if !allowed {
        return None;
    }
    heuristic(headers, wall).or_else(|| has_validator(headers).then_some(Duration::ZERO))
}

/// Section 5.3: an invalid date means "already expired", and so does more than one (section 4.2.1).
fn expires_in(headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    let mut fields = headers.get_all(EXPIRES).iter();
    let expires = fields.next()?;
    let expires = http_date(expires).filter(|_| fields.next().is_none());
    let date = headers.get(DATE).and_then(http_date).unwrap_or(wall);
    Some(expires.and_then(|at| at.duration_since(date).ok()).unwrap_or_default())
}

/// Section 4.2.2: no more than a tenth of the time since it was last modified; and a day at most,
/// because nobody has promised anything.
fn heuristic(headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_hours(24);
    let modified = headers.get(LAST_MODIFIED).and_then(http_date)?;
    let date = headers.get(DATE).and_then(http_date).unwrap_or(wall);
    Some((date.duration_since(modified).ok()? / 10).min(LONGEST))
}

/// Section 5.1: of several members the first counts; one that cannot be read is ignored.
pub fn told_age(headers: &HeaderMap) -> Duration {
    let first = |value: &HeaderValue| {
        let first = value.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default();
        seconds(first.trim_ascii())
    };
    headers.get(AGE).and_then(first).unwrap_or_default()
}

/// Section 4.2.3, with the time since the request left counted elsewhere: what is left of the
/// apparent age once the delay is taken from it, or the age that was told, whichever is more.
fn initial_age(headers: &HeaderMap, arrival: &Arrival) -> Duration {
    let told = told_age(headers);
    let apparent = headers
        .get(DATE)
        .and_then(http_date)
        .and_then(|date| arrival.wall.duration_since(date).ok());
    // Dates know no fractions: of a date that may have been just now, nothing is apparent.
    let apparent = Duration::from_secs(apparent.unwrap_or_default().as_secs());
    told.max(apparent.saturating_sub(arrival.delay))
}

/// Fields of a 304 that say nothing about the stored answer: they describe this message, or content
/// that it does not have (section 3.2).
const NOT_FRESHENED: [HeaderName; 4] = [
    http::header::CONTENT_LENGTH,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
];

/// Section 3.2: the stored answer's fields, replaced by those that a 304 or HEAD brought.
pub fn freshened(stored: &HeaderMap, news: &HeaderMap) -> HeaderMap {
    let mut merged = stored.clone();
    // Its age is that of this message; and so is its date, which is now where none is given (RFC
    // 9110, section 6.6.1): by the old one it would be stale for ever.
    for name in [AGE, DATE] {
        merged.remove(name);
    }
    for name in news.keys().filter(|name| !NOT_FRESHENED.contains(name)) {
        // A validator that matched is the stored one; another would be another answer's.
        if name == ETAG && merged.contains_key(ETAG) {
            continue;
        }
        merged.remove(name);
        for value in news.get_all(name) {
            merged.append(name.clone(), value.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests;
