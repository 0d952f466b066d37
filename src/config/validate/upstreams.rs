//! `[upstreams.NAME]`

use std::collections::BTreeMap;

use http::{StatusCode, Uri};

use super::reach::{self, Given};
use super::secret::Secrets;
use super::url::{absolute_url, is_loopback};
use super::{auth, endpoints, names, quota};
use crate::config::fault::Report;
use crate::config::raw;
use crate::config::settings::UpstreamSettings;
use crate::config::units::OneOrMany;
use crate::policy::credential::AuthScheme;
use crate::policy::endpoint::UpstreamId;
use crate::policy::reach::MAX_REPLICAS;
use crate::preset::Preset;

/// Every attempt pays; more than this is a mistake.
const MOST_RETRIES: u32 = 10;

pub(super) fn all(
    raw: &BTreeMap<String, raw::Upstream>,
    presets: &BTreeMap<String, Preset>,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Vec<UpstreamSettings> {
    if raw.is_empty() {
        let hint = "write [upstreams.NAME] with base_url, auth and endpoints, or with a preset";
        report.lacking("upstreams", "there is none", hint);
    }
    let mut taken = BTreeMap::new();
    let mut upstreams = Vec::new();
    for (name, raw) in raw {
        let path = format!("upstreams.{name}");
        let named = names::check(&path, name, report);
        let preset = presets.get(name);
        let mounts = mounts(&path, name, &raw.mount, preset, &mut taken, report);
        let upstream = upstream(&path, name, raw, preset, secrets, report);
        if let (true, Some(mounts), Some(upstream)) = (named, mounts, upstream) {
            upstreams.push(UpstreamSettings { mounts, ..upstream });
        }
    }
    upstreams
}

fn upstream(
    path: &str,
    name: &str,
    raw: &raw::Upstream,
    preset: Option<&Preset>,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<UpstreamSettings> {
    let urls = base_urls(&format!("{path}.base_url"), raw.base_url.as_ref(), report);
    let scheme = auth::scheme(&format!("{path}.auth"), raw.auth.as_ref(), secrets, report);
    if let Some(scheme) = &scheme {
        urls.iter().take(1).for_each(|url| warn_in_the_clear(path, url, scheme, report));
    }
    if raw.max_retries > MOST_RETRIES {
        report.fault(&format!("{path}.max_retries"), format!("is more than {MOST_RETRIES}"));
    }
    if raw.endpoints.is_empty() {
        let hint = "write [[upstreams.NAME.endpoints]] with id, method and path";
        report.lacking(&format!("{path}.endpoints"), "there is none", hint);
    }
    let retry_on = retry_on(path, raw, report);
    let given = Given { path, raw, urls: &urls, retry_on: &retry_on, auth: scheme.as_ref() };
    let (reach, token_place) = reach::of(&given, secrets, report);
    let labels = quota::labels(&format!("{path}.labels"), raw, report);
    let pools = quota::pools(&format!("{path}.pools"), &raw.pools, report);
    let endpoints = endpoints::all(path, raw, report);
    quota::check_unused(path, raw, &endpoints, preset, report);
    let (base_url, auth) = (urls.into_iter().next()?, scheme?);
    Some(UpstreamSettings {
        id: UpstreamId::new(name),
        credential: auth::credential(name, &base_url, &auth),
        base_url,
        mounts: Vec::new(),
        spelling: preset.map(|preset| preset.spelling).unwrap_or_default(),
        auth,
        labels,
        pools,
        endpoints,
        reach,
        token_place,
        max_retries: raw.max_retries,
        retry_on,
    })
}

/// Only what says that the upstream, and not the request, is amiss.
fn retry_on(path: &str, raw: &raw::Upstream, report: &mut Report) -> Vec<StatusCode> {
    let mut statuses = Vec::new();
    for status in raw.retry_on.iter().flatten() {
        let known = StatusCode::from_u16(*status).ok().filter(StatusCode::is_server_error);
        if let Some(known) = known {
            statuses.push(known);
        } else {
            let why = format!("{status} is not between 500 and 599");
            report.fault(&format!("{path}.retry_on"), why);
        }
    }
    statuses
}

/// Of every replica; they differ by host and port alone.
fn base_urls(path: &str, written: Option<&OneOrMany>, report: &mut Report) -> Vec<Uri> {
    let written = written.map(|OneOrMany(many)| many.as_slice()).unwrap_or_default();
    if written.len() > MAX_REPLICAS {
        report.fault(path, format!("names more than {MAX_REPLICAS}"));
        return Vec::new();
    }
    let first = base_url(path, written.first().map(String::as_str), report);
    let mut urls: Vec<Uri> = first.into_iter().collect();
    for text in written.iter().skip(1) {
        let Some(url) = base_url(path, Some(text), report) else { continue };
        let alike = |other: &Uri| other.scheme() == url.scheme() && other.path() == url.path();
        if !urls.iter().all(alike) {
            let hint = "replicas differ by host and port alone";
            report.fault_try(path, "names other schemes or paths than the first", hint);
        } else if urls.iter().any(|other| other.authority() == url.authority()) {
            report.fault(path, "names one of them twice");
        } else {
            urls.push(url);
        }
    }
    urls
}

fn base_url(path: &str, text: Option<&str>, report: &mut Report) -> Option<Uri> {
    let Some(text) = text else {
        report.fault_try(path, "is required", r#"write "https://host/path""#);
        return None;
    };
    let url = absolute_url(path, text.trim_end_matches('/'), report)?;
    if url.query().is_some() {
        report.fault(path, "has a query");
    }
    Some(url)
}

fn warn_in_the_clear(path: &str, url: &Uri, scheme: &AuthScheme, report: &mut Report) {
    let why = "the credential is sent without encryption";
    if is_plain(url) && !matches!(scheme, AuthScheme::None) {
        report.warn(&format!("{path}.base_url"), why);
    }
    if let AuthScheme::OAuth2 { token_url, .. } = scheme
        && is_plain(token_url)
    {
        report.warn(&format!("{path}.auth.token_url"), why);
    }
}

/// Whether others can read what is sent there.
fn is_plain(url: &Uri) -> bool {
    url.scheme_str() == Some("http") && !is_loopback(url)
}

/// The upstream's path prefixes, none of which another upstream has. `""` is the root.
fn mounts(
    path: &str,
    name: &str,
    mount: &str,
    preset: Option<&Preset>,
    taken: &mut BTreeMap<String, String>,
    report: &mut Report,
) -> Option<Vec<String>> {
    let path = format!("{path}.mount");
    let prefix = mount.strip_suffix('/').unwrap_or(mount);
    if !mount.starts_with('/') || !is_normal(prefix) {
        let why = format!("{mount:?} is not a path prefix");
        report.fault_try(&path, why, r#"write "/" or "/name""#);
        return None;
    }
    let aliases = preset.map(|preset| preset.mount_aliases.as_slice()).unwrap_or_default();
    let aliases = aliases.iter().map(|alias| format!("{prefix}{alias}"));
    let mounts: Vec<_> = std::iter::once(prefix.to_owned()).chain(aliases).collect();
    for mount in &mounts {
        if let Some(other) = taken.insert(mount.clone(), name.to_owned()) {
            let shown = if mount.is_empty() { "/" } else { mount };
            report.fault(&path, format!("{shown:?} is where clients find {other:?} already"));
        }
    }
    Some(mounts)
}

/// Plain segments only: what a router compares must have one spelling.
fn is_normal(prefix: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let mut segments = prefix.split('/').skip(1);
    segments.all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(legal))
}
