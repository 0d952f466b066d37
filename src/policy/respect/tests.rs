//! What a shared cache may store.

use proptest::prelude::*;

use super::*;

/// 2026-11-24 12:00:00 UTC, a Tuesday.
const NOW: u64 = 1_795_521_600;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn http(seconds: u64) -> String {
    httpdate::fmt_http_date(at(seconds))
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn map<V: AsRef<[u8]>>(fields: &[(&'static str, V)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_ref()).unwrap());
    }
    headers
}

fn arrival() -> Arrival {
    Arrival {
        authorized: Authorized::No,
        set_cookie: SetCookie::Private,
        wall: at(NOW),
        delay: Duration::ZERO,
    }
}

/// Of an answer that nothing is special about.
fn kept<V: AsRef<[u8]>>(status: u16, fields: &[(&'static str, V)]) -> Option<Storable> {
    storable(StatusCode::from_u16(status).unwrap(), &map(fields), &arrival())
}

fn fresh<V: AsRef<[u8]>>(fields: &[(&'static str, V)]) -> Option<u64> {
    kept(200, fields).map(|kept| kept.lifetimes.fresh.as_secs())
}

fn with(cache_control: &'static str) -> Option<Storable> {
    kept(200, &[("cache-control", cache_control)])
}

/// Section 3.
mod storing {
    use super::*;

    #[test]
    fn a_status_is_final_and_whole() {
        for status in [200, 201, 203, 204, 301, 302, 303, 307, 308, 400, 401, 403, 404, 410, 429] {
            assert!(kept(status, &[("cache-control", "max-age=7")]).is_some(), "{status}");
        }
        for status in [500, 503, 504, 299, 499, 599, 700, 999] {
            assert!(kept(status, &[("cache-control", "max-age=7")]).is_some(), "{status}");
        }
        for status in [100, 101, 103, 199, 206, 304] {
            assert!(kept(status, &[("cache-control", "max-age=7, public")]).is_none(), "{status}");
        }
    }

    /// Section 5.2.2.3.
    #[test]
    fn must_understand_takes_no_store_from_who_understands() {
        for (status, text, expected) in [
            (200, "max-age=7, must-understand", true),
            (200, "max-age=7, must-understand, no-store", true),
            (404, "no-store, max-age=7, must-understand", true),
            (200, "max-age=7, must-understand, private", false),
            (299, "max-age=7, must-understand", false),
            (299, "max-age=7, must-understand, no-store", false),
            (599, "max-age=7, must-understand, public", false),
            (299, "max-age=7", true),
            (206, "max-age=7, must-understand, no-store", false),
        ] {
            let kept = kept(status, &[("cache-control", text)]);
            assert_eq!(kept.is_some(), expected, "{status}: {text}");
        }
    }

    #[test]
    fn what_is_not_for_others_is_not_stored() {
        for text in [
            "max-age=7, no-store",
            "max-age=7, private",
            "max-age=7, public, private=\"set-cookie\"",
            "public, s-maxage=7, no-store",
        ] {
            assert_eq!(with(text), None, "{text}");
        }
        let targeted = [("cache-control", "public, max-age=7"), ("cdn-cache-control", "no-store")];
        assert_eq!(kept(200, &targeted), None);
        let targeted = [("cache-control", "no-store"), ("cdn-cache-control", "max-age=7")];
        assert_eq!(fresh(&targeted), Some(7));
    }

    /// Section 3.5.
    #[test]
    fn an_answer_to_who_showed_a_credential_needs_a_permission() {
        for (text, permitted) in [
            ("max-age=7", false),
            ("max-age=7, proxy-revalidate", false),
            ("max-age=7, no-cache", false),
            ("max-age=7, immutable, must-understand", false),
            ("max-age=7, public", true),
            ("max-age=7, must-revalidate", true),
            ("s-maxage=7", true),
            ("max-age=7, s-maxage=x", true),
            ("max-age=7, public, private", false),
        ] {
            let headers = map(&[("cache-control", text), ("etag", "\"1\"")]);
            let kept = |authorized| {
                storable(StatusCode::OK, &headers, &Arrival { authorized, ..arrival() }).is_some()
            };
            assert_eq!(kept(Authorized::Yes), permitted, "{text}");
            assert_eq!(kept(Authorized::No), !text.contains("private"), "{text}");
        }
    }

    #[test]
    fn what_sets_a_cookie_is_kept_by_our_rule() {
        let headers = map(&[("cache-control", "public, max-age=7"), ("set-cookie", "a=b")]);
        for (set_cookie, expected) in
            [(SetCookie::Private, false), (SetCookie::Strip, true), (SetCookie::Store, true)]
        {
            let arrival = Arrival { set_cookie, ..arrival() };
            let kept = storable(StatusCode::OK, &headers, &arrival);
            assert_eq!(kept.is_some(), expected, "{set_cookie:?}");
        }
    }

    #[test]
    fn what_depends_on_everything_is_kept_for_nobody() {
        let vary = |vary| kept(200, &[("cache-control", "max-age=7"), ("vary", vary)]);
        for text in ["*", "accept, *", "authorization", "a b", "\u{ff}"] {
            assert_eq!(vary(text), None, "{text}");
        }
        assert_eq!(vary("accept-encoding").unwrap().vary, Vary::Nothing);
        let on = Vary::On([HeaderName::from_static("foo")].into());
        assert_eq!(vary("Foo").unwrap().vary, on);
    }

    #[test]
    fn somebody_has_to_say_for_how_long_or_how_to_ask() {
        let (modified, none) = (http(NOW - 100), "");
        let modified = modified.as_str();
        for (status, control, modified, etag, expected) in [
            (200, "", modified, none, Some(10)),
            (200, "", none, "\"1\"", Some(0)),
            (200, "", none, none, None),
            (200, "public", none, none, None),
            (200, "public", none, "\"1\"", Some(0)),
            (200, "must-revalidate", none, none, None),
            (200, "max-age=0", none, none, None),
            (200, "max-age=0", none, "\"1\"", Some(0)),
            (200, "max-age=0", modified, none, Some(0)),
            (200, "max-age=0", "x", none, None),
            (200, "no-cache", none, none, None),
            (200, "no-cache, max-age=7", none, none, None),
            (200, "no-cache, max-age=7", none, "\"1\"", Some(0)),
            (200, "no-cache", none, "\"1\"", Some(0)),
            (200, "max-age=0, stale-if-error=7", none, none, Some(0)),
            (200, "max-age=0, stale-while-revalidate=7", none, none, Some(0)),
            (200, "max-age=0, stale-if-error=7, must-revalidate", none, none, None),
            (200, "stale-if-error=7", none, none, None),
            (302, "", modified, "\"1\"", None),
            (302, "no-cache", modified, "\"1\"", None),
            (302, "must-revalidate, immutable", modified, "\"1\"", None),
            (302, "public", modified, none, Some(10)),
            (302, "public", none, "\"1\"", Some(0)),
            (302, "max-age=7", none, none, Some(7)),
            (500, "", modified, "\"1\"", None),
            (500, "max-age=7", none, none, Some(7)),
        ] {
            let mut fields = vec![("cache-control", control), ("date", "x")];
            let given = [("last-modified", modified), ("etag", etag)];
            fields.extend(given.into_iter().filter(|(_, value)| !value.is_empty()));
            let fresh = kept(status, &fields).map(|kept| kept.lifetimes.fresh.as_secs());
            assert_eq!(fresh, expected, "{status}: {fields:?}");
        }
    }

    /// Section 4.2.2; RFC 9110, section 15.1.
    #[test]
    fn the_statuses_that_are_kept_unasked() {
        let modified = http(NOW - 100);
        let of = |control: &'static str| -> Vec<u16> {
            let fields = [("last-modified", modified.as_str()), ("cache-control", control)];
            (100..=999).filter(|status| kept(*status, &fields).is_some()).collect()
        };
        assert_eq!(of(""), [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);
        let public = of("public");
        assert_eq!(public.len(), 800 - 2);
    }
}

/// Section 4.2.
mod freshness {
    use super::*;

    #[test]
    fn what_speaks_for_shared_caches_speaks_first() {
        let (soon, date) = (http(NOW + 50), http(NOW));
        for (control, targeted, expected) in [
            ("s-maxage=7, max-age=8", None, Some(7)),
            ("max-age=8, s-maxage=7", None, Some(7)),
            ("max-age=7, s-maxage=8", None, Some(8)),
            ("s-maxage=x, max-age=8", None, Some(0)),
            ("max-age=8", None, Some(8)),
            ("max-age=x", None, Some(0)),
            ("", None, Some(50)),
            ("public, no-transform", None, Some(50)),
            ("s-maxage=7", Some("max-age=9"), Some(9)),
            ("s-maxage=7", Some("max-age=9, s-maxage=3"), Some(3)),
            // RFC 9213, section 2.2: of Expires nothing is left either.
            ("s-maxage=7", Some("public"), Some(0)),
            ("s-maxage=7", Some(""), Some(7)),
            ("", Some("max-age=x"), Some(50)),
        ] {
            let mut fields = vec![
                ("expires", soon.as_str()),
                ("date", date.as_str()),
                ("cache-control", control),
                ("etag", "\"1\""),
            ];
            fields.extend(targeted.map(|targeted| ("cdn-cache-control", targeted)));
            assert_eq!(fresh(&fields), expected, "{control} {targeted:?}");
        }
    }

    #[test]
    fn expires_in_all_forms() {
        for (expires, expected) in [
            ("Tue, 24 Nov 2026 12:00:07 GMT", 7),
            ("Tuesday, 24-Nov-26 12:00:07 GMT", 7),
            ("Tue Nov 24 12:00:07 2026", 7),
            ("Tue Dec  1 12:00:00 2026", 7 * 86_400),
            ("Tue, 24 Nov 2026 12:00:00 GMT", 0),
            ("Tue, 24 Nov 2026 11:59:59 GMT", 0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 251_606_779_199 + 2 * 86_400 - 172_800),
            // Section 5.3: what is no date is past.
            ("0", 0),
            ("-1", 0),
            ("", 0),
            ("1795521607", 0),
            ("Tue, 24 Nov 2026 12:00:07", 0),
            ("Tue, 24 Nov 2026 12:00:07 UTC", 0),
            ("Tue, 24 Nov 2026 12:00:07 +0000", 0),
            ("Tue, 24 Nov 2026 12:00:07 PST", 0),
            ("Wed, 24 Nov 2026 12:00:07 GMT", 0),
            ("Tue, 24 Nov 26 12:00:07 GMT", 0),
            ("Tue, 24-Nov-2026 12:00:07 GMT", 0),
            ("24 Nov 2026 12:00:07 GMT", 0),
            ("Tue, 24 Nov 2026 12.00.07 GMT", 0),
            ("Tue, 24 Nov 2026 24:00:07 GMT", 0),
            ("Tue, 24 Nov 2026 12:60:07 GMT", 0),
            ("Tue, 32 Nov 2026 12:00:07 GMT", 0),
            ("2026-11-24T12:00:07Z", 0),
            ("Tue, 24 Nov 2026 12:00:07 GMT, Tue, 24 Nov 2026 12:00:07 GMT", 0),
            ("\u{661}", 0),
        ] {
            let fields = [("expires", expires), ("etag", "\"1\"")];
            assert_eq!(fresh(&fields), Some(expected), "{expires}");
        }
    }

    #[test]
    fn expires_more_than_once_is_past() {
        let soon = http(NOW + 50);
        let fields = [("expires", soon.as_str()), ("expires", &soon), ("etag", "\"1\"")];
        assert_eq!(fresh(&fields), Some(0));
        assert_eq!(fresh(&fields[1..]), Some(50));
    }

    #[test]
    fn expires_is_counted_from_the_date() {
        let expires = http(NOW + 50);
        for (date, expected) in [
            (Some(http(NOW)), 50),
            (Some(http(NOW - 10)), 60),
            (Some(http(NOW + 10)), 40),
            (Some(http(NOW + 60)), 0),
            (Some("x".to_owned()), 50),
            (None, 50),
        ] {
            let mut fields = vec![("expires", expires.as_str()), ("etag", "\"1\"")];
            fields.extend(date.as_deref().map(|date| ("date", date)));
            assert_eq!(fresh(&fields), Some(expected), "{date:?}");
        }
    }

    /// Section 4.2.2.
    #[test]
    fn a_guess_is_a_tenth_and_a_day_at_most() {
        const DAY: u64 = 86_400;
        for (modified, date, expected) in [
            (http(NOW - 100), None, Some(10)),
            (http(NOW - 9), None, Some(0)),
            (http(NOW), None, Some(0)),
            (http(NOW + 1), None, Some(0)),
            (http(NOW - 10 * DAY + 10), None, Some(DAY - 1)),
            (http(NOW - 10 * DAY), None, Some(DAY)),
            (http(NOW - 3650 * DAY), None, Some(DAY)),
            (http(NOW - 100), Some(http(NOW - 50)), Some(5)),
            (http(NOW - 100), Some(http(NOW + 50)), Some(15)),
            (http(NOW - 100), Some(http(NOW - 150)), Some(0)),
            (http(NOW - 100), Some("x".to_owned()), Some(10)),
            ("x".to_owned(), None, None),
        ] {
            let mut fields = vec![("last-modified", modified.as_str())];
            fields.extend(date.as_deref().map(|date| ("date", date)));
            assert_eq!(fresh(&fields), expected, "{fields:?}");
        }
        let precise = kept(200, &[("last-modified", http(NOW - 5))]).unwrap();
        assert_eq!(precise.lifetimes.fresh, Duration::from_millis(500));
    }

    /// Section 4.2.3.
    #[test]
    fn how_old_an_answer_is_when_it_comes() {
        let ms = Duration::from_millis;
        let date = |seconds| Some(http(seconds));
        for (age, date, delay, expected) in [
            (&[][..], None, s(0), s(0)),
            (&["5"], None, s(0), s(5)),
            // The first member counts, and one that cannot be read is none.
            (&["5, 9"], None, s(0), s(5)),
            (&["9 , 5"], None, s(0), s(9)),
            (&["5", "9"], None, s(0), s(5)),
            (&["x, 9"], None, s(0), s(0)),
            (&["x", "9"], None, s(0), s(0)),
            (&[""], None, s(0), s(0)),
            (&["-5"], None, s(0), s(0)),
            (&["+5"], None, s(0), s(0)),
            (&["5.5"], None, s(0), s(0)),
            (&["\"5\""], None, s(0), s(0)),
            (&["5;x"], None, s(0), s(0)),
            (&["\u{661}"], None, s(0), s(0)),
            (&["2147483649"], None, s(0), s(1 << 31)),
            (&["99999999999999999999999999"], None, s(0), s(1 << 31)),
            // What the date says.
            (&[], date(NOW), s(0), s(0)),
            (&[], date(NOW - 5), s(0), s(5)),
            (&[], date(NOW + 5), s(0), s(0)),
            (&[], Some("x".to_owned()), s(0), s(0)),
            (&["3"], date(NOW - 5), s(0), s(5)),
            (&["7"], date(NOW - 5), s(0), s(7)),
            (&["7"], date(NOW + 5), s(0), s(7)),
            // Of the apparent age, the way here is counted from the request on already; the age
            // that was told is from before.
            (&[], date(NOW - 5), s(2), s(3)),
            (&[], date(NOW - 5), s(9), s(0)),
            (&["3"], date(NOW - 5), s(1), s(4)),
            (&["3"], date(NOW - 5), s(2), s(3)),
            (&["3"], date(NOW - 5), s(4), s(3)),
            (&["3"], None, s(9), s(3)),
            (&[], date(NOW - 5), ms(1500), ms(3500)),
        ] {
            let date = date.as_deref();
            let mut headers = map(&[("cache-control", "max-age=7")]);
            for value in age {
                headers.append(AGE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            let arrival = Arrival { delay, ..arrival() };
            let kept = storable(StatusCode::OK, &headers, &arrival).unwrap();
            assert_eq!(kept.initial_age, expected, "{age:?} {date:?} {delay:?}");
            assert_eq!(kept.lifetimes.fresh, s(7), "age and lifetime are two things");
        }
    }

    /// A date of this second is no age, whatever the fraction of the second.
    #[test]
    fn a_fraction_of_a_second_is_no_age() {
        let headers = map(&[("cache-control", "max-age=7"), ("date", &http(NOW))]);
        let arrival = Arrival { wall: at(NOW) + Duration::from_millis(999), ..arrival() };
        let kept = storable(StatusCode::OK, &headers, &arrival).unwrap();
        assert_eq!(kept.initial_age, Duration::ZERO);
    }
}

/// Section 4.2.4 and 5.2.2.
mod staleness {
    use super::*;

    #[test]
    fn windows_and_what_forbids_them() {
        const BOTH: &str = "stale-while-revalidate=30, stale-if-error=600";
        for (text, fresh, stale) in [
            ("max-age=7", 7, Stale::Allowed),
            ("max-age=7, immutable, public", 7, Stale::Allowed),
            ("max-age=7, no-cache=\"a\"", 7, Stale::Allowed),
            ("max-age=7, must-revalidate", 7, Stale::Forbidden),
            ("max-age=7, proxy-revalidate", 7, Stale::Forbidden),
            ("max-age=7, no-cache", 0, Stale::Forbidden),
            ("s-maxage=7", 7, Stale::Forbidden),
            ("s-maxage=x, max-age=9", 0, Stale::Forbidden),
        ] {
            let all = format!("{text}, {BOTH}");
            let kept = kept(200, &[("cache-control", all.as_str()), ("etag", "\"1\"")]).unwrap();
            let (swr, sie) = if stale == Stale::Allowed { (30, 600) } else { (0, 0) };
            let (stale_while_revalidate, stale_if_error) = (s(swr), s(sie));
            let expected = Lifetimes { fresh: s(fresh), stale_while_revalidate, stale_if_error };
            assert_eq!((kept.lifetimes, kept.stale), (expected, stale), "{text}");
        }
        assert_eq!(with("max-age=7").unwrap().lifetimes, Lifetimes::only_fresh(s(7)));
    }

    #[test]
    fn what_else_is_told() {
        assert!(with("max-age=7, immutable").unwrap().immutable);
        assert!(!with("max-age=7").unwrap().immutable);
        let without = with("max-age=7, no-cache=\"a, b\"").unwrap().without;
        assert_eq!(without, [HeaderName::from_static("a"), HeaderName::from_static("b")]);
    }
}

mod failures {
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
            (("cache-control", "no-store"), false),
            (("cache-control", "no-cache, public"), false),
            (("date", "Tue, 24 Nov 2026 12:00:07 GMT"), false),
            (("retry-after", "7"), false),
        ] {
            assert_eq!(is_deliberate(&map(&[field])), expected, "{field:?}");
        }
    }
}

/// Section 3.2 and 4.3.4.
mod freshening {
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
}

/// Values that mean something somewhere, and some bytes that do not.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "no-store", "private", "no-cache=", "max-age=", "s-maxage=", "public", ",", "\"", "7",
            " ", "*", "99999999999999999999", "Tue, 24 Nov 2026 12:00:07 GMT",
            "Tuesday, 24-Nov-26 12:00:07 GMT", "Tue Nov 24 12:00:07 2026", "Tue, 00 Jan 0000",
            "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "\"1\"",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop::sample::select(vec![
        "cache-control", "cdn-cache-control", "expires", "date", "age", "last-modified", "etag",
        "vary", "set-cookie", "content-length", "content-type", "foo",
    ]);
    prop::collection::vec((name, value()), 0..10).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        headers
    })
}

fn any_arrival() -> impl Strategy<Value = Arrival> {
    let rule = [SetCookie::Private, SetCookie::Strip, SetCookie::Store];
    let wall = prop::sample::select(vec![0, 1, NOW, 253_402_300_799]);
    let authorized = prop::sample::select(vec![Authorized::Yes, Authorized::No]);
    (authorized, prop::sample::select(&rule[..]), wall, 0_u64..1 << 40).prop_map(
        |(authorized, set_cookie, wall, delay)| Arrival {
            authorized,
            set_cookie,
            wall: at(wall),
            delay: Duration::from_millis(delay),
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_judged(headers in headers(), arrival in any_arrival(), status in 100_u16..1000) {
        let status = StatusCode::from_u16(status).unwrap();
        let kept = storable(status, &headers, &arrival);
        let (_, _) = (is_everybodys_failure(status, &headers), is_deliberate(&headers));
        let said = AnswerDirectives::of(&headers);
        if let Some(kept) = kept {
            prop_assert!(!said.private && (!said.no_store || said.must_understand));
            prop_assert!(kept.vary != Vary::Everything);
            prop_assert!(!said.no_cache || kept.lifetimes.fresh.is_zero());
            prop_assert!(kept.lifetimes != Lifetimes::NONE || has_validator(&headers));
        }
    }

    #[test]
    fn any_bytes_are_a_date_or_none(bytes in value()) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes)
            && let Some(read) = date(Some(&value))
        {
            let again = HeaderValue::try_from(httpdate::fmt_http_date(read)).unwrap();
            prop_assert_eq!(date(Some(&again)), Some(read));
        }
    }

    /// What nobody permitted to others is not stored for who showed a credential.
    #[test]
    fn a_credential_never_makes_more_storable(headers in headers(), arrival in any_arrival()) {
        let as_told = |authorized| {
            storable(StatusCode::OK, &headers, &Arrival { authorized, ..arrival })
        };
        let (with, without) = (as_told(Authorized::Yes), as_told(Authorized::No));
        prop_assert!(with.is_none() || with == without);
    }

    #[test]
    fn a_stored_field_stays_unless_the_304_brought_it(stored in headers(), news in headers()) {
        let merged = freshened(&stored, &news);
        let all = |headers: &HeaderMap, name| -> Vec<HeaderValue> {
            headers.get_all(name).iter().cloned().collect()
        };
        for name in stored.keys().filter(|name| ![AGE, DATE].contains(name)) {
            let content = NOT_FRESHENED.contains(name) || name == ETAG;
            let from = if news.contains_key(name) && !content { &news } else { &stored };
            prop_assert_eq!(all(&merged, name), all(from, name), "{}", name);
        }
        for name in news.keys().filter(|name| !stored.contains_key(*name)) {
            let expected = if NOT_FRESHENED.contains(name) { vec![] } else { all(&news, name) };
            prop_assert_eq!(all(&merged, name), expected, "{}", name);
        }
        for name in [AGE, DATE] {
            prop_assert_eq!(all(&merged, &name), all(&news, &name));
        }
        prop_assert_eq!(freshened(&merged, &news), merged, "the same news change nothing more");
    }
}
