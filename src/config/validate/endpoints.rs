//! `[[upstreams.NAME.endpoints]]`

use std::collections::BTreeMap;

use http::Method;
use matchit::InsertError;

use super::cache_rule::{self, Known};
use super::{listing, names, parameters, template};
use crate::config::fault::{Report, suggest};
use crate::config::raw;
use crate::config::units::OneOrMany;
use crate::policy::endpoint::{CacheRule, Endpoint, EndpointId, KeyRule, Methods, PageTokenRule};
use crate::policy::quota::LabelId;

/// An upstream's table.
pub(super) fn all(path: &str, upstream: &raw::Upstream, report: &mut Report) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    // A row without an id has been reported where its place in the file was still known.
    for raw in &upstream.endpoints {
        let Some(id) = &raw.id else { continue };
        let path = format!("{path}.endpoints[{id}]");
        endpoints.extend(endpoint(&path, id, raw, &upstream.labels, report));
    }
    check_conflicts(path, &endpoints, report);
    endpoints
}

fn endpoint(
    path: &str,
    id: &str,
    raw: &raw::Endpoint,
    labels: &BTreeMap<String, raw::Label>,
    report: &mut Report,
) -> Option<Endpoint> {
    let named = names::check(&format!("{path}.id"), id, report);
    let methods = methods(&format!("{path}.method"), raw.method.as_ref(), report);
    let template = raw.path.as_deref();
    let wrong = template.map_or(Some("is required"), template::fault);
    if let Some(why) = wrong {
        report.fault(&format!("{path}.path"), why);
    }
    let in_path = template.map(template::parameters).unwrap_or_default();
    check_label(&format!("{path}.label"), raw.label.as_deref(), labels, report);
    let parameters = parameters::all(path, &raw.parameters, &in_path, report);
    let key = key(&format!("{path}.key"), raw, &in_path, report);
    let cache = cache_rule::cache(path, raw.cache.as_ref(), report);
    if let Some(methods) = &methods {
        check_cacheable(path, methods, &cache, report);
    }
    let known = Known { key: &key, parameters: &parameters };
    let when = cache_rule::when(path, &raw.when, &cache, &known, report);
    let page_token = raw.page_token.as_ref();
    let page_token = page_token.and_then(|raw| cache_rule::page_token(path, raw, &key, report));
    let all = raw.page_token.as_ref().and_then(|raw| raw.all.as_ref());
    let all = all.and_then(|whole| {
        let known = listing::Known { methods: methods.as_ref(), in_path: &in_path, rules: &known };
        listing::whole(path, whole, raw, &known, report)
    });
    let page_token = page_token.map(|rule| PageTokenRule { all, ..rule });
    let (methods, template) = (methods?, template?);
    (named && wrong.is_none()).then(|| Endpoint {
        id: EndpointId::new(id),
        methods,
        path: template.to_owned(),
        label: raw.label.as_deref().map(LabelId::new),
        parameters,
        key,
        cache,
        when,
        page_token,
    })
}

fn methods(path: &str, raw: Option<&OneOrMany>, report: &mut Report) -> Option<Methods> {
    let Some(OneOrMany(written)) = raw else { return Some(Methods::Listed(vec![Method::GET])) };
    if written.as_slice() == ["*"] {
        return Some(Methods::Any);
    }
    if written.is_empty() {
        report.fault(path, "is empty");
    }
    let mut methods = Vec::new();
    for text in written {
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if methods.contains(&method) => {
                report.fault(path, format!("names {text} twice"));
            }
            // Standard methods are upper-case; "get" would be another method, and never asked for.
            Ok(method) if !text.chars().any(|c| c.is_ascii_lowercase()) && text != "*" => {
                methods.push(method);
            }
            _ => {
                let hint = if text == "*" {
                    r#""*" stands alone"#.into()
                } else {
                    format!("write {:?}", text.to_uppercase())
                };
                report.fault_try(path, format!("{text:?} is not a method"), hint);
            }
        }
    }
    (!methods.is_empty()).then_some(Methods::Listed(methods))
}

fn check_label(
    path: &str,
    label: Option<&str>,
    labels: &BTreeMap<String, raw::Label>,
    report: &mut Report,
) {
    let Some(label) = label.filter(|label| !labels.contains_key(*label)) else { return };
    let hint = suggest(label, labels.keys().map(String::as_str))
        .unwrap_or_else(|| "this upstream has no labels".into());
    report.fault_try(path, format!("no such label: {label:?}"), hint);
}

fn check_cacheable(path: &str, methods: &Methods, cache: &CacheRule, report: &mut Report) {
    let Methods::Listed(methods) = methods else { return };
    let safe = methods.iter().any(|method| *method == Method::GET || *method == Method::HEAD);
    if !safe && *cache != CacheRule::Off {
        report.fault(&format!("{path}.cache"), "only answers to GET and HEAD can be stored");
    }
}

/// What tells entries apart: all of the path at least.
fn key(path: &str, raw: &raw::Endpoint, in_path: &[&str], report: &mut Report) -> KeyRule {
    let Some(key) = &raw.key else { return KeyRule::Every };
    for (at, name) in key.iter().enumerate() {
        if name.is_empty() {
            report.fault(path, "has an empty name");
        } else if key.iter().take(at).any(|earlier| earlier == name) {
            report.fault(path, format!("names {name:?} twice"));
        }
    }
    let holds = |name: &str| key.iter().any(|key| key == name);
    for missing in in_path.iter().filter(|name| !holds(name)) {
        let why =
            format!("leaves out {missing:?} of the path: different paths would share an entry");
        report.fault_try(path, why, format!("add {missing:?}"));
    }
    for (name, parameter) in &raw.parameters {
        if parameter.required && !holds(name) {
            report.fault_try(path, format!("leaves out {name:?}, which is required"), "add it");
        }
    }
    KeyRule::Only(key.clone())
}

/// No two rows answer to the same method and template, and the router takes them all.
fn check_conflicts(path: &str, endpoints: &[Endpoint], report: &mut Report) {
    let mut router = matchit::Router::new();
    let mut by_template: BTreeMap<&str, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        let path = format!("{path}.endpoints[{}].path", endpoint.id);
        let same = by_template.entry(&endpoint.path).or_default();
        if same.is_empty()
            && let Err(error) = router.insert(&endpoint.path, ())
        {
            refused(&path, &error, report);
            continue;
        }
        if let Some(other) = same.iter().find(|other| overlap(&other.methods, &endpoint.methods)) {
            let why = format!("{:?} answers to the same method and path", other.id.as_str());
            report.fault_try(&path, why, "give it the same id to change that row");
        }
        same.push(endpoint);
    }
}

fn refused(path: &str, error: &InsertError, report: &mut Report) {
    match error {
        InsertError::Conflict { with } => {
            let hint = "name the parameters alike where paths are alike";
            report.fault_try(path, format!("cannot be told from {with:?}"), hint);
        }
        other => report.fault(path, format!("is not a template: {other}")),
    }
}

fn overlap(a: &Methods, b: &Methods) -> bool {
    match (a, b) {
        (Methods::Listed(a), Methods::Listed(b)) => a.iter().any(|method| b.contains(method)),
        (Methods::Any, _) | (_, Methods::Any) => true,
    }
}
