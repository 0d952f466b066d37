//! Where listeners are.

use super::faults::check_with_upstream;
use super::*;

#[test]
fn one_or_many_in_the_file_and_in_the_environment() {
    let listen = |written: &str, variables: &[(&str, &str)]| {
        let loaded = good_with(&format!("{SMALL}[server]\nlisten = {written}\n"), variables);
        loaded.settings.server.listen
    };
    let both = [tcp("127.0.0.1:1"), Address::Unix("run/weir.sock".into())];
    assert_eq!(listen(r#"["127.0.0.1:1", "unix:run/weir.sock"]"#, &[]), both);
    assert_eq!(listen(r#""127.0.0.1:1,unix:run/weir.sock""#, &[]), both);
    let variable = [("WEIR_SERVER__LISTEN", "127.0.0.1:1, unix:run/weir.sock")];
    assert_eq!(listen(r#"["127.0.0.1:3"]"#, &variable), both);
    assert_eq!(bad_with(SMALL, &[("WEIR_SERVER__LISTEN__0", "127.0.0.1:1")]).len(), 1);
}

#[test]
fn a_socket_file_stands_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    std::fs::write(&file, format!("{SMALL}[server]\nlisten = \"unix:weir.sock\"\n")).unwrap();
    let loaded = load(&file, &Env::new()).unwrap();
    assert_eq!(loaded.settings.server.listen, [Address::Unix(directory.path().join("weir.sock"))]);
    assert!(loaded.effective.contains("listen = \"unix:weir.sock\""), "{}", loaded.effective);
}

#[test]
fn what_cannot_be_listened_on_is_told() {
    let long = "a".repeat(108);
    let many: Vec<_> = (1..=17).map(|port| format!("127.0.0.1:{port}")).collect();
    let hint = r#"write "127.0.0.1:8080", "[::]:8080", "unix:/run/weir/weir.sock" or "systemd""#;
    for (listen, expected) in [
        (r"[]".to_owned(), format!("is empty; {hint}")),
        (
            r#"["127.0.0.1:1", ""]"#.into(),
            format!(r#""" is not an address and port, a socket file or systemd's; {hint}"#),
        ),
        (r#""127.0.0.1:1,127.0.0.1:1""#.into(), r#"names "127.0.0.1:1" twice"#.into()),
        (
            format!("\"unix:{long}\""),
            format!(
                r#""unix:{long}" leads to a path of more than 107 bytes; the system allows no longer one: choose another directory"#
            ),
        ),
        (format!("{many:?}"), "names more than 16 addresses".into()),
        (
            r#"["127.0.0.1:1", "0.0.0.0:2"]"#.into(),
            "anonymous callers on a public address; list [[clients]], or set server.allow_anonymous = true".into(),
        ),
    ] {
        check_with_upstream(
            &format!("[server]\nlisten = {listen}\n"),
            &format!("weir.toml:2: server.listen: {expected}"),
        );
    }
    check_with_upstream(
        "[server]\nlisten = \"unix:a\"\n[admin]\nlisten = \"unix:a\"\n",
        "weir.toml:4: admin.listen: is the public listener's address too",
    );
}

#[test]
fn anonymous_callers_may_use_what_only_this_machine_can() {
    for listen in ["unix:a", "systemd", "systemd:web", "[::1]:1"] {
        assert_eq!(good(&format!("{SMALL}[server]\nlisten = \"{listen}\"\n")).warnings, []);
    }
}

#[test]
fn the_notice_of_a_drain_is_shorter_than_the_drain() {
    check_with_upstream(
        "[server]\ndrain_timeout = \"2s\"\n",
        r#"weir.toml:1: server.min_drain: is not less than server.drain_timeout (2s); with nobody to tell, write "0s""#,
    );
    let loaded = good(&format!("{SMALL}[server]\nmin_drain = \"0s\"\ndrain_timeout = \"1s\"\n"));
    assert_eq!(loaded.settings.server.min_drain, Duration::ZERO);
}

#[test]
fn a_files_mode_is_octal() {
    for (text, mode) in [("0660", 0o660), ("600", 0o600), ("0777", 0o777), ("000", 0)] {
        let loaded = good(&format!("{SMALL}[server]\nunix_mode = \"{text}\"\n"));
        assert_eq!(loaded.settings.server.unix_mode, mode);
    }
    for wrong in ["", "66", "0o66", "+660", "1777", "rw-rw----", "00660"] {
        assert_eq!(bad(&format!("{SMALL}[server]\nunix_mode = \"{wrong}\"\n")).len(), 1, "{wrong}");
    }
}
