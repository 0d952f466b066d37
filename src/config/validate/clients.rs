//! `[[clients]]`

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::identity::{Identities, Identity};
use super::{names, permission, served};
use crate::config::fault::Report;
use crate::config::raw;
use crate::config::settings::{ClientQuota, ClientSettings, UpstreamSettings};
use crate::config::units::Part;
use crate::policy::endpoint::Priority;
use crate::policy::share::{ANONYMOUS, Percent};

pub(super) fn all(
    raw: &[raw::Client],
    upstreams: &[UpstreamSettings],
    identities: &mut Identities<'_>,
    report: &mut Report,
) -> Vec<ClientSettings> {
    let mut by_name = BTreeMap::new();
    let mut clients = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = format!("clients[{index}]");
        let Some(client) = client(&path, raw, upstreams, identities, report) else { continue };
        if let Some(first) = by_name.insert(client.name.clone(), index) {
            let why = format!("{:?} is the name of clients[{first}] too", client.name);
            report.fault(&format!("{path}.name"), why);
        }
        served::check(&path, &client.share(), upstreams, report);
        clients.push(client);
    }
    check_daily_shares(raw, report);
    clients
}

/// What is promised of a day has to be there: the first client that asks for more is named.
fn check_daily_shares(raw: &[raw::Client], report: &mut Report) {
    let mut left = Percent::WHOLE;
    for (index, client) in raw.iter().enumerate() {
        let Some(Part(share)) = client.daily_share else { continue };
        let Some(rest) = left.tenths().checked_sub(share.tenths()).and_then(Percent::from_tenths)
        else {
            let name = client.name.as_ref().map_or("it".into(), |name| format!("{name:?}"));
            let why = format!("{share} is more than the clients before {name} leave ({left})");
            report.fault(&format!("clients[{index}].daily_share"), why);
            return;
        };
        left = rest;
    }
}

fn client(
    path: &str,
    raw: &raw::Client,
    upstreams: &[UpstreamSettings],
    identities: &mut Identities<'_>,
    report: &mut Report,
) -> Option<ClientSettings> {
    let name = name(&format!("{path}.name"), raw.name.as_deref(), report);
    let identity = identities.of(path, raw, report);
    let allowed = raw.endpoints.as_deref();
    let endpoints = permission::endpoints(&format!("{path}.endpoints"), allowed, upstreams, report);
    let weight = NonZeroU32::new(raw.weight);
    if weight.is_none() {
        report.fault(&format!("{path}.weight"), "is zero");
    }
    let quota = quota(path, raw, report);
    let daily_share = raw.daily_share.map(|Part(share)| share);
    if daily_share == Some(Percent::default()) {
        let hint = "leave it out for no limit of its own";
        report.fault_try(&format!("{path}.daily_share"), "is 0%: it could never be served", hint);
    }
    let priority = match raw.priority {
        raw::Priority::High => Priority::High,
        raw::Priority::Normal => Priority::Normal,
        raw::Priority::Low => Priority::Low,
    };
    let Identity { keys, certificates, subjects } = identity?;
    Some(ClientSettings {
        name: name?,
        keys,
        certificates,
        subjects,
        endpoints,
        weight: weight?,
        priority,
        daily_share,
        quota,
    })
}

fn name(path: &str, name: Option<&str>, report: &mut Report) -> Option<String> {
    let Some(name) = name else {
        report.fault(path, "is required");
        return None;
    };
    if name == ANONYMOUS {
        report.fault(path, format!("{ANONYMOUS:?} is what callers without a key are called"));
        return None;
    }
    names::check(path, name, report).then(|| name.to_owned())
}

fn quota(path: &str, raw: &raw::Client, report: &mut Report) -> Option<ClientQuota> {
    let (rate_path, burst_path) = (format!("{path}.per_second"), format!("{path}.burst"));
    for (path, figure) in [(&rate_path, raw.per_second), (&burst_path, raw.burst)] {
        if figure == Some(0) {
            report.fault(path, "is zero");
        }
    }
    if raw.per_second.is_none() && raw.burst.is_some() {
        report.fault(&burst_path, "is for a client with per_second");
    }
    let per_second = raw.per_second.and_then(NonZeroU32::new)?;
    let burst = raw.burst.and_then(NonZeroU32::new).unwrap_or(per_second);
    Some(ClientQuota { per_second, burst })
}
