//! Section 3: what may be stored.

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
