//! By what clients are known, what they may ask, and which doors stand open.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};

use super::faults::check_with_upstream;
use super::*;
use crate::policy::identity::KeyField;

/// Two endpoints that write nothing.
const READS: &str = r#"
[upstreams.zoom]
base_url = "http://127.0.0.1:1"
auth = { kind = "none" }
[[upstreams.zoom.endpoints]]
id = "list-users"
path = "/users"
[[upstreams.zoom.endpoints]]
id = "get-user"
path = "/users/{id}"
"#;

const KEY: &str = "0123456789abcdef";

fn client(name: &str, more: &str) -> String {
    format!("[[clients]]\nname = {name:?}\n{more}\n")
}

#[test]
fn a_client_is_known_by_any_of_its_keys() {
    let text = client(
        "a",
        r#"key = { env = "OLD" }
        keys = [{ env = "NEW" }, { sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8" }]"#,
    );
    let loaded =
        good_with(&(text + READS), &[("OLD", "old-key-0123456789"), ("NEW", "new-key-0123456789")]);
    let keys = &loaded.settings.clients[0].keys;
    for key in ["old-key-0123456789", "new-key-0123456789", "password"] {
        assert_eq!(
            keys.iter().filter(|print| print.recognises(key.as_bytes())).count(),
            1,
            "{key}"
        );
    }
    assert_eq!(warned(&loaded), Vec::<String>::new());
    assert!(loaded.effective.contains(r#"keys = [{ env = "NEW" }, { sha256 = "5e88"#));
}

#[test]
fn so_many_keys_and_no_more() {
    let with = |many: usize| {
        let keys: Vec<_> = (0..many).map(|n| format!("{{ sha256 = \"{n:064x}\" }}")).collect();
        let keys = format!("key = {{ value = \"{KEY}\" }}\nkeys = [{}]", keys.join(", "));
        client("a", &keys) + READS
    };
    assert_eq!(good(&with(15)).settings.clients[0].keys.len(), 16);
    assert_eq!(bad(&with(16)), ["weir.toml:4: clients[0].keys: are more than 16"]);
}

#[test]
fn what_two_clients_share_is_a_fault_wherever_it_stands() {
    check_with_upstream(
        r#"[[clients]]
        name = "a"
        key = { value = "0123456789abcdef" }
        keys = [{ value = "0123456789abcdef" }]
        certificates = ["dns:A.internal", "dns:a.internal", "dns:*.x", "host", "ip:1.2.3.4"]
        [[clients]]
        name = "b"
        keys = [{ sha256 = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f" }]
        certificates = ["dns:*.X", "uri:a"]
        subjects = ["svc"]
        "#,
        r#"weir.toml:4: clients[0].keys[0]: is that of clients[0].key too
        weir.toml:5: clients[0].certificates[1]: is that of clients[0].certificates[0] too
        weir.toml:5: clients[0].certificates[3]: has no kind; write "dns:host.internal", "dns:*.internal", "uri:spiffe://…", "email:…" or "cn:…"
        weir.toml:5: clients[0].certificates[4]: is of no known kind; write "dns:host.internal", "dns:*.internal", "uri:spiffe://…", "email:…" or "cn:…"
        weir.toml:8: clients[1].keys[0]: is that of clients[0].key too
        weir.toml:9: clients[1].certificates[0]: is that of clients[0].certificates[2] too
        weir.toml:10: clients[1].subjects[0]: is for a gateway that takes tokens; write [server.jwt]"#,
    );
}

#[test]
fn a_key_that_nobody_could_send_is_refused_and_one_that_can_be_guessed_is_told() {
    for (key, why) in [
        (" padded-0123456789", "holds characters that a header cannot carry"),
        ("two\\nlines-0123456789", "holds characters that a header cannot carry"),
        (&"k".repeat(4097), "is longer than 4096 bytes"),
    ] {
        let text = client("a", &format!("key = {{ value = \"{key}\" }}")) + READS;
        assert_eq!(bad(&text), [format!("weir.toml:3: clients[0].key: {why}")]);
    }
    let short = |key: &str| {
        let text = client("a", "key = { env = \"K\" }\nendpoints = [\"*\"]") + READS;
        warned(&good_with(&text, &[("K", key)]))
    };
    assert_eq!(
        short("0123456789abcde"),
        ["weir.toml:3: clients[0].key: is shorter than 16 bytes: it can be guessed"]
    );
    assert_eq!(short(KEY), Vec::<String>::new());
}

#[test]
fn an_endpoint_that_is_not_there_names_the_nearest() {
    for (written, why) in [
        (
            r#"["list-user"]"#,
            r#"[0]: no endpoint is meant by "list-user"; did you mean "list-users"?"#,
        ),
        (
            r#"["zoom/get-usr"]"#,
            r#"[0]: no endpoint is meant by "zoom/get-usr"; did you mean "zoom/get-user"?"#,
        ),
        (
            r#"["*", "zom/*"]"#,
            r#"[1]: no endpoint is meant by "zom/*"; `weir check` without this list shows all of them"#,
        ),
        (
            r#"["*-users"]"#,
            r#"[0]: "*-users" has a "*" that is not its end; write "id", "upstream/id", "prefix-*" or "upstream/*""#,
        ),
        ("[]", ": is empty: it could ask nothing; leave it out for all endpoints"),
    ] {
        let text = client("a", &format!("key = {{ value = \"{KEY}\" }}\nendpoints = {written}"));
        assert_eq!(bad(&(text + READS)), [format!("weir.toml:4: clients[0].endpoints{why}")]);
    }
    let text = client(
        "a",
        &format!("key = {{ value = \"{KEY}\" }}\nendpoints = [\"get-*\", \"zoom/list-users\"]"),
    );
    let loaded = good(&(text + READS));
    assert_eq!(loaded.settings.clients[0].endpoints.as_ref().unwrap().len(), 2);
}

#[test]
fn a_key_header_is_a_header_of_its_own() {
    let field = |name: &str| {
        good(&format!("[server]\nkey_header = {name:?}\n{READS}")).settings.server.key_field
    };
    assert_eq!(field("Authorization"), KeyField::Authorization);
    assert_eq!(field("X-Api-Key"), KeyField::Own("x-api-key".parse().unwrap()));
    for (name, why) in [
        ("", "is not a header name"),
        ("x key", "is not a header name"),
        ("host", "cannot carry a key"),
        ("Cookie", "cannot carry a key"),
        ("x-request-id", "cannot carry a key"),
    ] {
        let hint = r#"write "authorization" or "x-api-key""#;
        let told = format!("weir.toml:2: server.key_header: {name:?} {why}; {hint}");
        assert_eq!(bad(&format!("[server]\nkey_header = {name:?}\n{READS}")), [told]);
    }
}

#[test]
fn tokens_need_an_issuer_an_audience_and_keys() {
    let directory = tempfile::tempdir().unwrap();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let private = EncodingKey::from_ec_der(&pair.serialize_der());
    let public = Jwk::from_encoding_key(&private, Algorithm::ES256).unwrap();
    let jwks = directory.path().join("jwks.json");
    std::fs::write(&jwks, serde_json::json!({ "keys": [public] }).to_string()).unwrap();
    let jwks = jwks.display().to_string();
    let with = |jwt: &str, more: &str| format!("[server.jwt]\n{jwt}\n{}{READS}", client("a", more));
    let good_jwt = format!("jwks = {jwks:?}\nissuer = \"i\"\naudience = \"a\"");
    let loaded = good(&with(&good_jwt, "subjects = [\"svc\"]"));
    let rules = loaded.settings.server.jwt.unwrap();
    assert_eq!(rules.algorithms, [Algorithm::RS256, Algorithm::ES256]);
    assert_eq!((rules.demands.leeway.as_secs(), &*rules.demands.claim), (30, "sub"));

    let faults = |jwt: &str, more: &str| bad(&with(jwt, more));
    let required = "is required; a token for somebody else is not for us";
    assert_eq!(
        faults("leeway = \"6m\"\nalgorithms = []\nclaim = \"\"", "key = { value = \"a.b.c-0123456789\" }"),
        [
            "weir.toml:1: server.jwt: no client has a subject: no token would be good; write subjects = [\"…\"] under one of [[clients]]".to_owned(),
            format!("weir.toml:1: server.jwt.audience: {required}"),
            format!("weir.toml:1: server.jwt.issuer: {required}"),
            "weir.toml:1: server.jwt.jwks: is required; write jwks = \"jwks.json\"".to_owned(),
            "weir.toml:2: server.jwt.leeway: is more than 5m".to_owned(),
            "weir.toml:3: server.jwt.algorithms: is empty: no token would be good".to_owned(),
            "weir.toml:4: server.jwt.claim: is empty".to_owned(),
            "weir.toml:7: clients[0].key: has two dots: with server.jwt it would be taken for a token".to_owned(),
        ]
    );
    let other = format!("{good_jwt}\nalgorithms = [\"RS256\"]");
    assert_eq!(
        faults(&other, "subjects = [\"svc\"]"),
        ["weir.toml:5: server.jwt.algorithms: no key in server.jwt.jwks is for any of them"]
    );
    for algorithm in ["HS256", "none"] {
        let jwt = format!("{good_jwt}\nalgorithms = [{algorithm:?}]");
        let told = faults(&jwt, "subjects = [\"svc\"]");
        assert!(told[0].contains("server.jwt.algorithms[0]: expected one of"), "{told:?}");
    }
    for (content, why) in [
        ("{".to_owned(), "is not JSON"),
        (
            r#"{ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }"#.to_owned(),
            "keys[0] is a symmetric key",
        ),
        ("x".repeat((1 << 20) + 1), "cannot be read: it is larger than 1048576 bytes"),
    ] {
        std::fs::write(&jwks, content).unwrap();
        let told = faults(&good_jwt, "subjects = [\"svc\"]");
        assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
        assert!(!told[0].contains("c2VjcmV0"));
    }
}

#[test]
fn every_open_door_is_a_line() {
    let key = "key = { env = \"K\" }\n";
    let public = "[server]\nlisten = \"0.0.0.0:8080\"\n";
    let clear = "weir.toml:2: server.listen: clients' keys can be read on their way here: \
                 write [server.tls]";
    let unseen = "weir.toml:3: clients[0].certificates: is known by its certificate alone, \
                  and no certificate is asked for";
    let warned = |text: &str| warned(&good_with(text, &[("K", KEY)]));
    let nothing = Vec::<String>::new();
    assert_eq!(warned(&(client("a", key) + READS)), nothing);
    assert_eq!(warned(&format!("{public}{}{READS}", client("a", key))), [clear]);
    assert_eq!(warned(&(client("a", "certificates = [\"cn:a\"]") + READS)), [unseen]);
    // Who may write, in one line, however many they are.
    let writes = |clients: &str| warned(&format!("{clients}{SMALL}"));
    let other = client(
        "b",
        "key = { sha256 = \"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\" }",
    );
    assert_eq!(
        writes(&format!("{}{other}", client("a", key))),
        [
            "weir.toml:1: clients: \"a\" and 1 more may also ask endpoints that write: list endpoints"
        ]
    );
    assert_eq!(writes(&client("a", &format!("{key}endpoints = [\"*\"]"))), nothing);
}

#[cfg(unix)]
#[test]
fn what_others_may_change_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mode = |name: &str, mode: u32| {
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::fs::create_dir(at("state")).unwrap();
    std::fs::write(at("key"), KEY).unwrap();
    let text = format!(
        "[server]\nstate_dir = \"state\"\n{}{READS}",
        client("a", "key = { file = \"key\" }")
    );
    std::fs::write(at("weir.toml"), text).unwrap();
    let warned = || {
        let warnings = load(&at("weir.toml"), &Env::new()).unwrap().warnings;
        warnings.iter().map(|w| w.0.path.clone() + ": " + &w.0.why).collect::<Vec<_>>()
    };
    for (name, good, bad, told) in [
        ("weir.toml", 0o644, 0o664, ": this file can be changed by everybody in its group"),
        ("weir.toml", 0o644, 0o666, ": this file can be changed by every user of this machine"),
        (
            "key",
            0o600,
            0o620,
            "clients[0].key.file: \"key\" can be changed by everybody in its group",
        ),
        (
            "key",
            0o600,
            0o604,
            "clients[0].key.file: \"key\" can be read by every user of this machine",
        ),
        (
            "state",
            0o700,
            0o707,
            "server.state_dir: \"state\" can be changed by every user of this machine",
        ),
    ] {
        for (name, mode_) in [("weir.toml", 0o644), ("key", 0o600), ("state", 0o700)] {
            mode(name, mode_);
        }
        assert_eq!(warned(), Vec::<String>::new(), "{name}");
        mode(name, bad);
        assert_eq!(warned(), [told]);
        mode(name, good);
    }
}
