//! What holds for any bytes.

use proptest::prelude::*;

use super::*;

/// Bytes that have something to do with the grammar, and some that have not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            &b"no-store"[..], b"private", b"no-cache", b"max-age", b"s-maxage", b"max-stale",
            b"min-fresh", b"=", b",", b"\"", b"\\", b" ", b"\t", b"7", b"(", b";", b"?1", b":", b"@",
        ]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read(first in bytes(), second in bytes()) {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("cache-control", &first), ("cdn-cache-control", &second), ("pragma", &first),
            ("cache-control", &second),
        ] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(name, value);
            }
        }
        let read = AnswerDirectives::of(&headers);
        let figures = [read.max_age, read.s_maxage, read.stale_if_error];
        prop_assert!(figures.into_iter().flatten().all(|figure| figure <= MOST));
        let wishes = RequestDirectives::of(&headers);
        headers.remove("cache-control");
        let by_pragma = RequestDirectives::of(&headers);
        let alone = RequestDirectives { no_cache: by_pragma.no_cache, ..Default::default() };
        prop_assert_eq!(by_pragma, alone);
        prop_assert!(wishes.min_fresh.is_none_or(|figure| figure <= MOST));
    }

    #[test]
    fn a_directive_on_its_own_line_always_counts(before in bytes(), after in bytes()) {
        let mut headers = HeaderMap::new();
        for value in [&before[..], b"no-store, private, max-age=7", &after] {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append("cache-control", value);
            }
        }
        let read = AnswerDirectives::of(&headers);
        prop_assert!(read.no_store && read.private && read.max_age <= s(7));
    }

    #[test]
    fn quoted_or_not_a_figure_is_the_same(figure in any::<u64>()) {
        let expected = s(figure.min(1 << 31));
        prop_assert_eq!(answer(&format!("max-age={figure}")).max_age, expected);
        prop_assert_eq!(answer(&format!("foo,max-age=\"{figure}\"")).max_age, expected);
        prop_assert_eq!(seconds(figure.to_string().as_bytes()), expected);
    }

    #[test]
    fn the_members_of_a_list_come_back_as_they_went_in(
        members in prop::collection::vec(("[a-z-]{1,8}", prop::option::of("[a-z0-9 ,=]{0,8}")), 0..8),
    ) {
        let spelt: Vec<String> = members.iter().map(|(name, argument)| match argument {
            Some(argument) => format!("{name}=\"{argument}\""),
            None => name.clone(),
        }).collect();
        let text = spelt.join(" , ");
        let read: Vec<_> = List(text.as_bytes()).collect();
        let expected: Vec<_> = members
            .iter()
            .map(|(name, argument)| (name.as_bytes(), argument.as_deref().map(str::as_bytes)))
            .collect();
        prop_assert_eq!(read, expected);
    }
}
