//! What a shared cache may store when the upstream speaks HTTP caching (RFC 9111).
//!
//! A deliberately narrow reading: explicit freshness only, no validation, no variants. What is
//! not clearly allowed is passed through, which is always correct.

use std::time::{Duration, SystemTime};

use http::header::{
    AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderName, IF_MATCH, IF_UNMODIFIED_SINCE, PRAGMA, RANGE,
    SET_COOKIE, VARY,
};
use http::{HeaderMap, StatusCode};

use super::endpoint::Lifetimes;

/// Whether the client's own wishes keep a request away from the cache.
///
/// RFC 9111, section 5.2.1: request directives only narrow what a cache may serve; passing the
/// request on satisfies every one of them.
pub fn request_bypasses(headers: &HeaderMap) -> bool {
    const WISHES: [HeaderName; 5] = [CACHE_CONTROL, PRAGMA, RANGE, IF_MATCH, IF_UNMODIFIED_SINCE];
    WISHES.iter().any(|name| headers.contains_key(name))
}

/// Whether the request carried a credential of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorized {
    /// It did.
    Yes,
    /// The upstream's auth kind is `none`.
    No,
}

/// An answer that may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storable {
    /// For how long.
    pub lifetimes: Lifetimes,
    /// How old it was on arrival (RFC 9111, section 4.2.3).
    pub initial_age: Duration,
}

/// Whether an answer may be kept; `None` = no.
pub fn storable(
    status: StatusCode,
    headers: &HeaderMap,
    authorized: Authorized,
    wall: SystemTime,
) -> Option<Storable> {
    if status != StatusCode::OK || headers.contains_key(SET_COOKIE) || varies(headers) {
        return None;
    }
    let directives = Directives::read(headers);
    // RFC 9111, section 3: no-store, private. A no-cache answer needs validation each time.
    if directives.forbidden {
        return None;
    }
    // RFC 9111, section 3.5: an answer to an authorized request needs an explicit permission.
    if authorized == Authorized::Yes && !directives.permitted {
        return None;
    }
    let fresh = directives.fresh.or_else(|| expires_in(headers, wall))?;
    let stale = if directives.must_revalidate { Duration::ZERO } else { Duration::MAX };
    Some(Storable {
        lifetimes: Lifetimes {
            fresh,
            stale_while_revalidate: directives.stale_while_revalidate.min(stale),
            stale_if_error: directives.stale_if_error.min(stale),
        },
        initial_age: initial_age(headers, wall),
    })
}

#[derive(Default)]
struct Directives {
    forbidden: bool,
    permitted: bool,
    must_revalidate: bool,
    fresh: Option<Duration>,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
}

impl Directives {
    fn read(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        let mut max_age = None;
        let mut s_maxage = None;
        for value in headers.get_all(CACHE_CONTROL) {
            // A field that cannot be read could say anything.
            let Ok(text) = value.to_str() else {
                read.forbidden = true;
                continue;
            };
            for directive in text.split(',') {
                let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
                let argument = argument.trim();
                match name.trim().to_ascii_lowercase().as_str() {
                    "no-store" | "no-cache" | "private" => read.forbidden = true,
                    "public" => read.permitted = true,
                    // RFC 9111, section 5.2.2.10: s-maxage implies proxy-revalidate.
                    "s-maxage" => {
                        (read.permitted, read.must_revalidate) = (true, true);
                        s_maxage = Some(shortest(s_maxage, argument));
                    }
                    "must-revalidate" => {
                        (read.permitted, read.must_revalidate) = (true, true);
                    }
                    "proxy-revalidate" => read.must_revalidate = true,
                    "max-age" => max_age = Some(shortest(max_age, argument)),
                    "stale-while-revalidate" => {
                        read.stale_while_revalidate = seconds(argument).unwrap_or_default();
                    }
                    "stale-if-error" => read.stale_if_error = seconds(argument).unwrap_or_default(),
                    _ => {}
                }
            }
        }
        read.fresh = s_maxage.or(max_age);
        read
    }
}

/// RFC 9111, section 4.2.1: of contradictory values the most restrictive; one that cannot be read
/// makes the answer stale.
fn shortest(earlier: Option<Duration>, argument: &str) -> Duration {
    let value = seconds(argument).unwrap_or_default();
    earlier.map_or(value, |earlier| earlier.min(value))
}

/// RFC 9111, section 1.2.2: delta-seconds, at most 2^31 where larger.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim_matches('"');
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse::<u64>().unwrap_or(1 << 31).min(1 << 31)))
}

/// RFC 9111, section 5.3: an invalid date means "already expired".
fn expires_in(headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    let expires = headers.get(EXPIRES)?;
    let expires = expires.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok());
    let date = date(headers).unwrap_or(wall);
    Some(expires.and_then(|at| at.duration_since(date).ok()).unwrap_or_default())
}

fn initial_age(headers: &HeaderMap, wall: SystemTime) -> Duration {
    let said = headers.get(AGE).and_then(|value| seconds(value.to_str().ok()?)).unwrap_or_default();
    let apparent =
        date(headers).and_then(|date| wall.duration_since(date).ok()).unwrap_or_default();
    said.max(apparent)
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Variants are not kept. `Accept-Encoding` is no obstacle, because the cache never sends one.
fn varies(headers: &HeaderMap) -> bool {
    headers.get_all(VARY).iter().any(|value| {
        value.to_str().map_or(true, |names| {
            names.split(',').any(|name| !name.trim().eq_ignore_ascii_case("accept-encoding"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall() -> SystemTime {
        httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap()
    }

    fn fresh(pairs: &[(&'static str, &str)], authorized: Authorized) -> Option<(u64, u64, u64)> {
        let headers = pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        storable(StatusCode::OK, &headers, authorized, wall()).map(|stored| {
            let Lifetimes { fresh, stale_while_revalidate, .. } = stored.lifetimes;
            (fresh.as_secs(), stale_while_revalidate.as_secs(), stored.initial_age.as_secs())
        })
    }

    #[test]
    fn only_explicit_freshness_for_everybody_is_stored() {
        let cc = |value: &'static str| ("cache-control", value);
        for (headers, expected) in [
            (vec![cc("max-age=60")], Some((60, 0, 0))),
            (vec![cc("max-age=60, s-maxage=5")], Some((5, 0, 0))),
            (vec![cc("max-age=60"), cc("max-age=10")], Some((10, 0, 0))),
            (vec![cc("max-age=\"7\"")], Some((7, 0, 0))),
            (vec![cc("max-age=-1")], Some((0, 0, 0))),
            (vec![cc("max-age=60, no-store")], None),
            (vec![cc("Max-Age=60, PRIVATE")], None),
            (vec![cc("no-cache, max-age=60")], None),
            (vec![cc("max-age=60, stale-while-revalidate=9")], Some((60, 9, 0))),
            (vec![cc("max-age=60, must-revalidate, stale-while-revalidate=9")], Some((60, 0, 0))),
            (vec![], None),
            (vec![cc("max-age=60"), ("vary", "Accept-Encoding")], Some((60, 0, 0))),
            (vec![cc("max-age=60"), ("vary", "accept-encoding, origin")], None),
            (vec![cc("max-age=60"), ("vary", "*")], None),
            (vec![cc("max-age=60"), ("set-cookie", "a=b")], None),
            (vec![cc("max-age=60"), ("age", "20")], Some((60, 0, 20))),
            (vec![cc("max-age=60"), ("date", "Sun, 06 Nov 1994 08:49:07 GMT")], Some((60, 0, 30))),
            (vec![("expires", "Sun, 06 Nov 1994 08:50:37 GMT")], Some((60, 0, 0))),
            (vec![("expires", "0")], Some((0, 0, 0))),
            (vec![cc("max-age=5"), ("expires", "Sun, 06 Nov 1994 08:50:37 GMT")], Some((5, 0, 0))),
        ] {
            assert_eq!(fresh(&headers, Authorized::No), expected, "{headers:?}");
        }
    }

    #[test]
    fn an_authorized_answer_needs_permission() {
        for (value, stored) in [
            ("max-age=60", false),
            ("public, max-age=60", true),
            ("s-maxage=60", true),
            ("must-revalidate, max-age=60", true),
        ] {
            let found = fresh(&[("cache-control", value)], Authorized::Yes);
            assert_eq!(found.is_some(), stored, "{value}");
        }
    }

    #[test]
    fn errors_are_never_stored() {
        let headers = [(CACHE_CONTROL, "max-age=60".parse().unwrap())].into_iter().collect();
        for status in [StatusCode::NOT_FOUND, StatusCode::PARTIAL_CONTENT, StatusCode::BAD_GATEWAY]
        {
            assert_eq!(storable(status, &headers, Authorized::No, wall()), None);
        }
    }
}
