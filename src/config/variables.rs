//! Which key a `WEIR_` variable means.
//!
//! `WEIR_SERVER__LISTEN` is `server.listen`. A shell cannot export a name with a hyphen, so
//! `RESOURCE_INTENSIVE` finds the label `resource-intensive` where there is one.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::fault::{Report, suggest};
use super::schema::{Node, Tree};

/// Environment variables by name.
pub type Env = BTreeMap<String, String>;

/// Read by the command line, not keys of the configuration.
const NOT_KEYS: [&str; 2] = ["WEIR_CONFIG", "WEIR_LOG"];

/// A variable of the environment that overrides a key.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    keys: Vec<String>,
    pub(super) value: String,
}

impl Variable {
    /// The key it means.
    fn path(&self) -> String {
        self.keys.join(".")
    }

    /// The name by which the `config` crate finds the same key.
    pub(super) fn canonical(&self) -> String {
        format!("WEIR_{}", self.keys.join("__"))
    }
}

/// All variables that are meant for the configuration.
#[derive(Debug)]
pub(super) struct Variables(Vec<Variable>);

/// Picks them out of the environment. One that the file names as the source of a secret is not
/// an override, whatever it is called.
pub(super) fn names(env: &Env, own: &Table) -> Variables {
    let mut sources = Vec::new();
    secret_sources(&Value::Table(own.clone()), &mut sources);
    let by_variable = env.iter().filter(|(name, _)| name.ends_with("__ENV"));
    sources.extend(by_variable.map(|(_, value)| value.clone()));
    let ours = env.iter().filter_map(|(name, value)| {
        let keys = name.strip_prefix("WEIR_")?;
        if NOT_KEYS.contains(&name.as_str()) || sources.contains(name) || is_link(keys, value) {
            return None;
        }
        let keys = keys.split("__").map(str::to_lowercase).collect();
        Some(settled(Variable { name: name.clone(), keys, value: value.clone() }, own))
    });
    Variables(ours.collect())
}

/// Kubernetes tells every container about every service near it, in variables that begin with the
/// service's name: with a service called "weir" they look like ours.
fn is_link(keys: &str, value: &str) -> bool {
    let name = keys.ends_with("SERVICE_HOST") || keys.contains("SERVICE_PORT");
    let part = ["_TCP_", "_UDP_", "_SCTP_"].iter().any(|part| keys.contains(part));
    let address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    !keys.contains("__") && (name || part || address)
}

fn secret_sources(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            found.extend(table.get("env").and_then(Value::as_str).map(ToOwned::to_owned));
            table.values().for_each(|value| secret_sources(value, found));
        }
        Value::Array(rows) => rows.iter().for_each(|row| secret_sources(row, found)),
        _ => {}
    }
}

/// Finds the spelling of each key in the file.
fn settled(mut variable: Variable, known: &Table) -> Variable {
    let mut at = Some(known);
    for key in &mut variable.keys {
        let Some(table) = at else { break };
        if !table.contains_key(key) {
            let same = table.keys().find(|known| known.replace('-', "_") == *key);
            if let Some(known) = same {
                key.clone_from(known);
            }
        }
        at = table.get(key).and_then(Value::as_table);
    }
    variable
}

impl Variables {
    /// Where the values of these keys stand, for faults found before they are merged.
    pub(super) fn places(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|variable| (variable.path(), variable.name.clone())).collect()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Variable> {
        self.0.iter().find(|variable| variable.path() == path)
    }

    /// The upstreams they speak of.
    pub(super) fn upstreams(&self) -> Vec<String> {
        let names = self.0.iter().map(|variable| variable.keys.as_slice());
        names
            .filter_map(|keys| match keys {
                [first, name, _, ..] if first == "upstreams" => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    /// Checks every variable against the schema; what remains is known, by path.
    pub(super) fn settle(
        self,
        merged: &Table,
        tree: &Tree,
        report: &mut Report,
    ) -> BTreeMap<String, Variable> {
        let mut known = BTreeMap::new();
        for variable in self.0 {
            let variable = settled(variable, merged);
            let path = variable.path();
            report.places.variables.insert(path.clone(), variable.name.clone());
            if is_known(&variable, tree.root(), report) {
                known.insert(path, variable);
            }
        }
        known
    }
}

fn is_known(variable: &Variable, root: Node<'_>, report: &mut Report) -> bool {
    let path = variable.path();
    let mut node = root;
    for (at, key) in variable.keys.iter().enumerate() {
        let next = if key.is_empty() { None } else { node.child(key) };
        let Some(next) = next else {
            let hint = if variable.keys.len() == 1 && key.contains('_') {
                Some(r#"put "__" between levels"#.into())
            } else {
                suggest(key, node.keys())
            };
            report.misshapen(&path, "unknown key", hint);
            return false;
        };
        let whole = next.is_one_or_many() && at + 1 == variable.keys.len();
        if next.is_list() && !whole {
            report.misshapen(&path, "lists cannot be changed from the environment", None);
            return false;
        }
        node = next;
    }
    true
}

/// A variable that says where a secret comes from replaces what the file says about it.
pub(super) fn replace_sources(
    merged: &mut Table,
    variables: &BTreeMap<String, Variable>,
    tree: &Tree,
) {
    for variable in variables.values() {
        let Some((_, parents)) = variable.keys.split_last() else { continue };
        let source = tree.at(parents.iter().map(String::as_str));
        if !source.is_some_and(Node::is_secret_source) {
            continue;
        }
        let mut at = Some(&mut *merged);
        for key in parents {
            at = at.and_then(|table| table.get_mut(key)).and_then(Value::as_table_mut);
        }
        if let Some(table) = at {
            table.clear();
        }
    }
}
