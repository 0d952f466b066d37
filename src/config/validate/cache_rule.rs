//! `cache`, `when` and `page_token` of an endpoint.

use std::collections::BTreeMap;
use std::time::Duration;

use super::parameters::allows;
use crate::config::fault::Report;
use crate::config::raw::{self, CacheMode};
use crate::config::units::{Scalar, Span};
use crate::policy::endpoint::{
    CacheRule, KeyRule, Lifetimes, PageTokenRule, Parameter, WhenRule, WhenValue,
};

const DEFAULT_MARGIN: Duration = Duration::from_mins(2);
const FIGURES: [&str; 3] = ["fresh", "stale_while_revalidate", "stale_if_error"];

pub(super) fn cache(path: &str, raw: Option<&raw::CacheRule>, report: &mut Report) -> CacheRule {
    let path = format!("{path}.cache");
    let Some(raw) = raw else { return CacheRule::Off };
    let written = raw.fresh.is_some()
        || raw.stale_while_revalidate.is_some()
        || raw.stale_if_error.is_some()
        || raw.vary_by_client.is_some();
    let Some(mode) = raw.mode else {
        report.fault_try(&format!("{path}.mode"), "is required", "override, respect or off");
        return CacheRule::Off;
    };
    if mode != CacheMode::Override && written {
        let why = r#"has figures, which only mode = "override" uses"#;
        report.fault(&path, why);
    }
    match mode {
        CacheMode::Off => CacheRule::Off,
        CacheMode::Respect => CacheRule::Respect,
        CacheMode::Override => {
            let lifetimes = lifetimes(&path, raw, report);
            let vary_by_client = raw.vary_by_client.unwrap_or(false);
            CacheRule::Override { lifetimes, vary_by_client }
        }
    }
}

fn lifetimes(path: &str, raw: &raw::CacheRule, report: &mut Report) -> Lifetimes {
    let figure = |span: Option<Span>| span.map_or(Duration::ZERO, |Span(span)| span);
    let lifetimes = Lifetimes {
        fresh: figure(raw.fresh),
        stale_while_revalidate: figure(raw.stale_while_revalidate),
        stale_if_error: figure(raw.stale_if_error),
    };
    if raw.fresh.is_none() {
        let hint = r#"write fresh = "10s""#;
        report.fault_try(&format!("{path}.fresh"), r#"is required with mode = "override""#, hint);
    } else if lifetimes == figures_of_nothing() {
        let hint = r#"to store nothing, set mode = "off""#;
        report.fault_try(&format!("{path}.fresh"), "is zero, and so are the others", hint);
    }
    lifetimes
}

fn figures_of_nothing() -> Lifetimes {
    let zero = Duration::ZERO;
    Lifetimes { fresh: zero, stale_while_revalidate: zero, stale_if_error: zero }
}

/// What a condition may be about.
pub(super) struct Known<'a> {
    pub(super) key: &'a KeyRule,
    pub(super) parameters: &'a [Parameter],
}

pub(super) fn when(
    path: &str,
    raw: &[BTreeMap<String, Scalar>],
    cache: &CacheRule,
    known: &Known<'_>,
    report: &mut Report,
) -> Vec<WhenRule> {
    let CacheRule::Override { lifetimes, .. } = cache else {
        if !raw.is_empty() {
            report.fault(&format!("{path}.when"), r#"is for cache mode = "override""#);
        }
        return Vec::new();
    };
    let rules = raw.iter().enumerate();
    rules
        .map(|(index, raw)| rule(&format!("{path}.when[{index}]"), raw, *lifetimes, known, report))
        .collect()
}

fn rule(
    path: &str,
    raw: &BTreeMap<String, Scalar>,
    mut lifetimes: Lifetimes,
    known: &Known<'_>,
    report: &mut Report,
) -> WhenRule {
    let mut matches = Vec::new();
    for (name, Scalar(text)) in raw {
        let path = format!("{path}.{name}");
        if FIGURES.contains(&name.as_str()) {
            match (Span::parse(text), name.as_str()) {
                (Some(Span(span)), "fresh") => lifetimes.fresh = span,
                (Some(Span(span)), "stale_if_error") => lifetimes.stale_if_error = span,
                (Some(Span(span)), _) => lifetimes.stale_while_revalidate = span,
                (None, _) => report.fault(&path, format!("{text:?} is not a duration")),
            }
            continue;
        }
        condition(&path, name, text, known, report);
        let value = if text == "*" { WhenValue::Present } else { WhenValue::Is(text.clone()) };
        matches.push((name.clone(), value));
    }
    if matches.is_empty() {
        report.lacking(path, "has no condition", "put its figures into cache");
    }
    if matches.len() == raw.len() {
        report.lacking(path, "changes nothing", r#"give it fresh = "10m""#);
    }
    WhenRule { matches, lifetimes }
}

/// A condition has to be about something that reaches the upstream, and able to hold.
fn condition(path: &str, name: &str, text: &str, known: &Known<'_>, report: &mut Report) {
    if let KeyRule::Only(key) = known.key
        && !key.iter().any(|key| key == name)
    {
        report.fault(path, format!("{name:?} is not in key, so it is never sent"));
    }
    let declared = known.parameters.iter().find(|parameter| parameter.name == name);
    if text != "*" && declared.is_some_and(|declared| !allows(&declared.kind, text)) {
        report.fault(path, format!("{text:?} is not a value that this parameter may take"));
    }
}

pub(super) fn page_token(
    path: &str,
    raw: &raw::PageToken,
    key: &KeyRule,
    report: &mut Report,
) -> Option<PageTokenRule> {
    let path = format!("{path}.page_token");
    let mut required = |name: &str, text: &Option<String>| {
        let text = text.clone().filter(|text| !text.is_empty());
        if text.is_none() {
            report.fault(&format!("{path}.{name}"), "is required");
        }
        text
    };
    let request = required("request", &raw.request);
    let response = required("response", &raw.response);
    let margin = raw.margin.map_or(DEFAULT_MARGIN, |Span(margin)| margin);
    match raw.lifetime {
        None => report.fault(&format!("{path}.lifetime"), "is required"),
        Some(lifetime) if lifetime.0 <= margin => {
            let why = format!("({}) is not below lifetime ({lifetime})", Span(margin));
            report.fault(&format!("{path}.margin"), why);
        }
        Some(_) => {}
    }
    if let (KeyRule::Only(key), Some(request)) = (key, &request)
        && !key.contains(request)
    {
        let why = format!("{request:?} is not in key, so all pages would share one entry");
        report.fault(&format!("{path}.request"), why);
    }
    let (request, response) = (request?, response?);
    Some(PageTokenRule { request, response, lifetime: raw.lifetime?.0, margin, all: None })
}
