//! The shape of the house: imports point down, policy is pure, files stay readable.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Floors, from the top. A module may import what stands on a lower floor, and itself.
const FLOORS: [&[&str]; 10] = [
    &["main"],
    &["cli"],
    &["gateway"],
    &["stack"],
    &["layers", "serve"],
    &["request"],
    &["world", "error"],
    &["config", "store", "upstream"],
    &["preset", "sandbox"],
    &["policy"],
];
const GROUND: [&str; 9] =
    ["address", "clock", "files", "http", "peer", "secret", "metrics", "telemetry", "tls"];

/// Beyond the floors: who may import these at all.
const RESERVED: [(&str, &[&str]); 2] =
    [("config", &["cli", "gateway"]), ("sandbox", &["cli", "gateway"])];

/// Beyond the floors: what these may import at all.
const CONFINED: [(&str, &[&str]); 2] =
    [("policy", &["peer", "secret"]), ("sandbox", &["clock", "http", "secret"])];

/// What would make a decision depend on more than it is given.
const IMPURE: [&str; 9] = [
    "async fn", ".await", "tokio", "tracing", "std::env", "std::fs", "std::net", "::now()",
    "static ",
];

const MAX_LINES: usize = 400;

#[derive(Debug)]
struct Source {
    path: PathBuf,
    /// Without tests and comments.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_test = name == "tests.rs" || name == "tests" || name == "testing.rs";
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !is_test {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_owned();
                let lines = text.lines().count();
                found.push(Source { path, code: product_code(&text), lines });
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

/// A file without its inline test module and without comments.
fn product_code(text: &str) -> String {
    let (before, tests) = text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((text, ""));
    let (_tests, after) = tests.split_once("\n}\n").unwrap_or_default();
    let code = before.lines().chain(after.lines()).map(|line| line.split("//").next().unwrap());
    code.collect::<Vec<_>>().join("\n")
}

/// The module below `src/` that a file belongs to.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Everything named as `crate::NAME`, groups like `crate::{a, b}` included.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => top_level(group),
            None => vec![rest],
        };
        for name in names {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            found.insert(name[..end].to_owned());
        }
    }
    found.remove("");
    found
}

/// The members of a `{...}` group, nested groups left whole.
fn top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(group[start..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(group[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    members
}

fn floor(module: &str) -> Option<usize> {
    if GROUND.contains(&module) {
        return Some(FLOORS.len());
    }
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Why `from` must not import `to`.
fn objection(from: &str, to: &str) -> Option<String> {
    if from == to {
        return None;
    }
    let (Some(upper), Some(lower)) = (floor(from), floor(to)) else {
        return Some("one of them stands on no floor".to_owned());
    };
    let ground_among_itself = lower == FLOORS.len() && upper == FLOORS.len();
    if lower <= upper && !ground_among_itself {
        return Some("arrows point down".to_owned());
    }
    if RESERVED.iter().any(|(module, by)| *module == to && !by.contains(&from)) {
        return Some(format!("{to} is not for everybody"));
    }
    if CONFINED.iter().any(|(module, to_only)| *module == from && !to_only.contains(&to)) {
        return Some(format!("{from} keeps to itself"));
    }
    None
}

#[test]
fn imports_point_down() {
    let mut forbidden = Vec::new();
    for source in sources() {
        let from = module(&source.path);
        if from == "lib" {
            continue;
        }
        for to in imports(&source.code) {
            if let Some(why) = objection(&from, &to) {
                forbidden.push(format!("{} imports {to}: {why}", source.path.display()));
            }
        }
    }
    assert!(forbidden.is_empty(), "{}", forbidden.join("\n"));
}

#[test]
fn the_rule_bites() {
    for (from, code, allowed) in [
        ("policy", "use crate::clock::Clock;", false),
        ("policy", "use crate::secret::Secret;", true),
        ("store", "use crate::layers::cache::CacheLayer;", false),
        ("layers", "use crate::config::Settings;", false),
        ("sandbox", "use crate::policy::quota::LabelId;", false),
        ("upstream", "use crate::store::entry::Entry;", false),
        ("world", "fn f() -> crate::request::Record {}", false),
        ("gateway", "use crate::{clock::{Clock}, cli::run};", false),
        ("gateway", "use crate::{clock::Clock, config::Settings};", true),
    ] {
        let objections = imports(code).iter().filter_map(|to| objection(from, to)).count();
        assert_eq!(objections == 0, allowed, "{from}: {code}");
    }
}

#[test]
fn no_layer_knows_another() {
    for source in sources() {
        let mut parts = source.path.components().map(|c| c.as_os_str().to_str().unwrap());
        if parts.next() != Some("layers") {
            continue;
        }
        let own = parts.next().unwrap().trim_end_matches(".rs");
        for (at, _) in source.code.match_indices("crate::layers::") {
            let rest = &source.code[at + "crate::layers::".len()..];
            assert!(rest.starts_with(own), "{} knows another layer", source.path.display());
        }
    }
}

#[test]
fn policy_is_pure() {
    for source in sources() {
        if module(&source.path) != "policy" {
            continue;
        }
        for word in IMPURE {
            // `now` is a parameter there, and 'static is a lifetime.
            let found = source.code.replace("'static ", "").contains(word);
            assert!(!found, "{} says {word:?}", source.path.display());
        }
    }
}

#[test]
fn files_stay_readable() {
    for source in sources() {
        let lines = source.lines;
        assert!(lines <= MAX_LINES, "{} has {lines} lines", source.path.display());
    }
}

#[test]
fn nothing_is_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table =
        fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    assert_eq!(manifest["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for source in sources() {
        let words = source.code.split(|c: char| !c.is_alphanumeric() && c != '_');
        let found = words.filter(|word| *word == "unsafe").count();
        assert_eq!(found, 0, "{} says \"unsafe\"", source.path.display());
    }
}

/// The lock file also names what is never built, so that bans are for `cargo deny` to judge.
#[test]
fn every_dependency_comes_from_crates_io() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock: toml::Table = fs::read_to_string(root.join("Cargo.lock")).unwrap().parse().unwrap();
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let source = package.get("source").and_then(toml::Value::as_str);
        assert!(source == Some(registry) || name == "weir", "{name} comes from {source:?}");
    }
}
