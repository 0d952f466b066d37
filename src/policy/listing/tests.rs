use std::num::NonZeroU32;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::policy::endpoint::{CacheRule, EndpointId, KeyRule, Methods, PageTokenRule, WholeRule};

fn rule() -> PageTokenRule {
    PageTokenRule {
        request: "token".into(),
        response: "next".into(),
        lifetime: Duration::from_secs(900),
        margin: Duration::from_secs(120),
        all: Some(WholeRule {
            parameter: "page".into(),
            value: "all".into(),
            items: "users".into(),
            max_pages: 100,
            max_bytes: 1 << 20,
        }),
    }
}

fn endpoint(page_token: Option<PageTokenRule>) -> Endpoint {
    Endpoint {
        id: EndpointId::new("list"),
        methods: Methods::Any,
        path: "/list".into(),
        label: None,
        parameters: Vec::new(),
        key: KeyRule::Every,
        cache: CacheRule::Off,
        when: Vec::new(),
        page_token,
    }
}

fn merge(max_bytes: usize) -> Merge {
    let mut rule = rule();
    let mut whole = rule.all.take().unwrap();
    whole.max_bytes = max_bytes;
    Merge::new(&rule, &whole)
}

/// The merged text, and what the pages said.
fn merged(pages: &[&str]) -> Result<(String, Vec<Page>), ListingFault> {
    let mut merge = merge(1 << 20);
    let said = pages.iter().map(|page| merge.add(page.as_bytes())).collect::<Result<_, _>>()?;
    Ok((String::from_utf8(merge.finish()).unwrap(), said))
}

#[test]
fn a_whole_listing_is_asked_for_in_one_way_only() {
    let on = endpoint(Some(rule()));
    let asked = |query: &str| {
        let asked = Extent::asked(&on, &Method::GET, Some(query));
        asked.map_err(|bad| bad.to_string())
    };
    assert_eq!(asked("page=all"), Ok(Extent::Whole));
    assert_eq!(asked("size=3&pa%67e=%61ll&token="), Ok(Extent::Whole));
    assert_eq!(asked("size=3&token=x"), Ok(Extent::Page));
    for (query, wrong) in [
        ("page=ALL", "parameter \"page\": must be all, for all pages in one answer"),
        ("page=", "parameter \"page\": must be all, for all pages in one answer"),
        ("page=2", "parameter \"page\": must be all, for all pages in one answer"),
        ("page=all&page=all", "parameter \"page\": is given more than once"),
        (
            "page=all&token=x",
            "parameter \"token\": cannot be given with page=all, which begins at the first page",
        ),
    ] {
        assert_eq!(asked(query), Err(wrong.to_owned()), "{query}");
    }
    let post = Extent::asked(&on, &Method::POST, Some("page=all")).unwrap_err();
    assert_eq!(post.to_string(), "parameter \"page\": is for GET and HEAD");
    assert_eq!(Extent::asked(&on, &Method::HEAD, Some("page=all")), Ok(Extent::Whole));
    assert_eq!(Extent::asked(&on, &Method::GET, None), Ok(Extent::Page));
    for off in [endpoint(None), endpoint(Some(PageTokenRule { all: None, ..rule() }))] {
        assert_eq!(Extent::asked(&off, &Method::GET, Some("page=all")), Ok(Extent::Page));
    }
}

#[test]
fn the_first_page_gives_the_members_and_all_give_items() {
    for (pages, expected) in [
        (
            vec![
                r#"{"page_size":2,"next":"a","users":[{"id":1}, {"id" : 2}],"total_records":3}"#,
                r#"{"page_size":2,"next":"","users":[ {"id":3} ],"other":true}"#,
            ],
            r#"{"page_size":2,"next":"","users":[{"id":1},{"id" : 2},{"id":3}],"total_records":3}"#,
        ),
        (
            vec![r#" {"users" : [],"page_count":2,"next":"a"}"#, r#"{"next":null,"users":[1]}"#],
            r#"{"users":[1],"page_count":1,"next":""}"#,
        ),
        (vec![r#"{"users":null}"#], r#"{"users":[]}"#),
        (vec![r#"{"next":false,"users":[]}"#], r#"{"next":false,"users":[]}"#),
        (
            vec![r#"{"a\"\u00e9":{"users":[9]},"users":[null]}"#],
            r#"{"a\"é":{"users":[9]},"users":[null]}"#,
        ),
    ] {
        assert_eq!(merged(&pages).unwrap().0, expected);
    }
}

#[test]
fn numbers_and_texts_survive_as_they_were_written() {
    let odd = r#"[1e400,0.1,12345678901234567890,-0,1.0,"\u0041\/",{"b":1,"a":2,"b":3}]"#;
    let page = format!(r#"{{"users":{odd},"big":1e999}}"#);
    assert_eq!(merged(&[&page]).unwrap().0, page);
}

#[test]
fn a_page_says_what_comes_next_and_how_much_there_is() {
    let page = |text: &str| merged(&[text]).unwrap().1.remove(0);
    let full = page(
        r#"{"page_count":7,"total_records":601,"page_size":100,"next":"\u0061+/=","users":[1,2]}"#,
    );
    assert_eq!(full.next.as_deref(), Some("a+/="));
    let counts = Counts { pages: Some(7), records: Some(601), size: Some(100), items: 2 };
    assert_eq!(full.counts, counts);
    for (text, estimate) in [
        (r#"{"page_count":7,"users":[1]}"#, Some(7)),
        (r#"{"total_records":601,"page_size":100,"users":[1]}"#, Some(7)),
        (r#"{"total_records":600,"page_size":100,"users":[1]}"#, Some(6)),
        (r#"{"total_records":9,"page_size":0,"users":[1,2]}"#, Some(5)),
        (r#"{"total_records":9,"users":[1,2]}"#, Some(5)),
        (r#"{"total_records":9,"users":[]}"#, None),
        (r#"{"page_count":"7","total_records":-1,"page_size":2.5,"users":[1]}"#, None),
        (r#"{"users":[1]}"#, None),
    ] {
        assert_eq!(page(text).counts.estimate(), estimate, "{text}");
    }
}

#[test]
fn what_is_not_a_page_is_not_taken_for_one() {
    let first = r#"{"next":"a","users":[1]}"#;
    for bad in [
        "",
        "<html>",
        "[1]",
        "{}",
        r#"{"users":{}}"#,
        r#"{"users":"x"}"#,
        r#"{"users":[1]"#,
        r#"{"users":[1]} x"#,
        r#"{"users":[1],"users":[2]}"#,
        r#"{"users":[1],"next":"a","next":""}"#,
        r#"{"users":[1],"next":3}"#,
        r#"{"users":[1],"next":["a"]}"#,
        r#"{"users":[1],"next":true}"#,
    ] {
        let fault = |page| ListingFault::Unusable {
            page,
            why: "it is not one JSON object with the endpoint's items as an array",
        };
        assert_eq!(merged(&[bad]).unwrap_err(), fault(1), "{bad}");
        assert_eq!(merged(&[first, bad]).unwrap_err(), fault(2), "{bad}");
    }
    let long = format!(r#"{{"users":[],"next":"{}"}}"#, "x".repeat(4097));
    assert!(matches!(merged(&[&long]), Err(ListingFault::Unusable { page: 1, .. })));
}

#[test]
fn a_listing_may_be_as_large_as_the_rule_says_and_no_byte_larger() {
    let pages = [r#"{"next":"a","users":["aaaa"],"x":1}"#, r#"{"next":"","users":["bb"]}"#];
    let whole = r#"{"next":"","users":["aaaa","bb"],"x":1}"#;
    let filled = |max_bytes| {
        let mut merge = merge(max_bytes);
        pages.iter().try_for_each(|page| merge.add(page.as_bytes()).map(|_| ()))?;
        Ok(String::from_utf8(merge.finish()).unwrap())
    };
    assert_eq!(filled(whole.len()), Ok(whole.to_owned()));
    for max_bytes in 0..whole.len() {
        assert_eq!(filled(max_bytes), Err(ListingFault::TooLarge { max_bytes }));
    }
}

#[test]
fn what_is_left_to_ask_for_is_one_at_least() {
    for (walked, estimate, left) in [
        (1, Some(7), 6),
        (7, Some(7), 1),
        (9, Some(7), 1),
        (3, None, 1),
        (1, Some(u64::MAX), u64::MAX - 1),
    ] {
        assert_eq!(rest(walked, estimate), left, "{walked} {estimate:?}");
    }
}

#[test]
fn the_pace_and_the_time_bound_what_can_be_asked_for() {
    let seconds = Duration::from_secs;
    let window = |limit, per| WindowSpec { limit: NonZeroU32::new(limit).unwrap(), per };
    let (second, minute) = (window(10, seconds(1)), window(60, seconds(60)));
    assert_eq!(most_in([second], seconds(30)), Some(310));
    assert_eq!(most_in([second, minute], seconds(30)), Some(60));
    assert_eq!(most_in([second], Duration::ZERO), Some(10));
    assert_eq!(most_in([], seconds(30)), None);
    for (rest, most, fastest, fit) in [
        (310, Some(310), None, true),
        (311, Some(310), None, false),
        (30, None, Some(seconds(1)), true),
        (31, None, Some(seconds(1)), false),
        (u64::MAX, None, Some(Duration::ZERO), false),
        (u64::MAX, None, None, true),
    ] {
        assert_eq!(fits(rest, most, fastest, seconds(30)), fit, "{rest} {most:?} {fastest:?}");
    }
    assert!(may_restart(seconds(15), seconds(15)) && !may_restart(seconds(16), seconds(15)));
}

#[test]
fn only_some_answers_are_about_the_token() {
    for (status, about) in [
        (400, true),
        (410, true),
        (422, true),
        (401, false),
        (404, false),
        (429, false),
        (500, false),
    ] {
        assert_eq!(refuses_token(StatusCode::from_u16(status).unwrap()), about, "{status}");
    }
}

/// Any JSON, as somebody else would write it.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let member = (any::<String>(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|all| format!("[ {} ]", all.join(" ,\n"))),
            prop::collection::vec(member, 0..4).prop_map(|all| {
                let member = |(name, value)| format!("{}: {value}", Value::from(name));
                format!("{{{}}}", all.into_iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn merging_is_concatenation(
        pages in prop::collection::vec(prop::collection::vec(json(), 0..5), 1..6),
        before in json(),
        after in json(),
    ) {
        let last = pages.len() - 1;
        let mut merge = merge(1 << 20);
        for (at, items) in pages.iter().enumerate() {
            let next = if at == last { String::new() } else { format!("t{at}") };
            let items = items.join(", ");
            let text = format!(
                r#"{{"before":{before}, "next":"{next}","users":[{items}],"after":{after}}}"#
            );
            let page = merge.add(text.as_bytes()).unwrap();
            prop_assert_eq!(page.next.unwrap_or_default(), next);
            prop_assert_eq!(page.counts.items, pages[at].len() as u64);
        }
        let all = pages.concat().join(",");
        let expected = format!(r#"{{"before":{before},"next":"","users":[{all}],"after":{after}}}"#);
        prop_assert_eq!(String::from_utf8(merge.finish()).unwrap(), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _judged = merge(64).add(&bytes);
    }
}
