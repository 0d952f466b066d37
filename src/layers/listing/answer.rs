//! The one answer, and what its pages have to say about it.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::http::Body;
use crate::metrics::CacheResult;
use crate::policy::condition::{Validators, Verdict, verdict};
use crate::policy::etag;
use crate::policy::vary::Vary;
use crate::request::RoutedRequest;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const PAGES: HeaderName = HeaderName::from_static("weir-pages");
const TOKENS_SPENT: HeaderName = HeaderName::from_static("weir-tokens-spent");
/// What was left of the budget after the last page that asked.
const QUOTA_FIELDS: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit-policy"), HeaderName::from_static("ratelimit")];

/// What the pages have told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The oldest page's, in seconds.
    age: u64,
    /// Where the one came from that was hardest to get.
    source: Option<CacheResult>,
    cache_control: CacheControl,
    quota: HeaderMap,
}

/// What the pages say of keeping them.
#[derive(Debug, Default)]
enum CacheControl {
    /// No page yet.
    #[default]
    Unsaid,
    /// All the same, be it nothing.
    Agreed(Option<HeaderValue>),
    /// Not the same: nobody shall keep what is made of them.
    Mixed,
}

impl CacheControl {
    fn and(self, said: Option<&HeaderValue>) -> Self {
        match self {
            Self::Unsaid => Self::Agreed(said.cloned()),
            Self::Agreed(before) if before.as_ref() == said => Self::Agreed(before),
            Self::Agreed(_) | Self::Mixed => Self::Mixed,
        }
    }

    fn field(self) -> Option<HeaderValue> {
        match self {
            Self::Agreed(said) => said,
            Self::Unsaid => None,
            Self::Mixed => Some(HeaderValue::from_static("no-store")),
        }
    }
}

/// From what costs nothing to what is never in memory.
fn rank(source: CacheResult) -> u8 {
    match source {
        CacheResult::Hit => 0,
        CacheResult::Stale => 1,
        CacheResult::Collapsed => 2,
        CacheResult::Revalidated => 3,
        CacheResult::Miss => 4,
        CacheResult::Bypass => 5,
    }
}

impl Told {
    /// Notes what a page says.
    pub(super) fn page(&mut self, answer: &Response<Body>, source: CacheResult) {
        let headers = answer.headers();
        let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.parse().ok());
        self.age = self.age.max(age.unwrap_or(0));
        self.source = self.source.into_iter().chain([source]).max_by_key(|source| rank(*source));
        let said = headers.get(header::CACHE_CONTROL);
        // What a page depends on, or says to others than clients, cannot be said of all together.
        let is_own = Vary::of(headers) != Vary::Nothing
            || headers.contains_key(header::SET_COOKIE)
            || headers.contains_key("cdn-cache-control");
        self.cache_control = match std::mem::take(&mut self.cache_control).and(said) {
            _ if is_own => CacheControl::Mixed,
            agreed => agreed,
        };
        for name in QUOTA_FIELDS {
            if let Some(value) = headers.get(&name) {
                self.quota.insert(name, value.clone());
            }
        }
    }

    /// All pages in one answer, or 304 if the client has it already.
    pub(super) fn answer(
        self,
        asked: &RoutedRequest,
        body: Vec<u8>,
        pages: u32,
        spent: u32,
    ) -> Response<Body> {
        let source = self.source.unwrap_or(CacheResult::Miss);
        // Each page has said its own; this is about all of them.
        asked.record.looked_up(source);
        let etag = etag::strong(&body);
        let mut answer = Response::new(Body::Empty);
        let headers = answer.headers_mut();
        *headers = self.quota;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::AGE, HeaderValue::from(self.age));
        headers.insert(PAGES, HeaderValue::from(pages));
        headers.insert(TOKENS_SPENT, HeaderValue::from(spent));
        if let Some(value) = self.cache_control.field() {
            headers.insert(header::CACHE_CONTROL, value);
        }
        if let Ok(value) = HeaderValue::try_from(cache_status(source, pages)) {
            headers.insert(CACHE_STATUS, value);
        }
        let known = has_it(asked, &etag);
        headers.insert(header::ETAG, etag);
        if known {
            // RFC 9110, section 15.4.5: no content, and no Content-Length that is not the 200's.
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return answer;
        }
        answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if asked.method != Method::HEAD {
            *answer.body_mut() = Body::from(Bytes::from(body));
        }
        answer
    }
}

/// Only a tag can tell: the pages have dates of their own.
fn has_it(asked: &RoutedRequest, etag: &HeaderValue) -> bool {
    let (last_modified, date, received) = (None, None, SystemTime::UNIX_EPOCH);
    let made = Validators { etag: Some(etag), last_modified, date, received };
    asked.headers.contains_key(header::IF_NONE_MATCH)
        && verdict(&asked.method, &asked.headers, &made) == Verdict::NotModified
}

/// RFC 9211: a hit, if every page was one.
fn cache_status(source: CacheResult, pages: u32) -> String {
    let how = match source {
        CacheResult::Hit | CacheResult::Stale => "hit",
        CacheResult::Bypass => "fwd=bypass",
        CacheResult::Miss | CacheResult::Collapsed | CacheResult::Revalidated => "fwd=miss",
    };
    format!("weir; {how}; detail=pages-{pages}")
}
