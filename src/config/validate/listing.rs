//! `page_token.all` of an endpoint.

use http::Method;

use super::cache_rule;
use crate::config::fault::Report;
use crate::config::raw;
use crate::config::units::Bytes;
use crate::policy::endpoint::{KeyRule, Methods, WholeRule};

const DEFAULT_PAGES: u32 = 100;
const MOST_PAGES: u32 = 10_000;
const DEFAULT_BYTES: Bytes = Bytes(16 << 20);
const LEAST_BYTES: Bytes = Bytes(1 << 10);
const MOST_BYTES: Bytes = Bytes(1 << 30);

/// What the rule must agree with.
pub(super) struct Known<'e> {
    pub(super) methods: Option<&'e Methods>,
    pub(super) in_path: &'e [&'e str],
    pub(super) rules: &'e cache_rule::Known<'e>,
}

pub(super) fn whole(
    path: &str,
    raw: &raw::Whole,
    endpoint: &raw::Endpoint,
    known: &Known<'_>,
    report: &mut Report,
) -> Option<WholeRule> {
    let path = format!("{path}.page_token.all");
    if let Some(Methods::Listed(methods)) = known.methods
        && !methods.iter().any(|method| *method == Method::GET || *method == Method::HEAD)
    {
        report.fault_try(&path, "is for GET and HEAD", "remove it");
    }
    let parameter = raw.parameter.as_deref().unwrap_or("page");
    if let Some(why) = taken(parameter, endpoint, known) {
        let hint = "choose a name that the endpoint does not use";
        report.fault_try(&format!("{path}.parameter"), why, hint);
    }
    let value = raw.value.as_deref().unwrap_or("all");
    if value.is_empty() {
        report.fault_try(&format!("{path}.value"), "is empty", r#"write "all""#);
    }
    let items = raw.items.as_deref().filter(|items| !items.is_empty());
    let at = format!("{path}.items");
    match items {
        None => report.fault_try(
            &at,
            "is required",
            r#"name the member that holds a page's items, such as "users""#,
        ),
        Some(items)
            if endpoint.page_token.as_ref().is_some_and(|t| is(t.response.as_ref(), items)) =>
        {
            let why = format!("{items:?} is the member that names the next page");
            report.fault_try(&at, why, "name the array");
        }
        Some(_) => {}
    }
    let max_pages = raw.max_pages.unwrap_or(DEFAULT_PAGES);
    if !(1..=MOST_PAGES).contains(&max_pages) {
        let (why, hint) = (format!("is not between 1 and {MOST_PAGES}"), "leave it out for 100");
        report.fault_try(&format!("{path}.max_pages"), why, hint);
    }
    let max_bytes = raw.max_bytes.unwrap_or(DEFAULT_BYTES);
    if !(LEAST_BYTES..=MOST_BYTES).contains(&max_bytes) {
        let why = format!("({max_bytes}) is not between {LEAST_BYTES} and {MOST_BYTES}");
        report.fault_try(&format!("{path}.max_bytes"), why, "leave it out for 16MiB");
    }
    Some(WholeRule {
        parameter: parameter.to_owned(),
        value: value.to_owned(),
        items: items?.to_owned(),
        max_pages,
        max_bytes: usize::try_from(max_bytes.0).ok()?,
    })
}

/// Why a name cannot be ours: what is asked for by it must not be the upstream's business.
fn taken(name: &str, endpoint: &raw::Endpoint, known: &Known<'_>) -> Option<String> {
    let token = endpoint.page_token.as_ref();
    let in_key = |key: &KeyRule| matches!(key, KeyRule::Only(key) if key.iter().any(|k| k == name));
    let why = if name.is_empty() {
        "is empty"
    } else if token.is_some_and(|token| is(token.request.as_ref(), name)) {
        "asks for the next page already"
    } else if known.rules.parameters.iter().any(|declared| declared.name == name)
        || known.in_path.contains(&name)
        || in_key(known.rules.key)
        || endpoint.when.iter().any(|rule| rule.contains_key(name))
    {
        "is a parameter of the endpoint itself"
    } else if name.eq_ignore_ascii_case("access_token") {
        "is a credential, and removed before anybody looks"
    } else {
        return None;
    };
    Some(if name.is_empty() { why.to_owned() } else { format!("{name:?} {why}") })
}

fn is(text: Option<&String>, other: &str) -> bool {
    text.is_some_and(|text| text == other)
}
