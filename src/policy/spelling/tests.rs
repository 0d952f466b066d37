use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::*;

/// Encodes as JavaScript's `encodeURIComponent`, with either case of hex digits.
fn encode(text: &str, times: u8, lower: bool) -> String {
    (0..times).fold(text.to_owned(), |text, _| {
        text.bytes()
            .map(|byte| match byte {
                b if b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b) => {
                    char::from(b).to_string()
                }
                b if lower => format!("%{b:02x}"),
                b => format!("%{b:02X}"),
            })
            .collect()
    })
}

const SUFFIXES: [&str; 9] = [
    "",
    "/",
    "/users",
    "/users/qos",
    "/users/16778240/qos",
    "/recordings",
    "/recordings/KkMHZ4y8QhSUWAHi5sWvfg==/status",
    "/users/KkMHZ4y8QhSUWAHi5sWvfg==/qos",
    "/rtms_app/status",
];

#[test]
fn known_spellings_of_one_id() {
    let canonical = "/videosdk/sessions/%2Fab%2F%2Fcd%2BefghijklmnopqA%3D%3D/users";
    for path in [
        "/videosdk/sessions//ab//cd+efghijklmnopqA==/users",
        "/videosdk/sessions/%2Fab%2F%2Fcd%2BefghijklmnopqA%3D%3D/users",
        "/videosdk/sessions/%2fab%2f%2fcd%2befghijklmnopqA==/users",
        "/videosdk/sessions/%252Fab%252F%252Fcd%252BefghijklmnopqA%253D%253D/users",
        "/videosdk/sessions/%25252Fab/%2Fcd+efghijklmnopqA=%253d/users",
        "/%2Fvideosdk%2Fsessions%2F%2Fab%2F%2Fcd%2BefghijklmnopqA%3D%3D%2Fusers",
        "/%252Fvideosdk%252Fsessions%252F%252Fab%252F%252Fcd%252BefghijklmnopqA%253D%253D%252Fusers",
        "/%252fvideosdk%252fsessions%252f%25252Fab%25252F%25252Fcd%25252BefghijklmnopqA%25253D%25253D%252fusers",
    ] {
        assert_eq!(canonical_zoom_path(path), canonical, "{path}");
    }
}

#[test]
fn what_has_no_id_is_left_as_it_came() {
    for path in [
        "",
        "/",
        "*",
        "/videosdk/sessions",
        "/videosdk/sessions/",
        "/videosdk/sessions/my-session/users",
        "/videosdk/sessions/a%2Fb/users",
        // 24 characters, yet followed by one more, or without the padding, or one short
        "/videosdk/sessions/KkMHZ4y8QhSUWAHi5sWvfg==x/users",
        "/videosdk/sessions/KkMHZ4y8QhSUWAHi5sWvfgAA/users",
        "/videosdk/sessions/kMHZ4y8QhSUWAHi5sWvfg==/users",
        // four layers are nobody's spelling
        "/videosdk/sessions/%2525252FkMHZ4y8QhSUWAHi5sWvfg==/users",
        // not a session's path
        "/videosdk/recordings/KkMHZ4y8QhSUWAHi5sWvfg==",
        "/videosdk/sessionsKkMHZ4y8QhSUWAHi5sWvfg==",
        "/v2/videosdk/sessions/KkMHZ4y8QhSUWAHi5sWvfg==",
        // whole paths that lead elsewhere, or are no text
        "/%2Fetc%2Fpasswd",
        "/%2Fvideosdkx%2Fsessions",
        "/%2Fvideosdk%2F%FF",
        "/%2",
        "/videosdk/sessions/%2",
        "/videosdk/sessions/%+F",
        "/videosdk/sessions/../users",
        "/videosdk/sessions/é",
    ] {
        let out = canonical_zoom_path(path);
        assert_eq!(out, path);
        assert!(matches!(out, Cow::Borrowed(_)), "{path}");
    }
}

#[test]
fn a_whole_path_is_unfolded_exactly_as_often_as_it_was_folded() {
    for (folded, path) in [
        ("/%252Fvideosdk%252Fsessions", "/videosdk/sessions"),
        ("/%2Fvideosdk%2Fsessions%2Ffoo%2520bar", "/videosdk/sessions/foo%20bar"),
        ("/%252Faccounts%252Fx-1%252Fvideosdk%252Fsessions", "/accounts/x-1/videosdk/sessions"),
        // dot segments stay for the router to refuse
        ("/%2Fvideosdk%2Fsessions%2F..%2F..%2Fusers", "/videosdk/sessions/../../users"),
        // what decoding sets free must not end the path or split a line
        ("/%2Fvideosdk%2Fa%3Fb%23c%0D%0Ad%20e", "/videosdk/a%3Fb%23c%0D%0Ad%20e"),
        ("/%2Fvideosdk%2F100%25", "/videosdk/100%25"),
        ("/%2Fvideosdk%2F%C3%A9", "/videosdk/%C3%A9"),
    ] {
        assert_eq!(canonical_zoom_path(folded), path, "{folded}");
    }
}

#[test]
fn segments_are_encoded_as_often_as_asked() {
    for (value, once, twice) in [
        ("plain-._~", "plain-._~", "plain-._~"),
        ("/a+b==", "%2Fa%2Bb%3D%3D", "%252Fa%252Bb%253D%253D"),
        ("é %", "%C3%A9%20%25", "%25C3%25A9%2520%2525"),
        ("..", "%2E%2E", "%252E%252E"),
        ("a..b", "a..b", "a..b"),
    ] {
        assert_eq!(encode_segment(value, EncodeTimes::Once), once);
        assert_eq!(encode_segment(value, EncodeTimes::Twice), twice);
    }
    assert_eq!(EncodeTimes::for_zoom("KkMHZ4y8QhSUWAHi5sWvfg=="), EncodeTimes::Twice);
    assert_eq!(EncodeTimes::for_zoom("16778240"), EncodeTimes::Once);
}

#[test]
fn dot_segments_are_recognised_in_every_spelling() {
    for dots in [".", "..", "%2e", "%2E%2e", ".%2E", "%2e."] {
        assert!(is_dot_segment(dots), "{dots}");
    }
    for other in ["", "...", "a", "%2e%2e%2e", "%252e"] {
        assert!(!is_dot_segment(other), "{other}");
    }
}

fn prefix() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("/videosdk/sessions/"), Just("/accounts/Ab-1_/videosdk/sessions/")]
}

/// Fragments that make up the paths that matter, so that random ones come near them.
fn near_path() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "/",
        "%2F",
        "%252f",
        "%25",
        "%",
        "2F",
        "25",
        "videosdk",
        "sessions",
        "accounts",
        "a",
        "..",
        "=",
        "==",
        "%3D",
        "KkMHZ4y8QhSUWAHi5sWvfg==",
        "/kMHZ4y8QhSUWAHi5sWvfg==",
        "?",
        "é",
        "users",
        "/videosdk/sessions/",
        "/%2Fvideosdk%2Fsessions%2F",
        "/%252Fvideosdk%252Fsessions%252F",
    ]);
    prop::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
}

/// A path with nothing encoded that could hide a dot segment.
fn written_out(path: &str) -> String {
    let mut text = path.to_ascii_lowercase();
    while text.contains("%25") {
        text = text.replace("%25", "%");
    }
    text.replace("%2f", "/").replace("%5c", "/")
}

proptest! {
    #[test]
    fn all_spellings_of_an_id_are_one_path(
        bytes in any::<[u8; 16]>(),
        slash_first in any::<bool>(),
        url_safe in any::<bool>(),
        layers in prop::collection::vec((0..=3_u8, any::<bool>()), 24),
        whole in 0..=2_u8,
        whole_lower in any::<bool>(),
        prefix in prefix(),
        suffix in prop::sample::select(SUFFIXES.to_vec()),
    ) {
        let mut bytes = bytes;
        if slash_first {
            bytes[0] = 0xFF;
        }
        let id = if url_safe { URL_SAFE.encode(bytes) } else { STANDARD.encode(bytes) };
        let spelt: String = id
            .chars()
            .zip(&layers)
            .map(|(c, &(times, lower))| encode(&c.to_string(), times, lower))
            .collect();
        let path = format!("{prefix}{spelt}{suffix}");
        let sent = match whole {
            0 => path,
            times => format!("/{}", encode(&path, times, whole_lower)),
        };
        let canonical = canonical_zoom_path(&sent);
        let expected =
            format!("{prefix}{}{suffix}", encode_segment(&id, EncodeTimes::Once));
        prop_assert_eq!(canonical.as_ref(), expected);

        let mut router = matchit::Router::new();
        for prefix in ["", "/accounts/{accountId}"] {
            router.insert(format!("{prefix}/videosdk/sessions/{{sessionId}}"), ()).unwrap();
            router.insert(format!("{prefix}/videosdk/sessions/{{sessionId}}/{{*rest}}"), ()).unwrap();
        }
        if suffix != "/" {
            let matched = router.at(&canonical).unwrap();
            let segment = matched.params.get("sessionId").unwrap();
            prop_assert_eq!(percent_decode_str(segment).decode_utf8().unwrap(), id.as_str());
            prop_assert!(is_session_id(&id));
        }
    }

    #[test]
    fn canonical_paths_are_their_own_canonical_path(path in prop_oneof![near_path(), ".*"]) {
        let once = canonical_zoom_path(&path).into_owned();
        let twice = canonical_zoom_path(&once).into_owned();
        prop_assert!(matches!(canonical_zoom_path(&once), Cow::Borrowed(_)), "nothing is copied");
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn text_that_is_no_id_is_left_alone(text in "[A-Za-z0-9%.~:+/-]{0,40}", prefix in prefix()) {
        let path = format!("{prefix}{text}");
        // without a literal or encoded `=` there is no id
        prop_assume!(!text.to_ascii_lowercase().contains("3d"));
        let canonical = canonical_zoom_path(&path).into_owned();
        prop_assert_eq!(canonical, path);
    }

    #[test]
    fn layers_of_encoding_make_no_difference(value in "[a%25/é]{0,12}|.*", times in 0..4_u8, lower: bool) {
        let encoded = encode(&value, times, lower);
        prop_assert_eq!(innermost(&encoded), innermost(&value));
        if !value.contains('%') {
            prop_assert_eq!(&*innermost(&encoded), value.as_bytes());
        }
    }

    #[test]
    fn what_is_looked_at_quickly_is_judged_as_if_it_were_written_out(path in "([/.aF%\\\\]|%2[eEfF5]|%5[cC]|%25|\u{e9}|%c.|2e|25){0,10}") {
        prop_assert_eq!(has_dot_segment(&path), written_out(&path).split('/').any(is_dot_segment));
        let normal = normal_path(&path);
        prop_assert_eq!(normal_path(&normal), &*normal);
        prop_assert_eq!(matches!(normal, Cow::Borrowed(_)), normal == path);
        let hex = |digits: &str| digits.get(..2).is_some_and(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));

        let is_broken = path.split('%').skip(1).any(|after| !hex(after));
        let dots = has_dot_segment(&path).then_some(PathFault::DotSegment);
        let fault = if is_broken { Some(PathFault::BrokenEscape) } else { dots };
        prop_assert_eq!(path_fault(&path), fault);
        let empty = path.contains("//") || (path.len() > 1 && path.ends_with('/'));
        prop_assert_eq!(has_empty_segment(&path), empty);
    }

    #[test]
    fn encoded_segments_decode_to_their_value(value in ".*") {
        let once = encode_segment(&value, EncodeTimes::Once);
        prop_assert_eq!(percent_decode_str(&once).decode_utf8().unwrap(), value.as_str());
        let twice = encode_segment(&value, EncodeTimes::Twice);
        prop_assert_eq!(percent_decode_str(&twice).decode_utf8().unwrap(), once.as_ref());
        prop_assert!(twice.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
    }
}

#[test]
fn a_dot_segment_is_found_however_it_is_hidden() {
    for path in ["/a/../b", "/a/%2e%2E/b", "/a/%252e%25252e/b", "/a/..%2fb", "/a%2F..%5Cb", "/."] {
        assert!(has_dot_segment(path), "{path}");
    }
    for path in ["/a/b", "/a/...", "/a..b/%2e%2e%2e", "/a%2fb", "/.well-known/x", "/a.%2fb"] {
        assert!(!has_dot_segment(path), "{path}");
    }
}

#[test]
fn a_percent_sign_that_begins_no_escape_is_found() {
    for path in ["/a%", "/a%2", "/a%zz/b", "/%%20", "/a%2\u{e9}"] {
        assert_eq!(path_fault(path), Some(PathFault::BrokenEscape), "{path}");
    }
    for path in ["/", "/a%20b", "/%252Fa%2f", "/%25"] {
        assert_eq!(path_fault(path), None, "{path}");
    }
}

#[test]
fn plain_paths_are_normalised_and_no_further() {
    for (path, expected) in [
        ("/a/b", "/a/b"),
        ("/%6Cimited/%7e", "/limited/~"),
        ("/a%2fb%2F", "/a%2Fb%2F"),
        ("/a%zz%", "/a%zz%"),
        ("/%25%36", "/%256"),
    ] {
        assert_eq!(normal_path(path), expected, "{path}");
    }
}

#[test]
fn a_value_that_could_become_several_segments_is_told() {
    for (value, expected) in [
        ("abc", false),
        ("DRYb7HZy94X7vkEIIn9h8A==", false),
        ("/x71bJ9TPLLQA4VK537raQ==", false),
        ("DRYb7HZy94X7vkEIIn9h8A==/users", true),
        ("../..", true),
        ("a\0", true),
    ] {
        assert_eq!(could_split(value), expected, "{value}");
    }
}
