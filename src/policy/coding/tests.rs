use proptest::prelude::*;

use super::*;

fn asking(fields: &[&str]) -> HeaderMap {
    fields.iter().map(|field| (ACCEPT_ENCODING, field.parse().unwrap())).collect()
}

#[test]
fn the_highest_weight_wins() {
    for (fields, expected) in [
        // RFC 9110, section 12.5.3: no field, no wish; an empty one asks for identity
        (vec![], Identity),
        (vec![""], Identity),
        (vec![" , ,"], Identity),
        // the quick way and its equals
        (vec!["gzip, deflate, br, zstd"], Zstd),
        (vec!["gzip, deflate, br"], Brotli),
        (vec!["gzip, compress, deflate, br"], Brotli),
        (vec!["br, gzip, deflate"], Brotli),
        (vec!["gzip"], Gzip),
        (vec!["gzip, deflate"], Gzip),
        (vec!["deflate, gzip"], Gzip),
        (vec!["gzip,deflate"], Gzip),
        (vec!["identity"], Identity),
        (vec!["zstd,br,gzip"], Zstd),
        (vec!["deflate"], Identity),
        // weights, section 12.4.2
        (vec!["zstd;q=0.5, gzip;q=0.8"], Gzip),
        (vec!["zstd;q=0.5, br;q=0.501, gzip;q=0.500"], Brotli),
        (vec!["zstd;q=0.9 , br"], Brotli),
        (vec!["gzip;q=1.000, br;q=0.999"], Gzip),
        (vec!["gzip;q=0."], Identity),
        (vec!["gzip\t;\tQ=0.1"], Gzip),
        // names ignore case, section 8.4.1; x-gzip, section 8.4.1.3
        (vec!["GZip"], Gzip),
        (vec!["X-GZIP;q=0.3"], Gzip),
        (vec!["BR;q=0.2, ZSTD;q=0.3"], Zstd),
        // the star is everything that is not named
        (vec!["*"], Zstd),
        (vec!["*;q=0.1, br"], Brotli),
        (vec!["zstd;q=0, *"], Brotli),
        (vec!["gzip;q=0.5, *;q=0"], Gzip),
        (vec!["*;q=0"], Identity),
        (vec!["*;q=0.5, zstd;q=0.1, br;q=0.1, gzip;q=0.1"], Identity),
        // identity is a wish where it is named, and a last resort where it is not
        (vec!["identity, gzip;q=0.5"], Identity),
        (vec!["identity, gzip"], Gzip),
        (vec!["identity;q=0.5, gzip;q=0.5"], Gzip),
        (vec!["gzip;q=0.001"], Gzip),
        (vec!["identity;q=0, gzip;q=0.001"], Gzip),
        (vec!["identity;q=0"], Identity),
        (vec!["identity;q=0, *;q=0"], Identity),
        (vec!["gzip;q=0"], Identity),
        // several fields are one list, section 5.3
        (vec!["gzip", "br;q=0.5"], Gzip),
        (vec!["gzip, deflate, br", "br;q=0"], Gzip),
        (vec!["identity", "gzip;q=0.9"], Identity),
        // a refusal is not overruled
        (vec!["gzip;q=0, gzip"], Identity),
        (vec!["gzip, x-gzip;q=0"], Identity),
    ] {
        assert_eq!(choose(&asking(&fields), &PREFERRED), expected, "{fields:?}");
    }
}

#[test]
fn a_malformed_element_is_as_good_as_absent() {
    for element in [
        "zstd;q=1.1",
        "zstd;q=2",
        "zstd;q=-1",
        "zstd;q=0.1234",
        "zstd;q=.5",
        "zstd;q=1.001",
        "zstd;q=0,5",
        "zstd;q=",
        "zstd;q",
        "zstd;",
        "zstd; q = 1",
        "zstd;level=3",
        "zstd;q=1;level=3",
        "zstd;q=0x1",
        "zs td",
        "zstdx",
        "\"zstd\"",
        "*;q=9",
    ] {
        let fields = format!("{element}, gzip;q=0.1");
        assert_eq!(choose(&asking(&[&fields]), &PREFERRED), Gzip, "{element}");
    }
}

#[test]
fn only_what_is_offered_and_the_first_of_equals() {
    let all = asking(&["gzip, deflate, br, zstd"]);
    for (offered, expected) in [
        (&[][..], Identity),
        (&[Identity][..], Identity),
        (&[Gzip], Gzip),
        (&[Gzip, Zstd], Gzip),
        (&[Brotli, Gzip], Brotli),
    ] {
        assert_eq!(choose(&all, offered), expected, "{offered:?}");
    }
}

#[test]
fn the_quick_way_agrees_with_the_long_one() {
    for value in [
        "gzip, deflate, br, zstd",
        "gzip, deflate, br",
        "br, gzip, deflate",
        "gzip, compress, deflate, br",
        "gzip",
        "gzip, deflate",
        "deflate, gzip",
        "gzip,deflate",
        "identity",
    ] {
        assert!(common(value.as_bytes()).is_some(), "{value}");
        // The same list, by a spelling that the quick way does not know.
        let spelled = format!("{value},");
        assert!(common(spelled.as_bytes()).is_none());
        for offered in [&PREFERRED[..], &[Gzip], &[Brotli], &[Zstd]] {
            let quick = choose(&asking(&[value]), offered);
            assert_eq!(quick, choose(&asking(&[&spelled]), offered), "{value} {offered:?}");
        }
    }
}

#[test]
fn identity_has_no_field() {
    assert_eq!(Identity.field(), None);
    for (coding, name) in [(Gzip, "gzip"), (Brotli, "br"), (Zstd, "zstd")] {
        assert_eq!(coding.field().unwrap(), name);
    }
}

fn name(coding: Coding) -> &'static str {
    coding.token().unwrap_or("identity")
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            choose(&[(ACCEPT_ENCODING, value)].into_iter().collect(), &PREFERRED);
        }
    }

    /// Each coding once, with a weight in thousandths: the answer is one of the heaviest, and
    /// refused only if all are.
    #[test]
    fn the_answer_is_never_refused_while_another_is_welcome(
        weights in proptest::array::uniform4(prop_oneof![Just(0_u16), 0..=1000_u16]),
    ) {
        let codings = [Identity, Gzip, Brotli, Zstd];
        let said = |(coding, weight): (Coding, u16)| {
            format!("{};q={}.{:03}", name(coding), weight / 1000, weight % 1000)
        };
        let said: Vec<_> = codings.into_iter().zip(weights).map(said).collect();
        let chosen = choose(&asking(&[&said.join(", ")]), &PREFERRED);
        let at = codings.iter().position(|&coding| coding == chosen).unwrap();
        prop_assert_eq!(weights[at], weights.into_iter().max().unwrap(), "{:?}", said);
    }
}
