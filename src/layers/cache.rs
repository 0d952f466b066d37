//! Answers from memory, and sees to it that identical questions are asked once.
//!
//! A hit is answered in `call` itself: no future is boxed, nothing is awaited, no lock is taken
//! that a fetch could hold.

mod fetch;
mod status;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, Either, Ready, ready};
use http::{Method, Response};
use tower::{Layer, Service};

use self::fetch::{Catch, Fetcher, Landed};
use self::status::{Forward, Status};
use crate::clock::Clock;
use crate::error::GatewayError;
use crate::http::Body;
use crate::metrics::CacheResult;
use crate::policy::cache_key::CacheKey;
use crate::policy::endpoint::CacheRule;
use crate::policy::freshness::Freshness;
use crate::policy::respect;
use crate::request::{FetchRequest, RoutedRequest};
use crate::store::cache::EntryCache;
use crate::store::entry::{Asks, Entry};
use crate::store::flight::{Boarding, Flights};

/// See the module.
#[derive(Clone, Debug)]
pub struct CacheLayer {
    state: Arc<State>,
}

/// What all clones share.
#[derive(Debug)]
struct State {
    entries: EntryCache,
    flights: Flights<Landed>,
    clock: Clock,
    max_entry_bytes: usize,
}

impl State {
    /// An entry that needs no fetch.
    fn fresh(&self, key: &Arc<CacheKey>) -> Option<Arc<Entry>> {
        let now = self.clock.now();
        let fresh =
            |entry: &Arc<Entry>| matches!(entry.times().freshness(now), Freshness::Fresh { .. });
        self.entries.get(key).filter(fresh)
    }
}

impl CacheLayer {
    /// Stores in `entries`; larger answers than `max_entry_bytes` pass through.
    pub fn new(entries: EntryCache, clock: Clock, max_entry_bytes: usize) -> Self {
        let flights = Flights::default();
        Self { state: Arc::new(State { entries, flights, clock, max_entry_bytes }) }
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

/// Why a request does not go by the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bypass {
    /// Not a method whose answers are stored.
    Method,
    /// The endpoint's rule says so.
    Rule,
    /// The client's own directives say so (`respect` only).
    Request,
}

fn bypass(request: &RoutedRequest) -> Option<Bypass> {
    match request.route.endpoint.cache {
        _ if request.method != Method::GET && request.method != Method::HEAD => {
            Some(Bypass::Method)
        }
        CacheRule::Off => Some(Bypass::Rule),
        CacheRule::Respect if respect::request_bypasses(&request.headers) => Some(Bypass::Request),
        CacheRule::Respect | CacheRule::Override { .. } => None,
    }
}

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
        let fetcher = || Fetcher { inner: self.inner.clone(), state: Arc::clone(&self.state) };
        if let Some(bypass) = bypass(&request) {
            request.record.looked_up(CacheResult::Bypass);
            return Either::Right(Box::pin(fetcher().pass_through(request, bypass)));
        }
        let now = self.state.clock.now();
        let Some(entry) = self.state.entries.get(&request.key) else {
            return Either::Right(Box::pin(fetcher().fetch(request, Older::Nothing)));
        };
        match entry.times().freshness(now) {
            Freshness::Fresh { ttl } => {
                request.record.looked_up(CacheResult::Hit);
                Either::Left(ready(Ok(replay(&entry, &request, Status::Hit { ttl }, now))))
            }
            Freshness::StaleWhileRevalidate { by } => {
                request.record.looked_up(CacheResult::Stale);
                let answer = replay(&entry, &request, Status::StaleHit { by }, now);
                fetcher().refresh(&request);
                Either::Left(ready(Ok(answer)))
            }
            Freshness::StaleIfError => {
                Either::Right(Box::pin(fetcher().fetch(request, Older::Usable(entry))))
            }
            Freshness::Dead => Either::Right(Box::pin(fetcher().fetch(request, Older::Dead))),
        }
    }
}

/// What there was in memory for a request that went to the upstream.
#[derive(Debug)]
enum Older {
    /// Nothing.
    Nothing,
    /// Nothing that may be served.
    Dead,
    /// Something to serve should the upstream fail.
    Usable(Arc<Entry>),
}

/// Answers from memory, and counts the token that this did not spend.
fn replay(entry: &Entry, request: &RoutedRequest, status: Status, now: Instant) -> Response<Body> {
    let asked_in_vain = matches!(status, Status::StaleIfError { .. });
    if let (Some(label), false) = (&request.route.label, asked_in_vain) {
        label.metrics.saved(request.client.index);
    }
    status.onto(entry.answer(&Asks::of(&request.method, &request.headers), now))
}

impl<S> Fetcher<S>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    /// Refreshes an entry behind the reader's back, unless somebody does already.
    fn refresh(self, request: &RoutedRequest) {
        let state = Arc::clone(&self.state);
        let (key, question) = (&request.key, fetch::question(request));
        let landed = || state.fresh(key);
        // Nobody waits for it, and it is wanted all the same.
        let fly = |_wanted| self.fly(Arc::clone(key), question);
        drop(state.flights.board(key, request.max_flights, landed, fly));
    }

    /// Asks the upstream, or waits with whoever does.
    async fn fetch(self, request: RoutedRequest, older: Older) -> Answer {
        let state = Arc::clone(&self.state);
        let (landed, result) = loop {
            let flight = self.clone();
            let fly = |wanted| {
                let question = fetch::question(&request);
                let question = FetchRequest { wanted: Some(wanted), ..question };
                flight.fly(Arc::clone(&request.key), question)
            };
            let landed = || state.fresh(&request.key);
            let boarding = state.flights.board(&request.key, request.max_flights, landed, fly);
            let (seat, result) = match boarding {
                Boarding::Leads(seat) => (seat, CacheResult::Miss),
                Boarding::Joins(seat) => (seat, CacheResult::Collapsed),
                Boarding::Landed(entry) => {
                    return Ok(hit(&entry, &request, state.clock.now()));
                }
                Boarding::Full => {
                    request.record.looked_up(CacheResult::Miss);
                    break (Landed::Failed(GatewayError::Overloaded), CacheResult::Miss);
                }
            };
            request.record.looked_up(result);
            let until = state.clock.timer(request.deadline);
            match tokio::time::timeout_at(until, seat.result()).await {
                // Given up because nobody waited, in the moment in which this request came.
                Ok(Some(Landed::Failed(GatewayError::Abandoned))) => {}
                Ok(Some(landed)) => break (landed, result),
                Ok(None) => break (Landed::Failed(GatewayError::FlightLost), result),
                Err(_elapsed) => break (Landed::Failed(GatewayError::Deadline), result),
            }
        };
        let now = state.clock.now();
        // What could be used when the upstream was asked may have died since.
        if let (Some(detail), Older::Usable(entry)) = (landed.failure(), &older)
            && entry.times().freshness(now) != Freshness::Dead
        {
            request.record.looked_up(CacheResult::Stale);
            return Ok(replay(entry, &request, Status::StaleIfError { detail }, now));
        }
        let why = if let Older::Nothing = older { Forward::Miss } else { Forward::Stale };
        match landed {
            Landed::Shared(catch) => Ok(shared(&catch, &request, why, result, now)),
            Landed::Private { answer, .. } => {
                let taken = answer.lock().take_if(|_| result == CacheResult::Miss);
                drop(answer);
                let Some(answer) = taken else {
                    request.record.looked_up(CacheResult::Bypass);
                    return self.pass_through(request, Bypass::Rule).await;
                };
                Ok(private(answer, &request, why))
            }
            Landed::Failed(error) => Err(error),
        }
    }
}

/// The earlier flight's answer, which the look into the cache just missed.
fn hit(entry: &Entry, request: &RoutedRequest, now: Instant) -> Response<Body> {
    request.record.looked_up(CacheResult::Hit);
    let ttl = match entry.times().freshness(now) {
        Freshness::Fresh { ttl } => ttl,
        _ => Duration::ZERO,
    };
    replay(entry, request, Status::Hit { ttl }, now)
}

fn shared(
    catch: &Catch,
    request: &RoutedRequest,
    why: Forward,
    result: CacheResult,
    now: Instant,
) -> Response<Body> {
    let collapsed = result == CacheResult::Collapsed;
    let (status, stored) = (catch.entry.status(), catch.stored);
    let status = Status::Forwarded { why, status, stored, collapsed };
    let mut answer = if collapsed {
        replay(&catch.entry, request, status, now)
    } else {
        let asks = Asks::of(&request.method, &request.headers).having_fetched();
        status.onto(catch.entry.answer(&asks, now))
    };
    answer.headers_mut().extend(catch.quota.iter().cloned());
    answer
}

fn private(answer: Response<Body>, request: &RoutedRequest, why: Forward) -> Response<Body> {
    let status = answer.status();
    let status = Status::Forwarded { why, status, stored: false, collapsed: false };
    let mut answer = status.onto(answer);
    if request.method == Method::HEAD {
        *answer.body_mut() = Body::Empty;
    }
    answer
}

#[cfg(test)]
mod tests;
