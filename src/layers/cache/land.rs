//! What becomes of an answer: for whom it is, whether it is kept, and what is remembered of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, Response, StatusCode};
use parking_lot::Mutex;

use super::State;
use super::fly::Departing;
use crate::error::GatewayError;
use crate::http::{Body, BoxError, Gathered, gather};
use crate::policy::coding::NoTransform;
use crate::policy::endpoint::{CacheRule, Lifetimes, SetCookie};
use crate::policy::freshness::{self, Stale, Times};
use crate::policy::page;
use crate::policy::respect::{self, Arrival, Authorized};
use crate::policy::vary::{Selector, Vary};
use crate::request::{SentAt, Spent};
use crate::store::entry::{self, Entry, Kept};
use crate::store::flight::Asked;
use crate::store::moment::Moment;
use crate::store::purges::{Membership, Verdict};
use crate::upstream::UpstreamError;
use crate::world::Route;

/// How a flight ended, for everybody who waited.
#[derive(Clone, Debug)]
pub(super) enum Landed {
    /// With an answer that all may have.
    Shared(Arc<Catch>),
    /// With an answer for one: too large to keep, or not to be shared. It is the leader's, whose
    /// fields were sent; the others ask for themselves.
    Private {
        /// The answer's.
        status: StatusCode,
        /// Until the leader takes it.
        answer: Arc<Mutex<Option<Response<Body>>>>,
    },
    /// With none.
    Failed(GatewayError),
}

impl Landed {
    fn private(answer: Response<Body>) -> Self {
        let status = answer.status();
        Self::Private { status, answer: Arc::new(Mutex::new(Some(answer))) }
    }

    /// Why a stale answer may stand in for this one, in a word.
    pub(super) fn failure(&self) -> Option<&'static str> {
        let status = match self {
            Self::Failed(error) if error.is_quota() => return Some("quota"),
            Self::Failed(error) => return Some(error.row().code),
            Self::Shared(catch) => catch.entry.status(),
            Self::Private { status, .. } => *status,
        };
        freshness::is_error(status).then_some("upstream-error")
    }
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
    /// Tokens that it cost.
    pub(super) spent: Spent,
    /// What was left of the budget: of interest to those who waited, and never stored.
    pub(super) quota: Vec<(HeaderName, HeaderValue)>,
}

impl Catch {
    /// The upstream confirmed an older answer.
    pub(super) fn confirmed(&self) -> bool {
        self.status == StatusCode::NOT_MODIFIED
    }
}

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

/// Whether an answer is kept, and may be shared at all.
enum Keep {
    /// Stored.
    Store(Kept),
    /// Handed to all who wait and then forgotten.
    Share(Kept),
    /// One client's own.
    Private,
}

/// How long an answer is kept after it can be served no more, if the upstream may confirm it.
const KEPT_TO_BE_CONFIRMED: Duration = Duration::from_hours(1);

impl State {
    pub(super) async fn land(
        &self,
        departing: &Departing,
        arrived: &Arrived<'_>,
        answer: Response<Body>,
    ) -> Landed {
        let (mut head, body) = answer.into_parts();
        let sent_at = head.extensions.get::<SentAt>().map_or(arrived.asked_at, |sent| sent.0);
        let spent = head.extensions.get::<Spent>().copied().unwrap_or_default();
        if head.status == StatusCode::NOT_MODIFIED
            && let Some(older) = &departing.older
        {
            let told = Told { status: head.status, quota: quota(&mut head.headers), spent };
            return self.confirmed(departing, arrived, older, &head.headers, sent_at, told);
        }
        let keep = self.keep(departing, arrived, head.status, &head.headers, sent_at);
        if let Keep::Private = keep {
            return Landed::private(Response::from_parts(head, body));
        }
        let body = match gather(body, self.limits.max_entry_bytes).await {
            Ok(Gathered::Whole(body)) => Bytes::copy_from_slice(&body),
            Ok(Gathered::TooLarge(body)) => {
                return Landed::private(Response::from_parts(head, body));
            }
            Err(error) => return Landed::Failed(broken_off(&error)),
        };
        let told = Told { status: head.status, quota: quota(&mut head.headers), spent };
        entry::own(&mut head.headers);
        let whole = Whole { status: head.status, headers: head.headers, body };
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
        let mut headers = respect::freshened(&older.told(), news);
        entry::own(&mut headers);
        let keep = self.keep(departing, arrived, older.status(), &headers, sent_at);
        let whole = Whole { status: older.status(), headers, body: older.body().clone() };
        if let Keep::Private = keep {
            let mut answer = Response::new(Body::from(whole.body));
            (*answer.status_mut(), *answer.headers_mut()) = (whole.status, whole.headers);
            return Landed::private(answer);
        }
        self.caught(departing, arrived, keep, whole, told)
    }

    fn caught(
        &self,
        departing: &Departing,
        arrived: &Arrived<'_>,
        keep: Keep,
        whole: Whole,
        told: Told,
    ) -> Landed {
        let (mut kept, may_store) = match keep {
            Keep::Store(kept) => (kept, true),
            Keep::Share(kept) => (kept, false),
            // Seen to before; nothing is lost by saying so again.
            Keep::Private => return Landed::Failed(GatewayError::FlightLost),
        };
        let page_token = arrived.route.endpoint.page_token.as_ref();
        kept.times.oldest_age = page_token.and_then(|rule| page::oldest_age(rule, &whole.body));
        let Whole { status, headers, body } = whole;
        let (key, mark) = (&departing.asked.key, departing.ticket.mark());
        let scopes = self.purges.scopes(key, tags(&headers));
        // A hard purge since it left: it is not even stale.
        let is_gone = self.purges.verdict(&scopes, mark) == Verdict::Gone;
        let may_store = may_store && !departing.ticket.is_void() && !is_gone;
        let (wall, membership) = (self.clock.wall(), Membership::new(scopes, mark));
        let entry = Entry::new(status, headers, body, wall, kept, membership);
        let entry = Arc::new(entry);
        let stored = may_store && self.entries.insert(key, &entry);
        // Whoever declares it void does so before forgetting what is stored.
        if stored && departing.ticket.is_void() {
            self.entries.remove(key);
        }
        let Told { status, quota, spent } = told;
        Landed::Shared(Arc::new(Catch { entry, status, stored, spent, quota }))
    }

    fn keep(
        &self,
        departing: &Departing,
        arrived: &Arrived<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        sent_at: Instant,
    ) -> Keep {
        let endpoint = &arrived.route.endpoint;
        match &endpoint.cache {
            CacheRule::Off => Keep::Private,
            CacheRule::Override(rule) => {
                if rule.set_cookie == SetCookie::Private && headers.contains_key(header::SET_COOKIE)
                {
                    return Keep::Private;
                }
                let parameters = departing.asked.key.parameters();
                match freshness::by_rule(rule, &endpoint.when, status, parameters) {
                    Some(lifetimes) => {
                        let keep = keep_for(headers);
                        let times = Times { keep, ..times(sent_at, lifetimes) };
                        let transform = Some(NoTransform::Ignored);
                        Keep::Store(Kept { transform, ..kept(times, rule.set_cookie) })
                    }
                    // Nobody's own: the question that was asked is the same for all who wait.
                    None => Keep::Share(kept(times(sent_at, Lifetimes::NONE), rule.set_cookie)),
                }
            }
            CacheRule::Respect(rule) => {
                self.keep_as_told(arrived, rule.set_cookie, status, headers, sent_at)
            }
        }
    }

    /// As the upstream says (RFC 9111).
    fn keep_as_told(
        &self,
        arrived: &Arrived<'_>,
        set_cookie: SetCookie,
        status: StatusCode,
        headers: &HeaderMap,
        sent_at: Instant,
    ) -> Keep {
        let authorized = arrived.route.upstream.authorized || arrived.authorized;
        let authorized = if authorized { Authorized::Yes } else { Authorized::No };
        let delay = self.clock.now().saturating_duration_since(sent_at);
        let arrival = Arrival { authorized, set_cookie, wall: self.clock.wall(), delay };
        let Some(storable) = respect::storable(status, headers, &arrival) else {
            return if !arrived.authorized && respect::is_everybodys_failure(status, headers) {
                Keep::Share(kept(times(sent_at, Lifetimes::NONE), SetCookie::Private))
            } else {
                Keep::Private
            };
        };
        let times = Times {
            initial_age: storable.initial_age,
            stale: storable.stale,
            immutable: storable.immutable,
            keep: keep_for(headers),
            ..times(sent_at, storable.lifetimes)
        };
        let selector = match &storable.vary {
            Vary::On(names) => Some(Selector::of(names, arrived.asks)),
            Vary::Nothing | Vary::Everything => None,
        };
        let (without, transform) = (storable.without, Some(NoTransform::Heeded));
        Keep::Store(Kept { selector, without, transform, ..kept(times, set_cookie) })
    }

    /// Remembers for a moment what the next who ask need not find out again.
    pub(super) fn remember(&self, asked: Asked, rule: &CacheRule, landed: &Landed) {
        let now = self.clock.now();
        let uncacheable = now + self.limits.remember_uncacheable;
        let failed = now + self.limits.remember_failure;
        match landed {
            Landed::Shared(catch) if catch.stored => self.moments.forget(&asked),
            // An answer that the upstream has not allowed to keep is not kept for a moment either.
            Landed::Shared(catch)
                if matches!(rule, CacheRule::Override(_))
                    && freshness::is_error(catch.entry.status()) =>
            {
                let held = catch.entry.size();
                self.moments.remember(asked, Moment::Failed(landed.clone()), failed, held);
            }
            Landed::Shared(_) => {}
            Landed::Private { status, .. } if freshness::is_error(*status) => {}
            Landed::Private { .. } => {
                self.moments.remember(asked, Moment::Uncacheable, uncacheable, 0);
            }
            Landed::Failed(error) if error.is_lasting() => {
                self.moments.remember(asked, Moment::Failed(landed.clone()), failed, 0);
            }
            Landed::Failed(_) => {}
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
    spent: Spent,
}

/// A whole answer.
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

fn times(made_at: Instant, lifetimes: Lifetimes) -> Times {
    Times {
        made_at,
        initial_age: Duration::ZERO,
        lifetimes,
        oldest_age: None,
        stale: Stale::Allowed,
        immutable: false,
        keep: Duration::ZERO,
    }
}

fn kept(times: Times, set_cookie: SetCookie) -> Kept {
    let transform = None;
    Kept { times, selector: None, without: Vec::new(), set_cookie, transform }
}

fn keep_for(headers: &HeaderMap) -> Duration {
    let confirmable =
        headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    if confirmable { KEPT_TO_BE_CONFIRMED } else { Duration::ZERO }
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
