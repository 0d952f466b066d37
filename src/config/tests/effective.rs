//! The effective configuration: complete, loadable, without secrets.

use proptest::prelude::*;

use super::*;

#[test]
fn shows_file_preset_defaults_and_environment() {
    let loaded = good_with(ZOOM, &[("WEIR_SERVER__WORKERS", "3")]);
    let text = &loaded.effective;
    for line in [
        "workers = 3",
        r#"request_timeout = "30s""#,
        r#"max_bytes = "256MiB""#,
        r#"plan = "pro""#,
        r#"key = { value = "***" }"#,
        "[upstreams.zoom.labels.resource-intensive]",
        "per_minute = 10",
        r#"path = "/videosdk/sessions/{sessionId}/users""#,
        r#"kind = "jwt""#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
    }
    assert_eq!(text.matches("[[upstreams.zoom.endpoints]]").count(), 39);
}

#[test]
fn loads_again_to_the_same() {
    let secrets = [("K", "k"), ("S", "s")];
    let text = ZOOM.replace(r#"{ value = "k" }"#, r#"{ env = "K" }"#);
    let text = text.replace(r#"{ value = "s" }"#, r#"{ env = "S" }"#);
    let once = good_with(&text, &secrets);
    let twice = good_with(&once.effective, &secrets);
    assert_eq!(once.effective, twice.effective);
    assert_eq!(once.settings.digest, twice.settings.digest);
    assert_eq!(only(&once).endpoints, only(&twice).endpoints);
}

#[test]
fn a_token_endpoints_query_is_not_shown_and_is_asked_with() {
    let oauth2 = |url: &str| {
        let auth = format!(
            r#"kind = "oauth2", token_url = "{url}", client_id = {{ value = "i" }}, client_secret = {{ value = "s" }}"#
        );
        good(&SMALL.replace(r#"kind = "none""#, &auth))
    };
    for (url, shown) in [
        ("https://h/t?key=hunter2&b=?", "https://h/t?***"),
        ("https://h/t?", "https://h/t?***"),
        ("https://h/t", "https://h/t"),
    ] {
        let loaded = oauth2(url);
        let line = format!("token_url = {shown:?}");
        assert!(loaded.effective.lines().any(|found| found == line), "{}", loaded.effective);
        assert!(!loaded.effective.contains("hunter2"));
        let AuthScheme::OAuth2 { token_url, .. } = &only(&loaded).auth else { panic!("{url}") };
        assert_eq!(*token_url, url);
        assert_eq!(good(&loaded.effective).effective, loaded.effective, "it loads again");
    }
}

#[test]
fn the_digest_tells_configurations_apart() {
    let one = good(SMALL).settings.digest;
    assert_eq!(one.len(), 64);
    assert_eq!(one, good(&format!("# a comment\n{SMALL}")).settings.digest);
    assert_ne!(one, good_with(SMALL, &[("WEIR_SERVER__WORKERS", "2")]).settings.digest);
}

/// All kinds of auth with all their secrets, three ways, a client's key and the operator's.
fn with_secrets(secret: &str, way: usize, directory: &std::path::Path) -> (String, Env) {
    let file = directory.join("secret");
    std::fs::write(&file, secret).unwrap();
    let value = toml::Value::String(secret.to_owned());
    let source = [
        r#"{ env = "THE_SECRET" }"#.to_owned(),
        format!("{{ file = {:?} }}", file.display().to_string()),
        format!("{{ value = {value} }}"),
    ][way]
        .clone();
    let auths = [
        format!(r#"kind = "jwt", key = {source}, secret = {source}"#),
        format!(r#"kind = "bearer", token = {source}"#),
        format!(r#"kind = "basic", username = {source}, password = {source}"#),
        format!(r#"kind = "header", name = "X-Key", value = {source}"#),
        format!(
            r#"kind = "oauth2", token_url = "https://h/t", client_id = {source}, client_secret = {source}"#
        ),
    ];
    let mut text =
        format!("[admin]\ntoken = {source}\n[[clients]]\nname = \"c\"\nkey = {source}\n");
    for (index, auth) in auths.iter().enumerate() {
        let one = SMALL.replace("upstreams.u", &format!("upstreams.u{index}"));
        let one = one.replace(r#"kind = "none""#, auth);
        text += &one.replace("base_url", &format!("mount = \"/m{index}\"\nbase_url"));
    }
    (text, env(&[("THE_SECRET", secret)]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Neither what `check` prints nor what `{:?}` prints holds a secret, good or bad the file.
    #[test]
    fn never_holds_a_secret(secret in "[A-Z0-9!#$%&]{6}[ -9;-~]{4,20}[A-Z]", way in 0..3_usize) {
        let directory = tempfile::tempdir().unwrap();
        let (text, env) = with_secrets(&secret, way, directory.path());
        let loaded = from_text("f", &text, &env).unwrap();
        let printed = format!("{loaded:?} {}", loaded.effective);
        prop_assert!(!printed.contains(&secret), "{printed}");
        prop_assert!(!printed.contains(&format!("{secret:?}")), "{printed}");

        let broken = text.replace("kind", "kimd").replace("name = \"c\"", "name = 5");
        let printed = from_text("f", &broken, &env).unwrap_err().to_string();
        prop_assert!(!printed.contains(&secret), "{printed}");
        for key in ["[[clients]]\nname = \"c\"\nkey", "[admin]\ntoken"] {
            let bare = format!("{SMALL}\n{key} = {}", toml::Value::from(secret.clone()));
            let printed = from_text("f", &bare, &env).unwrap_err().to_string();
            prop_assert!(!printed.contains(&secret), "{printed}");
        }
    }
}
