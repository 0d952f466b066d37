//! From a key's path to its line in the file.

use std::collections::BTreeMap;

use toml::de::{DeArray, DeTable, DeValue};

/// The line of every key, by its path. Rows of lists are found by index and, where they have one,
/// by their `id` too, because merging with a preset changes the index.
pub(super) fn of(text: &str, table: &DeTable<'_>) -> BTreeMap<String, usize> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at);
    let mut lines = Lines { ends: ends.collect(), found: BTreeMap::new() };
    lines.table("", table);
    lines.found
}

/// The line of a byte.
pub(super) fn at(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

/// The paths of all numbers that no value of ours can hold: TOML's grammar has no largest number.
pub(super) fn too_large(table: &DeTable<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in table {
        too_large_at(key.get_ref().to_string(), value.get_ref(), &mut found);
    }
    found
}

fn too_large_at(path: String, value: &DeValue<'_>, found: &mut Vec<String>) {
    let fits = match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).is_ok(),
        DeValue::Float(number) => {
            let text = number.as_str();
            text.contains("inf") || !text.parse::<f64>().is_ok_and(f64::is_infinite)
        }
        DeValue::Table(table) => {
            for (key, value) in table {
                too_large_at(join(&path, key.get_ref()), value.get_ref(), found);
            }
            true
        }
        DeValue::Array(rows) => {
            for (index, row) in rows.iter().enumerate() {
                let name = id(row.get_ref()).unwrap_or_else(|| index.to_string());
                too_large_at(format!("{path}[{name}]"), row.get_ref(), found);
            }
            true
        }
        _ => true,
    };
    if !fits {
        found.push(path);
    }
}

fn id(row: &DeValue<'_>) -> Option<String> {
    row.as_table()?.get("id")?.get_ref().as_str().map(ToOwned::to_owned)
}

struct Lines {
    ends: Vec<usize>,
    found: BTreeMap<String, usize>,
}

impl Lines {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.note(path.clone(), key.span().start);
            self.value(&path, value.get_ref());
        }
    }

    fn value(&mut self, path: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.table(path, table),
            DeValue::Array(rows) => self.rows(path, rows),
            _ => {}
        }
    }

    fn rows(&mut self, path: &str, rows: &DeArray<'_>) {
        for (index, row) in rows.iter().enumerate() {
            for name in [Some(index.to_string()), id(row.get_ref())].into_iter().flatten() {
                let path = format!("{path}[{name}]");
                self.note(path.clone(), row.span().start);
                self.value(&path, row.get_ref());
            }
        }
    }

    fn note(&mut self, path: String, byte: usize) {
        let line = 1 + self.ends.partition_point(|end| *end < byte);
        self.found.entry(path).or_insert(line);
    }
}

/// `a.b`, or `b` at the top.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_line() {
        let text = "[a]\nb = 1\n\n[c.d]\ne.f = 2\n[[rows]]\nx = 1\n[[rows]]\nid = \"two\"\n\
                    inline = { k = [\n 1 ] }\n";
        let found = of(text, DeTable::parse(text).unwrap().get_ref());
        let expected = [
            ("a", 1),
            ("a.b", 2),
            ("c", 4),
            ("c.d", 4),
            ("c.d.e", 5),
            ("c.d.e.f", 5),
            ("rows", 6),
            ("rows[0]", 6),
            ("rows[0].x", 7),
            ("rows[1]", 8),
            ("rows[1].id", 9),
            ("rows[1].inline.k", 10),
            ("rows[1].inline.k[0]", 11),
            ("rows[two]", 8),
            ("rows[two].inline.k", 10),
        ];
        for (path, line) in expected {
            assert_eq!(found.get(path), Some(&line), "{path}");
        }
    }
}
