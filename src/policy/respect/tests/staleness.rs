//! Section 4.2.4 and 5.2.2: what may be served stale.

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
