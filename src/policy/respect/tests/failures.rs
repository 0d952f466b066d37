//! What a failure says about itself.

use super::*;

#[test]
fn a_failure_is_everybodys_unless_it_is_somebodys() {
    let is = |status, fields: &[(&'static str, &str)]| {
        is_everybodys_failure(StatusCode::from_u16(status).unwrap(), &map(fields))
    };
    for status in [429, 500, 502, 503, 504] {
        assert!(is(status, &[]), "{status}");
    }
    for status in [200, 304, 400, 401, 404, 408, 501, 505] {
        assert!(!is(status, &[]), "{status}");
    }
    assert!(is(500, &[("cache-control", "no-cache, max-age=0"), ("vary", "cookie")]));
    for field in [
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("cdn-cache-control", "private"),
        ("set-cookie", "a=b"),
        ("vary", "accept"),
        ("vary", "*"),
    ] {
        assert!(!is(500, &[field]), "{field:?}");
    }
}

#[test]
fn an_error_is_meant_if_it_says_for_how_long_or_which() {
    for (field, expected) in [
        (("cache-control", "max-age=7"), true),
        (("cache-control", "max-age=0"), true),
        (("cache-control", "s-maxage=7"), true),
        (("cdn-cache-control", "max-age=7"), true),
        (("expires", "0"), true),
        (("etag", "\"1\""), true),
        (("last-modified", "Tue, 24 Nov 2026 12:00:07 GMT"), true),
        (("last-modified", "x"), false),
        (("cache-control", "no-store"), true),
        (("cache-control", "no-cache, public"), true),
        (("cache-control", "x-unknown"), false),
        (("date", "Tue, 24 Nov 2026 12:00:07 GMT"), false),
        (("retry-after", "7"), false),
    ] {
        assert_eq!(is_deliberate(&map(&[field])), expected, "{field:?}");
    }
}
