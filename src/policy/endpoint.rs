//! What an endpoint is: method and path template -> label, parameters, cache rule.
//!
//! These types are what is left of the configuration once it has been validated; a value of them
//! cannot be wrong.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::id::id;
use super::quota::LabelId;
use super::spelling::{EncodeTimes, canonical_zoom_path, encode_segment, normal_path};

/// The name of an endpoint, unique within its upstream. Safe to log; used as a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(Arc<str>);

/// The name of an upstream, unique within the configuration. Safe to log; a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(Arc<str>);

id!(EndpointId, UpstreamId);

/// One row of an upstream's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its name.
    pub id: EndpointId,
    /// Which methods it answers to.
    pub methods: Methods,
    /// A matchit template relative to the upstream's mount: `/a/{b}`, `/{*rest}`.
    pub path: String,
    /// The budget it spends from; none = no limit.
    pub label: Option<LabelId>,
    /// Declared query parameters, sorted by name. Undeclared ones pass through unchecked.
    pub parameters: Vec<Parameter>,
    /// Which parameters (path and query) tell entries apart.
    pub key: KeyRule,
    /// Whether and how answers are stored.
    pub cache: CacheRule,
    /// Freshness by parameter value; the first that matches wins.
    pub when: Vec<WhenRule>,
    /// How pages of a listing name one another.
    pub page_token: Option<PageTokenRule>,
}

impl Endpoint {
    /// How a client asks for a whole listing, if it can.
    pub fn whole(&self) -> Option<(&PageTokenRule, &WholeRule)> {
        let rule = self.page_token.as_ref()?;
        Some((rule, rule.all.as_ref()?))
    }
}

/// The methods an endpoint answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// `method = "*"`
    Any,
    /// One or more.
    Listed(Vec<Method>),
}

/// A query parameter an endpoint declares, and is therefore checked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, case-sensitive.
    pub name: String,
    /// What values it may take.
    pub kind: ParameterKind,
    /// What its absence means; made explicit in keys and towards the upstream.
    pub default: Option<String>,
    /// Absence is a 400.
    pub required: bool,
}

/// What values a parameter may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A closed set, compared case-sensitively.
    OneOf(Vec<String>),
    /// A decimal integer within bounds (inclusive).
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// Any text of at most so many bytes. An empty value counts as absent.
    Text {
        /// Longest, in bytes.
        max_length: usize,
    },
}

/// Which parameters tell entries apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// Every path and query parameter.
    Every,
    /// These only; query parameters not named here are not sent upstream either, so that what
    /// does not distinguish entries cannot change them.
    Only(Vec<String>),
}

/// Whether and how answers are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheRule {
    /// Never.
    Off,
    /// By our figures, whatever the upstream says.
    Override(Override),
    /// By the upstream's own headers, as a shared cache (RFC 9111).
    Respect(Respect),
}

/// Our own figures for an endpoint's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// For a 200; see [`Endpoint::when`].
    pub lifetimes: Lifetimes,
    /// How long answers with other statuses are served; one that is not here is not stored.
    pub by_status: Vec<(StatusCode, Duration)>,
    /// Entries are not shared between clients.
    pub vary_by_client: bool,
    /// What becomes of an answer that sets a cookie.
    pub set_cookie: SetCookie,
    /// Refreshes what is asked for often before it is stale.
    pub refresh_ahead: Option<RefreshAhead>,
}

/// What our own word adds to the upstream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Respect {
    /// What becomes of an answer that sets a cookie.
    pub set_cookie: SetCookie,
    /// Refreshes what is asked for often before it is stale.
    pub refresh_ahead: Option<RefreshAhead>,
}

/// What becomes of an answer that sets a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// It is for the one who asked: not stored, not shared.
    #[default]
    Private,
    /// It is stored without the cookie.
    Strip,
    /// It is stored as it is, cookie included.
    Store,
}

/// When an entry that is asked for often is refreshed before it is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshAhead {
    /// After this part of its life, in thousandths.
    pub after: u16,
    /// If it was asked for so often, this request included.
    pub hits: u32,
}

impl CacheRule {
    /// Entries are not shared between clients.
    pub fn varies_by_client(&self) -> bool {
        matches!(self, Self::Override(Override { vary_by_client: true, .. }))
    }

    /// What becomes of an answer that sets a cookie.
    pub fn set_cookie(&self) -> SetCookie {
        match self {
            Self::Off => SetCookie::Private,
            Self::Override(rule) => rule.set_cookie,
            Self::Respect(rule) => rule.set_cookie,
        }
    }

    /// Whether what is asked for often is refreshed before it is stale.
    pub fn refresh_ahead(&self) -> Option<RefreshAhead> {
        match self {
            Self::Off => None,
            Self::Override(rule) => rule.refresh_ahead,
            Self::Respect(rule) => rule.refresh_ahead,
        }
    }
}

/// How long an answer is fresh and may be served stale, counted from when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Served without asking.
    pub fresh: Duration,
    /// After `fresh`: served while one flight refreshes it (RFC 5861, section 3).
    pub stale_while_revalidate: Duration,
    /// After `fresh`: served if the refresh fails or the budget refuses it (RFC 5861, section 4).
    pub stale_if_error: Duration,
}

impl Lifetimes {
    /// Never served.
    pub const NONE: Self = Self::only_fresh(Duration::ZERO);

    /// Served for so long, and never stale.
    pub const fn only_fresh(fresh: Duration) -> Self {
        let (stale_while_revalidate, stale_if_error) = (Duration::ZERO, Duration::ZERO);
        Self { fresh, stale_while_revalidate, stale_if_error }
    }
}

/// Other figures for requests whose parameters have these values.
#[derive(Clone, Debug, PartialEq)]
pub struct WhenRule {
    /// All have to hold.
    pub matches: Vec<(String, WhenValue)>,
    /// What then applies.
    pub lifetimes: Lifetimes,
}

/// A condition on one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhenValue {
    /// `"*"`: present, whatever it says.
    Present,
    /// Exactly this.
    Is(String),
}

/// How pages of a listing name one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageTokenRule {
    /// The query parameter that asks for the next page.
    pub request: String,
    /// The top-level member of the JSON answer that names it.
    pub response: String,
    /// How long the upstream honours a token.
    pub lifetime: Duration,
    /// How much of that is left to the reader at least.
    pub margin: Duration,
    /// How a client asks for all pages in one answer; none = it cannot.
    pub all: Option<WholeRule>,
}

/// How a client asks for a whole listing, and how much of one it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeRule {
    /// The query parameter that asks for it. It is ours: never sent, and in no cache key.
    pub parameter: String,
    /// The one value that it may have.
    pub value: String,
    /// The top-level member of the JSON answer that holds a page's items.
    pub items: String,
    /// Longer listings are refused.
    pub max_pages: u32,
    /// Larger ones are, too.
    pub max_bytes: usize,
}

/// The priority of a client's requests in the queue for tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before all others.
    High,
    /// As everybody.
    #[default]
    Normal,
    /// When nobody else waits.
    Low,
}

impl Priority {
    /// The highest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// Whether it is served first.
    pub fn goes_before(self, other: Self) -> bool {
        let place = |priority| match priority {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        };
        place(self) < place(other)
    }

    /// As written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

/// A client's weight when several want more than there is.
pub type Weight = NonZeroU32;

/// How path parameters of an upstream are spelt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spelling {
    /// As RFC 3986 says: one segment, percent-encoded once.
    #[default]
    Plain,
    /// Zoom session ids: base64 with slashes, encoded none to three times, sent on encoded twice.
    ZoomSessionId,
}

impl Spelling {
    /// A client's path in the spelling that templates are written for.
    pub fn canonical(self, path: &str) -> Cow<'_, str> {
        match self {
            Self::Plain => normal_path(path),
            Self::ZoomSessionId => canonical_zoom_path(path),
        }
    }

    /// The upstream's spelling of one path parameter.
    pub fn encode(self, value: &str) -> Cow<'_, str> {
        let times = match self {
            Self::Plain => EncodeTimes::Once,
            Self::ZoomSessionId => EncodeTimes::for_zoom(value),
        };
        encode_segment(value, times)
    }
}
