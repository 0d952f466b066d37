//! Answers and requests that are of interest to a cache.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) status: u16,
    pub(super) answer: HeaderMap,
    pub(super) first: HeaderMap,
    pub(super) second: HeaderMap,
    pub(super) set_cookie: SetCookie,
    /// Seconds from the answer to the second request.
    pub(super) later: u64,
}

/// Some directives, now and then an odd one, each on its own line or all on one.
fn directives(
    plain: &'static [&'static str],
    odd: &'static [&'static str],
) -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let one = prop_oneof![25 => prop::sample::select(plain), 1 => prop::sample::select(odd)];
    let some = prop::collection::vec(one, 0..4);
    let lines = prop::sample::select(&[", ", ",", " , ,", "\n"][..]);
    (some, lines).prop_map(|(some, separator)| {
        let text = some.join(separator);
        text.lines().map(|line| ("cache-control", line.to_owned())).collect()
    })
}

const OF_ANSWERS: &[&str] = &[
    "max-age=60",
    "max-age=60",
    "max-age=\"60\"",
    "max-age=7",
    "max-age=0",
    "max-age=99999999999",
    "max-age=x",
    "max-age=-1",
    "max-age=",
    "s-maxage=30",
    "s-maxage=\"600\"",
    "s-maxage=x",
    "s-maxage=0",
    "public",
    "public",
    "public",
    "private",
    "private=\"foo\"",
    "no-cache",
    "no-store",
    "must-revalidate",
    "must-revalidate",
    "immutable",
    "no-transform",
    "stale-if-error=600",
    "foo",
    "foo=bar",
    "foo=\"max-age=5\"",
];

/// Mostly excluded, see below.
const ODD_OF_ANSWERS: &[&str] = &[
    "Max-Age=60",
    "max-age",
    "max-age=+7",
    "max-age= 7",
    "max-age=99999999999999999999",
    "foo=\"a, no-store\"",
    "no-cache=\"foo\"",
    "must-understand",
    "proxy-revalidate",
];

const OF_REQUESTS: &[&str] = &[
    "max-age=0",
    "max-age=5",
    "max-age=100",
    "min-fresh=0",
    "min-fresh=20",
    "max-stale",
    "max-stale=10",
    "max-stale=\"1000\"",
    "no-cache",
    "only-if-cached",
    "foo=1",
];

/// Mostly excluded, see below.
const ODD_OF_REQUESTS: &[&str] = &["max-age=x", "min-fresh=x", "max-stale=x", "No-Cache"];

/// A date not far from now, or something that is none.
fn a_date() -> impl Strategy<Value = String> {
    let imf = prop::sample::select(&[-1_000_000_i64, -4000, -60, -1, 0, 0, 0, 1, 30, 60, 4000][..]);
    let imf = imf.prop_map(|by| httpdate::fmt_http_date(at(NOW.saturating_add_signed(by))));
    let none = prop::sample::select(&["0", "x", "-1", "Tue, 24 Nov 2026 25:00:00 GMT"][..]);
    // Excluded where it decides.
    let other = prop::sample::select(
        &[
            "Tuesday, 24-Nov-26 12:01:00 GMT",
            "Tue Nov 24 12:01:00 2026",
            "Tue, 24 Nov 2026 12:01:00 PST",
        ][..],
    );
    prop_oneof![8 => imf, 1 => none.prop_map(str::to_owned), 1 => other.prop_map(str::to_owned)]
}

fn maybe(
    one_in: u32,
    name: &'static str,
    value: impl Strategy<Value = String> + 'static,
) -> BoxedStrategy<Vec<(&'static str, String)>> {
    let given = value.prop_map(move |value| vec![(name, value)]);
    prop_oneof![one_in - 1 => Just(Vec::new()), 1 => given].boxed()
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

fn headers(
    fields: impl Strategy<Value = Vec<Vec<(&'static str, String)>>>,
) -> impl Strategy<Value = HeaderMap> {
    fields.prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields.into_iter().flatten() {
            headers.append(name, HeaderValue::try_from(value).unwrap());
        }
        headers
    })
}

fn answer() -> impl Strategy<Value = HeaderMap> {
    let ages = &[
        "0",
        "5",
        "5",
        "20",
        "50",
        "2000000000",
        "x",
        "-5",
        "",
        "5, 9",
        "+5",
        "99999999999999999999",
    ];
    let fields: Vec<BoxedStrategy<Vec<(&'static str, String)>>> = vec![
        directives(OF_ANSWERS, ODD_OF_ANSWERS).boxed(),
        maybe(3, "expires", a_date()),
        maybe(24, "expires", a_date()),
        maybe(2, "date", a_date()),
        maybe(3, "last-modified", a_date()),
        maybe(3, "etag", one_of(&["\"1\"", "W/\"1\""])),
        maybe(3, "age", one_of(ages)),
        maybe(4, "vary", one_of(&["foo", "foo", "bar, foo", "", "*", "foo, *"])),
        maybe(12, "set-cookie", one_of(&["a=b"])),
    ];
    headers(fields)
}

fn request() -> impl Strategy<Value = HeaderMap> {
    let fields: Vec<BoxedStrategy<Vec<(&'static str, String)>>> = vec![
        prop_oneof![Just(Vec::new()), directives(OF_REQUESTS, ODD_OF_REQUESTS)].boxed(),
        maybe(16, "cache-control", one_of(&["no-store"])),
        maybe(4, "authorization", one_of(&["Bearer x"])),
        maybe(2, "foo", one_of(&["1", "2"])),
        maybe(12, "pragma", one_of(&["no-cache", "foo"])),
    ];
    headers(fields)
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let status = prop_oneof![
        3 => Just(200_u16),
        2 => prop::sample::select(&STATUSES[..]),
        1 => prop::sample::select(&[206_u16, 304, 429, 500, 999][..]),
    ];
    let rule = prop::sample::select(&[SetCookie::Private, SetCookie::Strip][..]);
    (status, answer(), request(), request(), rule, 0_u64..100).prop_map(
        |(status, answer, first, second, set_cookie, later)| Case {
            status,
            answer,
            first,
            second,
            set_cookie,
            later,
        },
    )
}
