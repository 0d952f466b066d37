//! What the README promises is there, and what is there stands in the README.

use std::fs;
use std::path::Path;

use weir::metrics::{Face, Metrics};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The quoted words of a text that look like codes.
fn quoted(text: &str) -> Vec<&str> {
    let words = text.split('"').skip(1).step_by(2);
    words
        .filter(|word| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        })
        .collect()
}

#[test]
fn every_error_code_has_a_row() {
    let readme = read("README.md");
    let errors = read("src/error.rs");
    let table =
        errors.split("pub fn row(").nth(1).unwrap().split("fn refusal_text").next().unwrap();
    let limiter = read("src/store/limiter.rs");
    let reasons = limiter.split("impl Reason").nth(1).unwrap().split("\n}\n").next().unwrap();
    let mut codes = quoted(table);
    codes.extend(quoted(reasons));
    assert!(codes.len() >= 20, "the codes were not found: {codes:?}");
    for code in codes {
        assert!(readme.contains(&format!("`{code}`")), "{code} has no row in the README");
    }
}

#[test]
fn every_metric_has_a_row() {
    let readme = read("README.md");
    let declared = read("src/metrics/families.rs") + &read("src/metrics.rs");
    let families: Vec<_> = declared
        .split('"')
        .filter(|word| {
            word.starts_with("weir_") && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        })
        .collect();
    assert!(families.len() >= 20, "the families were not found: {families:?}");
    for family in families {
        assert!(readme.contains(&format!("`{family}")), "{family} has no row in the README");
    }
    let exposed = Metrics::new().encode(Face::Text);
    assert!(exposed.contains("weir_build_info"), "the metrics were not encoded");
}

#[test]
fn every_benchmark_has_a_row() {
    let readme = read("README.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/micro");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let names = files.filter_map(|file| Some(file.to_str()?.strip_suffix(".rs")?.to_owned()));
    let names: Vec<_> = names.filter(|name| !matches!(name.as_str(), "main" | "support")).collect();
    assert!(names.len() >= 5, "the benchmarks were not found: {names:?}");
    for name in names {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} has no row in the README");
    }
}
