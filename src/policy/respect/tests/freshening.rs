//! Section 3.2 and 4.3.4: what a 304 changes.

use super::*;

#[test]
fn what_a_304_replaces_and_what_not() {
    let stored = map(&[
        ("cache-control", "max-age=7"),
        ("cache-control", "public"),
        ("content-type", "text/plain"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("etag", "\"1\""),
        ("last-modified", &http(NOW - 200)),
        ("expires", &http(NOW - 100)),
        ("date", &http(NOW - 110)),
        ("age", "100"),
        ("foo", "old"),
        ("foo", "older"),
        ("only-stored", "1"),
    ]);
    let news = map(&[
        ("cache-control", "max-age=8"),
        ("content-length", "0"),
        ("content-encoding", "br"),
        ("content-range", "bytes 0-1/5"),
        ("content-md5", "x"),
        ("etag", "W/\"1\""),
        ("last-modified", &http(NOW - 150)),
        ("expires", &http(NOW + 100)),
        ("date", &http(NOW)),
        ("foo", "new"),
        ("foo", "newer"),
        ("only-new", "2"),
    ]);
    let expected = map(&[
        ("cache-control", "max-age=8"),
        ("content-type", "text/plain"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("etag", "\"1\""),
        ("last-modified", &http(NOW - 150)),
        ("expires", &http(NOW + 100)),
        ("date", &http(NOW)),
        ("foo", "new"),
        ("foo", "newer"),
        ("only-stored", "1"),
        ("only-new", "2"),
    ]);
    assert_eq!(freshened(&stored, &news), expected);
}

#[test]
fn a_validator_is_taken_where_there_was_none() {
    let merged = freshened(&HeaderMap::new(), &map(&[("etag", "\"1\""), ("age", "3")]));
    assert_eq!(merged, map(&[("etag", "\"1\""), ("age", "3")]));
}

/// RFC 9110, section 6.6.1: a message without a date is of the moment when it came.
#[test]
fn what_is_confirmed_without_a_date_is_fresh_again() {
    let stored = map(&[
        ("cache-control", "max-age=7"),
        ("date", &http(NOW - 100)),
        ("age", "9"),
        ("etag", "\"1\""),
    ]);
    let merged = freshened(&stored, &HeaderMap::new());
    let kept = storable(StatusCode::OK, &merged, &arrival()).unwrap();
    assert_eq!((kept.lifetimes.fresh, kept.initial_age), (s(7), s(0)));
}
