use std::time::SystemTime;

use proptest::prelude::*;

use super::Ranged::{Part, Unsatisfiable, Whole};
use super::*;

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn modified() -> SystemTime {
    httpdate::parse_http_date(MODIFIED).unwrap()
}

fn stored(etag: Option<&HeaderValue>) -> Validators<'_> {
    let last_modified = Some(modified());
    let date = Some(modified() + Duration::from_secs(1));
    Validators { etag, last_modified, date, received: modified() + Duration::from_secs(9) }
}

fn fields(pairs: &[(&str, &str)]) -> HeaderMap {
    let parsed = |&(name, value): &(&str, &str)| {
        (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
    };
    pairs.iter().map(parsed).collect()
}

fn of(spec: &str, len: u64) -> Ranged {
    range(&Method::GET, &fields(&[("range", spec)]), &stored(None), len)
}

#[test]
fn one_range_of_bytes_is_cut_out() {
    for (spec, len, expected) in [
        // RFC 9110, section 14.1.2: the examples
        ("bytes=0-499", 10_000, Part { first: 0, last: 499 }),
        ("bytes=500-999", 10_000, Part { first: 500, last: 999 }),
        ("bytes=-500", 10_000, Part { first: 9500, last: 9999 }),
        ("bytes=9500-", 10_000, Part { first: 9500, last: 9999 }),
        ("bytes=0-0", 10_000, Part { first: 0, last: 0 }),
        // the ends
        ("bytes=0-", 10, Part { first: 0, last: 9 }),
        ("bytes=9-9", 10, Part { first: 9, last: 9 }),
        ("bytes=5-10", 10, Part { first: 5, last: 9 }),
        ("bytes=-1", 10, Part { first: 9, last: 9 }),
        ("bytes=-10", 10, Part { first: 0, last: 9 }),
        ("bytes=-11", 10, Part { first: 0, last: 9 }),
        ("bytes=0-0", 1, Part { first: 0, last: 0 }),
        // beyond them
        ("bytes=10-", 10, Unsatisfiable),
        ("bytes=10-20", 10, Unsatisfiable),
        ("bytes=-0", 10, Unsatisfiable),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=0-0", 0, Unsatisfiable),
        ("bytes=-0", 0, Unsatisfiable),
        ("bytes=-5", 0, Whole),
        // larger than any number
        ("bytes=0-99999999999999999999999", 10, Part { first: 0, last: 9 }),
        ("bytes=-99999999999999999999999", 10, Part { first: 0, last: 9 }),
        ("bytes=99999999999999999999999-", 10, Unsatisfiable),
        ("bytes=36893488147419103242-", 20, Unsatisfiable), // ten, where a number wraps
        ("bytes=0-18446744073709551615", u64::MAX, Part { first: 0, last: u64::MAX - 1 }),
        // section 14.1: units ignore case; section 5.6.1.2: lists
        ("BYTES=0-1", 10, Part { first: 0, last: 1 }),
        ("bytes= 0-1 ", 10, Part { first: 0, last: 1 }),
        ("bytes=,0-1, ,", 10, Part { first: 0, last: 1 }),
        ("bytes=0000-0001", 10, Part { first: 0, last: 1 }),
    ] {
        assert_eq!(of(spec, len), expected, "{spec} of {len}");
    }
}

/// RFC 9110, section 14.2: a server may ignore what it does not support or cannot read.
#[test]
fn anything_else_is_ignored() {
    for spec in [
        "bytes=0-1,3-4",
        "bytes=0-1,0-1",
        "seconds=0-1",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=--1",
        "bytes=5-4",
        "bytes=0-1-2",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=1- 2",
        "bytes =0-1",
        " bytes: 0-1",
        "bytes=0-1;x",
        "",
    ] {
        assert_eq!(of(spec, 10), Whole, "{spec}");
    }
    let twice = fields(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]);
    assert_eq!(range(&Method::GET, &twice, &stored(None), 10), Whole);
    assert_eq!(range(&Method::GET, &HeaderMap::new(), &stored(None), 10), Whole);
    // Only GET has ranges.
    let once = fields(&[("range", "bytes=0-1")]);
    assert_eq!(range(&Method::HEAD, &once, &stored(None), 10), Whole);
}

/// RFC 9110, section 13.1.5.
#[test]
fn a_part_must_fit_what_the_client_has() {
    for (etag, condition, expected) in [
        ("\"a\"", "\"a\"", true),
        ("\"a\"", "\"b\"", false),
        ("W/\"a\"", "\"a\"", false),
        ("\"a\"", "W/\"a\"", false),
        ("W/\"a\"", "W/\"a\"", false),
        // one tag, not a list of them; no star; quotes
        ("\"a\"", "\"a\", \"b\"", false),
        ("\"a\"", "*", false),
        ("a", "a", false),
        ("\"a\"", "a", false),
        ("\"a\"", "", false),
        // section 13.1.5: exactly the date
        ("\"a\"", MODIFIED, true),
        ("\"a\"", "Sunday, 06-Nov-94 08:49:37 GMT", true),
        ("\"a\"", "Sun, 06 Nov 1994 08:49:38 GMT", false),
        ("\"a\"", "Sun, 06 Nov 1994 08:49:36 GMT", false),
    ] {
        let etag = etag.parse().unwrap();
        for (spec, fits) in
            [("bytes=0-1", Part { first: 0, last: 1 }), ("bytes=10-", Unsatisfiable)]
        {
            let request = fields(&[("range", spec), ("if-range", condition)]);
            let found = range(&Method::GET, &request, &stored(Some(&etag)), 10);
            assert_eq!(found, if expected { fits } else { Whole }, "{condition} for {etag:?}");
        }
    }
    let tag = "\"a\"".parse().unwrap();
    let twice = fields(&[("range", "bytes=0-1"), ("if-range", "\"a\""), ("if-range", "\"a\"")]);
    assert_eq!(range(&Method::GET, &twice, &stored(Some(&tag)), 10), Whole);
    let by_tag = fields(&[("range", "bytes=0-1"), ("if-range", "\"a\"")]);
    assert_eq!(range(&Method::GET, &by_tag, &stored(None), 10), Whole);
}

/// RFC 9110, section 8.8.2.2.
#[test]
fn a_date_is_strong_only_a_second_later() {
    let request = fields(&[("range", "bytes=0-1"), ("if-range", MODIFIED)]);
    let after = |milliseconds| Some(modified() + Duration::from_millis(milliseconds));
    for (last_modified, date, expected) in [
        (after(0), after(1000), Part { first: 0, last: 1 }),
        (after(0), after(999), Whole),
        (after(0), after(0), Whole),
        (after(0), Some(modified() - Duration::from_secs(1)), Whole),
        (after(0), None, Whole),
        (None, after(0), Whole),
        (None, after(1000), Whole),
    ] {
        let stored = Validators { last_modified, date, ..stored(None) };
        let found = range(&Method::GET, &request, &stored, 10);
        assert_eq!(found, expected, "{last_modified:?} {date:?}");
    }
}

/// RFC 9110, sections 14.4 and 15.5.17.
#[test]
fn content_range_says_which_part_of_how_much() {
    for (ranged, expected) in [
        (Whole, None),
        (Part { first: 0, last: 1 }, Some("bytes 0-1/10")),
        (Unsatisfiable, Some("bytes */10")),
    ] {
        let value = ranged.content_range(10);
        assert_eq!(value.as_ref().map(|value| value.to_str().unwrap()), expected);
    }
}

proptest! {
    #[test]
    fn a_part_lies_within(
        spec in "bytes=[0-9]{0,3}-[0-9]{0,3}(,[0-9]{0,2}-?)?",
        len in prop_oneof![0..1200_u64, any::<u64>()],
    ) {
        if let Part { first, last } = of(&spec, len) {
            prop_assert!(first <= last && last < len, "{} of {}: {}-{}", spec, len, first, last);
        }
    }

    #[test]
    fn no_bytes_are_too_odd(
        field in proptest::collection::vec(any::<u8>(), 0..40),
        condition in proptest::collection::vec(any::<u8>(), 0..40),
        etag in proptest::collection::vec(any::<u8>(), 0..20),
        len in any::<u64>(),
    ) {
        let legal = |bytes: &[u8]| {
            HeaderValue::from_bytes(bytes).unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        let field = legal(&[b"bytes=", &field[..]].concat());
        let request = [(RANGE, field), (IF_RANGE, legal(&condition))].into_iter().collect();
        let found = range(&Method::GET, &request, &stored(Some(&legal(&etag))), len);
        if let Part { first, last } = found {
            prop_assert!(first <= last && last < len);
        }
    }
}
