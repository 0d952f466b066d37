//! Section 4.2: for how long it is fresh, and how old it is.

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
        ("Fri, 31 Dec 9999 23:59:59 GMT", 251_606_779_199),
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
