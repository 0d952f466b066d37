//! Where what was spent is kept.

use super::faults::check_with_upstream;
use super::*;

#[test]
fn the_state_is_kept_in_memory_by_default() {
    let loaded = good(SMALL);
    assert_eq!(loaded.settings.server.state_dir, None);
    assert!(!loaded.effective.contains("state_dir"), "{}", loaded.effective);
    let loaded = good(&format!("{SMALL}[server]\nstate_dir = \"/nowhere/weir\"\n"));
    assert_eq!(loaded.settings.server.state_dir.as_deref(), Some("/nowhere/weir".as_ref()));
    let again = good(&loaded.effective);
    assert_eq!(again.settings.server.state_dir, loaded.settings.server.state_dir);
    check_with_upstream(
        "[server]\nstate_dir = true\n",
        "weir.toml:2: server.state_dir: expected a string, found true",
    );
}

#[test]
fn the_state_stands_beside_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let state_dir = |state_dir: &str, variables: &[(&str, &str)]| {
        let server = format!("[server]\nstate_dir = {state_dir:?}\n");
        std::fs::write(at("weir.toml"), server + SMALL).unwrap();
        let loaded = load(&at("weir.toml"), &env(variables)).map_err(|faults| faults.to_string());
        loaded.map(|loaded| loaded.settings.server.state_dir.unwrap())
    };
    assert_eq!(state_dir("state/weir", &[]), Ok(at("state/weir")));
    assert_eq!(state_dir("/nowhere/weir", &[]), Ok("/nowhere/weir".into()));
    let variable = [("WEIR_SERVER__STATE_DIR", "other")];
    assert_eq!(state_dir("state", &variable), Ok(at("other")));
    let made: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(made.len(), 1, "only the file itself: {made:?}");

    std::fs::create_dir(at("there")).unwrap();
    std::fs::write(at("file"), "").unwrap();
    assert_eq!(state_dir("there", &[]), Ok(at("there")));
    let fault = |state_dir_is: &str, why: &str| {
        let file = at("weir.toml");
        let expected = format!("{}:2: server.state_dir: {why}", file.display());
        assert_eq!(state_dir(state_dir_is, &[]), Err(expected));
    };
    fault("", r#"is empty; write "/var/lib/weir""#);
    fault("file", r#""file" is not a directory"#);
    fault("file/below", r#""file/below" cannot be a directory: Not a directory (os error 20)"#);
}

#[test]
fn a_day_in_memory_only_is_a_warning() {
    let forgets = "server.state_dir: is not set: a restart forgets what was spent today";
    assert_eq!(warned(&good(&format!("{SMALL}{BUDGET}"))), [format!("weir.toml: {forgets}")]);
    let no_pool = BUDGET.split("pool").next().unwrap();
    assert_eq!(warned(&good(&format!("{SMALL}{no_pool}"))), Vec::<String>::new());
}
