//! Who calls: `[[clients]]` and `[server.jwt]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Part, Plain, Span};

/// One internal service that calls weir.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Client {
    /// Its name: unique, a metric label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its API key, or the SHA-256 of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<ClientKey>,
    /// Further keys of it, as in `key`, so that they can be changed one by one; at most 16 in all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<ClientKey>,
    /// Names in its client certificate: "dns:NAME" ("dns:*.DOMAIN" is any one label below it),
    /// "uri:URI", "email:ADDRESS" or "cn:NAME". One of them is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// What its tokens say in `server.jwt.claim`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// The endpoints it may ask: "id" or "upstream/id", where an id may end in "*". Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// Its share of a contended budget, relative to the others.
    pub weight: u32,
    /// Its place among those who wait.
    pub priority: Priority,
    /// The most of any pool's day that it may spend, "0.1%" to "100%"; those of all clients
    /// together at most "100%". Absent: no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_share: Option<Part>,
    /// Requests a second it may make on average, cache hits included, refused ones not. Absent: no
    /// limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
    /// How many it may make at once after a rest. Absent: as `per_second`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            name: None,
            key: None,
            keys: Vec::new(),
            certificates: Vec::new(),
            subjects: Vec::new(),
            endpoints: None,
            weight: 1,
            priority: Priority::Normal,
            daily_share: None,
            per_second: None,
            burst: None,
        }
    }
}

/// A client's place among those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    /// Before all others.
    High,
    /// As everybody.
    Normal,
    /// When nobody else waits.
    Low,
}

/// Where a client's API key comes from: one of `sha256`, `env`, `file`, `value`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct ClientKey {
    /// SHA-256 of the key, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Name of an environment variable that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Path of a file that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The key itself. For experiments only: `weir check` warns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Plain>,
}

/// How clients' tokens (JWT) are judged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Jwt {
    /// A file with the issuer's public keys (JWKS), relative to the configuration file; read again
    /// on reload. At most 1 MiB and 64 keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// Who has to have issued a token (`iss`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// For whom it has to be meant (`aud`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How it may be signed.
    pub algorithms: Vec<JwtAlgorithm>,
    /// How far the issuer's clock may differ from ours.
    pub leeway: Span,
    /// The claim that names the client, see `subjects` of a client.
    pub claim: String,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            jwks: None,
            issuer: None,
            audience: None,
            algorithms: vec![JwtAlgorithm::RS256, JwtAlgorithm::ES256],
            leeway: Span::secs(30),
            claim: "sub".into(),
        }
    }
}

/// How a token may be signed: always by a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum JwtAlgorithm {
    /// RSA, PKCS #1, SHA-256.
    RS256,
    /// RSA, PKCS #1, SHA-384.
    RS384,
    /// RSA, PKCS #1, SHA-512.
    RS512,
    /// RSA, PSS, SHA-256.
    PS256,
    /// RSA, PSS, SHA-384.
    PS384,
    /// RSA, PSS, SHA-512.
    PS512,
    /// ECDSA, P-256.
    ES256,
    /// ECDSA, P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}
