//! What an operator writes goes over what a preset says.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::fault::Report;

/// Every row has an id, and no two the same: rows are found by it.
pub(super) fn check_ids(upstream: &str, own: &Table, report: &mut Report) {
    let mut seen = BTreeMap::new();
    for (index, row) in rows(own).iter().enumerate() {
        let path = format!("upstreams.{upstream}.endpoints[{index}].id");
        let Some(id) = id(row) else {
            report.fault(&path, "is required");
            continue;
        };
        if let Some(first) = seen.insert(id.to_owned(), index) {
            report.misshapen(&path, format!("{id:?} is the id of endpoints[{first}] too"), None);
        }
    }
}

/// Puts `own` over `base`: tables by key, endpoints by id, all else replaced.
pub(super) fn upstream(mut base: Table, mut own: Table) -> Table {
    let mut merged = match base.remove("endpoints") {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    };
    if let Some(Value::Array(own)) = own.remove("endpoints") {
        for row in own {
            merge_row(&mut merged, row);
        }
    }
    over(&mut base, own);
    if !merged.is_empty() {
        base.insert("endpoints".into(), Value::Array(merged));
    }
    base
}

/// Puts one table over another, key by key.
pub(super) fn over(base: &mut Table, own: Table) {
    for (key, value) in own {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(own)) => over(base, own),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn merge_row(rows: &mut Vec<Value>, own: Value) {
    let found = id(&own).and_then(|own| rows.iter_mut().find(|row| id(row) == Some(own)));
    match (found, own) {
        (Some(Value::Table(base)), Value::Table(own)) => {
            make_room(base, &own);
            over(base, own);
        }
        (_, own) => rows.push(own),
    }
}

/// Drops what the new row contradicts: the figures of another cache mode, and the bounds of a
/// parameter that becomes one of another kind.
fn make_room(base: &mut Table, own: &Table) {
    let mode = |row: &Table| row.get("cache")?.get("mode")?.as_str().map(ToOwned::to_owned);
    if mode(own).is_some_and(|own| Some(own) != mode(base)) {
        base.remove("cache");
        base.remove("when");
    }
    let Some(parameters) = own.get("parameters").and_then(Value::as_table) else { return };
    for (name, own) in parameters {
        let theirs = base.get_mut("parameters").and_then(|all| all.get_mut(name));
        let Some(theirs) = theirs.and_then(Value::as_table_mut) else { continue };
        let new = own.as_table().and_then(kind);
        if new.is_some_and(|new| Some(new) != kind(theirs)) {
            theirs.clear();
        }
    }
}

/// Which of its three kinds a parameter is.
fn kind(parameter: &Table) -> Option<u8> {
    let kinds = [("one_of", 0), ("min", 1), ("max", 1), ("max_length", 2)];
    kinds.iter().find(|(key, _)| parameter.contains_key(*key)).map(|(_, kind)| *kind)
}

fn rows(upstream: &Table) -> &[Value] {
    upstream.get("endpoints").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn id(row: &Value) -> Option<&str> {
    row.get("id")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, own: &str) -> Table {
        upstream(base.parse().unwrap(), own.parse().unwrap())
    }

    const BASE: &str = r#"
        [labels.heavy]
        per_second = 10
        pool = "daily"
        [[endpoints]]
        id = "a"
        path = "/a"
        cache = { mode = "override", fresh = "10s", stale_if_error = "1m" }
        when = [{ type = "past", fresh = "1m" }]
        parameters = { size = { min = 1, max = 300, default = 30 } }
        [[endpoints]]
        id = "b"
        path = "/b"
    "#;

    #[test]
    fn an_empty_table_changes_nothing() {
        assert_eq!(merged(BASE, ""), BASE.parse().unwrap());
        assert_eq!(merged("", BASE), BASE.parse().unwrap());
    }

    #[test]
    fn labels_by_name_and_endpoints_by_id() {
        let own = r#"
            [labels.heavy]
            per_second = 5
            [labels.own]
            per_second = 1
            [[endpoints]]
            id = "a"
            cache = { fresh = "20s" }
            parameters = { size = { max = 100 } }
            [[endpoints]]
            id = "c"
            path = "/c"
        "#;
        let all = merged(BASE, own);
        assert_eq!(all["labels"]["heavy"]["per_second"].as_integer(), Some(5));
        assert_eq!(all["labels"]["heavy"]["pool"].as_str(), Some("daily"));
        assert_eq!(all["labels"]["own"]["per_second"].as_integer(), Some(1));
        let ids: Vec<_> = rows(&all).iter().map(|row| id(row).unwrap()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        let a = &all["endpoints"][0];
        assert_eq!(a["path"].as_str(), Some("/a"));
        assert_eq!(a["cache"]["fresh"].as_str(), Some("20s"));
        assert_eq!(a["cache"]["stale_if_error"].as_str(), Some("1m"));
        assert_eq!(a["parameters"]["size"]["max"].as_integer(), Some(100));
        assert_eq!(a["parameters"]["size"]["default"].as_integer(), Some(30));
    }

    #[test]
    fn another_mode_or_kind_takes_nothing_along() {
        let own = r#"
            [[endpoints]]
            id = "a"
            cache = { mode = "off" }
            parameters = { size = { one_of = ["s", "l"] } }
        "#;
        let all = merged(BASE, own);
        let a = all["endpoints"][0].as_table().unwrap();
        assert_eq!(a["cache"].to_string(), r#"{ mode = "off" }"#);
        assert!(!a.contains_key("when"));
        assert_eq!(a["parameters"]["size"].to_string(), r#"{ one_of = ["s", "l"] }"#);
    }
}
