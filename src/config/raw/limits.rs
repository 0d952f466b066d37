//! `[server.limits]`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Bytes, Span};

/// What one client may cost the listener.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Limits {
    /// Longest a connection may have nothing to do between requests.
    pub idle_timeout: Span,
    /// Longest a client may send nothing of a request's body, or take nothing of an answer.
    pub stall_timeout: Span,
    /// Bytes a second beyond `stall_timeout`, both ways; 0 = slow clients may take for ever.
    pub least_rate: Bytes,
    /// Longest request target (path and query); 414 beyond.
    pub max_uri_bytes: Bytes,
    /// Longest header field, name and value; 431 beyond.
    pub max_field_bytes: Bytes,
    /// Most header fields of a request; 431 beyond.
    pub max_fields: u32,
    /// Most connections of one address (of one /64 of IPv6) at a time; more are closed at once.
    pub max_connections_per_address: u32,
    /// Most requests of one HTTP/2 connection at a time.
    pub http2_streams: u32,
    /// Requests that an HTTP/2 client may give up before they are answered, beyond a quarter of all;
    /// then it is cut off.
    pub http2_resets: u32,
    /// HTTP/2 frames that carry nothing, beyond 4 a request and 16 KiB of content; then it is cut
    /// off.
    pub http2_idle_frames: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_timeout: Span::secs(60),
            stall_timeout: Span::secs(20),
            least_rate: Bytes::kib(1),
            max_uri_bytes: Bytes::kib(8),
            max_field_bytes: Bytes::kib(16),
            max_fields: 100,
            max_connections_per_address: 8000,
            http2_streams: 128,
            http2_resets: 100,
            http2_idle_frames: 1000,
        }
    }
}
