//! `[upstreams.NAME]`

use std::collections::BTreeMap;

use http::{StatusCode, Uri};

use super::secret::Secrets;
use super::server::positive;
use super::url::absolute_url;
use super::{auth, endpoints, names, quota};
use crate::config::fault::Report;
use crate::config::raw;
use crate::config::settings::UpstreamSettings;
use crate::policy::credential::AuthScheme;
use crate::policy::endpoint::UpstreamId;
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
    let base_url = base_url(&format!("{path}.base_url"), raw.base_url.as_deref(), report);
    let scheme = auth::scheme(&format!("{path}.auth"), raw.auth.as_ref(), secrets, report);
    if let (Some(url), Some(scheme)) = (&base_url, &scheme) {
        warn_in_the_clear(path, url, scheme, report);
    }
    if raw.max_retries > MOST_RETRIES {
        report.fault(&format!("{path}.max_retries"), format!("is more than {MOST_RETRIES}"));
    }
    if raw.endpoints.is_empty() {
        let hint = "write [[upstreams.NAME.endpoints]] with id, method and path";
        report.lacking(&format!("{path}.endpoints"), "there is none", hint);
    }
    let timeout =
        |key: &str, span, report: &mut Report| positive(&format!("{path}.{key}"), span, report);
    let connect_timeout = timeout("connect_timeout", raw.connect_timeout, report);
    let first_byte_timeout = timeout("first_byte_timeout", raw.first_byte_timeout, report);
    let total_timeout = timeout("total_timeout", raw.total_timeout, report);
    let labels = quota::labels(&format!("{path}.labels"), raw, report);
    let pools = quota::pools(&format!("{path}.pools"), &raw.pools, report);
    let endpoints = endpoints::all(path, raw, report);
    quota::check_unused(path, raw, &endpoints, preset, report);
    let (base_url, auth) = (base_url?, scheme?);
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
        connect_timeout,
        first_byte_timeout,
        total_timeout,
        idle_timeout: raw.idle_timeout.0,
        max_retries: raw.max_retries,
        retry_on: retry_on(path, raw, report),
        http2_prior_knowledge: raw.http2_prior_knowledge,
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
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let loopback =
        host.parse::<std::net::IpAddr>().map_or(host == "localhost", |ip| ip.is_loopback());
    url.scheme_str() == Some("http") && !loopback
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
