use proptest::prelude::*;

use super::super::endpoint::{CacheRule, EndpointId, Methods};
use super::query::MAX_PARAMETERS;
use super::*;

fn users() -> Endpoint {
    let one_of = |values: &[&str]| ParameterKind::OneOf(values.iter().map(|&v| v.into()).collect());
    let parameter = |name: &str, kind, default: Option<&str>| Parameter {
        name: name.to_owned(),
        kind,
        default: default.map(str::to_owned),
        required: false,
    };
    Endpoint {
        id: EndpointId::new("list-session-users"),
        methods: Methods::Any,
        path: "/videosdk/sessions/{sessionId}/users".to_owned(),
        label: None,
        parameters: vec![
            parameter("next_page_token", ParameterKind::Text { max_length: 8 }, None),
            parameter("page_size", ParameterKind::Integer { min: 1, max: 300 }, Some("30")),
            parameter("type", one_of(&["live", "past"]), Some("live")),
        ],
        key: KeyRule::Every,
        cache: CacheRule::Off,
        when: Vec::new(),
        page_token: None,
    }
}

fn canonical(id: &str, query: &str) -> Result<Canonical, BadParameter> {
    Canonical::new(&users(), [("sessionId", id)], Some(query))
}

#[test]
fn defaults_order_and_spelling_do_not_matter() {
    let plain = canonical("abc", "").unwrap();
    for query in [
        "type=live",
        "page_size=30",
        "page_size=030&type=live",
        "&&type=live&page_size=30&",
        "type=%6Cive&page%5Fsize=30",
        "next_page_token=",
        "access_token=secret&type=live",
    ] {
        assert_eq!(canonical("%61bc", query).unwrap(), plain, "{query}");
    }
    let target = plain.target(&users().path, Spelling::Plain);
    assert_eq!(target, "/videosdk/sessions/abc/users?page_size=30&type=live");
}

#[test]
fn bad_values_name_the_parameter_and_what_would_be_right() {
    for (query, name, why) in [
        ("type=foo", "type", "must be one of live, past"),
        ("type=", "type", "must be one of live, past"),
        ("type=LIVE", "type", "must be one of live, past"),
        ("page_size=0", "page_size", "must be a whole number from 1 to 300"),
        ("page_size=301", "page_size", "must be a whole number from 1 to 300"),
        ("page_size=abc", "page_size", "must be a whole number from 1 to 300"),
        ("page_size=+5", "page_size", "must be a whole number from 1 to 300"),
        ("page_size=", "page_size", "must be a whole number from 1 to 300"),
        ("page_size=99999999999999999999", "page_size", "must be a whole number from 1 to 300"),
        ("type=live&type=live", "type", "is given more than once"),
        ("next_page_token=123456789", "next_page_token", "must not be longer than 8 bytes"),
        ("other=%FF", "other", "is not UTF-8 once percent-decoded"),
    ] {
        let error = canonical("abc", query).unwrap_err();
        assert_eq!((error.name.as_str(), error.why.as_str()), (name, why), "{query}");
    }
    let many = "x=1&".repeat(MAX_PARAMETERS + 1);
    assert!(canonical("abc", &many).unwrap_err().why.contains("more than 64"));
}

#[test]
fn what_is_not_in_the_key_is_not_sent() {
    let mut endpoint = users();
    endpoint.key = KeyRule::Only(vec!["sessionId".into(), "type".into()]);
    let canonical =
        Canonical::new(&endpoint, [("sessionId", "a")], Some("_=1&page_size=5")).unwrap();
    let target = canonical.target(&endpoint.path, Spelling::Plain);
    assert_eq!(target, "/videosdk/sessions/a/users?type=live");
}

#[test]
fn undeclared_parameters_pass_and_tell_requests_apart() {
    let one = canonical("a", "b=2&a=1&b=1").unwrap();
    assert_eq!(one, canonical("a", "b=2&b=1&a=1").unwrap());
    assert_ne!(one, canonical("a", "b=1&b=2&a=1").unwrap());
    assert!(
        one.target(&users().path, Spelling::Plain).ends_with("?a=1&b=2&b=1&page_size=30&type=live")
    );
}

#[test]
fn templates_are_filled_with_one_encoding_and_catch_alls_as_they_came() {
    for (template, values, expected) in [
        ("/a/{b}/c", vec![("b", "x/y z%")], "/a/x%2Fy%20z%25/c"),
        ("/a/{b}.json", vec![("b", "é")], "/a/%C3%A9.json"),
        ("/{*rest}", vec![("rest", "x/%2Fy")], "/x/%2Fy"),
        ("/{*rest}", vec![], "/"),
        ("/{{b}}/{c}", vec![("c", "1")], "/%7Bb%7D/1"),
    ] {
        assert_eq!(render(template, &Canonical::of(&values, &[]), Spelling::Plain), expected);
    }
}

type Question = (Vec<(String, String)>, String);

/// A template, and raw captures and queries for it that are seldom far from one another.
fn two_questions() -> impl Strategy<Value = (&'static str, Question, Question)> {
    let segment = "([ab.]|%2[EF5]|%2e|%C3%A9|%3F){1,3}";
    let rest = "([ab./]|%2[EF5]|%2f){0,4}";
    let query = "([ab=&+?/]|%3D|%26|%2B|%20|%25|a=|a=%2[0B]){0,5}";
    let templates = [
        ("/{b}/c", vec![("b", segment)]),
        ("/{b}/{c}", vec![("b", segment), ("c", segment)]),
        ("/{b}.json", vec![("b", segment)]),
        ("/x/{*rest}", vec![("rest", rest)]),
        ("/{b}/{*rest}", vec![("b", segment), ("rest", rest)]),
    ];
    prop::sample::select(templates.to_vec()).prop_flat_map(move |(template, names)| {
        let question = move || {
            let values: Vec<_> =
                names.iter().map(|&(name, pattern)| (Just(name.to_owned()), pattern)).collect();
            (values, query)
        };
        (Just(template), question(), question())
    })
}

/// A path with a session id in it, each of its odd characters encoded some times, or nearly so.
fn near_id() -> impl Strategy<Value = String> {
    let slash = prop::sample::select(vec!["/", "%2F", "%252F", "%25252F", "%2525252F", "%2f", "x"]);
    let equals = prop::sample::select(vec!["=", "%3D", "%253D", "%25253D", "%2525253D", "x"]);
    (slash, equals.clone(), equals).prop_map(|(slash, one, two)| {
        format!("/videosdk/sessions/abc{slash}efghijklmnopqrstuv{one}{two}/users")
    })
}

proptest! {
    #[test]
    fn different_questions_never_share_a_spelling(a in ".{0,6}", b in ".{0,6}") {
        let ask = |text: &str| {
            let raw = encode_segment(text, EncodeTimes::Once).into_owned();
            let query = format!("q={raw}");
            canonical(&raw, &query).unwrap().target(&users().path, Spelling::Plain)
        };
        prop_assert_eq!(a == b, ask(&a) == ask(&b));
    }

    /// What the upstream is asked tells entries apart, and nothing else does.
    #[test]
    fn questions_are_equal_where_what_is_sent_is_equal(
        (template, a, b) in two_questions(),
        only in prop::option::of(Just(vec!["a".to_owned()])),
    ) {
        let mut endpoint = users();
        template.clone_into(&mut endpoint.path);
        if let Some(only) = only {
            endpoint.key = KeyRule::Only(only);
        }
        let ask = |(path, query): &(Vec<(String, String)>, String)| {
            let captures = path.iter().map(|(name, raw)| (name.as_str(), raw.as_str()));
            Canonical::new(&endpoint, captures, Some(query)).ok()
        };
        if let (Some(a), Some(b)) = (ask(&a), ask(&b)) {
            let target = |one: &Canonical| one.target(&endpoint.path, Spelling::Plain);
            prop_assert_eq!(a == b, target(&a) == target(&b), "{:?} {:?}", a, b);
            prop_assert_eq!(target(&a).matches('?').count(), usize::from(a.0.query().next().is_some()));
        }
    }

    #[test]
    fn session_ids_are_equal_where_what_is_sent_is_equal(a in near_id(), b in near_id()) {
        let ask = |spelt: &str| {
            let path = Spelling::ZoomSessionId.canonical(spelt).into_owned();
            let mut router = matchit::Router::new();
            router.insert(users().path, ()).unwrap();
            let found = router.at(&path).ok()?;
            let raw = found.params.get("sessionId").unwrap();
            let canonical = canonical(raw, "").ok()?;
            let target = canonical.target(&users().path, Spelling::ZoomSessionId);
            Some((canonical, target))
        };
        if let (Some((a, sent_for_a)), Some((b, sent_for_b))) = (ask(&a), ask(&b)) {
            prop_assert_eq!(a == b, sent_for_a == sent_for_b, "{:?} {:?}", a, b);
        }
    }

    #[test]
    fn no_query_makes_it_panic(query in ".*") {
        drop(canonical("a", &query));
    }
}

#[test]
fn another_value_of_a_parameter_is_the_same_question_in_the_same_order() {
    let path = [("id", "a")];
    let question = Canonical::of(&path, &[("a", "1"), ("c", "2")]);
    for (name, expected) in [
        ("b", [("a", "1"), ("b", "x"), ("c", "2")].as_slice()),
        ("c", &[("a", "1"), ("c", "x")]),
        ("d", &[("a", "1"), ("c", "2"), ("d", "x")]),
    ] {
        assert_eq!(question.with(name, "x"), Canonical::of(&path, expected));
    }
}
