//! File and environment to settings: the only reader of the environment and of secret files.
//!
//! First the file alone, strictly, because only its own parser knows lines. Then preset, file and
//! environment together, and what comes of that is validated.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use secrecy::zeroize::{Zeroize as _, Zeroizing};
use toml::de::DeTable;
use toml::{Table, Value};

use super::decode;
use super::fault::{Fault, Faults, Places, Report, Warning, suggest};
use super::raw::Raw;
use super::schema::Tree;
use super::validate::{self, Directory, Outside};
use super::variables::{self, Env, Variables};
use super::{Settings, lines, merge, permissions, render, shares};
use crate::clock::Clock;
use crate::files::{self, Access, Snapshot, Text};
use crate::preset::{self, Preset};

/// A configuration that is good.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to run with.
    pub settings: Settings,
    /// What should not stay as it is.
    pub warnings: Vec<Warning>,
    /// The whole configuration as TOML, defaults and preset included, secrets masked.
    pub effective: String,
    /// What every client may ask, as comments that may follow the configuration. Empty where
    /// nobody has to say who it is.
    pub permissions: String,
    /// What every client gets of every label, as comments that may follow the configuration.
    /// Empty where nothing is limited.
    pub shares: String,
}

/// Files larger than this are not ours.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// This process's environment; variables that are not text are left out.
pub fn environment() -> Env {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Loads a file, with `env` over it.
pub fn load(path: &Path, env: &Env) -> Result<Loaded, Faults> {
    load_and_note(path, env).0
}

/// The same, and all files that were read for it, whatever came of them.
pub fn load_and_note(path: &Path, env: &Env) -> (Result<Loaded, Faults>, Snapshot) {
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let machine = Machine { env, directory, noted: RefCell::default() };
    let file = path.display().to_string();
    let loaded = match machine.noted(path, MAX_FILE_BYTES) {
        Ok(text) => {
            let mut report = report_for(&file);
            if let Some(why) = text.access.to_change() {
                report.warn("", format!("this file {why}"));
            }
            read(&text.text, &machine, report)
        }
        Err(why) => {
            Err(Faults(vec![Fault { file, line: None, path: String::new(), why, hint: None }]))
        }
    };
    (loaded, machine.noted.into_inner())
}

/// Loads a text as if it were that file; other files are found relative to the working directory.
pub fn from_text(file: &str, text: &str, env: &Env) -> Result<Loaded, Faults> {
    let machine = Machine { env, directory: PathBuf::new(), noted: RefCell::default() };
    read(text, &machine, report_for(file))
}

fn report_for(file: &str) -> Report {
    Report::new(Places { file: file.to_owned(), ..Places::default() })
}

fn read(text: &str, machine: &Machine<'_>, mut report: Report) -> Result<Loaded, Faults> {
    let own = parse(text, &mut report);
    let Some(own) = own else { return Err(report.into_faults()) };
    let tree = Tree::new();
    let own = decode::strictly(own, &tree, &mut report);
    let names = variables::names(machine.env, &own);
    report.places.variables = names.places();
    let (merged, presets) = with_presets(own, &names, &mut report);
    let Some(raw) = with_environment(merged, names, &tree, &mut report) else {
        return Err(report.into_faults());
    };
    let mut settings = validate::settings(&raw, &presets, machine, &mut report);
    let warnings = report.finish()?;
    let effective = Table::try_from(&raw).map(|table| render::toml_text(&table));
    let effective = effective.unwrap_or_default();
    settings.digest = validate::sha256_hex(effective.as_bytes());
    let (permissions, shares) = (permissions::text(&settings), shares::text(&settings));
    Ok(Loaded { settings, warnings, effective, permissions, shares })
}

/// Syntax and lines.
fn parse(text: &str, report: &mut Report) -> Option<Table> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map(|span| lines::at(text, span.start));
        // Only the message: the error's own text shows the line, and that may hold a secret.
        report.push(line, error.message().to_owned());
    }
    report.places.lines = lines::of(text, document.get_ref());
    let too_large = lines::too_large(document.get_ref());
    for path in &too_large {
        // Not quoted: it may be a secret without its quotation marks.
        report.misshapen(path, "is a number beyond 64 bits", None);
    }
    let is_good = errors.is_empty() && too_large.is_empty();
    let table = if is_good { text.parse::<Table>().ok() } else { None };
    if table.is_none() && is_good {
        report.push(None, "is not TOML".into());
    }
    table
}

/// Puts every upstream's own keys over those of its preset and plan.
fn with_presets(
    mut own: Table,
    variables: &Variables,
    report: &mut Report,
) -> (Table, BTreeMap<String, Preset>) {
    let mut presets = BTreeMap::new();
    let mut upstreams = match own.remove("upstreams") {
        Some(Value::Table(upstreams)) => upstreams,
        _ => Table::new(),
    };
    for name in variables.upstreams() {
        upstreams.entry(name).or_insert_with(|| Value::Table(Table::new()));
    }
    let mut merged = Table::new();
    for (name, upstream) in upstreams {
        let Value::Table(upstream) = upstream else { continue };
        merge::check_ids(&name, &upstream, report);
        let path = format!("upstreams.{name}");
        let choice = |key: &str| {
            let variable = variables.get(&format!("{path}.{key}")).map(|v| v.value.clone());
            variable.or_else(|| upstream.get(key)?.as_str().map(ToOwned::to_owned))
        };
        let (base, preset) = base_of(&path, choice("preset"), choice("plan"), report);
        presets.extend(preset.map(|preset| (name.clone(), preset)));
        merged.insert(name, Value::Table(merge::upstream(base, upstream)));
    }
    own.insert("upstreams".into(), Value::Table(merged));
    (own, presets)
}

/// What preset and plan say about an upstream.
fn base_of(
    path: &str,
    preset: Option<String>,
    plan: Option<String>,
    report: &mut Report,
) -> (Table, Option<Preset>) {
    let Some(name) = preset else {
        if plan.is_some() {
            report.fault(&format!("{path}.plan"), "is for an upstream with a preset");
        }
        return (Table::new(), None);
    };
    let Some(preset) = preset::find(&name) else {
        let hint = suggest(&name, preset::NAMES);
        report.misshapen(&format!("{path}.preset"), format!("no such preset: {name:?}"), hint);
        // Everything that the preset would have brought is missing now, and not worth a word.
        report.excuse(path.to_owned());
        return (Table::new(), None);
    };
    let plan = plan.unwrap_or_else(|| preset.default_plan.clone());
    let figures = preset.plans.get(&plan).or_else(|| preset.plans.get(&preset.default_plan));
    if !preset.plans.contains_key(&plan) {
        let hint = suggest(&plan, preset.plans.keys().map(String::as_str));
        report.misshapen(&format!("{path}.plan"), format!("no such plan: {plan:?}"), hint);
    }
    let mut base = preset.upstream.clone();
    merge::over(&mut base, figures.cloned().unwrap_or_default());
    base.insert("plan".into(), Value::String(plan));
    (base, Some(preset))
}

/// Puts the environment over file and presets, by the `config` crate.
fn with_environment(
    mut merged: Table,
    variables: Variables,
    tree: &Tree,
    report: &mut Report,
) -> Option<Raw> {
    let mut known = variables.settle(&merged, tree, report);
    variables::replace_sources(&mut merged, &known, tree);
    let text = Zeroizing::new(toml::to_string(&merged).unwrap_or_default());
    merged.iter_mut().for_each(|(_, value)| wipe(value));
    decode::with_variables(&mut known, tree, report, |variables| {
        let source = variables.values().map(|v| (v.canonical(), v.value.clone())).collect();
        let environment = config::Environment::with_prefix("WEIR")
            .prefix_separator("_")
            .separator("__")
            .source(Some(source));
        config::Config::builder()
            .add_source(config::File::from_str(&text, config::FileFormat::Toml))
            .add_source(environment)
            .build()
    })
}

/// A secret may stand in the file itself.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(rows) => rows.iter_mut().for_each(wipe),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| wipe(value)),
        _ => {}
    }
}

/// This machine, as a file in that directory sees it.
struct Machine<'a> {
    env: &'a Env,
    directory: PathBuf,
    noted: RefCell<Snapshot>,
}

impl Machine<'_> {
    fn noted(&self, path: &Path, max_bytes: u64) -> Result<Text, String> {
        let read = files::read(path, max_bytes);
        self.noted.borrow_mut().note_read(path, &read);
        read
    }
}

impl Outside for Machine<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &str, max_bytes: u64) -> Result<Text, String> {
        self.noted(&self.directory.join(path), max_bytes)
    }

    fn base(&self) -> &Path {
        &self.directory
    }

    fn now(&self) -> SystemTime {
        Clock::system().wall()
    }

    fn directory(&self, path: &str) -> Result<Directory, String> {
        let path = self.directory.join(path);
        match std::fs::metadata(&path) {
            Ok(about) if about.is_dir() => Ok(Directory { path, access: Some(Access::of(&about)) }),
            Ok(_) => Err("is not a directory".into()),
            // It may be made later, or be hidden from whoever checks and not from who serves.
            Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => {
                Ok(Directory { path, access: None })
            }
            Err(error) => Err(format!("cannot be a directory: {error}")),
        }
    }
}
