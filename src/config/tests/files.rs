//! The files that ship with weir, and files in general.

use std::collections::BTreeSet;

use super::super::schema::Tree;
use super::*;

const WEIR: &str = include_str!("../../../config/weir.toml");
const DEMO: &str = include_str!("../../../config/demo.toml");
const ZOOM_SECRETS: [(&str, &str); 4] = [
    ("ZOOM_API_KEY", "k"),
    ("ZOOM_API_SECRET", "s"),
    ("ADMIN_TOKEN", "t"),
    ("CONSOLE_NEXT_KEY", "next-key-0123456789"),
];

/// A file without a preset, as one for a load test would be.
const GENERIC: &str = r#"
[server]
listen = "127.0.0.1:18080"
workers = 2
request_timeout = "60s"

[admin]
listen = "127.0.0.1:18081"

[log]
level = "warn"

[cache]
max_bytes = "1GiB"

[upstreams.bench]
base_url = "http://127.0.0.1:18082"
mount = "/"

[upstreams.bench.auth]
kind = "none"

[upstreams.bench.labels.strict]
per_second = 40
max_wait = "60s"
max_queue = 10000

[[upstreams.bench.endpoints]]
id = "limited"
method = "GET"
path = "/limited/{group}/{key}"
label = "strict"
cache = { mode = "off" }

[[upstreams.bench.endpoints]]
id = "nocache"
method = "GET"
path = "/nocache/{size}/{key}"
cache = { mode = "off" }

[[upstreams.bench.endpoints]]
id = "everything"
method = "*"
path = "/{*rest}"
cache = { mode = "respect" }
"#;

#[test]
fn the_generic_file_loads() {
    let loaded = good(GENERIC);
    let bench = only(&loaded);
    assert_eq!(bench.labels[0].max_wait.as_secs(), 60);
    assert_eq!(endpoint(bench, "everything").cache, CacheRule::Respect(Respect::default()));
    assert_eq!(endpoint(bench, "limited").label.as_ref().unwrap().as_str(), "strict");
    assert_eq!(bench.base_url, "http://127.0.0.1:18082");
}

#[test]
fn the_demo_loads() {
    let loaded = good(DEMO);
    assert_eq!(only(&loaded).base_url, "http://127.0.0.1:8090/v2");
    assert_eq!(loaded.settings.server.listen, [tcp("127.0.0.1:8080")]);
    assert_eq!(loaded.settings.admin.listen, tcp("127.0.0.1:9090"));
    assert!(loaded.settings.clients.is_empty());
    assert_eq!(loaded.warnings.len(), 3, "two secrets by value, and no state_dir");
}

#[test]
fn the_documented_file_loads_and_changes_nothing() {
    let documented = good_with(WEIR, &ZOOM_SECRETS);
    let warned: Vec<_> = documented.warnings.iter().map(ToString::to_string).collect();
    let memory =
        "weir.toml:19: server.state_dir: is not set: a restart forgets what was spent today";
    assert_eq!(warned, [memory]);
    let bare = r#"[upstreams.zoom]
        preset = "zoom-video-sdk"
        auth = { kind = "jwt", key = { env = "ZOOM_API_KEY" }, secret = { env = "ZOOM_API_SECRET" }, lifetime = "1h" }
        labels = { heavy = { burst = 10 } }"#;
    assert_eq!(documented.effective, good_with(bare, &ZOOM_SECRETS).effective);
}

/// The documented file with its commented keys brought to life.
fn uncommented() -> String {
    let key = |line: &str| {
        let (name, value) = line.split_once(" = ").unwrap_or_default();
        !name.is_empty()
            && !value.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let lines = WEIR.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') || key(rest) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The path of every leaf, with `*` for the names of maps and rows of lists.
fn leaves(tree: &Tree, keys: &[String], value: &toml::Value, found: &mut BTreeSet<String>) {
    let node =
        tree.at(keys.iter().map(String::as_str)).unwrap_or_else(|| panic!("unknown: {keys:?}"));
    let below = |key: String| [keys, &[key]].concat();
    match value {
        toml::Value::Table(table) if !node.is_secret_source() => {
            table.iter().for_each(|(key, value)| leaves(tree, &below(key.clone()), value, found));
        }
        toml::Value::Array(rows) if rows.first().is_some_and(toml::Value::is_table) => {
            let rows = rows.iter().enumerate();
            rows.for_each(|(index, row)| leaves(tree, &below(index.to_string()), row, found));
        }
        _ => {
            found.insert(general(tree, keys));
        }
    }
}

fn general(tree: &Tree, keys: &[String]) -> String {
    let mut out = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let parent = tree.at(keys[..at].iter().map(String::as_str)).unwrap();
        let listed = parent.keys().any(|known| known == key);
        out.push(if listed { key.as_str() } else { "*" });
    }
    out.join(".")
}

/// The same from the schema.
fn known(tree: &Tree, keys: &[String], found: &mut BTreeSet<String>) {
    let node = tree.at(keys.iter().map(String::as_str)).unwrap();
    let below = |key: &str| [keys, &[key.to_owned()]].concat();
    let table = node.keys().next().is_some() && !node.is_secret_source();
    let rows = node.is_list()
        && tree.at(below("0").iter().map(String::as_str)).unwrap().keys().next().is_some();
    if table {
        node.keys().for_each(|key| known(tree, &below(key), found));
    }
    if rows {
        known(tree, &below("0"), found);
    } else if node.is_map() {
        known(tree, &below("*"), found);
    } else if !table {
        found.insert(general(tree, keys));
    }
}

#[test]
fn the_documented_file_is_complete() {
    let tree = Tree::new();
    let text = uncommented();
    let table: toml::Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let (mut written, mut all) = (BTreeSet::new(), BTreeSet::new());
    leaves(&tree, &[], &table, &mut written);
    known(&tree, &[], &mut all);
    assert!(all.len() > 70, "{all:?}");
    assert_eq!(
        all.difference(&written).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not documented"
    );
    assert_eq!(written.difference(&all).collect::<Vec<_>>(), Vec::<&String>::new(), "not known");
    for source in ["sha256 =", "env =", "file =", "value ="] {
        assert!(WEIR.contains(source), "{source}");
    }
    // Apart from the keys of other kinds of auth, and files that are nowhere, the examples are
    // good too.
    let excused = ["is a key of kind =", "cannot be read", "PROXY is not set"];
    let faults = bad_with(&text, &ZOOM_SECRETS);
    let others: Vec<_> =
        faults.iter().filter(|fault| !excused.iter().any(|why| fault.contains(why))).collect();
    assert_eq!(others, Vec::<&String>::new());
}

#[test]
fn documented_values_are_the_defaults() {
    let tree = Tree::new();
    let table: toml::Value = toml::from_str(&uncommented()).unwrap();
    let mut checked = 0;
    for (section, keys) in [
        (vec!["server"], "server"),
        (vec!["admin"], "admin"),
        (vec!["server", "jwt"], "jwt"),
        (vec!["log"], "log"),
        (vec!["cache"], "cache"),
        (vec!["upstreams", "zoom"], "upstream"),
        (vec!["upstreams", "zoom", "breaker"], "breaker"),
        (vec!["upstreams", "zoom", "health"], "health"),
        (vec!["upstreams", "zoom", "tls"], "tls"),
        (vec!["upstreams", "zoom", "labels", "heavy"], "label"),
        (vec!["upstreams", "zoom", "pools", "daily"], "pool"),
    ] {
        let written = section.iter().fold(&table, |at, key| &at[*key]);
        for key in tree.at(section.iter().copied()).unwrap().keys() {
            let node = tree.at(section.iter().copied().chain([key])).unwrap();
            let scalar = |default: &&serde_json::Value| !default.is_null() && !default.is_object();
            let Some(default) = node.default().filter(scalar) else {
                continue;
            };
            let shown = serde_json::to_value(&written[key]).unwrap();
            assert_eq!(&shown, default, "{keys}.{key}");
            checked += 1;
        }
    }
    assert!(checked >= 25, "{checked}");
}

#[test]
fn secret_files_stand_beside_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("weir.toml"), ZOOM.replace(r#"value = "s""#, r#"file = "secret""#)).unwrap();
    std::fs::write(at("secret"), "two\nlines\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for name in ["weir.toml", "secret"] {
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(at(name), mode).unwrap();
        }
    }
    let loaded = load(&at("weir.toml"), &Env::new()).unwrap();
    let AuthScheme::Jwt { secret, .. } = &only(&loaded).auth else { panic!() };
    assert_eq!(secret.expose(), "two\nlines", "one newline is the editor's");
    assert_eq!(loaded.warnings.len(), 2, "the key by value, and no state_dir");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(at("secret"), mode).unwrap();
        let warnings = load(&at("weir.toml"), &Env::new()).unwrap().warnings;
        let last = warnings.last().unwrap().to_string();
        assert!(last.ends_with("can be read by every user of this machine"), "{last}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault() {
    let directory = tempfile::tempdir().unwrap();
    let missing = load(&directory.path().join("none.toml"), &Env::new()).unwrap_err();
    assert_eq!(missing.0.len(), 1);
    assert!(missing.to_string().contains("none.toml: cannot be read: No such file"), "{missing}");
    let not_a_file = load(directory.path(), &Env::new()).unwrap_err();
    assert!(not_a_file.to_string().ends_with("cannot be read: it is a directory"), "{not_a_file}");
}
