//! What directives say.

use http::HeaderValue;

use super::*;

mod laws;

fn map(fields: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

/// Of a `Cache-Control` alone.
fn answer(value: &str) -> AnswerDirectives {
    AnswerDirectives::of(&map(&[("cache-control", value.as_bytes())]))
}

fn request(value: &str) -> RequestDirectives {
    RequestDirectives::of(&map(&[("cache-control", value.as_bytes())]))
}

fn plain() -> AnswerDirectives {
    AnswerDirectives::default()
}

fn fields(names: &[&str]) -> Vec<HeaderName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "a figure as it is read")]
const fn s(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn every_directive_of_an_answer() {
    for (text, expected) in [
        ("", plain()),
        ("no-store", AnswerDirectives { no_store: true, ..plain() }),
        ("private", AnswerDirectives { private: true, ..plain() }),
        ("private=\"set-cookie\"", AnswerDirectives { private: true, ..plain() }),
        ("no-cache", AnswerDirectives { no_cache: true, ..plain() }),
        ("public", AnswerDirectives { public: true, ..plain() }),
        ("must-revalidate", AnswerDirectives { must_revalidate: true, ..plain() }),
        ("proxy-revalidate", AnswerDirectives { proxy_revalidate: true, ..plain() }),
        ("must-understand", AnswerDirectives { must_understand: true, ..plain() }),
        ("no-transform", AnswerDirectives { no_transform: true, ..plain() }),
        ("immutable", AnswerDirectives { immutable: true, ..plain() }),
        ("max-age=7", AnswerDirectives { max_age: s(7), ..plain() }),
        ("s-maxage=7", AnswerDirectives { s_maxage: s(7), ..plain() }),
        ("stale-while-revalidate=7", AnswerDirectives { stale_while_revalidate: s(7), ..plain() }),
        ("stale-if-error=7", AnswerDirectives { stale_if_error: s(7), ..plain() }),
        ("foo, bar=1, baz=\"x\", max-ages=1, xmax-age=1", plain()),
    ] {
        assert_eq!(answer(text), expected, "{text}");
        assert_eq!(answer(&text.to_ascii_uppercase()), expected, "{text} in capitals");
        let beside = format!("foo , \t{text},, bar=1,");
        assert_eq!(answer(&beside), expected, "{beside}");
    }
}

#[test]
fn figures() {
    for (text, expected) in [
        ("max-age=0", s(0)),
        ("max-age=007", s(7)),
        ("max-age=\"7\"", s(7)),
        ("max-age=2147483647", s((1 << 31) - 1)),
        ("max-age=2147483648", s(1 << 31)),
        ("max-age=2147483649", s(1 << 31)),
        ("max-age=9223372036854775808", s(1 << 31)),
        ("max-age=100000000000000000000000000000", s(1 << 31)),
        // What cannot be read is stale.
        ("max-age", s(0)),
        ("max-age=", s(0)),
        ("max-age=\"\"", s(0)),
        ("max-age=\"", s(0)),
        ("max-age='7'", s(0)),
        ("max-age =7", s(0)),
        ("max-age= 7", s(0)),
        ("max-age = 7", s(0)),
        ("max-age=\" 7\"", s(0)),
        ("max-age=\"7\"x", s(0)),
        ("max-age=\"\\7\"", s(0)),
        ("max-age=-7", s(0)),
        ("max-age=+7", s(0)),
        ("max-age=7.5", s(0)),
        ("max-age=7;x", s(0)),
        ("max-age=0x7", s(0)),
        ("max-age=7 8", s(0)),
        ("max-age==7", s(0)),
        ("max-age=²", s(0)),
        // The most restrictive of several.
        ("max-age=7, max-age=8", s(7)),
        ("max-age=8, max-age=7", s(7)),
        ("max-age=8, max-age=x", s(0)),
        ("max-age=x, MAX-AGE=8", s(0)),
        // Another's name, or another's argument.
        ("max-age7", None),
        ("max_age=7", None),
        ("max-age:7", None),
        ("=max-age=7", None),
        ("foo=\"max-age=7\"", None),
        ("foo=\"a, max-age=7, b\"", None),
        ("foo=\"a\\\", max-age=7\"", None),
        ("foo=\"a\\\\\", max-age=7", s(7)),
        ("foo=\"a, b\"x, max-age=7", s(7)),
    ] {
        assert_eq!(answer(text).max_age, expected, "{text}");
        for other in ["s-maxage", "stale-while-revalidate", "stale-if-error"] {
            let text = text.replace("max-age", other).replace("MAX-AGE", other);
            let read = answer(&text);
            let found = [read.s_maxage, read.stale_while_revalidate, read.stale_if_error];
            assert_eq!(found.into_iter().flatten().next(), expected, "{text}");
            assert_eq!(read.max_age, None, "{text}");
        }
    }
}

#[test]
fn what_forbids_is_not_lost_in_bad_syntax() {
    for text in [
        "no-store=1",
        "no-store=\"x\"",
        "no-store =1",
        "no-store\t=",
        "max-age=7 no-store, no-store",
        // Quotes that are no strings hide nothing.
        "max-age=\"7, no-store",
        "foo=\"a\\\", no-store",
        "foo=b\"c, no-store, d=\"e\"",
        "\"foo, no-store, \"",
        "foo= \"a, no-store, b\"",
        "foo=\", no-store",
    ] {
        assert!(answer(text).no_store, "{text}");
        let private = text.replace("no-store", "private");
        assert!(answer(&private).private, "{private}");
    }
    for text in ["foo=\"no-store\"", "foo=\"a, no-store, b\"", "no-stores", "no store", "xno-store"]
    {
        assert!(!answer(text).no_store, "{text}");
    }
}

#[test]
fn fields_that_are_not_served_without_asking() {
    for (text, whole, names) in [
        ("no-cache=\"a, b\"", false, &["a", "b"][..]),
        ("no-cache=\"A ,,b, \"", false, &["a", "b"]),
        ("no-cache=a", false, &["a"]),
        ("no-cache=\"a\", no-cache=\"b\"", false, &["a", "b"]),
        ("no-cache=\"a\", no-cache", true, &["a"]),
        ("no-cache=", true, &[]),
        ("no-cache=\"\"", true, &[]),
        ("no-cache=\" , \"", true, &[]),
        // A name that cannot be read could be any.
        ("no-cache=\"a b\"", true, &[]),
        ("no-cache=\"a, b c\"", true, &[]),
        ("no-cache=\"a\\b\"", true, &[]),
        ("no-cache =\"a\"", true, &[]),
        ("no-cache= \"a\"", true, &[]),
        ("no-cache=\"a, b", true, &[]),
    ] {
        let read = answer(text);
        assert_eq!((read.no_cache, read.no_cache_fields), (whole, fields(names)), "{text}");
    }
}

#[test]
fn several_fields_are_one_list() {
    let read = AnswerDirectives::of(&map(&[
        ("cache-control", b"max-age=9, foo=\"a"),
        ("cache-control", b"public, max-age=7"),
        ("cache-control", b""),
    ]));
    assert_eq!(read, AnswerDirectives { public: true, max_age: s(7), ..plain() });
}

#[test]
fn bytes_that_are_no_text_spoil_their_member_only() {
    let read = AnswerDirectives::of(&map(&[
        ("cache-control", b"\xff, max-age=7, s-maxage=\xff, foo=\"\xff, no-store\", private\xff"),
        ("cache-control", b"\x80no-store, immutable"),
    ]));
    let expected = AnswerDirectives { max_age: s(7), s_maxage: s(0), immutable: true, ..plain() };
    assert_eq!(read, expected);
}

#[test]
fn the_targeted_field_speaks_alone() {
    let targeted = || AnswerDirectives { targeted: true, ..plain() };
    for (text, expected) in [
        ("max-age=7", AnswerDirectives { max_age: s(7), ..targeted() }),
        ("max-age=7;x=y, foo=(1 2);a", AnswerDirectives { max_age: s(7), ..targeted() }),
        ("foo", targeted()),
        ("no-store", AnswerDirectives { no_store: true, ..targeted() }),
        ("no-store=?0", targeted()),
        ("private=?0, no-cache=?0", targeted()),
        ("private", AnswerDirectives { private: true, ..targeted() }),
        ("private=\"a\"", AnswerDirectives { private: true, ..targeted() }),
        ("no-cache", AnswerDirectives { no_cache: true, ..targeted() }),
        (
            "no-cache=\"a, b\"",
            AnswerDirectives { no_cache_fields: fields(&["a", "b"]), ..targeted() },
        ),
        ("no-cache=\"a b\"", AnswerDirectives { no_cache: true, ..targeted() }),
        // RFC 9651, section 3.2: the last of several of a name counts.
        ("max-age=7, max-age=8", AnswerDirectives { max_age: s(8), ..targeted() }),
        ("max-age=-7", AnswerDirectives { max_age: s(0), ..targeted() }),
        ("max-age=999999999999999", AnswerDirectives { max_age: s(1 << 31), ..targeted() }),
        (
            "s-maxage=1, stale-while-revalidate=2, stale-if-error=3, public, must-revalidate, \
             proxy-revalidate, must-understand, no-transform, immutable",
            AnswerDirectives {
                s_maxage: s(1),
                stale_while_revalidate: s(2),
                stale_if_error: s(3),
                public: true,
                must_revalidate: true,
                proxy_revalidate: true,
                must_understand: true,
                no_transform: true,
                immutable: true,
                ..targeted()
            },
        ),
    ] {
        let read = AnswerDirectives::of(&map(&[
            ("cache-control", b"no-store, max-age=99, private"),
            ("cdn-cache-control", text.as_bytes()),
        ]));
        assert_eq!(read, expected, "{text}");
    }
}

#[test]
fn a_targeted_field_that_cannot_be_read_is_ignored_whole() {
    for text in [
        &b""[..],
        b"   ",
        b"no-store, max-age=",
        b"no-store, max-age",
        b"no-store, max-age=\"7\"",
        b"no-store, max-age=7.5",
        b"no-store, max-age=x",
        b"no-store, max-age=(1)",
        b"no-store, max-age=1000000000000000",
        b"no-store, s-maxage=?1",
        b"no-store, stale-if-error=@7",
        b"no-store=1",
        b"no-store=\"x\"",
        b"no-store, public=x",
        b"no-store, private=7",
        b"no-store, no-cache=(a b)",
        b"no-store,",
        b"no-store,, immutable",
        b"No-Store",
        b"no-store max-age",
        b"no-store, foo=\xff",
        b"no-store, foo=\"a",
    ] {
        let headers = map(&[("cache-control", b"max-age=7"), ("cdn-cache-control", text)]);
        let read = AnswerDirectives::of(&headers);
        assert_eq!(read, AnswerDirectives { max_age: s(7), ..plain() }, "{text:?}");
    }
}

#[test]
fn several_targeted_fields_are_one_dictionary() {
    let two = |second: &[u8]| {
        AnswerDirectives::of(&map(&[
            ("cdn-cache-control", b"max-age=7"),
            ("cdn-cache-control", second),
            ("cache-control", b"no-store"),
        ]))
    };
    let expected = AnswerDirectives { targeted: true, max_age: s(7), immutable: true, ..plain() };
    assert_eq!(two(b"immutable"), expected);
    assert_eq!(two(b"="), AnswerDirectives { no_store: true, ..plain() });
    assert_eq!(two(b"\xff"), AnswerDirectives { no_store: true, ..plain() });
}

#[test]
fn every_directive_of_a_request() {
    let none = RequestDirectives::default;
    let most = Some(MOST);
    for (text, expected) in [
        ("", none()),
        ("foo, bar=1, public, private", none()),
        ("no-cache", RequestDirectives { no_cache: true, ..none() }),
        ("no-cache=x", RequestDirectives { no_cache: true, ..none() }),
        ("no-store", RequestDirectives { no_store: true, ..none() }),
        ("only-if-cached", RequestDirectives { only_if_cached: true, ..none() }),
        ("max-age=7", RequestDirectives { max_age: s(7), ..none() }),
        ("max-age=7, max-age=6", RequestDirectives { max_age: s(6), ..none() }),
        ("max-age", RequestDirectives { max_age: s(0), ..none() }),
        ("max-age=x", RequestDirectives { max_age: s(0), ..none() }),
        ("min-fresh=7", RequestDirectives { min_fresh: s(7), ..none() }),
        ("min-fresh=7, min-fresh=8", RequestDirectives { min_fresh: s(8), ..none() }),
        ("min-fresh=8, min-fresh=7", RequestDirectives { min_fresh: s(8), ..none() }),
        ("min-fresh", RequestDirectives { min_fresh: most, ..none() }),
        ("min-fresh=x", RequestDirectives { min_fresh: most, ..none() }),
        ("min-fresh=", RequestDirectives { min_fresh: most, ..none() }),
        ("max-stale=7", RequestDirectives { max_stale: s(7), ..none() }),
        ("max-stale=7, max-stale=6", RequestDirectives { max_stale: s(6), ..none() }),
        ("max-stale", RequestDirectives { max_stale: most, ..none() }),
        ("max-stale, max-stale=6", RequestDirectives { max_stale: s(6), ..none() }),
        ("max-stale=x", RequestDirectives { max_stale: s(0), ..none() }),
        ("max-stale=", RequestDirectives { max_stale: s(0), ..none() }),
        ("max-stale =7", RequestDirectives { max_stale: s(0), ..none() }),
        ("max-stale=99999999999999999999", RequestDirectives { max_stale: most, ..none() }),
        (
            "no-cache,no-store,only-if-cached,max-age=1,min-fresh=2,max-stale=3",
            RequestDirectives {
                no_cache: true,
                no_store: true,
                only_if_cached: true,
                max_age: s(1),
                min_fresh: s(2),
                max_stale: s(3),
            },
        ),
    ] {
        assert_eq!(request(text), expected, "{text}");
        assert_eq!(request(&text.to_ascii_uppercase()), expected, "{text} in capitals");
    }
    assert_eq!(RequestDirectives::of(&HeaderMap::new()), none());
}

#[test]
fn pragma_counts_where_there_is_no_cache_control() {
    for (fields, no_cache) in [
        (&[("pragma", &b"no-cache"[..])][..], true),
        (&[("pragma", b"foo, No-Cache")], true),
        (&[("pragma", b"foo"), ("pragma", b"no-cache")], true),
        (&[("pragma", b"foo=\"a, no-cache\"")], false),
        (&[("pragma", b"no-store")], false),
        (&[("pragma", b"no-cache"), ("cache-control", b"max-age=7")], false),
        (&[("pragma", b"no-cache"), ("cache-control", b"")], false),
        (&[("accept", b"no-cache")], false),
    ] {
        assert_eq!(RequestDirectives::of(&map(fields)).no_cache, no_cache, "{fields:?}");
    }
    // RFC 9111, section 5.4: of an answer's, nothing is defined.
    assert_eq!(AnswerDirectives::of(&map(&[("pragma", b"no-cache")])), plain());
}
