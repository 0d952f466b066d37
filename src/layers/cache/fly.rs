//! What is sent to the upstream, for one request or for all that ask the same.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower::{Service, ServiceExt as _};

use super::fetch::Fetcher;
use super::land::{Arrived, Landed};
use super::status::{Forward, Status};
use super::{Answer, Bypass};
use crate::error::GatewayError;
use crate::http::{Body, TooSlow};
use crate::policy::cache_key::CacheKey;
use crate::policy::coding::plain_tags;
use crate::policy::endpoint::CacheRule;
use crate::policy::etag;
use crate::policy::invalidate::changes;
use crate::policy::vary::NOT_ASKED;
use crate::request::{FetchRequest, RoutedRequest, Spent, Urgency};
use crate::store::entry::Entry;
use crate::store::flight::{Asked, Ticket};
use crate::upstream::Manner;
use crate::world::Route;

/// A flight about to leave.
#[derive(Debug)]
pub(super) struct Departing {
    /// What for.
    pub(super) asked: Asked,
    /// What the upstream may confirm instead of answering.
    pub(super) older: Option<Arc<Entry>>,
    /// Tells whether its answer may still be kept.
    pub(super) ticket: Ticket,
}

impl<S> Fetcher<S>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError> + Clone,
{
    /// One request, one answer, nothing kept.
    pub(super) async fn pass_through(self, request: RoutedRequest, bypass: Bypass) -> Answer {
        let until = self.state.clock.timer(request.deadline);
        let (world, route, method) =
            (request.world, Arc::clone(&request.route), request.method.clone());
        let target = target(&request.route, &request.key);
        let mut headers = request.headers;
        let body = collect(request.body, request.max_body_bytes);
        let body = tokio::time::timeout_at(until, body).await;
        let body = body.unwrap_or(Err(GatewayError::BodyTimeout))?;
        let answer = tokio::time::timeout_at(until, async {
            // The body goes on whole, with its own length.
            headers.remove(header::CONTENT_LENGTH);
            // The upstream has never heard of the tags of codings that are made here.
            for name in [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_RANGE] {
                if let Some(plain) = headers.get(&name).and_then(plain_tags) {
                    headers.insert(name, plain);
                }
            }
            let question = FetchRequest {
                target: Arc::clone(&target),
                method: request.method,
                route: request.route,
                client: request.client,
                headers,
                body,
                deadline: request.deadline,
                departure: None,
                manner: Manner::default(),
                wanted: None,
                urgency: Urgency::Asked,
                joined: None,
                record: request.record,
            };
            self.inner.oneshot(question).await
        });
        let answer = answer.await.unwrap_or(Err(GatewayError::Deadline))?;
        let why = Forward::Bypass(bypass);
        let status = answer.status();
        if changes(&method, status) {
            self.state.invalidate(&world, &route, &target, answer.headers());
        }
        Ok(Status::Forwarded { why, status, stored: false, collapsed: false }.onto(answer))
    }

    /// One request for all who ask the same. Stores what may be stored.
    pub(super) async fn fly(self, mut departing: Departing, question: FetchRequest) -> Landed {
        let until = self.state.clock.timer(question.deadline);
        let (route, state) = (Arc::clone(&question.route), Arc::clone(&self.state));
        let authorized = question.headers.contains_key(header::AUTHORIZATION);
        let flight = async {
            let asked_at = state.clock.now();
            match self.told(&mut departing, question).await {
                Ok((asks, answer)) => {
                    let arrived = Arrived { route: &route, asks: &asks, asked_at, authorized };
                    state.land(&departing, &arrived, answer).await
                }
                Err(error) => Landed::Failed(error),
            }
        };
        let landed = tokio::time::timeout_at(until, flight).await;
        let landed = landed.unwrap_or(Landed::Failed(GatewayError::Deadline));
        state.remember(departing, &landed);
        landed
    }

    /// An answer, and the fields with which it was asked for. Once more, without a condition, if
    /// the upstream confirms what nobody has.
    async fn told(
        self,
        departing: &mut Departing,
        mut question: FetchRequest,
    ) -> Result<(HeaderMap, Response<Body>), GatewayError> {
        let asks = question.headers.clone();
        let Some(older) = departing.older.clone() else {
            return Ok((asks, self.inner.oneshot(question).await?));
        };
        let answer = self.inner.clone().oneshot(question.clone()).await?;
        // RFC 9111, section 4.3.4: what it confirms is another answer than ours.
        if answer.status() != StatusCode::NOT_MODIFIED
            || etag::may_be_of(older.told().get(header::ETAG), answer.headers().get(header::ETAG))
        {
            return Ok((asks, answer));
        }
        self.state.entries.forget(&departing.asked.key, &older);
        departing.older = None;
        for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
            question.headers.remove(name);
        }
        let spent = answer.extensions().get::<Spent>().copied();
        let asks = question.headers.clone();
        let mut answer = self.inner.oneshot(question).await?;
        if let Some(Spent(before)) = spent {
            let Spent(now) = answer.extensions().get().copied().unwrap_or_default();
            answer.extensions_mut().insert(Spent(before + now));
        }
        Ok((asks, answer))
    }
}

/// The request that a flight makes for everybody: by our own rule nothing in it is one client's
/// own, and else what is has to be told by `Vary`.
pub(super) fn question(request: &RoutedRequest, older: Option<&Entry>) -> FetchRequest {
    let mut headers = HeaderMap::new();
    match request.route.endpoint.cache {
        CacheRule::Respect(_) => {
            headers.clone_from(&request.headers);
            for name in NOT_ASKED {
                headers.remove(name);
            }
        }
        CacheRule::Override(_) | CacheRule::Off => {
            headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        }
    }
    // RFC 9110, section 12.5.3: without it any coding would do, and it is stored as it comes.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(older) = older {
        older.ask(&mut headers);
    }
    FetchRequest {
        method: Method::GET,
        route: Arc::clone(&request.route),
        client: Arc::clone(&request.client),
        target: target(&request.route, &request.key),
        headers,
        body: Bytes::new(),
        deadline: request.deadline,
        departure: None,
        manner: Manner::default(),
        wanted: None,
        urgency: Urgency::Asked,
        joined: None,
        record: Arc::clone(&request.record),
    }
}

fn target(route: &Route, key: &CacheKey) -> Arc<str> {
    let spelling = route.spelling;
    key.parameters().target(&route.endpoint.path, spelling).into()
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, GatewayError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // Told beforehand: nobody has to send it, or be asked to go on.
    if body.size_hint().lower() > limit as u64 {
        return Err(GatewayError::BodyTooLarge { limit });
    }
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(GatewayError::BodyTooLarge { limit }),
        Err(error) if error.is::<TooSlow>() => Err(GatewayError::BodyTimeout),
        Err(_broken_off) => Err(GatewayError::BadBody),
    }
}
