//! `[upstreams.*]` as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretSource;
use super::cache::{CacheRule, PageToken, WhenSchema};
use super::proxy::ProxySource;
use super::token_url::TokenUrl;
use crate::config::units::{OneOrMany, Part, Scalar, Span};

/// An API that requests are forwarded to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Upstream {
    /// An API that weir knows by heart: `zoom-video-sdk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The account's plan, for the preset's figures: `free`, `pro` or `business`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Where the API is: http or https, without a query. A list: replicas that answer alike,
    /// which differ by host and port alone; at most 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<OneOrMany>,
    /// How often the host's name is looked up again, each address being a replica; 0s = never, and
    /// every new connection looks it up.
    pub resolve: Span,
    /// Path prefix under which clients find it.
    pub mount: String,
    /// Longest a connection may take to be made (TCP and TLS).
    pub connect_timeout: Span,
    /// Longest from sending a request until its answer's head.
    pub first_byte_timeout: Span,
    /// Longest from sending a request until the end of its answer.
    pub total_timeout: Span,
    /// How long an unused connection is kept; below the upstream's own figure.
    pub idle_timeout: Span,
    /// Second and later attempts of one idempotent request; 0 = none.
    pub max_retries: u32,
    /// Statuses, 500 to 599, after which a request is sent again as if it had not been answered.
    /// Absent: none, or the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_on: Option<Vec<u16>>,
    /// Speak HTTP/2 without TLS and negotiation.
    pub http2_prior_knowledge: bool,
    /// The http proxy on the way out, to which weir says CONNECT: "http://user:password@host:port",
    /// or where to find that; "none" = no proxy. Absent: what HTTP_PROXY, HTTPS_PROXY and NO_PROXY
    /// say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_proxy: Option<ProxySource>,
    /// Whom to trust there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// When a replica is left alone.
    pub breaker: Breaker,
    /// Asks every replica how it is. Absent: nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How requests are authorized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Rate-limit classes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Label>,
    /// Daily budgets that labels share, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<String, Pool>,
    /// What it answers to. With a preset: changes to its rows by `id`, and further rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            preset: None,
            plan: None,
            base_url: None,
            resolve: Span::secs(0),
            mount: "/".into(),
            connect_timeout: Span::secs(5),
            first_byte_timeout: Span::secs(10),
            total_timeout: Span::secs(30),
            idle_timeout: Span::secs(4),
            max_retries: 1,
            retry_on: None,
            http2_prior_knowledge: false,
            egress_proxy: None,
            tls: None,
            breaker: Breaker::default(),
            health: None,
            auth: None,
            labels: BTreeMap::new(),
            pools: BTreeMap::new(),
            endpoints: Vec::new(),
        }
    }
}

/// Whom to trust.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct UpstreamTls {
    /// File of certificate authorities, PEM, relative to the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Whether the system's certificate authorities are trusted as well.
    pub system_roots: bool,
    /// File of the certificate that shows who we are, PEM, with what leads to its authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<String>,
    /// File of its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    /// The name that is asked for and has to be proved. Absent: the host of base_url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        let (ca_file, client_cert, client_key, server_name) = (None, None, None, None);
        Self { ca_file, system_roots: true, client_cert, client_key, server_name }
    }
}

/// When a replica is left alone.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Breaker {
    /// So many failures in a row; 0 = never. Of the only one, or the last: only if it is not there.
    pub failures: u32,
    /// For how long; then one request finds out. Absent: 5s, and 1s where there is but one replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<Span>,
    /// Doubled with every such request that fails, up to this. Absent: 60s, and 10s where there is
    /// but one replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_max: Option<Span>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, open: None, open_max: None }
    }
}

/// How replicas are asked how they are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Health {
    /// Path of a GET, as it stands, without a credential; 2xx is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How often.
    pub interval: Span,
    /// Longest the answer may take.
    pub timeout: Span,
    /// So many bad answers in a row, and it is not asked any more.
    pub unhealthy: u32,
    /// So many good answers in a row, and it is asked again.
    pub healthy: u32,
}

impl Default for Health {
    fn default() -> Self {
        let (interval, timeout) = (Span::secs(5), Span::secs(2));
        Self { path: None, interval, timeout, unhealthy: 2, healthy: 1 }
    }
}

/// How requests are authorized; every kind has keys of its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Auth {
    /// Which kind of credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<AuthKind>,
    /// jwt: the API key (`iss`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretSource>,
    /// jwt: the API secret that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
    /// jwt: how long a token lives. Absent: 1h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Span>,
    /// bearer: the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSource>,
    /// basic: the user id, without a colon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<SecretSource>,
    /// basic: the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// header: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// header: its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<SecretSource>,
    /// oauth2: the token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<TokenUrl>,
    /// oauth2: the client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<SecretSource>,
    /// oauth2: the client secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretSource>,
    /// oauth2: what is asked of the token endpoint. Absent: `client_credentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantKind>,
    /// oauth2 with `account_credentials`: the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// oauth2 with `client_credentials`: scopes, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Which kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthKind {
    /// A JWT minted here (HS256).
    Jwt,
    /// A fixed bearer token.
    Bearer,
    /// User id and password (RFC 7617).
    Basic,
    /// A fixed value in a header of its own.
    Header,
    /// A bearer token fetched from a token endpoint (RFC 6749).
    OAuth2,
    /// No credential.
    None,
}

/// What is asked of the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GrantKind {
    /// RFC 6749, section 4.4.
    ClientCredentials,
    /// Zoom's server-to-server grant.
    AccountCredentials,
}

/// A rate-limit class: one or more windows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Label {
    /// Most requests in any sliding second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
    /// Most requests in any sliding minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// How many may leave at once after a rest. Absent: the shortest window's limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// The pool it also spends from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Longest a request queues for a token; refused at once if the token would come later.
    pub max_wait: Span,
    /// Most requests that queue at a time.
    pub max_queue: u32,
    /// Whether it holds anybody back.
    pub mode: LabelMode,
}

impl Default for Label {
    fn default() -> Self {
        let (per_second, per_minute, burst, pool) = (None, None, None, None);
        let (max_wait, max_queue, mode) = (Span::secs(5), 1000, LabelMode::Enforce);
        Self { per_second, per_minute, burst, pool, max_wait, max_queue, mode }
    }
}

/// Whether a label holds anybody back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LabelMode {
    /// It does.
    Enforce,
    /// It lets everything through, and counts what it would have done.
    Observe,
}

/// A daily budget that several labels share.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Pool {
    /// Most requests a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// When the day begins, UTC.
    pub resets_at: String,
    /// The last part of the day, which is kept for clients of a priority or above; together at
    /// most "100%".
    pub reserve: Reserve,
}

impl Default for Pool {
    fn default() -> Self {
        Self { per_day: None, resets_at: "00:00Z".into(), reserve: Reserve::default() }
    }
}

/// The last part of a pool's day, which is kept for clients of a priority or above.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Reserve {
    /// Kept for high priority.
    pub high: Part,
    /// Kept for normal and high priority, before that.
    pub normal: Part,
}

/// A rule: method and path template to label, parameters and cache rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Endpoint {
    /// Its name: unique within the upstream, a metric label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A method, a list of methods, or "*" for any. Absent: GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<OneOrMany>,
    /// Path template below the mount: `/a/{b}`, `/{*rest}`. The most specific wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The label it spends from. Absent: no budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Which path and query parameters tell entries apart; others are not sent upstream.
    /// Absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    /// Whether and how answers are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRule>,
    /// Other figures for requests whose parameters have these values; the first match wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<WhenSchema>")]
    pub when: Vec<BTreeMap<String, Scalar>>,
    /// How pages of a listing name one another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<PageToken>,
    /// Query parameters that are checked, by name. Undeclared ones pass through unchecked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
}

/// What values a query parameter may take: `one_of`, `min` and `max`, or `max_length`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Parameter {
    /// A closed set, compared case-sensitively.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Scalar>>,
    /// Smallest whole number. Absent with `max`: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Largest whole number. Absent with `min`: the largest there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Any text of at most so many bytes. Absent with the others: 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// What its absence means; made explicit in keys and towards the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Scalar>,
    /// Absence is a 400.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}
