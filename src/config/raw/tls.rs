//! TLS of a listener.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS towards clients. Files are read again when their content changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Tls {
    /// PEM file of the certificate and those between it and its root, relative to the
    /// configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// PEM file of its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// PEM file of the root certificates that clients' certificates are verified by. Absent:
    /// clients are asked for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<String>,
    /// Whether every client needs a certificate. Absent: required, where there is `client_ca`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAuth {
    /// If they have one; a bad one is refused all the same.
    Optional,
    /// All of them.
    Required,
}
