//! The effective configuration as TOML: short lines for people, and a file that loads again.

use std::fmt::Write as _;

use toml::{Table, Value};

/// What names a thing comes before what it says about it.
const FIRST: [&str; 7] = ["id", "name", "kind", "preset", "plan", "method", "path"];

/// Writes a table with headers for tables and one line for everything below a list's row.
pub(super) fn toml_text(table: &Table) -> String {
    let mut out = String::new();
    write_table(&mut out, "", table);
    out
}

fn write_table(out: &mut String, path: &str, table: &Table) {
    let lines = sorted(table).into_iter().filter(|(_, value)| !has_header(value));
    lines.for_each(|(key, value)| line(out, key, value));
    let mut headed = sorted(table);
    headed.retain(|(_, value)| has_header(value));
    // Long lists last: what they refer to has been read by then.
    headed.sort_by_key(|(_, value)| value.is_array());
    for (key, value) in headed {
        let path = if path.is_empty() { quoted(key) } else { format!("{path}.{}", quoted(key)) };
        match value {
            Value::Table(table) => {
                // A table that only holds tables needs no header of its own.
                if table.is_empty() || table.values().any(|value| !has_header(value)) {
                    header(out, &format!("[{path}]"));
                }
                write_table(out, &path, table);
            }
            Value::Array(rows) => {
                for row in rows.iter().filter_map(Value::as_table) {
                    header(out, &format!("[[{path}]]"));
                    for (key, value) in sorted(row) {
                        line(out, key, value);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Tables and lists of tables stand under headers; where a secret comes from, and what a pool
/// reserves, stands on a line.
fn has_header(value: &Value) -> bool {
    match value {
        Value::Table(table) => !is_source(table) && !is_reserve(table),
        Value::Array(rows) => rows.first().is_some_and(Value::is_table),
        _ => false,
    }
}

fn is_source(table: &Table) -> bool {
    let sources = ["env", "file", "value", "sha256"];
    table.len() == 1 && table.keys().all(|key| sources.contains(&key.as_str()))
}

fn is_reserve(table: &Table) -> bool {
    let priority = |key: &str| key == "high" || key == "normal";
    !table.is_empty() && table.iter().all(|(key, value)| priority(key) && value.is_str())
}

fn sorted(table: &Table) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = table.iter().collect();
    let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    entries.sort_by_key(|(key, _)| rank(key));
    entries
}

fn header(out: &mut String, header: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(header);
    out.push('\n');
}

fn line(out: &mut String, key: &str, value: &Value) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{} = {value}", quoted(key));
}

fn quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        Value::String(key.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well_and_loads_again() {
        let text = r#"[a]
x = 1

[a.b]
kind = "jwt"
key = { env = "K" }
lifetime = "1h"

[a.high]
reserve = { high = "20%", normal = "0%" }

[[a.rows]]
id = "r"
path = "/r"
when = [{ fresh = "1s", "odd key" = "1" }]
"#;
        let table: Table = text.parse().unwrap();
        assert_eq!(toml_text(&table), text);
        assert_eq!(toml_text(&table).parse::<Table>().unwrap(), table);
    }
}
