//! Declared query parameters.

use std::collections::BTreeMap;

use crate::config::fault::Report;
use crate::config::raw;
use crate::config::units::Scalar;
use crate::policy::endpoint::{Parameter, ParameterKind};

const DEFAULT_LENGTH: u32 = 1024;
const MOST_LENGTH: u32 = 64 << 10;

/// All of an endpoint's, sorted by name.
pub(super) fn all(
    path: &str,
    raw: &BTreeMap<String, raw::Parameter>,
    in_path: &[&str],
    report: &mut Report,
) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for (name, raw) in raw {
        let path = format!("{path}.parameters.{name}");
        if in_path.contains(&name.as_str()) {
            report.fault(&path, "is a parameter of the path, which cannot be declared here");
        }
        if name.is_empty() {
            report.fault(&path, "has no name");
        }
        let Some(kind) = kind(&path, raw, report) else { continue };
        let default = raw.default.as_ref().map(|Scalar(text)| text.clone());
        if let Some(text) = default.as_ref().filter(|text| !allows(&kind, text)) {
            let why = format!("{text:?} is not a value that this parameter may take");
            report.fault(&format!("{path}.default"), why);
        }
        if default.is_some() && raw.required {
            report.fault(&path, "is required, so its default would never be used");
        }
        parameters.push(Parameter { name: name.clone(), kind, default, required: raw.required });
    }
    parameters
}

fn kind(path: &str, raw: &raw::Parameter, report: &mut Report) -> Option<ParameterKind> {
    let bounded = raw.min.is_some() || raw.max.is_some();
    let kinds = [raw.one_of.is_some(), bounded, raw.max_length.is_some()];
    if kinds.iter().filter(|written| **written).count() > 1 {
        let hint = "keep one_of, or min and max, or max_length";
        report.fault_try(path, "is of more than one kind", hint);
        return None;
    }
    if let Some(values) = &raw.one_of {
        return one_of(&format!("{path}.one_of"), values, report);
    }
    if bounded {
        let (min, max) = (raw.min.unwrap_or(0), raw.max.unwrap_or(i64::MAX));
        if min > max {
            report.fault(path, format!("its min ({min}) is more than its max ({max})"));
        }
        return Some(ParameterKind::Integer { min, max });
    }
    let length = raw.max_length.unwrap_or(DEFAULT_LENGTH);
    if !(1..=MOST_LENGTH).contains(&length) {
        report.fault(&format!("{path}.max_length"), format!("is not between 1 and {MOST_LENGTH}"));
    }
    Some(ParameterKind::Text { max_length: usize::try_from(length).unwrap_or(usize::MAX) })
}

fn one_of(path: &str, values: &[Scalar], report: &mut Report) -> Option<ParameterKind> {
    let values: Vec<String> = values.iter().map(|Scalar(text)| text.clone()).collect();
    if values.is_empty() {
        report.fault(path, "is empty: no value would be allowed");
        return None;
    }
    for (at, value) in values.iter().enumerate() {
        if values.iter().take(at).any(|earlier| earlier == value) {
            report.fault(path, format!("names {value:?} twice"));
        }
    }
    Some(ParameterKind::OneOf(values))
}

/// Whether a request may carry this value.
pub(super) fn allows(kind: &ParameterKind, text: &str) -> bool {
    match kind {
        ParameterKind::OneOf(values) => values.iter().any(|value| value == text),
        ParameterKind::Integer { min, max } => {
            text.parse::<i64>().is_ok_and(|number| (*min..=*max).contains(&number))
        }
        ParameterKind::Text { max_length } => text.len() <= *max_length,
    }
}
