//! What is wrong with a configuration, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One thing that is wrong: `weir.toml:12: server.listn: unknown key; did you mean "listen"?`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, or the environment variable, that says so.
    pub file: String,
    /// Its line, where there is one.
    pub line: Option<usize>,
    /// The key: `upstreams.zoom.labels.heavy.per_second`.
    pub path: String,
    /// What is wrong. Never quotes a secret.
    pub why: String,
    /// What to try.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.why)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Everything that is wrong, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

/// Something that works and should not stay as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning(pub Fault);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where keys stand: lines of the file, and variables of the environment.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) file: String,
    pub(super) lines: BTreeMap<String, usize>,
    pub(super) variables: BTreeMap<String, String>,
}

impl Places {
    /// The key's own place, or that of the nearest table around it.
    fn find(&self, path: &str) -> (String, Option<usize>) {
        let mut at = path;
        loop {
            if let Some(variable) = self.variables.get(at) {
                return (variable.clone(), None);
            }
            if let Some(line) = self.lines.get(at) {
                return (self.file.clone(), Some(*line));
            }
            match at.rfind(['.', '[']).and_then(|end| at.get(..end)) {
                Some(parent) => at = parent,
                None => return (self.file.clone(), None),
            }
        }
    }
}

/// Gathers faults and warnings; nothing stops at the first.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) places: Places,
    faults: BTreeSet<Fault>,
    warnings: BTreeSet<Warning>,
    /// Keys that were left out because of their shape: what follows from that is not news.
    spoilt: Vec<String>,
}

impl Report {
    pub(super) fn new(places: Places) -> Self {
        Self { places, ..Self::default() }
    }

    /// A key of the wrong shape: unknown, or of the wrong type.
    pub(super) fn misshapen(&mut self, path: &str, why: impl Into<String>, hint: Option<String>) {
        let fault = self.place(path, why.into(), hint);
        self.spoilt.push(path.to_owned());
        self.faults.insert(fault);
    }

    /// The author meant this key: that it is missing need not be said again.
    pub(super) fn excuse(&mut self, path: String) {
        self.spoilt.push(path);
    }

    /// A key whose value does not make sense.
    pub(super) fn fault(&mut self, path: &str, why: impl Into<String>) {
        self.insert(path, why.into(), None);
    }

    /// The same, with advice.
    pub(super) fn fault_try(
        &mut self,
        path: &str,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.insert(path, why.into(), Some(hint.into()));
    }

    /// A table or list that does not hold what it should, unless something in it was left out.
    pub(super) fn lacking(&mut self, path: &str, why: impl Into<String>, hint: impl Into<String>) {
        if self.is_whole(path) {
            self.insert(path, why.into(), Some(hint.into()));
        }
    }

    /// Whether nothing in a table or list was left out because of its shape.
    pub(super) fn is_whole(&self, path: &str) -> bool {
        !self.spoilt.iter().any(|spoilt| within(spoilt, path))
    }

    pub(super) fn warn(&mut self, path: &str, why: impl Into<String>) {
        let warning = self.place(path, why.into(), None);
        self.warnings.insert(Warning(warning));
    }

    /// Whether the value comes from the environment rather than from the file.
    pub(super) fn is_from_environment(&self, path: &str) -> bool {
        self.places.variables.contains_key(path)
    }

    /// Adds what was found elsewhere, at a known line.
    pub(super) fn push(&mut self, line: Option<usize>, why: String) {
        let (file, path) = (self.places.file.clone(), String::new());
        self.faults.insert(Fault { file, line, path, why, hint: None });
    }

    /// The warnings, or everything that is wrong.
    pub(super) fn finish(self) -> Result<Vec<Warning>, Faults> {
        if self.faults.is_empty() {
            return Ok(self.warnings.into_iter().collect());
        }
        Err(self.into_faults())
    }

    /// Everything that is wrong, after a fault.
    pub(super) fn into_faults(self) -> Faults {
        let mut faults: Vec<_> = self.faults.into_iter().collect();
        let own = self.places.file;
        faults.sort_by_key(|fault| (fault.file != own, fault.file.clone(), fault.line));
        Faults(faults)
    }

    fn insert(&mut self, path: &str, why: String, hint: Option<String>) {
        if self.spoilt.iter().any(|spoilt| within(path, spoilt)) {
            return;
        }
        let fault = self.place(path, why, hint);
        self.faults.insert(fault);
    }

    fn place(&self, path: &str, why: String, hint: Option<String>) -> Fault {
        let (file, line) = self.places.find(path);
        Fault { file, line, path: path.to_owned(), why, hint }
    }
}

/// Whether `inner` is `outer` or a key below it.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The candidate most like `name`, if any is at all.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "x"?`, or the whole choice if nothing is near.
pub(super) fn suggest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(near) = nearest(name, candidates.clone()) {
        return Some(format!("did you mean {near:?}?"));
    }
    let all: Vec<_> = candidates.into_iter().map(|candidate| format!("{candidate:?}")).collect();
    match all.as_slice() {
        [] => None,
        [one] => Some(format!("there is {one}")),
        [most @ .., last] => Some(format!("there are {} and {last}", most.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_stands_where_its_table_stands() {
        let lines = [("upstreams.a".to_owned(), 3), ("upstreams.a.endpoints[0]".to_owned(), 9)];
        let variables = [("server.listen".to_owned(), "WEIR_SERVER__LISTEN".to_owned())];
        let places = Places { file: "f".into(), lines: lines.into(), variables: variables.into() };
        assert_eq!(places.find("upstreams.a.labels.x"), ("f".into(), Some(3)));
        assert_eq!(places.find("upstreams.a.endpoints[0].cache.fresh"), ("f".into(), Some(9)));
        assert_eq!(places.find("upstreams.ab"), ("f".into(), None));
        assert_eq!(places.find("server.listen"), ("WEIR_SERVER__LISTEN".into(), None));
    }

    #[test]
    fn what_follows_from_a_misshapen_key_is_not_reported() {
        let mut report = Report::default();
        report.misshapen("a.b", "unknown key", None);
        report.lacking("a", "is empty", "fill it");
        report.fault("a.b.c", "is missing");
        report.fault("a.bc", "is wrong");
        report.fault("a", "has no name");
        let whys: Vec<_> = report.finish().unwrap_err().0.into_iter().map(|f| f.why).collect();
        assert_eq!(whys, ["has no name", "unknown key", "is wrong"]);
    }

    #[test]
    fn suggestions_are_near_or_none() {
        assert_eq!(nearest("per_secnd", ["per_second", "per_minute"]), Some("per_second"));
        assert_eq!(nearest("listn", ["listen"]), Some("listen"));
        assert_eq!(nearest("colour", ["listen", "workers"]), None);
        assert_eq!(suggest("zzz", ["a", "b", "c"]).unwrap(), r#"there are "a", "b" and "c""#);
    }
}
