use std::time::Duration;

use http::header::ETAG;
use proptest::prelude::*;

use super::*;

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn time(text: &str) -> SystemTime {
    httpdate::parse_http_date(text).unwrap()
}

fn fields(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let parsed = |&(name, value): &(&str, &[u8])| {
        let name: http::HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_bytes(value).unwrap())
    };
    pairs.iter().map(parsed).collect()
}

fn stored(etag: Option<&HeaderValue>) -> Validators<'_> {
    let modified = time(MODIFIED);
    let day = Duration::from_secs(86400);
    Validators {
        etag,
        last_modified: Some(modified),
        date: Some(modified + day),
        received: modified + 2 * day,
    }
}

fn of_tags(etag: &[u8], lists: &[&[u8]]) -> bool {
    let etag = HeaderValue::from_bytes(etag).unwrap();
    let request: Vec<_> = lists.iter().map(|&list| ("if-none-match", list)).collect();
    let found = verdict(&Method::GET, &fields(&request), &stored(Some(&etag)));
    found == Verdict::NotModified
}

#[test]
fn a_tag_in_the_list_means_not_modified() {
    for (etag, list, expected) in [
        // RFC 9110, section 8.8.3.2: the weak comparison
        (&b"\"a\""[..], &b"\"a\""[..], true),
        (b"W/\"a\"", b"\"a\"", true),
        (b"\"a\"", b"W/\"a\"", true),
        (b"W/\"a\"", b"W/\"a\"", true),
        (b"W/\"a\"", b"W/\"b\"", false),
        (b"\"a\"", b"\"A\"", false),
        // section 13.1.2: the star, alone
        (b"\"a\"", b"*", true),
        (b"\"a\"", b" *\t", true),
        (b"\"*\"", b"\"*\"", true),
        (b"\"a\"", b"\"*\"", false),
        // section 5.6.1.2: lists and their empty elements
        (b"\"b\"", b"\"a\", \"b\" ,\"c\"", true),
        (b"\"c\"", b",,\"a\",W/\"c\",", true),
        (b"\"d\"", b"\"a\", \"b\"", false),
        (b"\"a\"", b"", false),
        (b"\"a\"", b" , ,", false),
        // section 8.8.3: whatever stands within quotes
        (b"\"a, b\"", b"\"x\", \"a, b\"", true),
        (b"\"b\"", b"\"a, \", \"b\"", true),
        (b"b", b"\"a,b\"", false),
        (b"\",\"", b"\"x\",\",\"", true),
        (b"\"\"", b"\"\"", true),
        (b"\"\xe9\xff\"", b"\"\xe9\xff\"", true),
        (b"\"\xe9\"", b"\"\xe8\"", false),
        (b"\"a\\\"", b"\"a\\\"", true),
        // without quotes: equal as they stand, and to nothing quoted
        (b"abcdef", b"abcdef", true),
        (b"abcdef", b"x, abcdef", true),
        (b"W/abcdef", b"abcdef", true),
        (b"abcdef", b"\"abcdef\"", false),
        (b"\"abcdef\"", b"abcdef", false),
        // section 8.8.3: the mark is a capital letter
        (b"\"a\"", b"w/\"a\"", false),
        // malformed elements are other tags, and do not spoil their neighbours
        (b"\"a\"", b"\"a\"x", false),
        (b"\"a\"", b"\"a\" \"b\"", false),
        (b"\"a\"", b"x\"a\"", false),
        (b"\"a\"", b"\"a", false),
        (b"\"b\"", b"\"a\"x, \"b\"", true),
        (b"", b"\"\"", false),
        (b"", b"x,,", false),
        (b"W/", b"W/", false),
        (b"", b"*", true),
    ] {
        let text = String::from_utf8_lossy(list);
        assert_eq!(of_tags(etag, &[list]), expected, "{text} for {}", etag.escape_ascii());
    }
}

#[test]
fn several_fields_are_one_list() {
    assert!(of_tags(b"\"b\"", &[b"\"a\"", b"\"b\""]));
    assert!(!of_tags(b"\"c\"", &[b"\"a\"", b"\"b\""]));
}

#[test]
fn a_date_counts_in_the_absence_of_tags() {
    let tag = HeaderValue::from_static("\"a\"");
    let later: &[u8] = b"Mon, 07 Nov 1994 08:49:37 GMT";
    let since = "if-modified-since";
    for (request, expected) in [
        // RFC 9110, section 13.1.3
        (vec![(since, MODIFIED.as_bytes())], true),
        (vec![(since, later)], true),
        (vec![(since, b"Sun, 06 Nov 1994 08:49:36 GMT")], false),
        // section 5.6.7: the obsolete forms
        (vec![(since, b"Sunday, 06-Nov-94 08:49:37 GMT")], true),
        (vec![(since, b"Sun Nov  6 08:49:37 1994")], true),
        (vec![(since, b"Sunday, 06-Nov-94 08:49:36 GMT")], false),
        (vec![(since, b"Sun Nov  6 08:49:36 1994")], false),
        // not a date, or more than one
        (vec![(since, b"yesterday")], false),
        (vec![(since, b"")], false),
        (vec![(since, b"\xe9")], false),
        (vec![(since, b"784111777")], false),
        (vec![(since, later), (since, later)], false),
        // section 13.2.2: If-None-Match wins, either way
        (vec![("if-none-match", b"\"x\""), (since, later)], false),
        (vec![("if-none-match", b""), (since, later)], false),
        (vec![("if-none-match", b"\"a\""), (since, b"Sun, 06 Nov 1994 08:49:36 GMT")], true),
        (vec![], false),
    ] {
        let found = verdict(&Method::GET, &fields(&request), &stored(Some(&tag)));
        assert_eq!(found == Verdict::NotModified, expected, "{request:?}");
    }
}

/// RFC 9111, section 4.3.2.
#[test]
fn without_last_modified_its_date_and_then_its_arrival() {
    let all = stored(None);
    let by_date = Validators { last_modified: None, ..all };
    let by_arrival = Validators { date: None, ..by_date };
    for (stored, modified) in [
        (all, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (by_date, "Mon, 07 Nov 1994 08:49:37 GMT"),
        (by_arrival, "Tue, 08 Nov 1994 08:49:37 GMT"),
    ] {
        for (back, expected) in [(0, Verdict::NotModified), (1, Verdict::Modified)] {
            let since = httpdate::fmt_http_date(time(modified) - Duration::from_secs(back));
            let request = fields(&[("if-modified-since", since.as_bytes())]);
            assert_eq!(verdict(&Method::GET, &request, &stored), expected, "{modified} -{back}");
        }
    }
}

/// RFC 9110, sections 13.1.2 and 13.1.3.
#[test]
fn only_reading_methods_get_304() {
    let tag = HeaderValue::from_static("\"a\"");
    let by_tag = fields(&[("if-none-match", b"\"a\"")]);
    let by_date = fields(&[("if-modified-since", MODIFIED.as_bytes())]);
    for (method, expected) in [
        (Method::GET, Verdict::NotModified),
        (Method::HEAD, Verdict::NotModified),
        (Method::POST, Verdict::Modified),
        (Method::PUT, Verdict::Modified),
    ] {
        for request in [&by_tag, &by_date] {
            assert_eq!(verdict(&method, request, &stored(Some(&tag))), expected, "{method}");
        }
    }
}

/// RFC 9110, section 8.8.3.2: the table of the RFC, and malformed tags.
#[test]
fn the_strong_comparison_is_stricter() {
    for (one, other, strongly, weakly) in [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
        ("\"\"", "\"\"", true, true),
        ("1", "1", false, true),
        ("\"", "\"", false, true),
        ("\"1\", \"2\"", "\"1\", \"2\"", false, true),
    ] {
        let (one, other) = (Tag::of(one.as_bytes()).unwrap(), Tag::of(other.as_bytes()).unwrap());
        assert_eq!(one.equals_strongly(other), strongly, "{one:?} {other:?}");
        assert_eq!(other.equals_strongly(one), strongly, "{one:?} {other:?}");
        assert_eq!(one.equals_weakly(other), weakly, "{one:?} {other:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(
        list in proptest::collection::vec(any::<u8>(), 0..60),
        date in proptest::collection::vec(any::<u8>(), 0..40),
        etag in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let values = [(IF_NONE_MATCH, list), (IF_MODIFIED_SINCE, date), (ETAG, etag)];
        let legal: HeaderMap = values
            .into_iter()
            .filter_map(|(name, value)| Some((name, HeaderValue::from_bytes(&value).ok()?)))
            .collect();
        verdict(&Method::GET, &legal, &stored(legal.get(ETAG)));
    }

    /// Days, years and hours that no calendar has, in all three forms.
    #[test]
    fn no_date_is_too_odd(
        (day, year, hour, second) in (0..40_u8, 0..10_000_u16, 0..30_u8, 55..65_u8),
        month in proptest::sample::select(vec!["Jan", "Feb", "Jun", "Dec", "Foo"]),
    ) {
        for date in [
            format!("Mon, {day:02} {month} {year:04} {hour:02}:59:{second:02} GMT"),
            format!("Monday, {day:02}-{month}-{:02} {hour:02}:59:{second:02} GMT", year % 100),
            format!("Mon {month} {day:2} {hour:02}:59:{second:02} {year:04}"),
        ] {
            http_date(&date.parse().unwrap());
        }
    }

    #[test]
    fn a_tag_is_found_in_any_list_that_holds_it(
        tag in "(W/)?\"[!#-~\u{a0}-\u{ff}]{0,8}\"",
        before in proptest::collection::vec("(W/)?\"[,!#-~]{0,8}\"", 0..4),
        after in proptest::collection::vec("[a-z]{0,3}|\"[ ,!#-~]{0,8}\"", 0..4),
    ) {
        let list = [before, vec![tag.clone()], after].concat().join(" ,");
        prop_assert!(of_tags(tag.as_bytes(), &[list.as_bytes()]), "{}", list);
    }

    #[test]
    fn a_tag_is_not_found_where_it_is_not(
        others in proptest::collection::vec("(W/)?\"[,a-y ]{0,8}\"", 0..5),
    ) {
        prop_assert!(!of_tags(b"\"z\"", &[others.join(",").as_bytes()]));
    }
}
