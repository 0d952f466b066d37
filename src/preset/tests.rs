use std::collections::BTreeMap;

use toml::Value;

use super::*;

fn rows(preset: &Preset) -> &Vec<Value> {
    preset.upstream["endpoints"].as_array().unwrap()
}

#[test]
fn every_name_is_found() {
    for name in NAMES {
        let preset = find(name).unwrap();
        assert!(preset.plans.contains_key(&preset.default_plan), "{name}");
    }
    assert!(find("zoom").is_none());
}

/// Zoom's 38 operations and the QoS summary: as many of each label and method as Zoom documents.
#[test]
fn zoom_operations_are_complete() {
    let preset = find("zoom-video-sdk").unwrap();
    let count = |key: &str| {
        let mut counts = BTreeMap::new();
        for row in rows(&preset) {
            *counts.entry(row[key].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        counts.into_iter().collect::<Vec<_>>()
    };
    let listed = |list: &[(&str, i32)]| {
        list.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>()
    };
    assert_eq!(rows(&preset).len(), 39);
    let labels = [("heavy", 10), ("light", 22), ("medium", 6), ("resource-intensive", 1)];
    assert_eq!(count("label"), listed(&labels));
    let methods = [("DELETE", 5), ("GET", 20), ("PATCH", 7), ("POST", 4), ("PUT", 3)];
    assert_eq!(count("method"), listed(&methods));
    assert_eq!(rows(&preset).iter().filter(|row| row.get("page_token").is_some()).count(), 10);
}

/// Answers that carry passcodes, download tokens, stream keys or webhook payloads.
const SECRET: [&str; 10] = [
    "get-session",
    "list-recordings",
    "get-session-recordings",
    "get-session-livestream",
    "list-session-stream-ingestions",
    "list-stream-ingestions",
    "get-stream-ingestion",
    "list-storage-locations",
    "get-storage-location",
    "get-webhook-logs",
];

#[test]
fn only_reads_without_secrets_are_stored() {
    let preset = find("zoom-video-sdk").unwrap();
    let (stored, others): (Vec<_>, Vec<_>) =
        rows(&preset).iter().partition(|row| row.get("cache").is_some());
    assert_eq!(stored.len(), 10);
    for row in stored {
        let id = row["id"].as_str().unwrap();
        assert_eq!(row["method"].as_str(), Some("GET"), "{id}");
        assert!(!SECRET.contains(&id), "{id}");
    }
    // The list speaks of rows that exist, and no read is in neither.
    let reads: Vec<_> = others.iter().filter(|row| row["method"].as_str() == Some("GET")).collect();
    let mut reads: Vec<_> = reads.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let mut secret = SECRET;
    reads.sort_unstable();
    secret.sort_unstable();
    assert_eq!(reads, secret);
}
