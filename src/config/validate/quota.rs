//! Labels and pools.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::names;
use crate::config::fault::{Report, nearest, suggest};
use crate::config::raw;
use crate::config::units::Part;
use crate::policy::endpoint::Endpoint;
use crate::policy::quota::{LabelId, LabelSpec, Mode, PoolId, PoolSpec, WindowSpec};
use crate::policy::share::{Percent, Reserve};
use crate::preset::Preset;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// Every waiting request holds memory.
const MOST_QUEUED: u32 = 1_000_000;

pub(super) fn pools(
    path: &str,
    raw: &BTreeMap<String, raw::Pool>,
    report: &mut Report,
) -> Vec<PoolSpec> {
    raw.iter()
        .filter_map(|(name, raw)| pool(&format!("{path}.{name}"), name, raw, report))
        .collect()
}

fn pool(path: &str, name: &str, raw: &raw::Pool, report: &mut Report) -> Option<PoolSpec> {
    let named = names::check(path, name, report);
    let per_day = raw.per_day.and_then(NonZeroU32::new);
    match raw.per_day {
        None => report.fault(&format!("{path}.per_day"), "is required"),
        Some(0) => report.fault(&format!("{path}.per_day"), "is zero"),
        Some(_) => {}
    }
    let resets_at = time_of_day(&raw.resets_at);
    if resets_at.is_none() {
        let why = format!("{:?} is not a time of day in UTC", raw.resets_at);
        report.fault_try(&format!("{path}.resets_at"), why, r#"write "00:00Z""#);
    }
    let reserve = reserve(&format!("{path}.reserve"), raw.reserve, report);
    let (id, per_day, resets_at) = (PoolId::new(name), per_day?, resets_at?);
    named.then_some(PoolSpec { id, per_day, resets_at, reserve })
}

/// The parts of a day, which cannot be more than all of it.
fn reserve(path: &str, raw: raw::Reserve, report: &mut Report) -> Reserve {
    let (Part(high), Part(normal)) = (raw.high, raw.normal);
    if high.tenths() + normal.tenths() > Percent::WHOLE.tenths() {
        report.fault(path, format!("{high} and {normal} are more than the whole day"));
        // Whom that leaves nothing is not news.
        return Reserve::default();
    }
    Reserve { high, normal }
}

/// `HH:MMZ`, as time since 00:00.
fn time_of_day(text: &str) -> Option<Duration> {
    let (hours, minutes) = text.strip_suffix('Z')?.split_once(':')?;
    let number = |text: &str, below: u64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|number| digits && *number < below)
    };
    Some(Duration::from_secs(number(hours, 24)? * 3600 + number(minutes, 60)? * 60))
}

pub(super) fn labels(path: &str, upstream: &raw::Upstream, report: &mut Report) -> Vec<LabelSpec> {
    let labels = upstream.labels.iter();
    labels
        .filter_map(|(name, raw)| {
            let path = format!("{path}.{name}");
            if upstream.pools.contains_key(name) {
                // Both are members of one RateLimit header.
                report.fault(&path, "a pool has this name too");
            }
            label(&path, name, raw, &upstream.pools, report)
        })
        .collect()
}

fn label(
    path: &str,
    name: &str,
    raw: &raw::Label,
    pools: &BTreeMap<String, raw::Pool>,
    report: &mut Report,
) -> Option<LabelSpec> {
    let named = names::check(path, name, report);
    let windows = windows(path, raw, report);
    if let Some(pool) = raw.pool.as_ref().filter(|pool| !pools.contains_key(*pool)) {
        let hint = suggest(pool, pools.keys().map(String::as_str))
            .unwrap_or_else(|| "this upstream has no pools".into());
        report.fault_try(&format!("{path}.pool"), format!("no such pool: {pool:?}"), hint);
    }
    let daily = raw.pool.as_ref().and_then(|pool| pools.get(pool)?.per_day);
    let shortest = windows.first().map(|window| window.limit.get()).or(daily);
    if raw.per_second.is_none() && raw.per_minute.is_none() && raw.pool.is_none() {
        report.lacking(path, "limits nothing", "give it per_second, per_minute or a pool");
    }
    let burst_path = format!("{path}.burst");
    match (raw.burst, shortest) {
        (Some(0), _) => report.fault(&burst_path, "is zero"),
        (Some(burst), Some(limit)) if burst > limit => {
            report.fault(&burst_path, format!("is more than the shortest window allows ({limit})"));
        }
        _ => {}
    }
    if raw.max_queue > MOST_QUEUED {
        report.fault(&format!("{path}.max_queue"), format!("is more than {MOST_QUEUED}"));
    }
    let mode = match raw.mode {
        raw::LabelMode::Enforce => Mode::Enforce,
        raw::LabelMode::Observe => Mode::Observe,
    };
    if mode == Mode::Observe {
        report.warn(&format!("{path}.mode"), "holds nobody back");
    }
    let burst = raw.burst.or(shortest).and_then(NonZeroU32::new)?;
    named.then(|| LabelSpec {
        id: LabelId::new(name),
        windows,
        burst,
        pool: raw.pool.as_deref().map(PoolId::new),
        max_wait: raw.max_wait.0,
        max_queue: usize::try_from(raw.max_queue).unwrap_or(usize::MAX),
        mode,
    })
}

/// Shortest first.
fn windows(path: &str, raw: &raw::Label, report: &mut Report) -> Vec<WindowSpec> {
    let figures = [("per_second", raw.per_second, SECOND), ("per_minute", raw.per_minute, MINUTE)];
    let mut windows = Vec::new();
    for (key, figure, per) in figures {
        match figure.map(NonZeroU32::new) {
            Some(Some(limit)) => windows.push(WindowSpec { limit, per }),
            Some(None) => report.fault(&format!("{path}.{key}"), "is zero"),
            None => {}
        }
    }
    if let (Some(second), Some(minute)) = (raw.per_second, raw.per_minute)
        && minute < second
    {
        let why = format!("is less than per_second ({second}), which could never be reached");
        report.fault(&format!("{path}.per_minute"), why);
    }
    windows
}

/// Pools without labels and labels without endpoints. What a preset brings is not the author's to
/// take out.
pub(super) fn check_unused(
    path: &str,
    raw: &raw::Upstream,
    endpoints: &[Endpoint],
    preset: Option<&Preset>,
    report: &mut Report,
) {
    let plan = raw.plan.as_deref().and_then(|plan| preset?.plans.get(plan));
    let given = plan.and_then(|plan| plan.get("pools")).and_then(toml::Value::as_table);
    // A label with a misspelt pool means one all the same.
    let names = || raw.pools.keys().map(String::as_str);
    let written = raw.labels.values().filter_map(|label| label.pool.as_deref());
    let meant: Vec<_> = written.filter_map(|pool| nearest(pool, names())).collect();
    for pool in raw.pools.keys() {
        let brought = given.is_some_and(|given| given.contains_key(pool));
        if !brought && !meant.contains(&pool.as_str()) && report.is_whole(&format!("{path}.labels"))
        {
            let hint = format!("give a label pool = {pool:?}, or take it out");
            report.fault_try(&format!("{path}.pools.{pool}"), "no label spends from it", hint);
        }
    }
    let spends = |label: &str| {
        let mut labels = endpoints.iter().filter_map(|endpoint| endpoint.label.as_ref());
        labels.any(|used| used.as_str() == label)
    };
    for label in raw.labels.keys().filter(|label| preset.is_none() && !spends(label)) {
        report.warn(&format!("{path}.labels.{label}"), "no endpoint spends from it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_a_minute() {
        assert_eq!(time_of_day("00:00Z"), Some(Duration::ZERO));
        assert_eq!(time_of_day("23:59Z"), Some(Duration::from_mins(1439)));
        for wrong in ["24:00Z", "12:60Z", "12:00", "1:00Z", "+1:00Z", "noon", "Z", ""] {
            assert_eq!(time_of_day(wrong), None, "{wrong}");
        }
    }
}
