//! `[[clients]]`

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::secret::Secrets;
use super::{names, served, sha256};
use crate::config::fault::Report;
use crate::config::raw;
use crate::config::settings::{ClientQuota, ClientSettings, UpstreamSettings};
use crate::config::units::Part;
use crate::policy::endpoint::Priority;
use crate::policy::share::{ANONYMOUS, Percent};

pub(super) fn all(
    raw: &[raw::Client],
    upstreams: &[UpstreamSettings],
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Vec<ClientSettings> {
    let (mut by_name, mut by_key) = (BTreeMap::new(), BTreeMap::new());
    let mut clients = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = format!("clients[{index}]");
        let Some(client) = client(&path, raw, secrets, report) else { continue };
        if let Some(first) = by_name.insert(client.name.clone(), index) {
            let why = format!("{:?} is the name of clients[{first}] too", client.name);
            report.fault(&format!("{path}.name"), why);
        }
        if let Some(first) = by_key.insert(client.key_sha256, index) {
            report.fault(&format!("{path}.key"), format!("is the key of clients[{first}] too"));
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
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<ClientSettings> {
    let name = name(&format!("{path}.name"), raw.name.as_deref(), report);
    let key_path = format!("{path}.key");
    if raw.key.is_none() {
        report.fault(&key_path, "is required");
    }
    let key = raw.key.as_ref().and_then(|source| key(&key_path, source, secrets, report));
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
    Some(ClientSettings {
        name: name?,
        key_sha256: key?,
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

fn key(
    path: &str,
    raw: &raw::ClientKey,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<[u8; 32]> {
    let (env, file, value) = (raw.env.clone(), raw.file.clone(), raw.value.clone());
    let source = raw::SecretSource { env, file, value };
    let Some(hex) = &raw.sha256 else {
        let secret = secrets.resolve(path, &source, report)?;
        return Some(sha256(secret.expose().as_bytes()));
    };
    if source.env.is_some() || source.file.is_some() || source.value.is_some() {
        report.fault_try(path, "names more than one source", "keep one of them");
        return None;
    }
    let digest = from_hex(hex);
    if digest.is_none() {
        let hint = "printf %s \"$KEY\" | sha256sum prints it";
        report.fault_try(&format!("{path}.sha256"), "is not 64 hex digits", hint);
    }
    digest
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let mut digits = hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    for byte in &mut out {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(out)
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
