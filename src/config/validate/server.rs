//! `[server]`, `[admin]`, `[log]` and `[cache]`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

use super::limits::limits;
use super::secret::Secrets;
use super::{Outside, jwt, listen, tls};
use crate::address::Address;
use crate::config::fault::{Report, nearest};
use crate::config::raw::{self, Raw};
use crate::config::settings::{Admin, Cache, Log, LogFormat, Server};
use crate::config::units::{Bytes, Span};
use crate::files::Access;
use crate::secret::Fingerprint;

const MOST_WORKERS: u32 = 1024;
/// hyper refuses to work with a smaller buffer.
pub(super) const LEAST_HEADER_BYTES: u64 = 8 << 10;
const MOST_HEADER_BYTES: u64 = 16 << 20;
/// A body may be held in memory to be sent twice.
const MOST_BODY_BYTES: u64 = 1 << 30;

/// The two listeners, which must not be one.
pub(super) fn listeners(raw: &Raw, secrets: &Secrets<'_>, report: &mut Report) -> (Server, Admin) {
    let state_dir = state_dir(raw, secrets.outside, report);
    let jwt = jwt::rules(raw, secrets.outside, report);
    let server = Server { state_dir, jwt, ..server(&raw.server, secrets.outside, report) };
    let admin = admin(&raw.admin, secrets, report);
    let anonymous = raw.clients.is_empty() && server.listen.iter().any(Address::is_open);
    if anonymous && server.allow_anonymous {
        report.warn("server.listen", "anyone who reaches this address may call");
    } else if anonymous {
        let hint = "list [[clients]], or set server.allow_anonymous = true";
        report.fault_try("server.listen", "anonymous callers on a public address", hint);
    }
    if server.listen.iter().any(|public| public.collides(&admin.listen)) {
        report.fault("admin.listen", "is the public listener's address too");
    }
    (server, admin)
}

fn admin(raw: &raw::Admin, secrets: &Secrets<'_>, report: &mut Report) -> Admin {
    let listen = listen::one("admin.listen", &raw.listen, secrets.outside, report);
    let path = "admin.token";
    let token = raw.token.as_ref().and_then(|source| secrets.resolve(path, source, report));
    if let Some(token) = &token {
        // What a request says is trimmed: such a token would never be recognised.
        let text = token.expose();
        if HeaderValue::from_str(text).is_err() || text != text.trim_ascii() {
            report.fault(path, "holds characters that a header cannot carry");
        }
    }
    if raw.token.is_none() && listen.is_open() {
        let why = "anyone who reaches this address may purge the cache: set admin.token";
        report.warn("admin.listen", why);
    }
    for (index, host) in raw.hosts.iter().enumerate() {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if host.is_empty() || !host.chars().all(legal) {
            let why = format!("{host:?} is not a host's name");
            report.fault_try(&format!("admin.hosts[{index}]"), why, "write it without port");
        }
    }
    Admin {
        listen,
        tls: tls::tls("admin.tls", raw.tls.as_ref(), secrets.outside, report),
        hosts: raw.hosts.clone(),
        token: token.map(|token| Fingerprint::of(token.expose().as_bytes())),
    }
}

fn server(raw: &raw::Server, outside: &dyn Outside, report: &mut Report) -> Server {
    at_most("server.workers", raw.workers.into(), MOST_WORKERS.into(), report);
    at_most("server.max_header_bytes", raw.max_header_bytes.0, MOST_HEADER_BYTES, report);
    at_most("server.max_body_bytes", raw.max_body_bytes.0, MOST_BODY_BYTES, report);
    if raw.max_header_bytes.0 < LEAST_HEADER_BYTES {
        report.fault("server.max_header_bytes", "is less than 8KiB");
    }
    if raw.min_drain >= raw.drain_timeout && !raw.drain_timeout.0.is_zero() {
        let why = format!("is not less than server.drain_timeout ({})", raw.drain_timeout);
        report.fault_try("server.min_drain", why, r#"with nobody to tell, write "0s""#);
    }
    Server {
        listen: listen::several("server.listen", &raw.listen, outside, report),
        reuse_port: raw.reuse_port,
        unix_mode: listen::mode("server.unix_mode", &raw.unix_mode, report),
        tls: tls::tls("server.tls", raw.tls.as_ref(), outside, report),
        workers: size(raw.workers.into()),
        request_timeout: positive("server.request_timeout", raw.request_timeout, report),
        min_drain: raw.min_drain.0,
        drain_timeout: positive("server.drain_timeout", raw.drain_timeout, report),
        limits: limits(raw, report),
        trusted_proxies: networks("server.trusted_proxies", &raw.trusted_proxies, report),
        via: via(&raw.via, report),
        max_body_bytes: size(raw.max_body_bytes.0),
        max_connections: some("server.max_connections", raw.max_connections, report),
        max_in_flight: some("server.max_in_flight", raw.max_in_flight, report),
        state_dir: None,
        allow_anonymous: raw.allow_anonymous,
        key_field: jwt::key_field(&raw.key_header, report),
        allow_core_dumps: raw.allow_core_dumps,
        jwt: None,
    }
}

/// Most networks that are looked through on every request.
const MOST_NETWORKS: usize = 64;

fn networks(path: &str, raw: &[String], report: &mut Report) -> Vec<IpNet> {
    if raw.len() > MOST_NETWORKS {
        report.fault(path, format!("lists more than {MOST_NETWORKS}"));
    }
    let network = |text: &String| {
        let address = || text.parse::<IpAddr>().map(|one| IpNet::from(one.to_canonical()));
        let found = text.parse::<IpNet>().or_else(|_| address());
        if found.is_err() {
            let why = format!("{text:?} is neither an address nor a network");
            report.fault_try(path, why, r#"write "10.0.0.7" or "10.0.0.0/8""#);
        }
        found.ok()
    };
    raw.iter().filter_map(network).collect()
}

/// RFC 9110, section 7.6.3: a pseudonym is a token.
fn via(name: &str, report: &mut Report) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
        let why = format!("{name:?} is no name of 1 to 64 letters, digits, '-', '.' and '_'");
        report.fault("server.via", why);
    }
    name.to_owned()
}

/// Where the day's spend is kept.
fn state_dir(raw: &Raw, outside: &dyn Outside, report: &mut Report) -> Option<PathBuf> {
    let path = "server.state_dir";
    let Some(directory) = &raw.server.state_dir else {
        if raw.upstreams.values().any(|upstream| !upstream.pools.is_empty()) {
            report.warn(path, "is not set: a restart forgets what was spent today");
        }
        return None;
    };
    if directory.is_empty() {
        report.fault_try(path, "is empty", r#"write "/var/lib/weir""#);
        return None;
    }
    let found = outside.directory(directory);
    let found = found.map_err(|why| report.fault(path, format!("{directory:?} {why}"))).ok()?;
    if let Some(why) = found.access.and_then(Access::to_change) {
        report.warn(path, format!("{directory:?} {why}"));
    }
    Some(found.path)
}

pub(super) fn log(raw: &raw::Log, report: &mut Report) -> Log {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // Without this check a misspelt level would be taken for a target, and switch everything on.
    let levels = raw.level.split(',').map(|one| one.rsplit('=').next().unwrap_or(one).trim());
    let unknown = levels.filter(|level| !LEVELS.contains(&level.to_lowercase().as_str()));
    let unknown: Vec<_> = unknown.collect();
    for level in &unknown {
        let hint = match nearest(level, LEVELS) {
            Some(near) => format!("did you mean {near:?}?"),
            None => r#"write "info", or "info,weir=debug""#.into(),
        };
        report.fault_try("log.level", format!("no such level: {level:?}"), hint);
    }
    let parsed = raw.level.parse::<tracing_subscriber::filter::Targets>();
    if let (true, Err(why)) = (unknown.is_empty(), parsed) {
        report.fault("log.level", format!("is not a list of levels: {why}"));
    }
    let format = match raw.format {
        raw::LogFormat::Auto => LogFormat::Auto,
        raw::LogFormat::Pretty => LogFormat::Pretty,
        raw::LogFormat::Json => LogFormat::Json,
    };
    Log { level: raw.level.clone(), format, access: raw.access }
}

pub(super) fn cache(raw: &raw::Cache, report: &mut Report) -> Cache {
    let (most, entry) = (raw.max_bytes, raw.max_entry_bytes);
    if entry > most {
        report.fault("cache.max_entry_bytes", format!("is more than cache.max_bytes ({most})"));
    }
    // The store counts an entry's bytes in 32 bits.
    at_most("cache.max_entry_bytes", entry.0, u32::MAX.into(), report);
    if entry.0 == 0 {
        report.fault_try("cache.max_entry_bytes", "is 0", r#"to cache nothing, set mode = "off""#);
    }
    let fetching = raw.max_fetching_bytes.unwrap_or_else(|| {
        // A few large answers at a time are no reason to store none.
        Bytes((most.0 / 4).max(entry.0.saturating_mul(16)))
    });
    if fetching < entry {
        let why = format!("is less than cache.max_entry_bytes ({entry})");
        report.fault("cache.max_fetching_bytes", why);
    }
    let moment = |name: &str, span: Span, most: Duration, report: &mut Report| {
        if span.0 > most {
            let why = format!("is more than {}", Span(most));
            report.fault(&format!("cache.{name}"), why);
        }
        span.0
    };
    Cache {
        max_bytes: most.0,
        max_entry_bytes: size(entry.0),
        max_fetching_bytes: size(fetching.0),
        remember_uncacheable: moment(
            "remember_uncacheable",
            raw.remember_uncacheable,
            Duration::from_hours(1),
            report,
        ),
        remember_failure: moment(
            "remember_failure",
            raw.remember_failure,
            Duration::from_mins(1),
            report,
        ),
    }
}

/// A duration that may not be zero.
pub(super) fn positive(path: &str, Span(span): Span, report: &mut Report) -> Duration {
    if span.is_zero() {
        report.fault(path, "is zero");
    }
    span
}

pub(super) fn some(path: &str, number: u32, report: &mut Report) -> usize {
    if number == 0 {
        report.fault(path, "is zero");
    }
    size(number.into())
}

pub(super) fn at_most(path: &str, number: u64, most: u64, report: &mut Report) {
    if number > most {
        report.fault(path, format!("is more than {most}"));
    }
}

pub(super) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
