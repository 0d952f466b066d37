//! Asking the upstream, alone or together with all who ask the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Response, StatusCode};
use tower::Service;

use super::fly::{self, Departing};
use super::land::{Catch, Landed};
use super::status::{Forward, Status};
use super::{Answer, Bypass, Older, State};
use crate::error::GatewayError;
use crate::http::Body;
use crate::metrics::CacheResult;
use crate::policy::cache_key::CacheKey;
use crate::policy::directives::RequestDirectives;
use crate::policy::freshness::Freshness;
use crate::request::{FetchRequest, RoutedRequest, Spent, Urgency};
use crate::store::entry::{Asks, Entry};
use crate::store::flight::{Asked, Boarding, Seat, Since, Ticket};
use crate::store::moment::Moment;
use crate::store::purges::Verdict;
use crate::world::Upstream;

/// Asks the upstream.
#[derive(Clone, Debug)]
pub(super) struct Fetcher<S> {
    pub(super) inner: S,
    pub(super) state: Arc<State>,
}

/// So often a request looks for a flight that answers its own form of the question; then it asks
/// for itself.
const MOST_FLIGHTS: usize = 4;

impl<S> Fetcher<S>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    /// Refreshes an entry behind the reader's back, unless somebody does already or it has just
    /// failed.
    pub(super) fn refresh(self, request: &RoutedRequest, older: &Arc<Entry>, urgency: Urgency) {
        let state = Arc::clone(&self.state);
        let (now, clock) = (state.clock.now(), state.clock.clone());
        if older.rests(now) {
            return;
        }
        let asked = state.asked(request);
        if let Some(Moment::Failed(_)) = state.moments.get(&asked, now) {
            return;
        }
        // Somebody else's refresh may have landed since.
        let landed = || {
            let now = state.stored(request.sought())?;
            (!Arc::ptr_eq(older, &now)).then_some(())
        };
        let priority = (urgency == Urgency::Asked).then_some(request.client.share.priority);
        // Nobody waits for it, and it is wanted all the same.
        let fly = |_wanted, ticket: Ticket| {
            let question = fly::question(request, Some(older));
            let joined = Some(ticket.joined().clone());
            let question = FetchRequest { urgency, joined, ..question };
            let older = Some(Arc::clone(older));
            let upstream = Arc::clone(&question.route.upstream);
            let flight = self.fly(Departing { asked: asked.clone(), older, ticket }, question);
            async move {
                let landed = flight.await;
                if let Some(why) = landed.failure() {
                    tell(&upstream, why, &landed, clock.now());
                }
                landed
            }
        };
        let since = Since {
            mark: state.purges.mark(),
            is_current: &|then| state.is_current(&request.key, then),
        };
        let boarding =
            state.flights.board(&asked, request.max_flights, since, priority, landed, fly);
        if let (Boarding::Full, Urgency::Ahead) = (boarding, urgency) {
            older.has_not_begun();
        }
    }

    /// Asks the upstream, or waits with whoever does.
    pub(super) async fn fetch(
        self,
        request: RoutedRequest,
        older: Older,
        wishes: RequestDirectives,
    ) -> Answer {
        let state = Arc::clone(&self.state);
        let mut refused = false;
        for _ in 0..MOST_FLIGHTS {
            let asked = state.asked(&request);
            match state.moments.get(&asked, state.clock.now()) {
                Some(Moment::Uncacheable) => break,
                Some(Moment::Failed(landed)) => {
                    request.record.looked_up(CacheResult::Collapsed);
                    return outcome(&state, &landed, &request, &older, Place::Follows);
                }
                None => {}
            }
            let (seat, place) = match self.board(&asked, &request, &older, &wishes) {
                Boarding::Leads(seat) => (seat, Place::Leads),
                Boarding::Joins(seat) => (seat, Place::Follows),
                Boarding::Landed(entry) => {
                    // The earlier flight's answer, which the look into the cache just missed.
                    request.record.looked_up(CacheResult::Hit);
                    let (key, headers) = (&request.key, &request.headers);
                    encoded(&state, &entry, key, headers).await;
                    let now = state.clock.now();
                    let status = Status::Hit { ttl: ttl(&entry, now) };
                    return Ok(state.replay(&entry, &request, status, now));
                }
                Boarding::Full => {
                    request.record.looked_up(CacheResult::Miss);
                    let full = Landed::Failed(GatewayError::Overloaded);
                    return outcome(&state, &full, &request, &older, Place::Leads);
                }
            };
            request.record.looked_up(place.result());
            let landed = landing(&state, seat, request.deadline).await;
            match &landed {
                // Given up because nobody waited, in the moment in which this request came.
                Landed::Failed(GatewayError::Abandoned) => continue,
                // It answers another form of the question than this one.
                Landed::Shared(catch)
                    if place == Place::Follows && !catch.entry.answers(&request.headers) =>
                {
                    continue;
                }
                // The time or the share of whoever asked first was up, and not this one's.
                Landed::Failed(error)
                    if place == Place::Follows
                        && !refused
                        && is_anothers(error, &request, &state) =>
                {
                    refused = true;
                    continue;
                }
                Landed::Private { .. } if place == Place::Follows => {}
                _ => {
                    if let Landed::Shared(catch) = &landed {
                        encoded(&state, &catch.entry, &request.key, &request.headers).await;
                    }
                    return outcome(&state, &landed, &request, &older, place);
                }
            }
            // A private answer holds what another has asked for: let go before asking again.
            drop(landed);
            break;
        }
        self.alone(request, older).await
    }

    fn board(
        &self,
        asked: &Asked,
        request: &RoutedRequest,
        older: &Older,
        wishes: &RequestDirectives,
    ) -> Boarding<Landed, Arc<Entry>> {
        let state = &self.state;
        let landed = || state.fresh(request.sought(), wishes);
        let flight = self.clone();
        let since = Since {
            mark: state.purges.mark(),
            is_current: &|then| state.is_current(&request.key, then),
        };
        let priority = Some(request.client.share.priority);
        state.flights.board(
            asked,
            request.max_flights,
            since,
            priority,
            landed,
            |wanted, ticket| {
                let older = older.entry().cloned();
                let question = fly::question(request, older.as_deref());
                let joined = Some(ticket.joined().clone());
                let question = FetchRequest { wanted: Some(wanted), joined, ..question };
                flight.fly(Departing { asked: asked.clone(), older, ticket }, question)
            },
        )
    }

    /// One request for one client, whose answer is stored if it turns out that it may be.
    async fn alone(self, request: RoutedRequest, older: Older) -> Answer {
        request.record.looked_up(CacheResult::Miss);
        let state = Arc::clone(&self.state);
        let asked = state.asked(&request);
        let flight = state.flights.alone(&asked, state.purges.mark());
        let (older_entry, ticket) = (older.entry().cloned(), flight.ticket.clone());
        let question = fly::question(&request, older_entry.as_deref());
        let landed = self.fly(Departing { asked, older: older_entry, ticket }, question).await;
        drop(flight);
        if let Landed::Shared(catch) = &landed {
            encoded(&state, &catch.entry, &request.key, &request.headers).await;
        }
        outcome(&state, &landed, &request, &older, Place::Alone)
    }
}

/// Nobody asked for it, so that nobody's line in the log says that it has failed.
fn tell(upstream: &Upstream, why: &'static str, landed: &Landed, now: Instant) {
    let Some(silent) = upstream.refresh_failures.now(now) else { return };
    let id = upstream.id.as_str();
    let error = match landed {
        Landed::Failed(error) => error.to_string(),
        _ => String::new(),
    };
    tracing::warn!(upstream = id, why, error, silent, "a refresh in the background has failed");
}

/// A request's part in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It pays.
    Leads,
    /// It waits for what another pays.
    Follows,
    /// It pays, and nobody waits with it.
    Alone,
}

impl Place {
    fn result(self) -> CacheResult {
        match self {
            Self::Leads | Self::Alone => CacheResult::Miss,
            Self::Follows => CacheResult::Collapsed,
        }
    }
}

/// Whether a failure is of the one who asked first, and not of the question.
fn is_anothers(error: &GatewayError, request: &RoutedRequest, state: &State) -> bool {
    match error {
        GatewayError::Deadline => state.clock.now() < request.deadline,
        error => error.is_quota(),
    }
}

async fn landing(state: &State, seat: Seat<Landed>, deadline: Instant) -> Landed {
    let until = state.clock.timer(deadline);
    match tokio::time::timeout_at(until, seat.result()).await {
        Ok(Some(landed)) => landed,
        Ok(None) => Landed::Failed(GatewayError::FlightLost),
        Err(_elapsed) => Landed::Failed(GatewayError::Deadline),
    }
}

/// Sees to it that there is an entry in the coding that the client wants.
async fn encoded(state: &State, entry: &Arc<Entry>, key: &Arc<CacheKey>, headers: &HeaderMap) {
    if let Some(coding) = entry.lacks(headers) {
        state.encode(entry, coding, key).await;
    }
}

/// What a request is answered, now that its flight has landed.
fn outcome(
    state: &State,
    landed: &Landed,
    request: &RoutedRequest,
    older: &Older,
    place: Place,
) -> Answer {
    let now = state.clock.now();
    // What could be used when the upstream was asked may have died since.
    if let (Some(detail), Older::Usable(entry)) = (landed.failure(), older)
        && entry.times().freshness(now) != Freshness::Dead
        && state.purges.judge(entry.membership()) != Verdict::Gone
    {
        request.record.looked_up(CacheResult::Stale);
        return Ok(state.replay(entry, request, Status::StaleIfError { detail }, now));
    }
    let why = match older {
        Older::Nothing => Forward::Miss,
        Older::Unwanted(_) => Forward::Bypass(Bypass::Request),
        Older::Dead(_) | Older::Usable(_) => Forward::Stale,
    };
    match landed {
        Landed::Shared(catch) => Ok(shared(state, catch, request, why, place, now)),
        Landed::Private { told, answer, .. } => {
            let answer = answer.lock().take().ok_or(GatewayError::FlightLost)?;
            Ok(private(answer, request, why, *told))
        }
        Landed::Failed(error) => Err(error.clone()),
    }
}

fn ttl(entry: &Entry, now: Instant) -> Duration {
    match entry.times().freshness(now) {
        Freshness::Fresh { ttl } => ttl,
        _ => Duration::ZERO,
    }
}

fn shared(
    state: &State,
    catch: &Catch,
    request: &RoutedRequest,
    why: Forward,
    place: Place,
    now: Instant,
) -> Response<Body> {
    let collapsed = place == Place::Follows;
    let (status, stored) = (catch.status, catch.stored);
    let status = Status::Forwarded { why, status, stored, collapsed };
    let mut answer = if collapsed {
        state.replay(&catch.entry, request, status, now)
    } else {
        if catch.confirmed() {
            request.record.looked_up(CacheResult::Revalidated);
        }
        let asks = Asks::of(&request.method, &request.headers).having_fetched();
        status.onto(catch.entry.answer(&asks, now))
    };
    if let Some(spent) = if collapsed { Some(Spent(0)) } else { catch.spent } {
        answer.extensions_mut().insert(spent);
    }
    answer.headers_mut().extend(catch.quota.iter().cloned());
    answer
}

fn private(
    answer: Response<Body>,
    request: &RoutedRequest,
    why: Forward,
    status: StatusCode,
) -> Response<Body> {
    let status = Status::Forwarded { why, status, stored: false, collapsed: false };
    let mut answer = status.onto(answer);
    if request.method == Method::HEAD {
        *answer.body_mut() = Body::Empty;
    }
    answer
}
