//! Query parameters: decoded, checked against the operation's table, defaults made explicit.
//!
//! An empty value counts as absent, of a repeated parameter the first counts, and parameters that
//! the operation does not know are ignored.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::percent_decode_str;

use super::answer::ApiError;
use super::world::{DAY, Millis};

/// Longest date range of one call.
const MONTH: Millis = 31 * DAY;
/// How far back a date range reaches.
const SIX_MONTHS: Millis = 186 * DAY;

/// What a query parameter may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// One of these; the first is the default.
    OneOf(&'static [&'static str]),
    /// One of these, or absent.
    MaybeOneOf(&'static [&'static str]),
    /// `yyyy-MM-dd` or a date-time, in a month within the last six.
    Date { required: bool },
    /// A whole number.
    Number { min: u64, max: u64 },
    /// Anything.
    Text,
}

/// Default and largest `page_size` of a paged operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) default: u32,
    pub(super) max: u32,
}

/// A query parameter and what it may be.
pub(super) type Declared = (&'static str, Rule);

/// The checked parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    values: Vec<(&'static str, String)>,
    pub(super) page_size: Option<u32>,
    pub(super) token: Option<String>,
    pub(super) range: Option<(Millis, Millis)>,
}

impl Query {
    /// The value of a parameter, or its default.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whatever must be the same on every page of one listing.
    pub(super) fn fingerprint(&self) -> String {
        // Lengths keep two different lists from reading the same.
        let values =
            self.values.iter().map(|(name, value)| format!("&{name}={}:{value}", value.len()));
        format!("{:?}{}", self.page_size, values.collect::<String>())
    }
}

/// Reads the raw query of a request to an operation.
pub(super) fn read(
    paging: Option<Paging>,
    declared: &[Declared],
    raw: &str,
    now: Millis,
) -> Result<Query, ApiError> {
    let pairs = pairs(raw);
    let given = |name: &str| {
        let found = pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty())
    };
    let mut query = Query::default();
    if let Some(paging) = paging {
        let size = given("page_size")
            .map_or(Ok(paging.default), |text| whole(text, 1, u64::from(paging.max)));
        let size = size.map_err(|()| {
            bad("page_size", &format!("must be a number from 1 to {}", paging.max))
        })?;
        query.page_size = Some(size);
        query.token = given("next_page_token").map(str::to_owned);
    }
    for (name, rule) in declared {
        if let Some(value) = check(name, *rule, given(name))? {
            query.values.push((name, value.to_owned()));
        }
    }
    query.range = range(&query, now)?;
    Ok(query)
}

/// Percent-decodes once; what is not a valid escape stays as it is.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// Splits a query or a form into decoded pairs.
pub(super) fn pairs(raw: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let form = |text: &str| Cow::<str>::Owned(decode(&text.replace('+', " ")).into_owned());
    let split = raw
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    split.map(|(name, value)| (form(name), form(value))).collect()
}

fn check<'a>(name: &str, rule: Rule, given: Option<&'a str>) -> Result<Option<&'a str>, ApiError> {
    match (rule, given) {
        (Rule::OneOf(known), None) => Ok(known.first().copied()),
        (Rule::OneOf(known) | Rule::MaybeOneOf(known), Some(value)) if !known.contains(&value) => {
            Err(bad(name, &format!("must be one of {}", known.join(", "))))
        }
        (Rule::Date { required: true }, None) => Err(bad(name, "is required")),
        (Rule::Date { .. }, Some(value)) if day(value).is_none() => {
            Err(bad(name, "must be a date (yyyy-MM-dd)"))
        }
        (Rule::Number { min, max }, Some(value)) if whole(value, min, max).is_err() => {
            Err(bad(name, &format!("must be a number from {min} to {max}")))
        }
        _ => Ok(given),
    }
}

fn whole(text: &str, min: u64, max: u64) -> Result<u32, ()> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok().filter(|number| digits && (min..=max).contains(number));
    number.and_then(|number| u32::try_from(number).ok()).ok_or(())
}

fn range(query: &Query, now: Millis) -> Result<Option<(Millis, Millis)>, ApiError> {
    let (Some(from), Some(to)) = (query.get("from").and_then(day), query.get("to").and_then(day))
    else {
        return Ok(None);
    };
    // A bare date as `to` means the whole day.
    let to_end = if query.get("to").is_some_and(|text| text.len() == 10) { to + DAY } else { to };
    if from > to {
        return Err(bad("from", "must not be after to"));
    }
    if to - from > MONTH {
        return Err(bad("to", "must be within one month of from"));
    }
    if from < now.saturating_sub(SIX_MONTHS) {
        return Err(bad("from", "must be within the last six months"));
    }
    Ok(Some((from, to_end)))
}

fn day(text: &str) -> Option<Millis> {
    let full = if text.len() == 10 {
        Cow::Owned(format!("{text}T00:00:00Z"))
    } else {
        Cow::Borrowed(text)
    };
    humantime::parse_rfc3339(&full).ok().and_then(millis)
}

/// Wall time as milliseconds since 1970.
pub(super) fn millis(at: SystemTime) -> Option<Millis> {
    let since: Duration = at.duration_since(UNIX_EPOCH).ok()?;
    Millis::try_from(since.as_millis()).ok()
}

fn bad(field: &str, message: &str) -> ApiError {
    ApiError::validation(field, message)
}

#[cfg(test)]
mod tests {
    use super::super::operations::OPERATIONS;
    use super::super::world::HOUR;
    use super::*;

    const NOW: Millis = 20_000 * DAY + 13 * HOUR; // 2024-10-04T13:00Z

    fn ask(id: &str, raw: &str) -> Result<Query, String> {
        let operation = OPERATIONS.iter().find(|operation| operation.id == id).unwrap();
        read(operation.paging, operation.query, raw, NOW).map_err(|error| error.field().to_owned())
    }

    #[test]
    fn defaults_are_explicit_and_order_and_noise_do_not_matter() {
        let plain = ask("sessionUsers", "").unwrap();
        assert_eq!(
            (plain.get("type"), plain.page_size, plain.token.as_deref()),
            (Some("live"), Some(30), None)
        );
        for same in [
            "type=live",
            "page_size=30&type=live",
            "type=live&page_size=30&x=y",
            "type=&page_size=",
            "page_size=30&page_size=abc",
            "ty%70e=liv%65",
        ] {
            assert_eq!(
                ask("sessionUsers", same).unwrap().fingerprint(),
                plain.fingerprint(),
                "{same}"
            );
        }
        for other in ["type=past", "page_size=31"] {
            assert_ne!(
                ask("sessionUsers", other).unwrap().fingerprint(),
                plain.fingerprint(),
                "{other}"
            );
        }
        assert_eq!(ask("sessionUsersQOS", "").unwrap().page_size, Some(1));
    }

    #[test]
    fn bad_values_name_their_parameter() {
        for (id, raw, field) in [
            ("sessionUsers", "type=foo", "type"),
            ("sessionUsers", "type=scheduled", "type"),
            ("sessionUsers", "page_size=0", "page_size"),
            ("sessionUsers", "page_size=301", "page_size"),
            ("sessionUsers", "page_size=abc", "page_size"),
            ("sessionUsers", "page_size=%2B3", "page_size"),
            ("sessionUsers", "page_size=-1", "page_size"),
            ("sessionUsersQOS", "page_size=11", "page_size"),
            ("sessions", "", "from"),
            ("sessions", "from=2024-10-01", "to"),
            ("sessions", "from=2024-10-02&to=2024-10-01", "from"),
            ("sessions", "from=2024-08-01&to=2024-10-01", "to"),
            ("sessions", "from=2023-10-01&to=2023-10-02", "from"),
            ("sessions", "from=yesterday&to=2024-10-02", "from"),
            ("vsdkReportDaily", "month=13", "month"),
            ("getWebhookLogs", "retry_num=4", "retry_num"),
        ] {
            assert_eq!(ask(id, raw), Err(field.to_owned()), "{id} {raw}");
        }
    }

    #[test]
    fn a_bare_to_date_includes_its_day() {
        let range = ask("sessions", "from=2024-10-04&to=2024-10-04").unwrap().range;
        assert_eq!(range, Some((20_000 * DAY, 20_001 * DAY)));
        let exact =
            ask("sessions", "from=2024-10-04T01:00:00Z&to=2024-10-04T02:00:00Z").unwrap().range;
        assert_eq!(exact, Some((20_000 * DAY + HOUR, 20_000 * DAY + 2 * HOUR)));
    }
}
