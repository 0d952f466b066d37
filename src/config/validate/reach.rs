//! Where an upstream's replicas are, and how they are reached.

use std::time::Duration;

use http::{StatusCode, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use rustls_pki_types::ServerName;

use super::secret::Secrets;
use super::server::positive;
use super::url::is_loopback;
use crate::config::fault::Report;
use crate::config::raw::{self, ProxySource};
use crate::config::units::Span;
use crate::policy::breaker::Rules;
use crate::policy::credential::AuthScheme;
use crate::policy::reach::{Egress, Health, Options, Place, Reach};
use crate::policy::trust::{self, Identity, IdentityFault, SystemRoots, Trust};
use crate::secret::Secret;

/// What the rest of an upstream says about it.
pub(super) struct Given<'g> {
    pub(super) path: &'g str,
    pub(super) raw: &'g raw::Upstream,
    /// Each with the same scheme and path.
    pub(super) urls: &'g [Uri],
    pub(super) retry_on: &'g [StatusCode],
    pub(super) auth: Option<&'g AuthScheme>,
}

/// The way to the upstream, and the one to its token endpoint if there is one.
pub(super) fn of(
    given: &Given<'_>,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> (Reach, Option<Place>) {
    let Given { path, raw, urls, retry_on, auth } = given;
    let way = way(&format!("{path}.egress_proxy"), raw, secrets, report);
    let places: Vec<_> = urls.iter().filter_map(|url| place(url, &way)).collect();
    let resolve = resolve(given, &places, &way, report);
    let is_alone = places.len() < 2 && resolve.is_none();
    let timeout =
        |key: &str, span, report: &mut Report| positive(&format!("{path}.{key}"), span, report);
    let options = Options {
        connect_timeout: timeout("connect_timeout", raw.connect_timeout, report),
        first_byte_timeout: timeout("first_byte_timeout", raw.first_byte_timeout, report),
        total_timeout: timeout("total_timeout", raw.total_timeout, report),
        idle_timeout: raw.idle_timeout.0,
        http2_prior_knowledge: raw.http2_prior_knowledge,
    };
    let is_fault = |status: &&StatusCode| matches!(status.as_u16(), 502..=504);
    let reach = Reach {
        options,
        trust: trust(&format!("{path}.tls"), raw.tls.as_ref(), secrets, report),
        breaker: breaker(&format!("{path}.breaker"), &raw.breaker, is_alone, report),
        health: raw.health.as_ref().and_then(|raw| health(&format!("{path}.health"), raw, report)),
        faults: retry_on.iter().filter(is_fault).copied().collect(),
        places,
        resolve,
    };
    let token_url = match auth {
        Some(AuthScheme::OAuth2 { token_url, .. }) => Some(token_url),
        _ => None,
    };
    (reach, token_url.and_then(|url| place(url, &way)))
}

/// How often the name is looked up again.
fn resolve(
    given: &Given<'_>,
    places: &[Place],
    way: &Way,
    report: &mut Report,
) -> Option<Duration> {
    let (path, every) = (format!("{}.resolve", given.path), given.raw.resolve.0);
    if every.is_zero() {
        return None;
    }
    if every < Duration::from_secs(1) {
        report.fault(&path, "is less than 1s");
    }
    if places.len() > 1 {
        report.fault_try(&path, "is for one base_url", "name the hosts, or one that is looked up");
    }
    if places.iter().any(|place| place.egress.is_some()) {
        if let Way::Named(_) = way {
            report.fault(&path, "cannot be told what a name means behind egress_proxy");
        } else {
            report.warn(&path, "has no effect: the environment's proxy looks names up itself");
        }
        return None;
    }
    Some(every)
}

fn breaker(path: &str, raw: &raw::Breaker, is_alone: bool, report: &mut Report) -> Rules {
    // A short outage of the only one there is is not to be made longer.
    let (open, open_max) = if is_alone { (1, 10) } else { (5, 60) };
    let or = |span: Option<Span>, secs| span.map_or(Duration::from_secs(secs), |span| span.0);
    let (open, open_max) = (or(raw.open, open), or(raw.open_max, open_max));
    if open.is_zero() {
        report.fault_try(&format!("{path}.open"), "is zero", "to have none, set failures = 0");
    }
    if raw.open_max.is_some() && open_max < open {
        report.fault(&format!("{path}.open_max"), "is less than open");
    }
    let failures = if raw.failures == 0 { u32::MAX } else { raw.failures };
    Rules { failures, open, open_max: open_max.max(open) }
}

fn health(path: &str, raw: &raw::Health, report: &mut Report) -> Option<Health> {
    let key = |key: &str| format!("{path}.{key}");
    let asked = raw.path.clone().unwrap_or_default();
    let is_path = asked.starts_with('/') && asked.parse::<http::uri::PathAndQuery>().is_ok();
    if !is_path {
        report.fault_try(&key("path"), "is not a path", r#"write "/healthz""#);
    }
    if raw.interval.0 < Duration::from_millis(100) {
        report.fault(&key("interval"), "is less than 100ms");
    }
    for (name, count) in [("unhealthy", raw.unhealthy), ("healthy", raw.healthy)] {
        if count == 0 {
            report.fault(&key(name), "is zero");
        }
    }
    let timeout = positive(&key("timeout"), raw.timeout, report);
    is_path.then_some(Health {
        path: asked,
        interval: raw.interval.0,
        timeout,
        unhealthy: raw.unhealthy,
        healthy: raw.healthy,
    })
}

fn trust(
    path: &str,
    raw: Option<&raw::UpstreamTls>,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Trust {
    let Some(raw) = raw else { return Trust::default() };
    let key = |key: &str| format!("{path}.{key}");
    let ca_path = key("ca_file");
    let ca = raw.ca_file.as_ref().and_then(|file| secrets.pem(&ca_path, file, report));
    let authorities = ca.and_then(|text| match trust::authorities(text.expose()) {
        Ok(found) => Some(found),
        Err(why) => {
            report.fault(&ca_path, why);
            None
        }
    });
    if raw.ca_file.is_none() && !raw.system_roots {
        report.fault_try(&key("system_roots"), "leaves nobody to trust", "name a ca_file");
    }
    let server_name = raw.server_name.as_ref().and_then(|name| {
        let parsed = ServerName::try_from(name.clone());
        let why = "is not a host's name or address";
        parsed.map_err(|_why| report.fault(&key("server_name"), why)).ok()
    });
    Trust {
        authorities: authorities.unwrap_or_default(),
        system: if raw.system_roots { SystemRoots::Believed } else { SystemRoots::Ignored },
        identity: identity(path, raw, secrets, report),
        server_name,
    }
}

fn identity(
    path: &str,
    raw: &raw::UpstreamTls,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<Identity> {
    let (cert_path, key_path) = (format!("{path}.client_cert"), format!("{path}.client_key"));
    match (&raw.client_cert, &raw.client_key) {
        (None, None) => None,
        (Some(_), None) => {
            report.fault(&key_path, "is required with client_cert");
            None
        }
        (None, Some(_)) => {
            report.fault(&cert_path, "is required with client_key");
            None
        }
        (Some(cert), Some(key)) => {
            let cert = secrets.pem(&cert_path, cert, report);
            let key = secrets.file(&key_path, key, report);
            match Identity::of(cert?.expose(), key?.expose()) {
                Ok(identity) => Some(identity),
                Err(IdentityFault::Certificate(why)) => {
                    report.fault(&cert_path, why);
                    None
                }
                Err(IdentityFault::Key(why)) => {
                    report.fault(&key_path, why);
                    None
                }
            }
        }
    }
}

/// What lies between weir and the rest of the world.
enum Way {
    /// Nothing.
    Straight,
    /// What the environment says, but never before a host of this machine.
    Environment(Matcher),
    /// What the upstream says.
    Named(Matcher),
}

fn way(path: &str, raw: &raw::Upstream, secrets: &Secrets<'_>, report: &mut Report) -> Way {
    let text = match &raw.egress_proxy {
        None => return environment(secrets),
        Some(ProxySource::Plain(plain)) => plain.clone(),
        Some(ProxySource::From(source)) => match secrets.resolve(path, source, report) {
            Some(text) => text,
            None => return Way::Straight,
        },
    };
    if text.expose() == "none" {
        return Way::Straight;
    }
    // Never quoted: it may hold a password.
    let matcher = Matcher::builder().all(text.expose().to_owned()).build();
    let found = matcher.intercept(&Uri::from_static("http://a/"));
    let is_http = text.expose().starts_with("http://");
    if !is_http || !names_a_place(text.expose()) || found.is_none() {
        let hint = r#"write "http://proxy:3128", "http://user:password@proxy:3128" or "none""#;
        report.fault_try(path, "is not the address of an http proxy", hint);
        return Way::Straight;
    }
    if let Some(ProxySource::Plain(plain)) = &raw.egress_proxy
        && plain.expose().contains('@')
        && !report.is_from_environment(path)
    {
        report.warn(path, "a password stands in the file itself");
    }
    Way::Named(matcher)
}

/// A host, a port that can be one, and nothing after them.
fn names_a_place(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else { return false };
    let Some(authority) = url.authority() else { return false };
    let host = authority.host();
    let after = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, after)| after);
    let has_port = after.len() > host.len();
    !host.is_empty()
        && (!has_port || authority.port_u16().is_some_and(|port| port > 0))
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
}

fn environment(secrets: &Secrets<'_>) -> Way {
    let first = |upper: &str| {
        let variable = |name: &str| secrets.outside.variable(name).filter(|text| !text.is_empty());
        variable(upper).or_else(|| variable(&upper.to_ascii_lowercase())).unwrap_or_default()
    };
    let matcher = Matcher::builder()
        .all(first("ALL_PROXY"))
        .http(first("HTTP_PROXY"))
        .https(first("HTTPS_PROXY"))
        .no(first("NO_PROXY"));
    Way::Environment(matcher.build())
}

fn place(url: &Uri, way: &Way) -> Option<Place> {
    let authority = url.authority()?.clone();
    let found = match way {
        Way::Straight => None,
        Way::Environment(matcher) => matcher.intercept(url).filter(|_| !is_loopback(url)),
        Way::Named(matcher) => matcher.intercept(url),
    };
    // Others, such as SOCKS, are not spoken here.
    let found = found.filter(|found| found.uri().scheme_str() == Some("http"));
    let egress = found.map(|found| Egress {
        proxy: found.uri().clone(),
        authorization: found.basic_auth().and_then(|v| v.to_str().ok()).map(Secret::new),
    });
    Some(Place { url: url.clone(), authority, egress })
}
