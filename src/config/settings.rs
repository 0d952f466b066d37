//! The configuration after validation. Nothing below `gateway` sees the file's own shape.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::{StatusCode, Uri};
use ipnet::IpNet;

use crate::address::Address;
use crate::files::Snapshot;
use crate::policy::certificate::CertificateRule;
use crate::policy::credential::{AuthScheme, CredentialId};
use crate::policy::endpoint::{Endpoint, Priority, Spelling, UpstreamId, Weight};
use crate::policy::frames::FrameLimits;
use crate::policy::framing::HeadLimits;
use crate::policy::identity::KeyField;
use crate::policy::patience::Patience;
use crate::policy::permission::EndpointPattern;
use crate::policy::quota::{LabelSpec, PoolSpec};
use crate::policy::reach::{Place, Reach};
use crate::policy::share::{ClientId, Percent, Share};
use crate::policy::token::TokenRules;
use crate::secret::Fingerprint;
use crate::tls::{Files, Identity};

/// Everything `weir serve` needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[server]`
    pub server: Server,
    /// `[admin]`
    pub admin: Admin,
    /// `[log]`
    pub log: Log,
    /// `[cache]`
    pub cache: Cache,
    /// `[[clients]]`; empty = anonymous callers.
    pub clients: Vec<ClientSettings>,
    /// `[upstreams.*]`, at least one; mounts are distinct.
    pub upstreams: Vec<UpstreamSettings>,
    /// SHA-256 (hex) of the effective configuration, secrets masked: tells two gateways apart.
    pub digest: String,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Where the public listener is; at least one.
    pub listen: Vec<Address>,
    /// Whether other processes may listen on the same ports.
    pub reuse_port: bool,
    /// Permissions of socket files.
    pub unix_mode: u32,
    /// None = in the clear.
    pub tls: Option<Tls>,
    /// Worker threads; 0 = one per core.
    pub workers: usize,
    /// The whole request, queueing included.
    pub request_timeout: Duration,
    /// From the stop signal until listeners close; less than `drain_timeout`.
    pub min_drain: Duration,
    /// From the stop signal until whoever is left is cut off.
    pub drain_timeout: Duration,
    /// What one connection may cost.
    pub limits: ConnectionLimits,
    /// Whose word about the client before them is passed on.
    pub trusted_proxies: Vec<IpNet>,
    /// Its name in `Via`.
    pub via: String,
    /// Largest request body, bytes.
    pub max_body_bytes: usize,
    /// Most connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Most requests at a time; more are refused with 503.
    pub max_in_flight: usize,
    /// Where the day's spend is kept; none = in memory only.
    pub state_dir: Option<PathBuf>,
    /// Anonymous callers are welcome on an address that is not loopback.
    pub allow_anonymous: bool,
    /// Where clients' keys and tokens are looked for.
    pub key_field: KeyField,
    /// The system may write this process's memory to a file when it dies.
    pub allow_core_dumps: bool,
    /// What clients' tokens are judged by, if they are taken.
    pub jwt: Option<TokenRules>,
}

/// What one connection may cost; `[server.limits]` and its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How long it may keep us waiting.
    pub patience: Patience,
    /// Heads of its requests.
    pub head: HeadLimits,
    /// Connections of its address.
    pub max_per_address: usize,
    /// Its streams at a time, over HTTP/2.
    pub max_streams: u32,
    /// Its frames, over HTTP/2.
    pub frames: FrameLimits,
}

impl ConnectionLimits {
    /// Only what stands in `[server.limits]` itself.
    pub(crate) fn without_neighbours(mut self) -> Self {
        self.patience.head = Duration::ZERO;
        self.head.head_bytes = 0;
        self
    }
}

/// `[server.tls]` and `[admin.tls]`
#[derive(Clone, Debug)]
pub struct Tls {
    /// To be read again.
    pub files: Files,
    /// What they held.
    pub identity: Identity,
    /// By which that is recognised.
    pub noted: Snapshot,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// The admin listener.
    pub listen: Address,
    /// None = in the clear.
    pub tls: Option<Tls>,
    /// What POST needs there; none = nothing.
    pub token: Option<Fingerprint>,
    /// Names by which this listener may be asked to change something where there is no token.
    pub hosts: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// A tracing filter directive, "info" by default.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
    /// Whether a line is written for every request.
    pub access: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// `[cache]`
#[derive(Clone, Debug)]
pub struct Cache {
    /// Keys, headers and bodies counted.
    pub max_bytes: u64,
    /// Larger answers pass through without being stored.
    pub max_entry_bytes: usize,
    /// What all answers that are being fetched may hold; beyond it they pass through.
    pub max_fetching_bytes: usize,
    /// How long it is remembered that a question's answers are for one each.
    pub remember_uncacheable: Duration,
    /// How long it is remembered that asking has failed.
    pub remember_failure: Duration,
}

/// One of `[[clients]]`.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Unique; a metric label.
    pub name: String,
    /// By its API keys.
    pub keys: Vec<Fingerprint>,
    /// By its client certificates.
    pub certificates: Vec<CertificateRule>,
    /// By its tokens.
    pub subjects: Vec<String>,
    /// The endpoints it may ask, each of which there is; none = all.
    pub endpoints: Option<Vec<EndpointPattern>>,
    /// Share of a contended budget.
    pub weight: Weight,
    /// Order among those who wait.
    pub priority: Priority,
    /// The most it may spend of a day's pool.
    pub daily_share: Option<Percent>,
    /// The client's own share, if one is configured.
    pub quota: Option<ClientQuota>,
}

impl ClientSettings {
    /// By what right it asks for tokens.
    pub fn share(&self) -> Share {
        let (weight, priority) = (self.weight, self.priority);
        Share { client: ClientId::new(&*self.name), weight, priority, daily: self.daily_share }
    }
}

/// A client's own share, hits included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientQuota {
    /// Requests a second on average.
    pub per_second: NonZeroU32,
    /// How many at once after a rest.
    pub burst: NonZeroU32,
}

/// One of `[upstreams.*]`.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Its name.
    pub id: UpstreamId,
    /// `http` or `https`, with authority; the path has no trailing slash and no query.
    pub base_url: Uri,
    /// Path prefixes under which clients find it; `""` is the root. No trailing slash.
    pub mounts: Vec<String>,
    /// How path parameters are spelt.
    pub spelling: Spelling,
    /// Names the credential; safe to log.
    pub credential: CredentialId,
    /// How requests are authorized.
    pub auth: AuthScheme,
    /// Rate-limit classes; every endpoint's label is one of them.
    pub labels: Vec<LabelSpec>,
    /// Daily budgets; every label's pool is one of them.
    pub pools: Vec<PoolSpec>,
    /// The table. No two rows answer to the same method and template.
    pub endpoints: Vec<Endpoint>,
    /// Where its replicas are, and how they are reached.
    pub reach: Reach,
    /// The way to the token endpoint, if there is one.
    pub token_place: Option<Place>,
    /// Second and later attempts of one idempotent request; 0 = none.
    pub max_retries: u32,
    /// Answers after which a request is sent again.
    pub retry_on: Vec<StatusCode>,
}
