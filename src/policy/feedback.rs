//! What the upstream says about its limits, in every form in which it says it.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// Which limit a 429 is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// The label's second or minute.
    Rate,
    /// The day's pool.
    Day,
    /// Something that concerns this one request only; nobody else is held back.
    Resource,
}

impl Throttle {
    /// As a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "second",
            Self::Day => "day",
            Self::Resource => "resource",
        }
    }
}

/// Classifies a 429 by `X-RateLimit-Type`, and where that is missing by the message, which is
/// then the only thing that tells them apart.
pub fn classify(headers: &HeaderMap, body: &[u8]) -> Throttle {
    let kind = headers.get("x-ratelimit-type").and_then(|value| value.to_str().ok());
    match kind {
        Some(kind) if kind.eq_ignore_ascii_case("qps") => return Throttle::Rate,
        Some(kind) if kind.to_ascii_lowercase().starts_with("daily") => return Throttle::Day,
        _ => {}
    }
    let message = String::from_utf8_lossy(body).to_ascii_lowercase();
    if message.contains("per-second") || message.contains("per second") {
        Throttle::Rate
    } else if message.contains("particular user") || message.contains("concurrent requests") {
        Throttle::Resource
    } else if message.contains("daily") {
        Throttle::Day
    } else {
        Throttle::Rate
    }
}

/// When to come back. Seconds and HTTP-dates by RFC 9110, section 10.2.3; ISO instants because
/// Zoom's daily 429 carries one. Anything else is no answer.
pub fn retry_at(headers: &HeaderMap, wall: SystemTime) -> Option<SystemTime> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return wall.checked_add(Duration::from_secs(seconds.min(366 * 86_400)));
    }
    httpdate::parse_http_date(text).ok().or_else(|| humantime::parse_rfc3339_weak(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn a_429_is_told_by_its_type_and_else_by_its_message() {
        let second = "You have reached the maximum per-second rate limit for this API.";
        let day = "You have reached the maximum daily rate limit for this API.";
        let user = "You have exceeded the daily rate limit (100) of Meeting Create/Update API requests permitted for this particular user.";
        let busy = "Too many concurrent requests. A request to disassociate this user has already been made.";
        for (kind, message, expected) in [
            (Some("QPS"), "", Throttle::Rate),
            (Some("Daily-limit"), "", Throttle::Day),
            (Some("Daily-limit"), second, Throttle::Day),
            (None, second, Throttle::Rate),
            (None, day, Throttle::Day),
            (None, user, Throttle::Resource),
            (None, busy, Throttle::Resource),
            (Some("nonsense"), day, Throttle::Day),
            (None, "", Throttle::Rate),
        ] {
            let headers = kind.map(|k| headers(&[("x-ratelimit-type", k)])).unwrap_or_default();
            assert_eq!(classify(&headers, message.as_bytes()), expected, "{kind:?} {message}");
        }
    }

    #[test]
    fn every_form_of_retry_after_is_read_and_rubbish_is_not() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_590_000_000);
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_590_883_200);
        for (text, expected) in [
            ("120", Some(wall + Duration::from_secs(120))),
            ("2020-05-31T00:00:00Z", Some(midnight)),
            ("Sun, 31 May 2020 00:00:00 GMT", Some(midnight)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_at(&headers(&[("retry-after", text)]), wall), expected, "{text}");
        }
        assert_eq!(retry_at(&HeaderMap::new(), wall), None);
    }
}
