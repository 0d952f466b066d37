//! The day's counter in an answer's fields: `X-RateLimit-*`, `RateLimit-*` of the older drafts, and
//! `RateLimit` with `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
//!
//! None of these says by itself which window it counts, so a counter is only the day's if
//! something shows it: its type, a length of a day, a limit that is not less than the day's figure,
//! or a reset at the end of the day.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::Oddity;

/// The pool that a request was paid from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// Its figure.
    pub per_day: u32,
    /// When the day ends.
    pub ends: SystemTime,
    /// The figures of the label's shorter windows.
    pub windows: Vec<u32>,
}

const DAY: u64 = 86_400;
/// How far the upstream's clock may be from ours.
const CLOCKS_APART: Duration = Duration::from_secs(600);

/// One counter, as it is written.
#[derive(Debug, Default)]
struct Counter<'a> {
    limit: Option<&'a str>,
    remaining: Option<&'a str>,
    /// Seconds from now, or since 1970.
    reset: Option<&'a str>,
    /// Length of its window in seconds.
    window: Option<&'a str>,
    daily: Option<bool>,
}

/// What is left of the day, and what was not taken as it stands.
pub(super) fn remaining(
    headers: &HeaderMap,
    day: &Day,
    wall: SystemTime,
) -> (Option<u32>, Vec<Oddity>) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut counters = Vec::new();
    let kind = text("x-ratelimit-type").map(str::to_ascii_lowercase);
    let daily = match kind.as_deref() {
        Some("qps") => Some(false),
        Some(kind) if kind.starts_with("daily") => Some(true),
        _ => None,
    };
    counters.push(Counter {
        limit: text("x-ratelimit-limit"),
        remaining: text("x-ratelimit-remaining"),
        reset: text("x-ratelimit-reset"),
        window: None,
        daily,
    });
    counters.push(Counter {
        limit: text("ratelimit-limit").map(first_item),
        remaining: text("ratelimit-remaining"),
        reset: text("ratelimit-reset"),
        ..Counter::default()
    });
    let policies = text("ratelimit-policy").unwrap_or_default();
    counters.extend(listed(text("ratelimit").unwrap_or_default(), policies));
    let (mut least, mut odd) = (None::<u32>, Vec::new());
    for counter in counters.into_iter().take(MOST_COUNTERS) {
        match read(&counter, day, wall) {
            Ok(None) => {}
            Ok(Some((remaining, note))) => {
                least = Some(least.map_or(remaining, |least| least.min(remaining)));
                odd.extend(note);
            }
            Err(why) => odd.push(why),
        }
    }
    (least, odd)
}

/// More are not looked at.
const MOST_COUNTERS: usize = 16;

type Reading = Option<(u32, Option<Oddity>)>;

fn read(counter: &Counter<'_>, day: &Day, wall: SystemTime) -> Result<Reading, Oddity> {
    let Some(remaining) = counter.remaining else { return Ok(None) };
    let remaining = number(remaining)?;
    let limit = counter.limit.map(number).transpose()?;
    let reset = counter.reset.map(number).transpose()?;
    let window = counter.window.map(number).transpose()?;
    match is_of_day(counter.daily, limit, reset, window, day, wall) {
        Some(true) => {}
        Some(false) => return Ok(None),
        None => return Err(Oddity::Unrelated),
    }
    if limit.is_some_and(|limit| remaining > limit) {
        return Err(Oddity::Contradictory);
    }
    // More than our own figure is no news.
    let most = i64::from(day.per_day);
    let note = (remaining < 0).then_some(Oddity::Negative);
    let remaining = u32::try_from(remaining.clamp(0, most)).unwrap_or(day.per_day);
    Ok(Some((remaining, note)))
}

/// Whether a counter is the day's; none if nothing tells.
fn is_of_day(
    daily: Option<bool>,
    limit: Option<i64>,
    reset: Option<i64>,
    window: Option<i64>,
    day: &Day,
    wall: SystemTime,
) -> Option<bool> {
    if let Some(daily) = daily {
        return Some(daily);
    }
    if let Some(window) = window {
        return Some(u64::try_from(window).is_ok_and(|window| window == DAY));
    }
    let limit = limit.and_then(|limit| u32::try_from(limit).ok());
    let resets_at = reset.and_then(|reset| u64::try_from(reset).ok()).and_then(|seconds| {
        // Seconds since 1970 are more than any wait.
        let since = if seconds > 1_000_000_000 { SystemTime::UNIX_EPOCH } else { wall };
        since.checked_add(Duration::from_secs(seconds))
    });
    let apart =
        |at: SystemTime| at.duration_since(day.ends).unwrap_or_else(|early| early.duration());
    if limit.is_some_and(|limit| limit >= day.per_day)
        || resets_at.is_some_and(|at| apart(at) <= CLOCKS_APART)
    {
        return Some(true);
    }
    limit.filter(|limit| day.windows.contains(limit)).map(|_of_a_window| false)
}

fn number(text: &str) -> Result<i64, Oddity> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Oddity::Malformed);
    }
    text.parse().map_err(|_too_long| Oddity::Absurd)
}

/// `100, 100;w=60` -> `100`
fn first_item(text: &str) -> &str {
    text.split([',', ';']).next().unwrap_or_default()
}

/// `"heavy";r=7;t=1, "daily";r=5` with the policies of the same names, or, in the older form,
/// `limit=100, remaining=50, reset=5`.
fn listed<'a>(text: &'a str, policies: &'a str) -> Vec<Counter<'a>> {
    let older = |key: &str| {
        let items = text.split(',').filter_map(|item| item.trim().split_once('='));
        items.filter(|(name, _)| *name == key).map(|(_, value)| value).next()
    };
    if let Some(remaining) = older("remaining") {
        let (limit, reset) = (older("limit"), older("reset"));
        return vec![Counter { limit, remaining: Some(remaining), reset, ..Counter::default() }];
    }
    let counter = |item: &'a str| {
        let name = item.split(';').next().unwrap_or_default().trim();
        let policy = policies.split(',').find(|policy| first_item(policy).trim() == name);
        Counter {
            remaining: parameter(item, "r"),
            reset: parameter(item, "t"),
            limit: policy.and_then(|policy| parameter(policy, "q")),
            window: policy.and_then(|policy| parameter(policy, "w")),
            daily: None,
        }
    };
    text.split(',').filter(|item| !item.trim().is_empty()).map(counter).collect()
}

/// The value of `;name=value`.
fn parameter<'a>(item: &'a str, name: &str) -> Option<&'a str> {
    let pairs = item.split(';').skip(1).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_590_850_000)
    }

    fn day() -> Day {
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(1_590_883_200);
        Day { per_day: 30_000, ends, windows: vec![10] }
    }

    fn read(pairs: &[(&'static str, &str)]) -> (Option<u32>, Vec<Oddity>) {
        let fields = pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()));
        remaining(&fields.collect(), &day(), wall())
    }

    type Fields = &'static [(&'static str, &'static str)];

    #[test]
    fn the_days_counter_is_found_in_every_form() {
        const LIMIT: &str = "x-ratelimit-limit";
        const LEFT: &str = "x-ratelimit-remaining";
        let cases: [(Fields, Option<u32>); 15] = [
            (&[(LIMIT, "30000"), (LEFT, "12345")], Some(12_345)),
            (&[(LIMIT, "60000"), (LEFT, "45000")], Some(30_000)),
            (&[(LIMIT, "60000"), (LEFT, "12")], Some(12)),
            (&[("x-ratelimit-type", "Daily-limit"), (LEFT, "7")], Some(7)),
            (&[("x-ratelimit-type", "QPS"), (LIMIT, "30000"), (LEFT, "7")], None),
            (&[(LIMIT, "10"), (LEFT, "3")], None),
            (&[(LEFT, "9"), ("x-ratelimit-reset", "1590883201")], Some(9)),
            (&[(LEFT, "9"), ("x-ratelimit-reset", "33300")], Some(9)),
            (&[("ratelimit-limit", "30000, 30000;w=86400"), ("ratelimit-remaining", "8")], Some(8)),
            (&[("ratelimit", "limit=30000, remaining=5, reset=33200")], Some(5)),
            (
                &[
                    ("ratelimit-policy", "\"heavy\";q=10;w=1, \"daily\";q=30000;w=86400"),
                    ("ratelimit", "\"heavy\";r=2;t=1, \"daily\";r=29999;t=33200"),
                ],
                Some(29_999),
            ),
            (&[("ratelimit", "\"daily\";r=4;t=33200")], Some(4)),
            (&[("ratelimit-policy", "\"a\";q=10;w=1"), ("ratelimit", "\"a\";r=0;t=1")], None),
            (&[(LIMIT, "30000")], None),
            (&[], None),
        ];
        for (fields, expected) in cases {
            assert_eq!(read(fields), (expected, vec![]), "{fields:?}");
        }
    }

    #[test]
    fn what_cannot_be_so_is_left_alone_and_named() {
        let with = |limit: &'static str, left: &'static str| {
            read(&[("x-ratelimit-limit", limit), ("x-ratelimit-remaining", left)])
        };
        assert_eq!(with("30000", "-5"), (Some(0), vec![Oddity::Negative]));
        assert_eq!(with("30000", "many"), (None, vec![Oddity::Malformed]));
        assert_eq!(with("lots", "5"), (None, vec![Oddity::Malformed]));
        assert_eq!(with("30000", ""), (None, vec![Oddity::Malformed]));
        assert_eq!(with("30000", "99999999999999999999"), (None, vec![Oddity::Absurd]));
        assert_eq!(with("30000", "30001"), (None, vec![Oddity::Contradictory]));
        assert_eq!(with("100", "50"), (None, vec![Oddity::Unrelated]));
        assert_eq!(read(&[("x-ratelimit-remaining", "5")]), (None, vec![Oddity::Unrelated]));
    }

    proptest! {
        #[test]
        fn nothing_that_an_upstream_may_say_breaks_it(
            limit in "[-0-9a-z ,;=\"]{0,24}",
            left in "[-0-9a-z ,;=\"]{0,24}",
            list in "[-0-9a-z ,;=\"]{0,60}",
        ) {
            let fields = [
                ("x-ratelimit-limit", &limit), ("x-ratelimit-remaining", &left),
                ("ratelimit", &list), ("ratelimit-policy", &list),
            ];
            let fields = fields.into_iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()));
            let (left, _) = remaining(&fields.collect(), &day(), wall());
            prop_assert!(left.is_none_or(|left| left <= 30_000));
        }
    }
}
