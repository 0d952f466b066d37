//! Serde with all faults instead of the first.
//!
//! Serde stops at the first value of a wrong type. Here the wrong value is reported and taken out,
//! and the rest is tried again, until nothing is wrong any more.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize as _;
use serde_path_to_error::{Segment, Track};
use toml::{Table, Value};

use super::fault::{Report, nearest, suggest};
use super::lines::join;
use super::raw::Raw;
use super::schema::{Node, Tree};
use super::variables::Variable;

/// Takes everything out of the file's table that does not fit, and reports it.
pub(super) fn strictly(mut table: Table, tree: &Tree, report: &mut Report) -> Table {
    loop {
        match attempt(table.clone()) {
            Ok((_, unknown)) => {
                for path in unknown {
                    unknown_key(&path, &path.named(&table), tree, report);
                    take(&mut table, &path);
                }
                return table;
            }
            Err(path) => {
                let written = path.named(&table);
                let Some(found) = take(&mut table, &path) else {
                    report.push(None, "cannot be understood".into());
                    return table;
                };
                mistyped(&path, &written, &found, tree, report);
            }
        }
    }
}

/// Reads what `config` has put together; a variable that does not fit is reported and left out.
pub(super) fn with_variables(
    variables: &mut BTreeMap<String, Variable>,
    tree: &Tree,
    report: &mut Report,
    build: impl Fn(&BTreeMap<String, Variable>) -> Result<config::Config, config::ConfigError>,
) -> Option<Raw> {
    loop {
        let path = match build(variables).map(attempt) {
            Ok(Ok((raw, _))) => return Some(raw),
            Ok(Err(path)) => path,
            Err(_) => Path::default(),
        };
        let Some(variable) = variables.remove(&path.to_string()) else {
            report.push(None, "cannot be understood together with the environment".into());
            return None;
        };
        let written = path.to_string();
        mistyped(&path, &written, &Value::String(variable.value), tree, report);
    }
}

fn attempt<'de, D: serde::Deserializer<'de>>(from: D) -> Result<(Raw, Vec<Path>), Path> {
    let (mut track, mut unknown) = (Track::new(), Vec::new());
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(Path::from(&path));
    let tracked = serde_path_to_error::Deserializer::new(from, &mut track);
    let result = Raw::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    // The error itself is dropped: it quotes values, and a value may be a secret.
    result.map(|raw| (raw, unknown)).map_err(|_quotes| Path::from(track.path()))
}

fn unknown_key(path: &Path, written: &str, tree: &Tree, report: &mut Report) {
    let Some((Step::Key(last), parents)) = path.0.split_last() else { return };
    let names: Vec<String> = parents.iter().map(Step::to_string).collect();
    let known = tree.at(names.iter().map(String::as_str));
    let near = known.and_then(|table| nearest(last, table.keys()));
    if let (Some(near), Some(parent)) = (near, written.strip_suffix(last)) {
        report.excuse(format!("{parent}{near}"));
    }
    let hint = known.and_then(|table| suggest(last, table.keys()));
    report.misshapen(written, "unknown key", hint);
}

fn mistyped(path: &Path, written: &str, found: &Value, tree: &Tree, report: &mut Report) {
    let names: Vec<String> = path.0.iter().map(Step::to_string).collect();
    let node = tree.at(names.iter().map(String::as_str));
    let expected = node.map_or_else(|| "something else".into(), Node::expected);
    let choices = node.map(Node::choices).unwrap_or_default();
    // Whatever stands below `auth`, in a client or for a token may be a secret, in the wrong place.
    let private = names.iter().any(|name| name == "auth" || name == "token")
        || names.first().is_some_and(|name| name == "clients");
    let secret = private && choices.is_empty();
    let found_text = match found {
        Value::Table(_) => "a table".into(),
        Value::Array(_) => "a list".into(),
        Value::Datetime(_) => "a date".into(),
        Value::String(_) if secret => "a string".into(),
        Value::Boolean(_) if secret => "true or false".into(),
        Value::Integer(_) | Value::Float(_) if secret => "a number".into(),
        scalar => scalar.to_string(),
    };
    let near = found.as_str().and_then(|text| nearest(text, choices));
    let hint = near.map(|near| format!("did you mean {near:?}?"));
    report.misshapen(written, format!("expected {expected}, found {found_text}"), hint);
}

/// Takes a value out of a table. Of a list, the whole list goes, so that rows keep their index;
/// what was wrong is returned all the same.
fn take(table: &mut Table, path: &Path) -> Option<Value> {
    let (last, parents) = path.0.split_last()?;
    if let Step::Index(index) = last {
        let Some(Value::Array(mut rows)) = take(table, &Path(parents.to_vec())) else {
            return None;
        };
        return (*index < rows.len()).then(|| rows.swap_remove(*index));
    }
    let Step::Key(last) = last else { return None };
    let (first, rest) = parents.split_first().map_or((None, parents), |(f, r)| (Some(f), r));
    let Some(first) = first else { return table.remove(last) };
    let Step::Key(first) = first else { return None };
    let mut at = table.get_mut(first)?;
    for step in rest {
        at = match step {
            Step::Key(key) => at.get_mut(key)?,
            Step::Index(index) => at.get_mut(*index)?,
        };
    }
    at.as_table_mut()?.remove(last)
}

/// A key's path; printed as `a.b[0].c`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// As printed, with rows named by their id where they have one: by that name they are known
    /// after they have been merged with a preset.
    fn named(&self, table: &Table) -> String {
        let mut out = String::new();
        let mut at = None;
        for step in &self.0 {
            match step {
                Step::Key(key) => {
                    at = at.map_or_else(|| table.get(key), |at: &Value| at.get(key));
                    out = join(&out, key);
                }
                Step::Index(index) => {
                    at = at.and_then(|at| at.get(*index));
                    let id = at.and_then(|row| row.get("id")).and_then(Value::as_str);
                    out += &id.map_or_else(|| format!("[{index}]"), |id| format!("[{id}]"));
                }
            }
        }
        out
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl From<serde_path_to_error::Path> for Path {
    fn from(path: serde_path_to_error::Path) -> Self {
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            // The variant of an enum is part of the value, not of its path.
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        Self(steps.collect())
    }
}

impl From<&serde_ignored::Path<'_>> for Path {
    fn from(path: &serde_ignored::Path<'_>) -> Self {
        use serde_ignored::Path as Ignored;
        let (parent, step) = match path {
            Ignored::Root => return Self::default(),
            Ignored::Seq { parent, index } => (parent, Some(Step::Index(*index))),
            Ignored::Map { parent, key } => (parent, Some(Step::Key(key.clone()))),
            Ignored::Some { parent }
            | Ignored::NewtypeStruct { parent }
            | Ignored::NewtypeVariant { parent } => (parent, None),
        };
        let mut path = Self::from(*parent);
        path.0.extend(step);
        path
    }
}
