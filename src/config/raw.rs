//! The file as it is written: a serde mirror of the TOML, with its defaults.
//!
//! The doc comments here are what `weir schema` shows in an editor. Whatever may come from the
//! environment or a preset is optional; what is missing in the end is found by `validate`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Bytes, OneOrMany, Plain, Span};

mod cache;
mod clients;
mod limits;
mod proxy;
mod tls;
mod token_url;
mod upstream;

pub(crate) use cache::{CacheMode, CacheRule, PageToken, RefreshAhead, SetCookie, Whole};
pub(crate) use clients::{Client, ClientKey, Jwt, JwtAlgorithm, Priority};
pub(crate) use limits::Limits;
pub(crate) use proxy::ProxySource;
pub(crate) use tls::{ClientAuth, Tls};
pub(crate) use upstream::{
    Auth, AuthKind, Breaker, Endpoint, GrantKind, Health, Label, LabelMode, Parameter, Pool,
    Reserve, Upstream, UpstreamTls,
};

/// Configuration of weir.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Raw {
    /// The public listener and its bounds.
    pub server: Server,
    /// The admin listener.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: Log,
    /// The store of answers.
    pub cache: Cache,
    /// Who may call. None: anonymous callers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Client>,
    /// The APIs that requests are forwarded to, by name.
    pub upstreams: BTreeMap<String, Upstream>,
}

/// The public listener and its bounds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Server {
    /// Where it listens, one or a list: address and port, `unix:` and the path of a socket file
    /// (relative to the configuration file), `systemd` or `systemd:NAME` for passed sockets.
    pub listen: OneOrMany,
    /// Whether other processes may listen on the same ports (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Permissions of socket files, octal.
    pub unix_mode: String,
    /// TLS towards clients. Absent: in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Worker threads; 0 = one per core.
    pub workers: u32,
    /// Longest a whole request may take, queueing included.
    pub request_timeout: Span,
    /// From the stop signal until listeners close: as long as it takes until nobody sends clients
    /// here any more. At least a tenth of a second.
    pub min_drain: Span,
    /// From the stop signal until whoever is left is cut off.
    pub drain_timeout: Span,
    /// Longest a connection may take to send a request's head.
    pub header_timeout: Span,
    /// Largest request head.
    pub max_header_bytes: Bytes,
    /// Largest request body.
    pub max_body_bytes: Bytes,
    /// Most connections at a time; more wait in the kernel's queue.
    pub max_connections: u32,
    /// Most requests at a time; more are refused with 503.
    pub max_in_flight: u32,
    /// Directory that keeps what was spent of the day over a restart, relative to the
    /// configuration file. Absent: kept in memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
    /// Whether anonymous callers are welcome on an address that is not loopback.
    pub allow_anonymous: bool,
    /// Addresses and networks whose `Forwarded` and `X-Forwarded-*` go on; everybody else's are
    /// removed.
    pub trusted_proxies: Vec<String>,
    /// What weir calls itself in `Via`. A request that has passed one of the same name is refused.
    pub via: String,
    /// What one client may cost the listener.
    pub limits: Limits,
    /// The field that carries a client's key or token: authorization (`Bearer <key>`), or any other
    /// field, whose value then is the key.
    pub key_header: String,
    /// Whether the system may write this process's memory, secrets included, to a file when it dies.
    pub allow_core_dumps: bool,
    /// Clients' tokens. Absent: none are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: OneOrMany(vec!["127.0.0.1:8080".into()]),
            reuse_port: false,
            unix_mode: "0660".into(),
            tls: None,
            workers: 0,
            request_timeout: Span::secs(30),
            min_drain: Span::secs(2),
            drain_timeout: Span::secs(30),
            header_timeout: Span::secs(10),
            max_header_bytes: Bytes::kib(64),
            max_body_bytes: Bytes::mib(1),
            max_connections: 10_000,
            max_in_flight: 10_000,
            state_dir: None,
            allow_anonymous: false,
            trusted_proxies: Vec::new(),
            via: "weir".into(),
            limits: Limits::default(),
            key_header: "authorization".into(),
            allow_core_dumps: false,
            jwt: None,
        }
    }
}

/// The admin listener: /metrics, /livez, /readyz, /status, /reopen, /purge.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Admin {
    /// Where it listens: one address, written as those of the public listener.
    pub listen: String,
    /// TLS towards those who ask it. Absent: in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// What POST needs there (`Authorization: Bearer <token>`). Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSource>,
    /// Names by which this listener is asked to change something, beside IP addresses and localhost,
    /// where there is no token: another name in `Host` may be a web page's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9090".into(), tls: None, token: None, hosts: Vec::new() }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Log {
    /// A level (off, error, warn, info, debug, trace), or several `target=level` with commas.
    pub level: String,
    /// How log lines look.
    pub format: LogFormat,
    /// Whether a line is written for every request.
    pub access: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto, access: true }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// The store of answers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Cache {
    /// Most bytes held in memory: keys, headers and bodies counted.
    pub max_bytes: Bytes,
    /// Larger answers pass through without being stored; below 4GiB.
    pub max_entry_bytes: Bytes,
    /// What all answers that are being fetched may hold in memory; beyond it they pass through
    /// without being stored. Absent: a quarter of max_bytes, but at least 16 of max_entry_bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fetching_bytes: Option<Bytes>,
    /// How long it is remembered that answers to a question are not for everybody: whoever asks it
    /// waits for nobody else's.
    pub remember_uncacheable: Span,
    /// How long it is remembered that the upstream could not be asked: whoever asks the same gets
    /// the same answer.
    pub remember_failure: Span,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_bytes: Bytes::mib(256),
            max_entry_bytes: Bytes::mib(4),
            max_fetching_bytes: None,
            remember_uncacheable: Span::secs(60),
            remember_failure: Span::secs(1),
        }
    }
}

/// Where a secret comes from: one of `env`, `file`, `value`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct SecretSource {
    /// Name of an environment variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Path of a file, relative to the configuration file; one newline at its end is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The secret itself. For experiments only: `weir check` warns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Plain>,
}
