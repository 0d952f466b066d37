//! What can go wrong between routing and the upstream, and the one table of what is said about it.
//!
//! `Err` exists only below `render_errors`. An error answer that came from the upstream is not an
//! error here: it is passed through.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::policy::framing::Fault;
use crate::policy::identity::{Doubt, Unidentified, Ways};
use crate::policy::listing::ListingFault;
use crate::policy::params::BadParameter;
use crate::policy::quota::LabelId;
use crate::store::credential::AuthError;
use crate::store::limiter::{Budget, PoolBudget, Reason, Refused, WindowBudget};
use crate::upstream::UpstreamError;

/// Every answer of weir's own that is not a success.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GatewayError {
    /// What came is no request that could be answered.
    #[error(transparent)]
    Framing(#[from] Fault),
    /// The request has been here before.
    #[error("this request has come by here before: two proxies forward to each other")]
    Loop,
    /// No mount or no template matches.
    #[error("no endpoint answers to this path")]
    UnknownEndpoint,
    /// The path is known, the method is not.
    #[error("this path answers to {allow}")]
    MethodNotAllowed {
        /// For the `Allow` field.
        allow: String,
    },
    /// The path has no meaning that could safely be passed on.
    #[error("{0}")]
    BadPath(&'static str),
    /// A parameter is not what the endpoint declares.
    #[error(transparent)]
    BadParameter(#[from] BadParameter),
    /// The request's body broke off.
    #[error("the request's body did not arrive whole")]
    BadBody,
    /// The request's body did not come within the request's time.
    #[error("the request's body did not arrive in time")]
    BodyTimeout,
    /// The request's body is larger than allowed.
    #[error("the request's body is larger than {limit} bytes")]
    BodyTooLarge {
        /// `server.max_body_bytes`
        limit: usize,
    },
    /// Clients are configured, and the request does not say which it is.
    #[error("{0}")]
    KeyMissing(Ways),
    /// What it shows is nobody's, or not good.
    #[error(transparent)]
    KeyUnknown(#[from] Doubt),
    /// The client may not ask this endpoint.
    #[error("this client may not ask this endpoint")]
    Forbidden,
    /// The label's budget allows no request now.
    #[error("{}", refusal_text(.refused.reason))]
    Limited {
        /// Why, and until when.
        refused: Refused,
        /// What is left, for the answer's fields.
        quota: Arc<QuotaFields>,
    },
    /// What is left of the day does not pay for the rest of a whole listing.
    #[error(
        "the rest of the listing needs {rest} more requests, more than {} pays for: ask page by \
         page, or later",
        if .refused.reason == Reason::ClientShare { "this client's own share" } else { "the day" }
    )]
    Unaffordable {
        /// How many pages are still needed.
        rest: u64,
        /// By what, and until when.
        refused: Refused,
        /// What is left, for the answer's fields.
        quota: Arc<QuotaFields>,
    },
    /// A whole listing cannot be had.
    #[error(transparent)]
    Listing(#[from] ListingFault),
    /// Too many requests are being answered.
    #[error("too many requests at a time")]
    Overloaded,
    /// The whole request took too long.
    #[error("the request was not answered within its time")]
    Deadline,
    /// The upstream gave no usable answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// There is no token to authorize the request with.
    #[error("the request cannot be authorized: {0}")]
    Credential(#[from] AuthError),
    /// The client wants nothing but what is in memory, and that is nothing.
    #[error("there is no stored answer, and only a stored one was asked for")]
    NotStored,
    /// The flight that would have answered ended without a word.
    #[error("the fetch was lost")]
    FlightLost,
    /// Nobody waits for the fetch any more; it is given up before it costs a token.
    #[error("nobody waits for the answer any more")]
    Abandoned,
    /// A defect of weir.
    #[error("an internal error")]
    Internal,
}

impl From<Unidentified> for GatewayError {
    fn from(why: Unidentified) -> Self {
        match why {
            Unidentified::Missing(ways) => Self::KeyMissing(ways),
            Unidentified::Doubtful(doubt) => Self::KeyUnknown(doubt),
        }
    }
}

/// The `RateLimit-Policy` and `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaFields {
    /// What the label allows.
    pub policy: String,
    /// What is left of it.
    pub current: String,
}

impl QuotaFields {
    /// Names and figures of a label's windows, and what is left of them.
    pub fn of(name: &LabelId, budget: &Budget) -> Self {
        let mut policy = Vec::new();
        let mut current = Vec::new();
        if let Some(WindowBudget { limit, per, remaining }) = budget.windows.first() {
            policy.push(format!("\"{name}\";q={limit};w={}", per.as_secs()));
            current.push(format!("\"{name}\";r={remaining};t={}", per.as_secs()));
        }
        if let Some(PoolBudget { id, limit, remaining, resets_in }) = &budget.pool {
            policy.push(format!("\"{id}\";q={limit};w=86400"));
            current.push(format!("\"{id}\";r={remaining};t={}", resets_in.as_secs()));
        }
        Self { policy: policy.join(", "), current: current.join(", ") }
    }
}

/// Status, code, title, level and retry-after.
type Cells = (u16, &'static str, &'static str, Level, Option<Duration>);

/// How an error is told: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The answer's status.
    pub status: StatusCode,
    /// `Weir-Error`, and the end of the problem's `type`.
    pub code: &'static str,
    /// The problem's `title`.
    pub title: &'static str,
    /// How loudly the operator hears of it.
    pub level: Level,
    /// `Retry-After`; always there with 429 and 503.
    pub retry_after: Option<Duration>,
}

/// How loudly the operator hears of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The client's business.
    Silent,
    /// Something outside is amiss.
    Warn,
    /// Something here is.
    Error,
}

impl GatewayError {
    /// The table.
    pub fn row(&self) -> Row {
        let (status, code, title, level, retry_after) = match self {
            Self::Framing(fault) => framing_row(*fault),
            Self::Loop => (508, "loop", "Loop detected", Level::Warn, None),
            Self::UnknownEndpoint => (404, "unknown-endpoint", "Not found", Level::Silent, None),
            Self::MethodNotAllowed { .. } => {
                (405, "method-not-allowed", "Method not allowed", Level::Silent, None)
            }
            Self::BadPath(_) => (400, "bad-path", "Bad path", Level::Silent, None),
            Self::BadParameter(_) => (400, "bad-parameter", "Bad parameter", Level::Silent, None),
            Self::BadBody => (400, "bad-body", "Bad body", Level::Silent, None),
            Self::BodyTimeout => (408, "body-timeout", "Request timeout", Level::Silent, None),
            Self::BodyTooLarge { .. } => {
                (413, "body-too-large", "Content too large", Level::Silent, None)
            }
            Self::KeyMissing(_) => (401, "key-missing", "Unauthorized", Level::Silent, None),
            Self::KeyUnknown(_) => (401, "key-unknown", "Unauthorized", Level::Silent, None),
            Self::Forbidden => (403, "forbidden", "Forbidden", Level::Silent, None),
            Self::Limited { refused, .. } => {
                let status = if refused.reason == Reason::Draining { 503 } else { 429 };
                let after = Some(refused.retry_after);
                (status, refused.reason.as_str(), "Too many requests", Level::Silent, after)
            }
            Self::Unaffordable { refused, .. } => {
                let after = Some(refused.retry_after);
                (429, "listing-budget", "Too many requests", Level::Silent, after)
            }
            Self::Listing(fault) => listing_row(fault),
            Self::Overloaded => {
                (503, "overloaded", "Overloaded", Level::Warn, Some(Duration::from_secs(1)))
            }
            Self::Deadline => (504, "deadline", "Gateway timeout", Level::Warn, None),
            Self::Upstream(UpstreamError::Down { retry_after }) => {
                // It has been said once, when it was found out.
                (503, "upstream-down", "Upstream down", Level::Silent, Some(*retry_after))
            }
            Self::Upstream(error) if error.is_timeout() => {
                (504, "upstream-timeout", "Gateway timeout", Level::Warn, None)
            }
            Self::Upstream(_) => (502, "upstream-failed", "Bad gateway", Level::Warn, None),
            Self::Credential(_) => (502, "credential", "Bad gateway", Level::Warn, None),
            // RFC 9111, section 5.2.1.7.
            Self::NotStored => (504, "not-stored", "Not stored", Level::Silent, None),
            Self::FlightLost => (500, "flight-lost", "Internal error", Level::Error, None),
            Self::Abandoned => (500, "abandoned", "Internal error", Level::Silent, None),
            Self::Internal => (500, "internal", "Internal error", Level::Error, None),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Row { status, code, title, level, retry_after }
    }

    /// Whether asking again in a moment would most likely end the same way, at the same cost.
    pub fn is_lasting(&self) -> bool {
        match self {
            // It costs nothing as it is, and ends on its own.
            Self::Upstream(UpstreamError::Down { .. }) => false,
            Self::Upstream(_) | Self::Credential(_) => true,
            _ => false,
        }
    }

    /// Whether the budget is what stands in the way.
    pub fn is_quota(&self) -> bool {
        matches!(self, Self::Limited { .. })
    }
}

fn framing_row(fault: Fault) -> Cells {
    let (status, code, title) = match fault {
        Fault::Malformed(_) => (400, "bad-request", "Bad request"),
        Fault::Content(_) => (400, "bad-body", "Bad body"),
        Fault::UriTooLong => (414, "uri-too-long", "URI too long"),
        Fault::HeadTooLarge(_) => (431, "head-too-large", "Request header fields too large"),
        Fault::Version => (505, "http-version", "HTTP version not supported"),
        Fault::TransferCoding => (501, "transfer-coding", "Not implemented"),
        Fault::HeadTimeout => (408, "head-timeout", "Request timeout"),
    };
    (status, code, title, Level::Silent, None)
}

fn listing_row(fault: &ListingFault) -> Cells {
    match fault {
        ListingFault::TooLong { .. } => {
            (422, "listing-too-long", "Listing too long", Level::Silent, None)
        }
        ListingFault::TooLarge { .. } => {
            (422, "listing-too-large", "Listing too large", Level::Silent, None)
        }
        ListingFault::NoTime { .. } => {
            (504, "listing-time", "Gateway timeout", Level::Silent, None)
        }
        ListingFault::Unusable { .. } => {
            (502, "listing-unusable", "Bad gateway", Level::Warn, None)
        }
    }
}

fn refusal_text(reason: Reason) -> &'static str {
    match reason {
        Reason::Rate => "the rate limit of the upstream leaves no room in time",
        Reason::Day => "the day's budget is spent",
        Reason::ClientShare => "this client's own share is used up",
        Reason::UpstreamClosed => "the upstream has refused a request and is left alone for now",
        Reason::QueueFull => "too many requests wait for this budget",
        Reason::Deadline => "no token came before the request's time ran out",
        Reason::Draining => "the gateway is stopping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_429_and_503_says_when_to_come_back() {
        let wait = Duration::from_secs(3);
        let reasons = [
            Reason::Rate,
            Reason::Day,
            Reason::ClientShare,
            Reason::UpstreamClosed,
            Reason::QueueFull,
            Reason::Deadline,
            Reason::Draining,
        ];
        let limited = reasons.map(|reason| GatewayError::Limited {
            refused: Refused { reason, retry_after: wait },
            quota: Arc::default(),
        });
        let refused = Refused { reason: Reason::Day, retry_after: wait };
        let unaffordable = GatewayError::Unaffordable { rest: 3, refused, quota: Arc::default() };
        let down = GatewayError::from(UpstreamError::Down { retry_after: wait });
        assert!(!down.is_lasting(), "it ends on its own, and costs nothing");
        let others = [GatewayError::Overloaded, unaffordable, down];
        let mut codes = std::collections::HashSet::new();
        for error in limited.into_iter().chain(others) {
            let row = error.row();
            assert!(matches!(row.status.as_u16(), 429 | 503), "{error}");
            assert!(row.retry_after.is_some(), "{error}");
            assert!(codes.insert(row.code), "{} stands twice", row.code);
        }
    }
}
