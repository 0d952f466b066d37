//! Answers from memory, and sees to it that identical questions are asked once.
//!
//! A hit is answered in `call` itself: no future is boxed, nothing is awaited, no lock is taken
//! that a fetch could hold.

mod fetch;
mod fly;
mod invalidate;
mod keep;
mod land;
mod recall;
mod sought;
mod status;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, Either, Ready, ready};
use http::Response;
use http::header::{AUTHORIZATION, SET_COOKIE};
use tower::{Layer, Service};

use self::fetch::Fetcher;
use self::land::Landed;
pub use self::recall::{Hit, Memory};
pub use self::sought::Sought;
use self::sought::{Bypass, asks_for_a_part, bypass, wishes};
use self::status::Status;
use crate::clock::Clock;
use crate::error::GatewayError;
use crate::http::{Body, Room};
use crate::metrics::CacheResult;
use crate::policy::cache_key::CacheKey;
use crate::policy::coding::Coding;
use crate::policy::directives::RequestDirectives;
use crate::policy::endpoint::{CacheRule, SetCookie};
use crate::policy::freshness::Freshness;
use crate::policy::vary::Selector;
use crate::request::{FetchRequest, RoutedRequest, Urgency};
use crate::store::cache::EntryCache;
use crate::store::chains::Chains;
use crate::store::entry::{Asks, Entry};
use crate::store::flight::{Asked, Asker, Flights};
use crate::store::moment::Moments;
use crate::store::purges::{Mark, Purges, Verdict};

/// See the module.
#[derive(Clone, Debug)]
pub struct CacheLayer {
    state: Arc<State>,
}

/// The cache's own figures.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Larger answers pass through.
    pub max_entry_bytes: usize,
    /// What all answers that are being fetched may hold; beyond it they pass through.
    pub max_fetching_bytes: usize,
    /// How long it is remembered that a question's answers are for one each.
    pub remember_uncacheable: Duration,
    /// How long it is remembered that asking has failed.
    pub remember_failure: Duration,
}

/// What all clones share.
#[derive(Debug)]
struct State {
    entries: EntryCache,
    flights: Flights<Landed>,
    moments: Moments<Landed>,
    purges: Purges,
    chains: Chains,
    clock: Clock,
    limits: Limits,
    /// For every answer that is in memory, stored or not, or not any more.
    live: Room,
    /// Within that: for those that are being fetched.
    fetching: Room,
    /// For fields that are kept ready one by one.
    ready: Room,
}

impl State {
    /// What may be done with an entry for a client that wishes this.
    fn freshness(&self, entry: &Entry, wishes: &RequestDirectives, now: Instant) -> Freshness {
        let verdict = self.purges.judge(entry.membership());
        let found = match verdict {
            Verdict::Current { .. } => entry.times().freshness(now),
            Verdict::Stale | Verdict::Gone => entry.times().purged(now),
        };
        if *wishes == RequestDirectives::default() {
            return found;
        }
        match entry.times().wished(found, wishes, now) {
            // However stale a client takes it: what was purged is refreshed.
            Freshness::StaleAsWished { by } if verdict == Verdict::Stale => {
                Freshness::StaleWhileRevalidate { by }
            }
            other => other,
        }
    }

    /// What is stored for this request, fresh or not, unless it has been purged for good.
    fn stored(&self, sought: Sought<'_>) -> Option<Arc<Entry>> {
        let found = self.entries.get(sought.key, sought.headers)?;
        let gone = self.purges.judge(found.membership()) == Verdict::Gone;
        (!gone && self.belongs(sought, &found)).then_some(found)
    }

    /// Whether a page is one of the listing whose earlier page the reader has.
    fn belongs(&self, sought: Sought<'_>, page: &Entry) -> bool {
        let Some(rule) = &sought.route.endpoint.page_token else { return true };
        let asked_by_token = sought.key.parameters().query(&rule.request).is_some();
        let named_by = asked_by_token.then(|| self.chains.of(sought.key)).flatten();
        named_by.is_none_or(|chain| page.chain() == Some(chain))
    }

    fn is_fresh(&self, entry: &Entry, now: Instant) -> bool {
        let found = self.freshness(entry, &RequestDirectives::default(), now);
        matches!(found, Freshness::Fresh { .. })
    }

    /// An entry that needs no fetch.
    fn fresh(&self, sought: Sought<'_>, wishes: &RequestDirectives) -> Option<Arc<Entry>> {
        let now = self.clock.now();
        let fresh = |entry: &Arc<Entry>| {
            matches!(self.freshness(entry, wishes, now), Freshness::Fresh { .. })
        };
        self.stored(sought).filter(fresh)
    }

    /// Whether no purge since then has hit what a key asks for.
    fn is_current(&self, key: &CacheKey, since: Mark) -> bool {
        // Without a purge there is nothing to look for.
        self.purges.mark() <= since || {
            let scopes = self.purges.scopes(key, []);
            matches!(self.purges.verdict(&scopes, since), Verdict::Current { .. })
        }
    }

    /// Makes an entry in another coding, whose bytes count from then on.
    async fn encode(&self, entry: &Arc<Entry>, coding: Coding, key: &Arc<CacheKey>) {
        entry.encode(coding, &self.live).await;
        self.entries.weigh_again(key, entry);
    }

    /// The question in this request's form of it, as far as it is known to have several.
    fn asked(&self, request: &RoutedRequest) -> Asked {
        let names = self.entries.varies_on(&request.key);
        let selector = names.map(|names| Selector::of(&names, &request.headers));
        let is_authorized = matches!(request.route.endpoint.cache, CacheRule::Respect(_))
            && request.headers.contains_key(AUTHORIZATION);
        let asker = if is_authorized { Asker::Authorized } else { Asker::Anybody };
        Asked { key: Arc::clone(&request.key), selector, asker }
    }
}

impl State {
    /// Answers from memory, and counts the token that this did not spend.
    fn replay(
        &self,
        entry: &Entry,
        request: &RoutedRequest,
        status: Status,
        now: Instant,
    ) -> Response<Body> {
        let asked_in_vain = matches!(status, Status::StaleIfError { .. });
        if let (Some(label), false) = (&request.route.label, asked_in_vain) {
            label.metrics.saved(request.client.index);
        }
        let asks = Asks::of(&request.method, &request.headers).leaving_ready(&self.ready);
        let mut answer = entry.answer(&asks, now);
        // The rule may have become stricter since it was stored.
        let rule = request.route.endpoint.cache.set_cookie();
        if entry.set_cookie() == SetCookie::Store && rule != SetCookie::Store {
            answer.headers_mut().remove(SET_COOKIE);
        }
        status.onto(answer)
    }
}

/// Of the cache's bytes, what moments may take up, and fields that are kept ready: one in so many
/// each.
const SHARE: u64 = 32;

impl CacheLayer {
    /// Stores in `entries`, and serves nothing that has been purged.
    pub fn new(entries: EntryCache, purges: Purges, clock: Clock, limits: Limits) -> Self {
        let flights = Flights::default();
        let share = (entries.max_bytes() / SHARE).max(64 * 1024);
        let (moments, chains) = (Moments::new(share), Chains::default());
        let bytes = |figure| usize::try_from(figure).unwrap_or(usize::MAX);
        let live = bytes(entries.max_bytes()).saturating_add(limits.max_fetching_bytes);
        let live = Room::new(live);
        let fetching = live.within(limits.max_fetching_bytes);
        let ready = Room::new(bytes(share));
        let state = State {
            entries,
            flights,
            moments,
            purges,
            chains,
            clock,
            limits,
            live,
            fetching,
            ready,
        };
        Self { state: Arc::new(state) }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Caching<S>;

    fn layer(&self, inner: S) -> Caching<S> {
        Caching { inner, state: Arc::clone(&self.state) }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Caching<S> {
    inner: S,
    state: Arc<State>,
}

type Answer = Result<Response<Body>, GatewayError>;

impl<S> Service<RoutedRequest> for Caching<S>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: RoutedRequest) -> Self::Future {
        let wishes = wishes(request.sought());
        if let Some(bypass) = bypass(request.sought(), &wishes) {
            return self.pass_through(request, bypass);
        }
        let now = self.state.clock.now();
        let found = self.state.stored(request.sought());
        let freshness = found.as_ref().map(|entry| self.state.freshness(entry, &wishes, now));
        let older = match (found, freshness) {
            (Some(entry), Some(Freshness::Fresh { ttl })) => {
                self.refresh_ahead(&entry, &request, now);
                return self.hit(entry, request, Status::Hit { ttl }, now);
            }
            (Some(entry), Some(Freshness::StaleWhileRevalidate { by })) => {
                self.fetcher().refresh(&request, &entry, Urgency::Asked);
                return self.hit(entry, request, Status::StaleHit { by }, now);
            }
            (Some(entry), Some(Freshness::StaleAsWished { by })) => {
                return self.hit(entry, request, Status::StaleHit { by }, now);
            }
            (Some(entry), Some(Freshness::StaleIfError)) => Older::Usable(entry),
            (Some(entry), _) if self.state.is_fresh(&entry, now) => Older::Unwanted(entry),
            (Some(entry), _) => Older::Dead(entry),
            (None, _) => Older::Nothing,
        };
        if wishes.only_if_cached {
            request.record.looked_up(CacheResult::Miss);
            return Either::Left(ready(Err(GatewayError::NotStored)));
        }
        // What may stand in for it if asking fails is whole, and its parts with it.
        if asks_for_a_part(&request) && !matches!(older, Older::Usable(_)) {
            return self.pass_through(request, Bypass::Request);
        }
        Either::Right(Box::pin(self.fetcher().fetch(request, older, wishes)))
    }
}

impl<S> Caching<S>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    fn fetcher(&self) -> Fetcher<S> {
        Fetcher { inner: self.inner.clone(), state: Arc::clone(&self.state) }
    }

    /// Answers from memory: at once, unless it is the first time in the coding that is wanted.
    fn hit(
        &self,
        entry: Arc<Entry>,
        request: RoutedRequest,
        status: Status,
        now: Instant,
    ) -> Either<Ready<Answer>, BoxFuture<'static, Answer>> {
        request.record.looked_up(status.result());
        let Some(coding) = entry.lacks(&request.headers) else {
            return Either::Left(ready(Ok(self.state.replay(&entry, &request, status, now))));
        };
        let state = Arc::clone(&self.state);
        Either::Right(Box::pin(async move {
            state.encode(&entry, coding, &request.key).await;
            Ok(state.replay(&entry, &request, status, now))
        }))
    }

    fn pass_through(
        &self,
        request: RoutedRequest,
        bypass: Bypass,
    ) -> Either<Ready<Answer>, BoxFuture<'static, Answer>> {
        request.record.looked_up(CacheResult::Bypass);
        Either::Right(Box::pin(self.fetcher().pass_through(request, bypass)))
    }

    /// Counts who asks, and refreshes what is asked for often before it is stale.
    fn refresh_ahead(&self, entry: &Arc<Entry>, request: &RoutedRequest, now: Instant) {
        let Some(rule) = request.route.endpoint.cache.refresh_ahead() else { return };
        let hits = entry.asked();
        if entry.times().is_due(rule.after, now) && hits >= rule.hits && entry.begins_ahead() {
            self.fetcher().refresh(request, entry, Urgency::Ahead);
        }
    }
}

/// What there was in memory for a request that went to the upstream.
#[derive(Clone, Debug)]
enum Older {
    /// Nothing.
    Nothing,
    /// Something fresh, which this client does not want.
    Unwanted(Arc<Entry>),
    /// Nothing that may be served, unless the upstream confirms it.
    Dead(Arc<Entry>),
    /// Something to serve should the upstream fail.
    Usable(Arc<Entry>),
}

impl Older {
    fn entry(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Nothing => None,
            Self::Unwanted(entry) | Self::Dead(entry) | Self::Usable(entry) => Some(entry),
        }
    }
}

#[cfg(test)]
mod tests;
