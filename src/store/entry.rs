//! One stored answer, prepared so that a hit has nothing left to build.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::http::{Body, strip_hop_by_hop};
use crate::policy::coding::{self, Coding, NoTransform, Worth};
use crate::policy::condition::{self, Validators, Verdict, http_date};
use crate::policy::endpoint::SetCookie;
use crate::policy::etag;
use crate::policy::freshness::Times;
use crate::policy::range::{Ranged, range};
use crate::policy::vary::Selector;
use crate::store::chains::Chain;
use crate::store::purges::Membership;

mod codings;
mod pack;
mod shape;

use codings::{Coded, Codings};
use pack::packed;
use shape::{not_modified, part, whole};

/// A stored answer.
#[derive(Debug)]
pub struct Entry {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    etag: Option<HeaderValue>,
    /// Who made its entity tag.
    tagged: Tagged,
    last_modified: Option<SystemTime>,
    /// As the upstream said it.
    date: Option<SystemTime>,
    received: SystemTime,
    kept: Kept,
    membership: Membership,
    codings: Option<Codings>,
    hits: AtomicU32,
    ahead: AtomicBool,
    /// Nanoseconds after it was made.
    rests_until: AtomicU64,
    size: usize,
}

/// Who made an answer's entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tagged {
    Upstream,
    Here,
}

/// By what rule an answer is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// When it was made and how long it lasts.
    pub times: Times,
    /// The requests it answers; none = all that ask its question.
    pub selector: Option<Selector>,
    /// Fields that are not served without asking.
    pub without: Vec<HeaderName>,
    /// The listing that it is a page of.
    pub chain: Option<Chain>,
    /// What becomes of its cookies, if it may be stored with any.
    pub set_cookie: SetCookie,
    /// Whether it may be sent in another coding; none = it will not be sent often enough.
    pub transform: Option<NoTransform>,
}

/// Fields of an answer that concern the client which fetched it, or the moment, and are never
/// replayed to another.
const NEVER_STORED: [HeaderName; 12] = [
    header::RETRY_AFTER,
    header::AGE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-ratelimit-category"),
    HeaderName::from_static("x-ratelimit-type"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// Names the stored fetch in the upstream's own tracking; on a hit it must not look as if the
/// upstream had been asked.
const TRACKING: HeaderName = HeaderName::from_static("x-zm-trackingid");
const STORED_TRACKING: HeaderName = HeaderName::from_static("weir-stored-trackingid");

/// What an entry and its place in the cache cost beyond key, fields and body, the allocator's share
/// included: measured as the memory of a process whose cache was full, with small entries and keys
/// that were never asked for twice.
const OVERHEAD: usize = 1984;

/// Added where the answer is sent in other codings too.
const OUR_VARY: HeaderValue = HeaderValue::from_static("accept-encoding");

/// What a field costs beyond its text.
const FIELD: usize = 112;

impl Entry {
    /// Prepares an answer for replay.
    pub fn new(
        status: StatusCode,
        mut headers: HeaderMap,
        body: Bytes,
        received: SystemTime,
        mut kept: Kept,
        membership: Membership,
    ) -> Self {
        strip_hop_by_hop(&mut headers);
        for name in NEVER_STORED.iter().chain(&std::mem::take(&mut kept.without)) {
            headers.remove(name);
        }
        if kept.set_cookie != SetCookie::Store {
            headers.remove(header::SET_COOKIE);
        }
        if let Some(tracking) = headers.remove(TRACKING) {
            headers.insert(STORED_TRACKING, tracking);
        }
        let date = |name| headers.get(name).and_then(http_date);
        let (last_modified, date) = (date(header::LAST_MODIFIED), date(header::DATE));
        let tagged =
            if headers.contains_key(header::ETAG) { Tagged::Upstream } else { Tagged::Here };
        // RFC 9110, section 6.6.1: who keeps an answer gives it the date it lacks.
        if !headers.contains_key(header::DATE)
            && let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(received))
        {
            headers.insert(header::DATE, now);
        }
        if status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        if status.is_success() && tagged == Tagged::Here {
            headers.insert(header::ETAG, etag::strong(&body));
        }
        let worth = |no_transform: &NoTransform| {
            coding::worth(&headers, body.len(), *no_transform) == Worth::Encode
        };
        let codings = kept.transform.filter(|_| status == StatusCode::OK).filter(worth);
        let codings = codings.map(|_| Codings::default());
        if codings.is_some() {
            // RFC 9110, section 12.5.5: also where this one is sent as it is.
            headers.append(header::VARY, OUR_VARY);
        }
        let headers = packed(&headers);
        let etag = headers.get(header::ETAG).filter(|_| status.is_success()).cloned();
        let text: usize = headers.iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
        let fields = text + headers.len() * FIELD;
        let selector = kept.selector.as_ref().map_or(0, Selector::size);
        let size = OVERHEAD + fields + body.len() + selector + membership.size();
        let hits = AtomicU32::new(0);
        Self {
            status,
            headers,
            body,
            etag,
            tagged,
            last_modified,
            date,
            received,
            kept,
            membership,
            codings,
            hits,
            ahead: AtomicBool::new(false),
            rests_until: AtomicU64::new(0),
            size,
        }
    }

    /// Bytes it occupies, its key apart.
    pub fn size(&self) -> usize {
        self.size + self.codings.as_ref().map_or(0, Codings::size)
    }

    /// The status it answers with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its fields as the upstream has told them: without the tag, the date and the `Vary` that are
    /// only weir's, so that whoever prepares it anew adds them once.
    pub fn told(&self) -> HeaderMap {
        let mut told = self.headers.clone();
        if self.tagged == Tagged::Here {
            told.remove(header::ETAG);
        }
        if self.date.is_none() {
            told.remove(header::DATE);
        }
        if self.codings.is_some() {
            let mut vary: Vec<_> = told.get_all(header::VARY).iter().cloned().collect();
            // Ours is the last.
            vary.pop();
            told.remove(header::VARY);
            for value in vary {
                told.append(header::VARY, value);
            }
        }
        told
    }

    /// Its content.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// When it was made and how long it lasts.
    pub fn times(&self) -> &Times {
        &self.kept.times
    }

    /// What was to become of cookies when it was stored.
    pub fn set_cookie(&self) -> SetCookie {
        self.kept.set_cookie
    }

    /// The listing that it is a page of.
    pub fn chain(&self) -> Option<Chain> {
        self.kept.chain
    }

    /// The requests it answers; none = all that ask its question.
    pub fn selector(&self) -> Option<&Selector> {
        self.kept.selector.as_ref()
    }

    /// Whether it answers this request's form of its question.
    pub fn answers(&self, request: &HeaderMap) -> bool {
        self.selector().is_none_or(|selector| selector.selects(request))
    }

    /// What a purge may hit it by.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// RFC 9111, section 4.3.1: the conditions by which the upstream can confirm it. A tag that was
    /// made here says nothing to the upstream.
    pub fn ask(&self, question: &mut HeaderMap) {
        // Confirmed, it would be no younger: the token in it is as old as it was.
        if self.times().oldest_age.is_some() {
            return;
        }
        if let Some(etag) =
            self.headers.get(header::ETAG).filter(|_| self.tagged == Tagged::Upstream)
        {
            question.insert(header::IF_NONE_MATCH, etag.clone());
        }
        if let Some(date) = self.headers.get(header::LAST_MODIFIED) {
            question.insert(header::IF_MODIFIED_SINCE, date.clone());
        }
    }

    /// Whether this is the first time that it is to be refreshed before it is stale: if that fails,
    /// it becomes stale like any other.
    pub fn begins_ahead(&self) -> bool {
        !self.ahead.swap(true, Ordering::Relaxed)
    }

    /// It could not begin: the next who asks may try again.
    pub fn has_not_begun(&self) {
        self.ahead.store(false, Ordering::Relaxed);
    }

    /// Refreshing it has failed, and is not tried again before.
    pub fn rest_until(&self, until: Instant) {
        let after = until.saturating_duration_since(self.times().made_at).as_nanos();
        self.rests_until.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether it is not to be refreshed yet.
    pub fn rests(&self, now: Instant) -> bool {
        let after = now.saturating_duration_since(self.times().made_at).as_nanos();
        after < u128::from(self.rests_until.load(Ordering::Relaxed))
    }

    /// Counts one more who asked for it; how often somebody has, this one included.
    pub fn asked(&self) -> u32 {
        self.hits.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The coding in which it would be sent, if it has not been made yet.
    pub fn lacks(&self, request: &HeaderMap) -> Option<Coding> {
        self.codings.as_ref()?.lacks(coding::choose(request, &coding::PREFERRED))
    }

    /// Makes it in this coding, once, whoever and how many ask; a thread is kept busy by it.
    ///
    /// Whoever asked for it may hang up: it goes on, and is not begun again.
    pub async fn encode(self: &Arc<Self>, coding: Coding) {
        let entry = Arc::clone(self);
        let made = tokio::spawn(async move {
            if let Some(codings) = &entry.codings {
                codings.make(coding, entry.body.clone(), entry.etag.as_ref()).await;
            }
        });
        // If it died, the answer is sent as it is.
        drop(made.await);
    }

    /// The answer to a client: the whole, a part, or 304 if the client has it already.
    pub fn answer(&self, asks: &Asks<'_>, now: Instant) -> Response<Body> {
        let mut answer = Response::new(Body::Empty);
        *answer.headers_mut() = self.headers.clone();
        *answer.status_mut() = self.status;
        if asks.fetched
            && let Some(tracking) = answer.headers_mut().remove(STORED_TRACKING)
        {
            answer.headers_mut().insert(TRACKING, tracking);
        }
        let age = HeaderValue::from(self.times().age(now).as_secs());
        answer.headers_mut().insert(header::AGE, age);
        let coded = self
            .codings
            .as_ref()
            .and_then(|codings| codings.made(coding::choose(asks.headers, &coding::PREFERRED)));
        if let Some(coded) = coded {
            coded.onto(answer.headers_mut());
        }
        let body = coded.map_or(&self.body, Coded::body);
        // RFC 9110, section 13.2.1: conditions matter only to what would succeed without them.
        if !self.status.is_success() {
            return whole(answer, asks.method, body);
        }
        let stored = Validators {
            etag: coded.map(Coded::etag).or(self.etag.as_ref()),
            last_modified: self.last_modified,
            date: self.date,
            received: self.received,
        };
        if condition::verdict(asks.method, asks.headers, &stored) == Verdict::NotModified {
            return not_modified(answer);
        }
        let ranged = match self.status {
            StatusCode::OK => range(asks.method, asks.headers, &stored, body.len() as u64),
            _ => Ranged::Whole,
        };
        if ranged == Ranged::Whole {
            whole(answer, asks.method, body)
        } else {
            part(answer, ranged, body)
        }
    }
}

/// What a client wants of a stored answer.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'r> {
    method: &'r Method,
    headers: &'r HeaderMap,
    fetched: bool,
}

impl<'r> Asks<'r> {
    /// From a request for the endpoint.
    pub fn of(method: &'r Method, headers: &'r HeaderMap) -> Self {
        Self { method, headers, fetched: false }
    }

    /// This request is the one that made the upstream answer.
    pub fn having_fetched(self) -> Self {
        Self { fetched: true, ..self }
    }
}

#[cfg(test)]
mod tests;
