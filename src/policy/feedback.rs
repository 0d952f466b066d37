//! What the upstream says about its limits, in every form in which it says it.
//!
//! Nothing here is obeyed blindly: what is not understood, out of all measure or about something
//! else is an [`Oddity`], to be counted and left alone.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

mod counter;

pub use counter::Day;

/// Which limit a 429 is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// The label's second or minute.
    Rate,
    /// The day's pool.
    Day,
    /// Too many at a time on one thing; nobody else is held back.
    Concurrency,
    /// Something that concerns this one request only; nobody else is held back.
    Resource,
}

impl Throttle {
    /// As a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "second",
            Self::Day => "day",
            Self::Concurrency => "concurrency",
            Self::Resource => "resource",
        }
    }
}

/// Something in the upstream's word that is not taken as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Not what the field may hold. Ignored.
    Malformed,
    /// Less than nothing: a counter is taken as nothing, a time to wait ignored.
    Negative,
    /// Beyond all measure. Ignored.
    Absurd,
    /// At odds with itself or with what was said before. Taken with care, in the end not at all.
    Contradictory,
    /// About none of our windows. Ignored.
    Unrelated,
}

impl Oddity {
    /// As a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Negative => "negative",
            Self::Absurd => "absurd",
            Self::Contradictory => "contradictory",
            Self::Unrelated => "unrelated",
        }
    }
}

/// What an answer's fields say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// What is left of the day by the upstream's count.
    pub remaining: Option<u32>,
    /// Which class of requests it counted this one in.
    pub category: Option<String>,
    /// When to come back.
    pub retry_at: Option<SystemTime>,
    /// What was not taken as it stands.
    pub odd: Vec<Oddity>,
}

/// Longer names are nobody's.
const MAX_CATEGORY: usize = 64;

impl Word {
    /// Reads an answer's fields. `day` is the pool that the request was paid from.
    pub fn read(headers: &HeaderMap, day: Option<&Day>, wall: SystemTime) -> Self {
        let mut word = Self::default();
        match retry_at(headers, wall) {
            Ok(at) => word.retry_at = at,
            Err(odd) => word.odd.push(odd),
        }
        let category = headers.get("x-ratelimit-category").and_then(|value| value.to_str().ok());
        word.category = category
            .map(str::trim)
            .filter(|category| (1..=MAX_CATEGORY).contains(&category.len()))
            .map(ToOwned::to_owned);
        if let Some(day) = day {
            let (remaining, odd) = counter::remaining(headers, day, wall);
            word.remaining = remaining;
            word.odd.extend(odd);
        }
        word
    }

    /// Whether a category is a label by another spelling: "Resource-intensive", "HEAVY".
    pub fn is_category_of(category: &str, label: &str) -> bool {
        let same = |(a, b): (u8, u8)| {
            let plain = |c: u8| if c == b' ' || c == b'_' { b'-' } else { c.to_ascii_lowercase() };
            plain(a) == plain(b)
        };
        category.len() == label.len() && category.bytes().zip(label.bytes()).all(same)
    }
}

/// Classifies a 429 by `X-RateLimit-Type`.
pub fn by_type(headers: &HeaderMap) -> Option<Throttle> {
    let kind = headers.get("x-ratelimit-type").and_then(|value| value.to_str().ok());
    let kind = kind?.to_ascii_lowercase();
    if kind == "qps" {
        Some(Throttle::Rate)
    } else if kind.starts_with("daily") {
        Some(Throttle::Day)
    } else {
        kind.starts_with("concurren").then_some(Throttle::Concurrency)
    }
}

/// Classifies a 429 by its message, where that is the only thing that tells them apart.
pub fn by_message(body: &[u8]) -> Throttle {
    let message = String::from_utf8_lossy(body).to_ascii_lowercase();
    if message.contains("per-second") || message.contains("per second") {
        Throttle::Rate
    } else if message.contains("particular user") {
        Throttle::Resource
    } else if message.contains("concurrent") {
        Throttle::Concurrency
    } else if message.contains("daily") {
        Throttle::Day
    } else {
        Throttle::Rate
    }
}

/// No limit that we know is longer than a day; clocks may be a little apart.
const FURTHEST: Duration = Duration::from_secs(86_400 + 600);

/// When to come back. Seconds and HTTP-dates by RFC 9110, section 10.2.3; ISO instants because
/// Zoom's daily 429 carries one. Anything else is no answer.
pub fn retry_at(headers: &HeaderMap, wall: SystemTime) -> Result<Option<SystemTime>, Oddity> {
    let Some(value) = headers.get(RETRY_AFTER) else { return Ok(None) };
    let text = value.to_str().map_err(|_not_text| Oddity::Malformed)?.trim();
    let at = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        let seconds = text.parse::<u64>().map_err(|_too_long| Oddity::Absurd)?;
        wall.checked_add(Duration::from_secs(seconds)).ok_or(Oddity::Absurd)?
    } else if text.starts_with('-') {
        return Err(Oddity::Negative);
    } else {
        let date = httpdate::parse_http_date(text).ok();
        date.or_else(|| humantime::parse_rfc3339_weak(text).ok()).ok_or(Oddity::Malformed)?
    };
    let sane = at <= wall + FURTHEST && at + FURTHEST >= wall;
    if sane { Ok(Some(at)) } else { Err(Oddity::Absurd) }
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
            (None, busy, Throttle::Concurrency),
            (Some("Concurrency"), day, Throttle::Concurrency),
            (Some("nonsense"), day, Throttle::Day),
            (None, "", Throttle::Rate),
        ] {
            let headers = kind.map(|k| headers(&[("x-ratelimit-type", k)])).unwrap_or_default();
            let told = by_type(&headers).unwrap_or_else(|| by_message(message.as_bytes()));
            assert_eq!(told, expected, "{kind:?} {message}");
        }
    }

    #[test]
    fn every_form_of_retry_after_is_read_and_rubbish_is_not() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_590_850_000);
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_590_883_200);
        for (text, expected) in [
            ("120", Ok(Some(wall + Duration::from_secs(120)))),
            ("0", Ok(Some(wall))),
            ("2020-05-31T00:00:00Z", Ok(Some(midnight))),
            ("2020-05-31 00:00:00", Ok(Some(midnight))),
            ("Sun, 31 May 2020 00:00:00 GMT", Ok(Some(midnight))),
            ("86400", Ok(Some(wall + Duration::from_secs(86_400)))),
            ("90000", Err(Oddity::Absurd)),
            ("99999999999999999999999", Err(Oddity::Absurd)),
            ("18446744073709551615", Err(Oddity::Absurd)),
            ("2020-06-05T00:00:00Z", Err(Oddity::Absurd)),
            ("1999-12-31T00:00:00Z", Err(Oddity::Absurd)),
            ("-5", Err(Oddity::Negative)),
            ("soon", Err(Oddity::Malformed)),
            ("1.5", Err(Oddity::Malformed)),
            ("", Err(Oddity::Malformed)),
        ] {
            assert_eq!(retry_at(&headers(&[("retry-after", text)]), wall), expected, "{text}");
        }
        assert_eq!(retry_at(&HeaderMap::new(), wall), Ok(None));
    }

    #[test]
    fn a_category_is_a_label_whatever_its_spelling() {
        for (category, label, same) in [
            ("Heavy", "heavy", true),
            ("Resource Intensive", "resource-intensive", true),
            ("RESOURCE_INTENSIVE", "resource-intensive", true),
            ("Light", "heavy", false),
            ("", "heavy", false),
        ] {
            assert_eq!(Word::is_category_of(category, label), same, "{category}");
        }
    }

    #[test]
    fn a_word_is_read_whole() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_590_850_000);
        let day =
            Day { per_day: 30_000, ends: wall + Duration::from_secs(33_200), windows: vec![] };
        let fields = headers(&[
            ("x-ratelimit-category", " Heavy "),
            ("x-ratelimit-limit", "30000"),
            ("x-ratelimit-remaining", "-5"),
            ("retry-after", "soon"),
        ]);
        let word = Word::read(&fields, Some(&day), wall);
        assert_eq!((word.remaining, word.category.as_deref()), (Some(0), Some("Heavy")));
        assert_eq!((word.retry_at, &*word.odd), (None, &[Oddity::Malformed, Oddity::Negative][..]));
        assert_eq!(Word::read(&fields, None, wall).remaining, None);
        assert_eq!(Word::read(&HeaderMap::new(), Some(&day), wall), Word::default());
        let long = "x".repeat(MAX_CATEGORY + 1);
        let long = headers(&[("x-ratelimit-category", &long)]);
        assert_eq!(Word::read(&long, Some(&day), wall).category, None);
    }
}
