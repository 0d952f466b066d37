//! What a request asks of the cache, and whether it asks it at all.

use http::Method;
use http::header::{HeaderMap, IF_MATCH, IF_UNMODIFIED_SINCE, RANGE};

use crate::policy::cache_key::CacheKey;
use crate::policy::directives::RequestDirectives;
use crate::policy::endpoint::CacheRule;
use crate::request::RoutedRequest;
use crate::world::Route;

/// What the cache looks at of a request.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Where it leads.
    pub route: &'r Route,
    /// Tells it from every other question.
    pub key: &'r CacheKey,
    /// End-to-end fields.
    pub headers: &'r HeaderMap,
}

impl RoutedRequest {
    pub(super) fn sought(&self) -> Sought<'_> {
        let Self { method, route, key, headers, .. } = self;
        Sought { method, route, key, headers }
    }
}

/// Why a request does not go by the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bypass {
    /// Not a method whose answers are stored.
    Method,
    /// The endpoint's rule says so.
    Rule,
    /// The client's own directives say so (`respect` only).
    Request,
}

pub(super) fn bypass(sought: Sought<'_>, wishes: &RequestDirectives) -> Option<Bypass> {
    if sought.method != Method::GET && sought.method != Method::HEAD {
        return Some(Bypass::Method);
    }
    let has = |name| sought.headers.contains_key(name);
    match sought.route.endpoint.cache {
        CacheRule::Off => Some(Bypass::Rule),
        // RFC 9110, sections 13.1.1 and 13.1.4: conditions that only the source can judge.
        CacheRule::Respect(_) if wishes.no_store || has(IF_MATCH) || has(IF_UNMODIFIED_SINCE) => {
            Some(Bypass::Request)
        }
        CacheRule::Respect(_) | CacheRule::Override(_) => None,
    }
}

/// What the client says about being answered from memory. Our own rule hears of that only what
/// costs nothing.
pub(super) fn wishes(sought: Sought<'_>) -> RequestDirectives {
    match sought.route.endpoint.cache {
        CacheRule::Off => RequestDirectives::default(),
        CacheRule::Respect(_) => RequestDirectives::of(sought.headers),
        CacheRule::Override(_) => {
            let only_if_cached = RequestDirectives::of(sought.headers).only_if_cached;
            RequestDirectives { only_if_cached, ..RequestDirectives::default() }
        }
    }
}

/// A part of what is not in memory is the upstream's to give; by our own rule the whole is fetched
/// for everybody.
pub(super) fn asks_for_a_part(request: &RoutedRequest) -> bool {
    matches!(request.route.endpoint.cache, CacheRule::Respect(_))
        && request.headers.contains_key(RANGE)
}
