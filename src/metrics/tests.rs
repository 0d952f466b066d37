//! Every line of both faces is parsed strictly, so that a name, a type or a label that a scraper
//! would refuse fails here.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use std::time::Duration;

fn clients() -> [Arc<str>; 2] {
    ["console".into(), "bil\"ling\\\n".into()]
}

/// Touches every family.
fn used() -> Metrics {
    let metrics = Metrics::new();
    let endpoint = metrics.endpoint("zoom", "list-users", &clients());
    endpoint.request(0, 200, Some(CacheResult::Hit), 0.0004);
    endpoint.request(0, 200, Some(CacheResult::Hit), 0.3);
    endpoint.request(1, 418, None, 100.0);
    for result in CacheResult::ALL {
        endpoint.cache(result);
    }
    endpoint.walk(WalkResult::Whole);
    endpoint.upstream(UpstreamStatus::Code(200), 0.2);
    endpoint.upstream(UpstreamStatus::Code(299), 0.2);
    endpoint.upstream(UpstreamStatus::Failed("timeout"), 10.0);
    let label = metrics.label("zoom", "heavy", &clients());
    label.budget("second", 10, 3);
    label.budget("day", 30_000, 29_990);
    label.spent(0);
    label.saved(1);
    label.saved(1);
    label.refused(0, "queue-full");
    label.waited(0.02);
    label.queue(4);
    label.throttled("second");
    label.observed(0, "wait");
    label.odd("absurd");
    label.mismatched(None);
    label.pace(0.7, Duration::from_secs(5));
    metrics.day("zoom", "daily", 50, 1000, true);
    metrics.retries("zoom").inc();
    metrics.replicas("zoom", "in", 2);
    metrics.ejections("zoom").inc();
    metrics.health_checks("zoom", "healthy").inc();
    metrics.cache_evicted("size");
    metrics.cache_purged("session", "hard");
    metrics.config_reloaded("ok");
    metrics.tls_reloaded("server", "ok");
    metrics.certificate_ends("server", 1_800_000_000);
    metrics.in_flight.set(3);
    metrics
}

#[derive(Debug, Default)]
struct Parsed {
    /// Name -> type, as the face declares them.
    types: BTreeMap<String, String>,
    /// Name and sorted labels -> value.
    samples: BTreeMap<String, f64>,
}

impl Parsed {
    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("{series} in {:#?}", self.samples))
    }

    fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|series| series.split('{').next() == Some(name))
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// `name{a="b"} 1` -> name, sorted labels, value. Panics on anything else.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).expect("a blank or a brace after the name");
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, after) = rest.split_once("=\"").expect("a label");
            assert!(is_name(key), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("an escape").1 {
                        'n' => value.push('\n'),
                        escaped @ ('"' | '\\') => value.push(escaped),
                        other => panic!("\\{other} is no escape: {line}"),
                    },
                    (_, char) => {
                        assert_ne!(char, '\n');
                        value.push(char);
                    }
                }
            };
            assert_eq!(labels.insert(key.to_owned(), value), None, "{line}");
            let after = after.split_at(end + 1).1;
            if let Some(end) = after.strip_prefix('}') {
                rest = end;
                break;
            }
            rest = after.strip_prefix(',').expect("a comma between labels");
        }
    }
    let value = rest.strip_prefix(' ').expect("one blank before the value");
    assert!(!value.contains(' '), "no timestamps: {line}");
    (name.to_owned(), labels, value.parse().expect(line))
}

/// The family a sample belongs to, by the suffixes its type allows.
fn family(face: Face, types: &BTreeMap<String, String>, name: &str) -> String {
    let base = |suffix: &str| name.strip_suffix(suffix).map(str::to_owned);
    let candidates = [
        (Some(name.to_owned()), "gauge"),
        ((face == Face::Text).then(|| name.to_owned()), "counter"),
        (base("_total").filter(|_| face == Face::OpenMetrics), "counter"),
        (base("_bucket"), "histogram"),
        (base("_sum"), "histogram"),
        (base("_count"), "histogram"),
    ];
    candidates
        .into_iter()
        .filter_map(|(base, kind)| Some((base?, kind)))
        .find(|(base, kind)| types.get(base).is_some_and(|declared| declared == kind))
        .unwrap_or_else(|| panic!("{name} has no TYPE that fits"))
        .0
}

fn parse(face: Face, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut described = BTreeSet::new();
    let mut current = String::new();
    assert!(text.ends_with('\n'));
    let mut lines: Vec<&str> = text.strip_suffix('\n').unwrap().split('\n').collect();
    if face == Face::OpenMetrics {
        assert_eq!(lines.pop(), Some("# EOF"));
    }
    for line in lines {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("HELP has a text");
            assert!(help.len() > 10 && help.ends_with('.') && !help.ends_with(".."), "{line}");
            assert!(described.insert(name.to_owned()), "described twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("TYPE has a type");
            assert!(described.contains(name), "HELP comes first: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let total = name.ends_with("_total");
            assert_eq!(total, face == Face::Text && kind == "counter", "{line}");
            assert_eq!(parsed.types.insert(name.to_owned(), kind.to_owned()), None, "{line}");
            current = name.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            assert_eq!(family(face, &parsed.types, &name), current, "samples are together: {line}");
            let labels: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let series =
                if labels.is_empty() { name } else { format!("{name}{{{}}}", labels.join(",")) };
            assert_eq!(parsed.samples.insert(series, value), None, "twice: {line}");
        }
    }
    assert_eq!(described, parsed.types.keys().cloned().collect());
    parsed
}

#[test]
fn both_faces_are_well_formed_and_say_the_same() {
    let metrics = used();
    let text = parse(Face::Text, &metrics.encode(Face::Text));
    let openmetrics = parse(Face::OpenMetrics, &metrics.encode(Face::OpenMetrics));
    let without_process = |parsed: &Parsed| {
        let mut samples = parsed.samples.clone();
        samples.retain(|series, _| !series.starts_with("process_"));
        samples
    };
    assert_eq!(without_process(&text), without_process(&openmetrics));
}

#[test]
fn every_family_of_the_design_is_there_under_its_name() {
    let parsed = parse(Face::Text, &used().encode(Face::Text));
    for (name, kind) in [
        ("weir_requests_total", "counter"),
        ("weir_request_duration_seconds", "histogram"),
        ("weir_cache_requests_total", "counter"),
        ("weir_cache_entries", "gauge"),
        ("weir_cache_bytes", "gauge"),
        ("weir_cache_evictions_total", "counter"),
        ("weir_cache_purges_total", "counter"),
        ("weir_upstream_requests_total", "counter"),
        ("weir_upstream_duration_seconds", "histogram"),
        ("weir_budget_limit", "gauge"),
        ("weir_budget_remaining", "gauge"),
        ("weir_limit_spent_total", "counter"),
        ("weir_limit_saved_total", "counter"),
        ("weir_limit_wait_seconds", "histogram"),
        ("weir_limit_refused_total", "counter"),
        ("weir_limit_queue", "gauge"),
        ("weir_upstream_throttled_total", "counter"),
        ("weir_listing_walks_total", "counter"),
        ("weir_limit_observed_total", "counter"),
        ("weir_limit_pace_ratio", "gauge"),
        ("weir_limit_closed_seconds", "gauge"),
        ("weir_upstream_hints_total", "counter"),
        ("weir_label_mismatch_total", "counter"),
        ("weir_budget_alarm_percent", "gauge"),
        ("weir_budget_others", "gauge"),
        ("weir_budget_durable", "gauge"),
        ("weir_retries_total", "counter"),
        ("weir_upstream_replicas", "gauge"),
        ("weir_upstream_ejections_total", "counter"),
        ("weir_upstream_health_checks_total", "counter"),
        ("weir_config_reloads_total", "counter"),
        ("weir_tls_reloads_total", "counter"),
        ("weir_tls_certificate_expiry_seconds", "gauge"),
        ("weir_build_info", "gauge"),
        ("weir_in_flight", "gauge"),
        ("weir_connections", "gauge"),
        ("weir_connections_cut_total", "counter"),
        ("weir_access_log_dropped_total", "counter"),
    ] {
        assert_eq!(parsed.types.get(name).map(String::as_str), Some(kind), "{name}");
    }
    let ours = parsed.types.keys().filter(|name| name.starts_with("weir_")).count();
    assert_eq!(ours, 38, "a family this test does not know: {:#?}", parsed.types);
}

#[test]
fn figures_stand_in_the_series_they_belong_to() {
    let parsed = parse(Face::Text, &used().encode(Face::Text));
    let value = |series: &str| parsed.value(series);
    let close = |series: &str, expected: f64| {
        assert!((value(series) - expected).abs() < 1e-9, "{series} is {}", value(series));
    };
    close("weir_requests_total{client=console,endpoint=list-users,status=200}", 2.0);
    close("weir_requests_total{client=bil\"ling\\\n,endpoint=list-users,status=418}", 1.0);
    close("weir_cache_requests_total{endpoint=list-users,result=collapsed}", 1.0);
    close("weir_upstream_requests_total{endpoint=list-users,status=timeout,upstream=zoom}", 1.0);
    close("weir_upstream_requests_total{endpoint=list-users,status=299,upstream=zoom}", 1.0);
    close("weir_budget_remaining{label=heavy,upstream=zoom,window=day}", 29_990.0);
    close("weir_budget_limit{label=heavy,upstream=zoom,window=second}", 10.0);
    close("weir_limit_saved_total{client=bil\"ling\\\n,label=heavy,upstream=zoom}", 2.0);
    close("weir_limit_queue{label=heavy,upstream=zoom}", 4.0);
    close("weir_cache_purges_total{mode=hard,scope=session}", 1.0);
    close("weir_in_flight", 3.0);
    close("weir_listing_walks_total{endpoint=list-users,result=whole}", 1.0);
    close("weir_limit_observed_total{client=console,label=heavy,reason=wait,upstream=zoom}", 1.0);
    close("weir_upstream_hints_total{hint=absurd,label=heavy,upstream=zoom}", 1.0);
    close("weir_label_mismatch_total{category=other,label=heavy,upstream=zoom}", 1.0);
    close("weir_limit_pace_ratio{label=heavy,upstream=zoom}", 0.7);
    close("weir_limit_closed_seconds{label=heavy,upstream=zoom}", 5.0);
    close("weir_budget_alarm_percent{pool=daily,upstream=zoom}", 50.0);
    close("weir_budget_others{pool=daily,upstream=zoom}", 1000.0);
    close("weir_budget_durable{pool=daily,upstream=zoom}", 1.0);

    let duration = "weir_request_duration_seconds";
    close(&format!("{duration}_bucket{{cache=hit,endpoint=list-users,le=0.0005}}"), 1.0);
    close(&format!("{duration}_bucket{{cache=hit,endpoint=list-users,le=0.5}}"), 2.0);
    close(&format!("{duration}_bucket{{cache=none,endpoint=list-users,le=30.0}}"), 0.0);
    close(&format!("{duration}_bucket{{cache=none,endpoint=list-users,le=+Inf}}"), 1.0);
    close(&format!("{duration}_count{{cache=hit,endpoint=list-users}}"), 2.0);
}

#[test]
fn nothing_that_did_not_happen_is_exposed() {
    let metrics = Metrics::new();
    let endpoint = metrics.endpoint("zoom", "list-users", &clients());
    let label = metrics.label("zoom", "heavy", &clients());
    let parsed = parse(Face::Text, &metrics.encode(Face::Text));
    for absent in ["weir_requests_total", "weir_limit_spent_total", "weir_limit_wait_seconds"] {
        assert!(!parsed.has(absent), "{absent}");
    }
    for present in ["weir_cache_entries", "weir_access_log_dropped_total", "weir_build_info"] {
        assert!(parsed.has(present), "{present}");
    }
    endpoint.request(1, 503, None, 0.001);
    label.spent(1);
    let parsed = parse(Face::Text, &metrics.encode(Face::Text));
    let requests = parsed.samples.keys().filter(|series| series.starts_with("weir_requests_total"));
    assert_eq!(requests.count(), 1);
}

#[test]
fn handles_of_the_same_names_share_their_series() {
    let metrics = Metrics::new();
    for _ in 0..2 {
        let endpoint = metrics.endpoint("zoom", "list-users", &clients());
        endpoint.request(0, 200, None, 0.001);
        metrics.label("zoom", "heavy", &clients()).spent(0);
    }
    let parsed = parse(Face::Text, &metrics.encode(Face::Text));
    let requests =
        parsed.value("weir_requests_total{client=console,endpoint=list-users,status=200}");
    assert!((requests - 2.0).abs() < f64::EPSILON);
    let spent = parsed.value("weir_limit_spent_total{client=console,label=heavy,upstream=zoom}");
    assert!((spent - 2.0).abs() < f64::EPSILON);
}

#[test]
fn invented_statuses_do_not_invent_series() {
    let metrics = Metrics::new();
    let endpoint = metrics.endpoint("zoom", "list-users", &clients());
    for status in 600..1000 {
        endpoint.request(0, status, None, 0.001);
        endpoint.upstream(UpstreamStatus::Code(status), 0.001);
    }
    let parsed = parse(Face::Text, &metrics.encode(Face::Text));
    for name in ["weir_requests_total{", "weir_upstream_requests_total{"] {
        assert_eq!(parsed.samples.keys().filter(|series| series.starts_with(name)).count(), 1);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_described() {
    let parsed = parse(Face::Text, &Metrics::new().encode(Face::Text));
    for (name, least) in [
        ("process_cpu_seconds_total", 0.0),
        ("process_resident_memory_bytes", 100_000.0),
        ("process_virtual_memory_bytes", 100_000.0),
        ("process_open_fds", 3.0),
        ("process_max_fds", 3.0),
        ("process_start_time_seconds", 1_600_000_000.0),
    ] {
        assert!(parsed.value(name) >= least, "{name}");
    }
}
