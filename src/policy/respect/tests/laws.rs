//! What holds for any answer.

use proptest::prelude::*;

use super::*;

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
        "cache-control",
        "cdn-cache-control",
        "expires",
        "date",
        "age",
        "last-modified",
        "etag",
        "vary",
        "set-cookie",
        "content-length",
        "content-type",
        "foo",
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
    let rule = prop::sample::select(vec![SetCookie::Private, SetCookie::Strip, SetCookie::Store]);
    let wall = prop::sample::select(vec![0, 1, NOW, 253_402_300_799]);
    let authorized = prop::sample::select(vec![Authorized::Yes, Authorized::No]);
    (authorized, rule, wall, 0_u64..1 << 40).prop_map(|(authorized, set_cookie, wall, delay)| {
        Arrival { authorized, set_cookie, wall: at(wall), delay: Duration::from_millis(delay) }
    })
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
            && let Some(read) = http_date(&value)
        {
            let again = HeaderValue::try_from(httpdate::fmt_http_date(read)).unwrap();
            prop_assert_eq!(http_date(&again), Some(read));
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
        let all = |headers: &HeaderMap, name: &HeaderName| -> Vec<HeaderValue> {
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
