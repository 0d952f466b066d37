//! `cache`, `when` and `page_token` of an endpoint.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;

use super::parameters::allows;
use crate::config::fault::Report;
use crate::config::raw::{self, CacheMode};
use crate::config::units::{Scalar, Span};
use crate::policy::endpoint::{
    CacheRule, KeyRule, Lifetimes, Override, PageTokenRule, Parameter, RefreshAhead, Respect,
    SetCookie, WhenRule, WhenValue,
};

const DEFAULT_MARGIN: Duration = Duration::from_mins(2);
const FIGURES: [&str; 3] = ["fresh", "stale_while_revalidate", "stale_if_error"];

pub(super) fn cache(path: &str, raw: Option<&raw::CacheRule>, report: &mut Report) -> CacheRule {
    let path = format!("{path}.cache");
    let Some(raw) = raw else { return CacheRule::Off };
    let figures = raw.fresh.is_some()
        || raw.stale_while_revalidate.is_some()
        || raw.stale_if_error.is_some()
        || !raw.status.is_empty()
        || raw.vary_by_client.is_some();
    let Some(mode) = raw.mode else {
        report.fault_try(&format!("{path}.mode"), "is required", "override, respect or off");
        return CacheRule::Off;
    };
    if mode != CacheMode::Override && figures {
        let why = r#"has figures, which only mode = "override" uses"#;
        report.fault(&path, why);
    }
    if mode == CacheMode::Off && (raw.set_cookie.is_some() || raw.refresh_ahead.is_some()) {
        report.fault(&path, r#"has rules for what is stored, and mode = "off" stores nothing"#);
    }
    let set_cookie = match raw.set_cookie {
        None | Some(raw::SetCookie::Private) => SetCookie::Private,
        Some(raw::SetCookie::Strip) => SetCookie::Strip,
        Some(raw::SetCookie::Store) => SetCookie::Store,
    };
    let refresh_ahead = raw.refresh_ahead.map(|raw| refresh_ahead(&path, raw, report));
    match mode {
        CacheMode::Off => CacheRule::Off,
        CacheMode::Respect => CacheRule::Respect(Respect { set_cookie, refresh_ahead }),
        CacheMode::Override => CacheRule::Override(Override {
            lifetimes: lifetimes(&path, raw, report),
            by_status: by_status(&path, raw, report),
            vary_by_client: raw.vary_by_client.unwrap_or(false),
            set_cookie,
            refresh_ahead,
        }),
    }
}

fn refresh_ahead(path: &str, raw: raw::RefreshAhead, report: &mut Report) -> RefreshAhead {
    let path = format!("{path}.refresh_ahead");
    let after = raw.after.0.tenths();
    if !(100..=990).contains(&after) {
        report.fault(&format!("{path}.after"), r#"is not between "10%" and "99%""#);
    }
    if raw.hits == 0 {
        report.fault(&format!("{path}.hits"), "is 0: nobody would have asked");
    }
    RefreshAhead { after, hits: raw.hits }
}

/// An error is remembered to spare the upstream, not to hide that it is over.
const LONGEST_ERROR: Duration = Duration::from_mins(1);

fn by_status(path: &str, raw: &raw::CacheRule, report: &mut Report) -> Vec<(StatusCode, Duration)> {
    let mut rules = Vec::new();
    for (text, Span(fresh)) in &raw.status {
        let path = format!("{path}.status.{text}");
        let status = text.parse::<StatusCode>().ok().filter(|s| s.as_u16() >= 200);
        let Some(status) = status else {
            report.fault_try(&path, "is no final status", r#"write "404" = "5s""#);
            continue;
        };
        match status.as_u16() {
            200 => report.fault(&path, "is what fresh is for"),
            206 | 304 => report.fault(&path, "is not a whole answer"),
            401 | 429 => report.fault(&path, "is about the one who asked, not about the question"),
            400.. if *fresh > LONGEST_ERROR => {
                report.fault(&path, format!("is an error, and more than {}", Span(LONGEST_ERROR)));
            }
            _ => {}
        }
        rules.push((status, *fresh));
    }
    rules
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
    } else if lifetimes == Lifetimes::NONE && raw.status.is_empty() {
        let hint = r#"to store nothing, set mode = "off""#;
        report.fault_try(&format!("{path}.fresh"), "is zero, and so are the others", hint);
    }
    lifetimes
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
    let CacheRule::Override(Override { lifetimes, .. }) = cache else {
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
