//! `clients.N.endpoints`: each has to mean an endpoint that there is.

use crate::config::fault::{Report, suggest};
use crate::config::settings::UpstreamSettings;
use crate::policy::permission::EndpointPattern;

/// What a client may ask, of what there is.
pub(super) fn endpoints(
    path: &str,
    written: Option<&[String]>,
    upstreams: &[UpstreamSettings],
    report: &mut Report,
) -> Option<Vec<EndpointPattern>> {
    let written = written?;
    if written.is_empty() {
        report.fault_try(path, "is empty: it could ask nothing", "leave it out for all endpoints");
    }
    let found = written.iter().enumerate().filter_map(|(index, text)| {
        let path = format!("{path}[{index}]");
        match EndpointPattern::parse(text) {
            Ok(pattern) if !means_something(&pattern, upstreams) => {
                // What was left out of an upstream is reported there.
                if report.is_whole("upstreams") {
                    report_unknown(&path, text, upstreams, report);
                }
                None
            }
            Ok(pattern) => Some(pattern),
            Err(why) => {
                let hint = r#"write "id", "upstream/id", "prefix-*" or "upstream/*""#;
                report.fault_try(&path, format!("{text:?} {why}"), hint);
                None
            }
        }
    });
    Some(found.collect())
}

fn means_something(pattern: &EndpointPattern, upstreams: &[UpstreamSettings]) -> bool {
    upstreams.iter().any(|upstream| {
        upstream.endpoints.iter().any(|endpoint| pattern.matches(&upstream.id, &endpoint.id))
    })
}

/// Names the nearest, in the words in which it was written.
fn report_unknown(path: &str, text: &str, upstreams: &[UpstreamSettings], report: &mut Report) {
    let with_upstream = text.contains('/');
    let names = upstreams.iter().flat_map(|upstream| {
        let prefix = if with_upstream { format!("{}/", upstream.id) } else { String::new() };
        upstream.endpoints.iter().map(move |endpoint| format!("{prefix}{}", endpoint.id))
    });
    let names: Vec<String> = names.collect();
    let near = names.iter().map(String::as_str);
    let why = format!("no endpoint is meant by {text:?}");
    match suggest(text.trim_end_matches('*'), near).filter(|hint| hint.starts_with("did you")) {
        Some(hint) => report.fault_try(path, why, hint),
        None => report.fault_try(path, why, "`weir check` without this list shows all of them"),
    }
}
