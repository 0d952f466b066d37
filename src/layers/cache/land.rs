//! What becomes of an answer: for whom it is, whether it is kept, and what is remembered of it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, Response, StatusCode};
use parking_lot::Mutex;

use super::State;
use super::fly::Departing;
use super::keep::Keep;
use crate::error::GatewayError;
use crate::http::{Body, BoxError, Gathered, Grown, gather};
use crate::policy::endpoint::{CacheRule, PageTokenRule};
use crate::policy::freshness;
use crate::policy::page;
use crate::policy::respect;
use crate::policy::telltale::carries_secret;
use crate::request::{SentAt, Spent};
use crate::store::entry::{Content, Entry, Kept};
use crate::store::moment::Moment;
use crate::store::purges::{Membership, Verdict};
use crate::upstream::UpstreamError;
use crate::world::Route;

/// How a flight ended, for everybody who waited.
#[derive(Clone, Debug)]
pub(super) enum Landed {
    /// With an answer that all may have.
    Shared(Arc<Catch>),
    /// With an answer for one: too large to keep, not to be shared, or no room for it just now. It is the leader's, whose
    /// fields were sent; the others ask for themselves.
    Private {
        /// What the upstream said: 304 if it confirmed an older answer.
        told: StatusCode,
        /// For how long.
        because: Because,
        /// Until the leader takes it.
        answer: Arc<Mutex<Option<Response<Body>>>>,
    },
    /// With none.
    Failed(GatewayError),
}

impl Landed {
    fn private(answer: Response<Body>) -> Self {
        Self::private_by(answer.status(), answer, Because::ItIsSo)
    }

    fn private_by(told: StatusCode, answer: Response<Body>, because: Because) -> Self {
        Self::Private { told, because, answer: Arc::new(Mutex::new(Some(answer))) }
    }

    /// Why a stale answer may stand in for this one, in a word.
    pub(super) fn failure(&self) -> Option<&'static str> {
        let status = match self {
            Self::Failed(error) if error.is_quota() => return Some("quota"),
            Self::Failed(error) => return Some(error.row().code),
            Self::Shared(catch) => catch.entry.status(),
            Self::Private { told, .. } => *told,
        };
        freshness::is_error(status).then_some("upstream-error")
    }
}

/// Why an answer is one client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// The next will be, too.
    ItIsSo,
    /// Too much is being fetched at this moment.
    NoRoom,
}

/// An answer that all may have.
#[derive(Debug)]
pub(super) struct Catch {
    /// Prepared for replay, stored or not.
    pub(super) entry: Arc<Entry>,
    /// What the upstream said: 304 if it confirmed an older answer.
    pub(super) status: StatusCode,
    /// Whether it was stored.
    pub(super) stored: bool,
    /// Whether it is a failure that holds for a moment.
    pub(super) failure: Failure,
    /// Tokens that it cost, if anybody has counted.
    pub(super) spent: Option<Spent>,
    /// What was left of the budget: of interest to those who waited, and never stored.
    pub(super) quota: Vec<(HeaderName, HeaderValue)>,
}

/// Whether an answer tells for a moment what the next would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It does: the upstream stumbled, and said no more.
    Lasting,
    /// It is an answer to who waited.
    No,
}

impl Catch {
    /// The upstream confirmed an older answer.
    pub(super) fn confirmed(&self) -> bool {
        self.status == StatusCode::NOT_MODIFIED
    }
}

/// The content of a confirmed answer is shared with the older one beyond so many bytes.
const COPIED: usize = 16 * 1024;

/// Fields that are told to those who waited, and not stored.
const QUOTA_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("ratelimit"),
    header::RETRY_AFTER,
];

/// What an answer came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived<'f> {
    /// Where the request went.
    pub(super) route: &'f Route,
    /// The request's fields.
    pub(super) asks: &'f HeaderMap,
    /// When it was asked for.
    pub(super) asked_at: Instant,
    /// A client's own credential went with it.
    pub(super) authorized: bool,
}

impl State {
    pub(super) async fn land(
        &self,
        departing: &Departing,
        arrived: &Arrived<'_>,
        answer: Response<Body>,
    ) -> Landed {
        let (mut head, body) = answer.into_parts();
        let sent_at = head.extensions.get::<SentAt>().map_or(arrived.asked_at, |sent| sent.0);
        let spent = head.extensions.get::<Spent>().copied();
        let was_asked = arrived.asks.contains_key(header::IF_NONE_MATCH)
            || arrived.asks.contains_key(header::IF_MODIFIED_SINCE);
        if head.status == StatusCode::NOT_MODIFIED
            && was_asked
            && let Some(older) = &departing.older
        {
            let told = Told { status: head.status, quota: quota(&mut head.headers), spent };
            return self.confirmed(departing, arrived, older, &head.headers, sent_at, told);
        }
        let keep = self.keep(departing, arrived, head.status, &head.headers, sent_at);
        if let Keep::Private = keep {
            return Landed::private(Response::from_parts(head, body));
        }
        if self.live.left() < self.limits.max_entry_bytes {
            // What has been evicted may be waiting to be let go.
            self.entries.settle();
        }
        let part = self.fetching.part();
        let (body, taken) = match gather(body, self.limits.max_entry_bytes, part).await {
            Ok(Gathered::Whole(body, taken)) => (body, taken),
            Ok(Gathered::NoRoom(body)) => {
                let answer = Response::from_parts(head, body);
                return Landed::private_by(answer.status(), answer, Because::NoRoom);
            }
            Ok(Gathered::TooLarge(body)) => {
                return Landed::private(Response::from_parts(head, body));
            }
            Err(error) => return Landed::Failed(broken_off(&error)),
        };
        let by_our_rule = matches!(arrived.route.endpoint.cache, CacheRule::Override(_));
        if by_our_rule && carries_secret(&body) {
            return Landed::private(Response::from_parts(head, Body::held(body, taken)));
        }
        let mut taken = taken.moved_out();
        if taken.grow(Entry::beside(&head.headers, body.len())) == Grown::No {
            let answer = Response::from_parts(head, Body::held(body, taken));
            return Landed::private_by(answer.status(), answer, Because::NoRoom);
        }
        let told = Told { status: head.status, quota: quota(&mut head.headers), spent };
        let content = Content::Arrived(body, taken);
        let whole = Whole { status: head.status, headers: head.headers, content };
        self.caught(departing, arrived, keep, whole, told)
    }

    /// RFC 9111, section 4.3.3: the stored answer is still the answer.
    fn confirmed(
        &self,
        departing: &Departing,
        arrived: &Arrived<'_>,
        older: &Entry,
        news: &HeaderMap,
        sent_at: Instant,
        told: Told,
    ) -> Landed {
        let headers = respect::freshened(&older.told(), news);
        let keep = self.keep(departing, arrived, older.status(), &headers, sent_at);
        let (status, body) = (older.status(), older.body().clone());
        if let Keep::Private = keep {
            let mut answer = Response::new(Body::from(body));
            (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
            answer.headers_mut().extend(told.quota);
            told.spent.map(|spent| answer.extensions_mut().insert(spent));
            return Landed::private_by(told.status, answer, Because::ItIsSo);
        }
        let content = self.confirmed_content(&headers, body);
        let whole = Whole { status, headers, content };
        self.caught(departing, arrived, keep, whole, told)
    }

    /// A small one is copied: a block of its own for the new head would be larger.
    fn confirmed_content(&self, headers: &HeaderMap, body: Bytes) -> Content {
        let mut held = self.live.part();
        let bytes = body.len() + Entry::beside(headers, body.len());
        if body.len() <= COPIED && held.grow(bytes) == Grown::Yes {
            Content::Arrived(body, held)
        } else {
            Content::Confirmed(body)
        }
    }

    fn caught(
        &self,
        departing: &Departing,
        arrived: &Arrived<'_>,
        keep: Keep,
        whole: Whole,
        told: Told,
    ) -> Landed {
        let (mut kept, may_store, failure) = match keep {
            Keep::Store(kept) => (kept, true, Failure::No),
            Keep::Share(kept, failure) => (kept, false, failure),
            // Seen to before; nothing is lost by saying so again.
            Keep::Private => return Landed::Failed(GatewayError::FlightLost),
        };
        if let Some(rule) = &arrived.route.endpoint.page_token {
            self.chain(departing, arrived, rule, &whole, &mut kept);
        }
        let Whole { status, headers, content } = whole;
        let (key, mark) = (&departing.asked.key, departing.ticket.mark());
        let scopes = self.purges.scopes(key, tags(&headers));
        // A hard purge since it left: it is not even stale.
        let is_gone = self.purges.verdict(&scopes, mark) == Verdict::Gone;
        let may_store = may_store && !departing.ticket.is_void() && !is_gone;
        let (wall, membership) = (self.clock.wall(), Membership::new(scopes, mark));
        let entry = Entry::new(status, headers, content, wall, kept, membership);
        let entry = Arc::new(entry);
        let stored = may_store && self.entries.insert(key, &entry);
        // Whoever declares it void does so before forgetting what is stored.
        if stored && departing.ticket.is_void() {
            self.entries.remove(key);
        }
        let Told { status, quota, spent } = told;
        Landed::Shared(Arc::new(Catch { entry, status, stored, failure, spent, quota }))
    }

    /// A page lives no longer than the name of the next, and belongs to the listing of the page
    /// that named it.
    fn chain(
        &self,
        departing: &Departing,
        arrived: &Arrived<'_>,
        rule: &PageTokenRule,
        whole: &Whole,
        kept: &mut Kept,
    ) {
        let (body, told_age) = (whole.content.bytes(), respect::told_age(&whole.headers));
        let key = &departing.asked.key;
        let is_first = key.parameters().query(&rule.request).is_none();
        let known = if is_first {
            // The same first page again is of the same listing.
            let stored = self.entries.get(key, arrived.asks);
            stored.filter(|stored| stored.body() == body).and_then(|stored| stored.chain())
        } else {
            self.chains.of(key)
        };
        let chain = known.unwrap_or_else(|| self.chains.begin());
        kept.chain = Some(chain);
        if let Some(token) = page::next_token(rule, body) {
            // By our own rule the age that it came with counts for nothing but its token.
            let came_with = told_age.saturating_sub(kept.times.initial_age);
            kept.times.oldest_age = Some(page::oldest_age(rule).saturating_sub(came_with));
            let next = Arc::new(key.asking(key.parameters().with(&rule.request, &token)));
            if self.chains.of(&next).is_some_and(|named| named != chain) {
                // What has left for it was asked for by the old listing.
                self.flights.void(&next);
            }
            self.chains.name(&next, chain);
        }
    }

    /// Remembers for a moment what the next who ask need not find out again.
    pub(super) fn remember(&self, departing: Departing, landed: &Landed) {
        let Departing { asked, older, .. } = departing;
        let now = self.clock.now();
        let uncacheable = now + self.limits.remember_uncacheable;
        let failed = now + self.limits.remember_failure;
        if let (Some(_), Some(older)) = (landed.failure(), &older) {
            older.rest_until(failed);
        }
        match landed {
            Landed::Shared(catch) if catch.stored => self.moments.forget(&asked),
            Landed::Shared(catch) if catch.failure == Failure::Lasting => {
                let held = catch.entry.size();
                self.moments.remember(asked, Moment::Failed(landed.clone()), failed, held);
            }
            Landed::Private { because: Because::NoRoom, .. } => {}
            Landed::Private { told, .. } if freshness::is_error(*told) => {
                self.moments.remember(asked, Moment::Uncacheable, failed, 0);
            }
            Landed::Private { .. } => {
                // What was for everybody before is not any more, and nobody will refresh it.
                if let Some(older) = older.filter(|older| !self.is_fresh(older, now)) {
                    self.entries.forget(&asked.key, &older);
                }
                self.moments.remember(asked, Moment::Uncacheable, uncacheable, 0);
            }
            Landed::Failed(error) if error.is_lasting() => {
                self.moments.remember(asked, Moment::Failed(landed.clone()), failed, 0);
            }
            Landed::Shared(_) | Landed::Failed(_) => {}
        }
    }
}

/// By what the upstream itself groups its answers: names separated by commas, or by spaces.
fn tags(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let text = |name, separator: char| {
        let fields = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        fields.flat_map(move |value| value.split(separator))
    };
    let all = text("cache-tag", ',').chain(text("surrogate-key", ' '));
    all.map(str::trim).filter(|tag| !tag.is_empty())
}

/// What the upstream's message says besides the answer.
struct Told {
    status: StatusCode,
    quota: Vec<(HeaderName, HeaderValue)>,
    spent: Option<Spent>,
}

/// A whole answer.
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
}

fn quota(headers: &mut HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let taken = QUOTA_FIELDS.into_iter();
    taken.filter_map(|name| Some((name.clone(), headers.remove(name)?))).collect()
}

fn broken_off(error: &BoxError) -> GatewayError {
    match error.downcast_ref::<UpstreamError>() {
        Some(error) => GatewayError::Upstream(error.clone()),
        None => GatewayError::FlightLost,
    }
}
