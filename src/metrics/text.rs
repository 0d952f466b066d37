//! OpenMetrics turned into the older Prometheus text format, version 0.0.4.
//!
//! They differ in this: the older format has no `# EOF` and no `# UNIT`, and describes a counter
//! under the name its sample carries, `_total` included.

const COUNTER: &str = "counter";

pub(super) fn from_openmetrics(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len() + 1024);
    // HELP comes before TYPE, and only TYPE tells under which name it has to stand.
    let mut help: Option<(&str, &str)> = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { continue };
            let suffix = if kind == COUNTER { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                push(&mut text, &["# HELP ", name, suffix, " ", help]);
            }
            push(&mut text, &["# TYPE ", name, suffix, " ", kind]);
        } else if !line.starts_with('#') {
            push(&mut text, &[line]);
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
    text.push('\n');
}
