//! Who may act on the admin listener.

use super::*;

fn with(admin: &str, variables: &[(&str, &str)]) -> Loaded {
    good_with(&format!("[admin]\n{admin}\n{SMALL}"), variables)
}

#[test]
fn a_token_is_read_from_wherever_it_is_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "let-me-in\n").unwrap();
    let file = format!("token = {{ file = {:?} }}", file.display().to_string());
    for (admin, variables) in [
        (r#"token = { env = "T" }"#, [("T", "let-me-in")].as_slice()),
        (r#"token = { value = "let-me-in" }"#, &[]),
        (file.as_str(), &[]),
        ("", &[("WEIR_ADMIN__TOKEN__VALUE", "let-me-in")]),
    ] {
        let loaded = with(admin, variables);
        let token = loaded.settings.admin.token.as_ref().unwrap();
        assert!(token.recognises(b"let-me-in") && !token.recognises(b"let-me-in\n"), "{admin}");
        assert!(!format!("{loaded:?}").contains("let-me-in"), "{admin}");
    }
    let masked = with(r#"token = { value = "let-me-in" }"#, &[]).effective;
    assert!(masked.contains("[admin]\nlisten = \"127.0.0.1:9090\"\ntoken = { value = \"***\" }\n"));
    assert!(with("", &[]).settings.admin.token.is_none());
}

#[test]
fn a_token_that_nobody_could_send_is_refused() {
    for (token, why) in [
        (r#"{ value = "two\nlines" }"#, "admin.token: holds characters that a header cannot carry"),
        (r#"{ value = " padded" }"#, "admin.token: holds characters that a header cannot carry"),
        (r#"{ value = "" }"#, "admin.token.value: is empty"),
        (r#"{ env = "NOT_SET" }"#, "admin.token.env: the environment variable NOT_SET is not set"),
        (
            "{}",
            r#"admin.token: says nowhere to find the secret; write { env = "NAME" } or { file = "path" }"#,
        ),
        (
            r#""bare""#,
            r#"admin.token: expected { env = "NAME" } or { file = "path" }, found a string"#,
        ),
    ] {
        let faults = bad(&format!("[admin]\ntoken = {token}\n{SMALL}"));
        assert_eq!(faults, [format!("weir.toml:2: {why}")], "{token}");
    }
}

#[test]
fn an_open_admin_listener_that_others_reach_is_a_warning() {
    let open = "weir.toml:2: admin.listen: \
                anyone who reaches this address may purge the cache: set admin.token";
    let token = "\ntoken = { env = \"T\" }";
    for (listen, token, expected) in [
        ("0.0.0.0:9090", "", [open].as_slice()),
        ("[::]:9090", "", &[open]),
        ("10.0.0.1:9090", "", &[open]),
        ("127.0.0.1:9090", "", &[]),
        ("[::1]:9090", "", &[]),
        ("0.0.0.0:9090", token, &[]),
    ] {
        let loaded = with(&format!("listen = {listen:?}{token}"), &[("T", "t")]);
        assert_eq!(warned(&loaded), expected, "{listen}{token}");
    }
}
