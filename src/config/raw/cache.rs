//! `cache`, `when` and `page_token` of an endpoint as they are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{Bytes, Part, Scalar, Span};
use crate::policy::share::Percent;

/// Whether and how answers are stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct CacheRule {
    /// By whose rule. Absent: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<CacheMode>,
    /// override: how long an answer is served without asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Span>,
    /// override: how long after that it is served while it is refreshed. Absent: 0s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<Span>,
    /// override: how long after that it is served if the refresh fails. Absent: 0s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<Span>,
    /// override: how long answers with other statuses than 200 are served, by status; errors at
    /// most 1m. Absent: they are not stored.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub status: BTreeMap<String, Span>,
    /// override: entries are not shared between clients. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vary_by_client: Option<bool>,
    /// What becomes of an answer that sets a cookie. Absent: private.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_cookie: Option<SetCookie>,
    /// Refreshes what is asked for often before it is stale. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_ahead: Option<RefreshAhead>,
}

/// What becomes of an answer that sets a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SetCookie {
    /// It is for the one who asked: neither stored nor shared.
    Private,
    /// It is stored without the cookie.
    Strip,
    /// It is stored with the cookie.
    Store,
}

/// When an entry that is asked for often is refreshed before it is stale.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RefreshAhead {
    /// After this part of its life.
    pub after: Part,
    /// If it has been asked for so often since it was stored.
    pub hits: u32,
}

impl Default for RefreshAhead {
    fn default() -> Self {
        Self { after: Part(Percent::from_tenths(800).unwrap_or_default()), hits: 3 }
    }
}

/// By whose rule answers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CacheMode {
    /// By the figures here, whatever the upstream says.
    Override,
    /// By the upstream's own headers, as a shared cache (RFC 9111).
    Respect,
    /// Never.
    Off,
}

/// Figures for requests whose parameters have given values: every other key is a parameter and
/// its value, "*" = present.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes a free table to schemars; never built")]
pub(super) struct WhenSchema {
    /// Replaces `cache.fresh`.
    fresh: Option<Span>,
    /// Replaces `cache.stale_while_revalidate`.
    stale_while_revalidate: Option<Span>,
    /// Replaces `cache.stale_if_error`.
    stale_if_error: Option<Span>,
    #[serde(flatten)]
    conditions: BTreeMap<String, Scalar>,
}

/// How pages of a listing name one another.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct PageToken {
    /// The query parameter that asks for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The top-level member of the JSON answer that names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// How long the upstream honours a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Span>,
    /// How much of that is left to the reader at least. Absent: 2m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<Span>,
    /// How clients ask for all pages in one answer. Absent: they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Whole>,
}

/// How clients ask for all pages of a listing in one answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Whole {
    /// The query parameter that asks for it; never sent upstream. Absent: page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The one value that it may have. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The top-level member of the JSON answer that holds a page's items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<String>,
    /// Longer listings are refused. Absent: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pages: Option<u32>,
    /// Larger answers are refused. Absent: 16MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Bytes>,
}
