//! Asking the upstream: for one request, or in a flight for all that ask the same.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, Method, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use parking_lot::Mutex;
use tower::{Service, ServiceExt as _};

use super::status::{Forward, Status};
use super::{Answer, Bypass, State};
use crate::error::GatewayError;
use crate::http::{Body, BoxError};
use crate::policy::cache_key::CacheKey;
use crate::policy::endpoint::{CacheRule, Lifetimes};
use crate::policy::freshness::{self, Times};
use crate::policy::page;
use crate::policy::respect::{self, Authorized};
use crate::request::{FetchRequest, RoutedRequest, SentAt};
use crate::store::entry::Entry;
use crate::upstream::UpstreamError;
use crate::world::Route;

/// How a flight ended, for everybody who waited.
#[derive(Clone, Debug)]
pub(super) enum Landed {
    /// With an answer that all may have.
    Shared(Arc<Catch>),
    /// With an answer for one: too large to keep, or not to be shared. Whoever comes first takes
    /// it, the others ask for themselves.
    Private(Arc<Mutex<Option<Response<Body>>>>),
    /// With none.
    Failed(GatewayError),
}

/// An answer that all may have.
#[derive(Debug)]
pub(super) struct Catch {
    /// Prepared for replay, stored or not.
    pub(super) entry: Arc<Entry>,
    /// Whether it was stored.
    pub(super) stored: bool,
    /// What was left of the budget: of interest to those who waited, and never stored.
    pub(super) quota: Vec<(HeaderName, HeaderValue)>,
}

/// Fields that are told to those who waited, and not stored.
const QUOTA_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("ratelimit"),
    header::RETRY_AFTER,
];

/// Asks the upstream.
#[derive(Clone, Debug)]
pub(super) struct Fetcher<S> {
    pub(super) inner: S,
    pub(super) state: Arc<State>,
}

impl<S> Fetcher<S>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>,
{
    /// One request, one answer, nothing kept.
    pub(super) async fn pass_through(self, request: RoutedRequest, bypass: Bypass) -> Answer {
        let until = self.state.clock.timer(request.deadline);
        let answer = tokio::time::timeout_at(until, async {
            let body = collect(request.body, request.max_body_bytes).await?;
            let question = FetchRequest {
                target: target(&request.route, &request.key),
                method: request.method,
                route: request.route,
                client: request.client,
                headers: request.headers,
                body,
                deadline: request.deadline,
                record: request.record,
            };
            self.inner.oneshot(question).await
        });
        let answer = answer.await.unwrap_or(Err(GatewayError::Deadline))?;
        let why = Forward::Bypass(bypass);
        let status = answer.status();
        Ok(Status::Forwarded { why, status, stored: false, collapsed: false }.onto(answer))
    }

    /// One request for all who ask the same. Stores what may be stored.
    pub(super) async fn fly(self, key: Arc<CacheKey>, question: FetchRequest) -> Landed {
        let until = self.state.clock.timer(question.deadline);
        let route = Arc::clone(&question.route);
        let state = Arc::clone(&self.state);
        let flight = async move {
            let asked_at = state.clock.now();
            match self.inner.oneshot(question).await {
                Ok(answer) => state.land(key, &route, answer, asked_at).await,
                Err(error) => Landed::Failed(error),
            }
        };
        let landed = tokio::time::timeout_at(until, flight).await;
        landed.unwrap_or(Landed::Failed(GatewayError::Deadline))
    }
}

/// The request that a flight makes for everybody: nothing in it is one client's own.
pub(super) fn question(request: &RoutedRequest) -> FetchRequest {
    let mut headers = HeaderMap::new();
    match request.route.endpoint.cache {
        CacheRule::Respect => {
            headers.clone_from(&request.headers);
            // The stored answer is whole, unconditional and uncoded, and the question has no
            // content: a length that says otherwise would swallow the connection's next request.
            for name in [
                header::CONTENT_LENGTH,
                header::CONTENT_TYPE,
                header::CONTENT_ENCODING,
                header::EXPECT,
                header::IF_NONE_MATCH,
                header::IF_MODIFIED_SINCE,
                header::IF_RANGE,
                header::ACCEPT_ENCODING,
            ] {
                headers.remove(name);
            }
        }
        CacheRule::Override { .. } | CacheRule::Off => {
            headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        }
    }
    FetchRequest {
        method: Method::GET,
        route: Arc::clone(&request.route),
        client: Arc::clone(&request.client),
        target: target(&request.route, &request.key),
        headers,
        body: Bytes::new(),
        deadline: request.deadline,
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
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(GatewayError::BodyTooLarge { limit }),
        Err(_broken_off) => Err(GatewayError::BadBody),
    }
}

/// Whether an answer is kept, and may be shared at all.
enum Keep {
    /// Stored for so long.
    Store { lifetimes: Lifetimes, initial_age: std::time::Duration },
    /// Handed to all who wait and then forgotten.
    Share,
    /// One client's own.
    Private,
}

impl State {
    async fn land(
        &self,
        key: Arc<CacheKey>,
        route: &Route,
        answer: Response<Body>,
        asked_at: Instant,
    ) -> Landed {
        let keep = self.keep(&key, route, &answer);
        if let Keep::Private = keep {
            return Landed::Private(Arc::new(Mutex::new(Some(answer))));
        }
        let (mut head, body) = answer.into_parts();
        let body = match gather(body, self.max_entry_bytes).await {
            Ok(Gathered::Whole(body)) => body,
            Ok(Gathered::TooLarge(body)) => {
                let answer = Response::from_parts(head, Body::stream(body));
                return Landed::Private(Arc::new(Mutex::new(Some(answer))));
            }
            Err(error) => return Landed::Failed(broken_off(&error)),
        };
        let quota = QUOTA_FIELDS
            .into_iter()
            .filter_map(|name| Some((name.clone(), head.headers.remove(name)?)))
            .collect();
        let oldest_age =
            route.endpoint.page_token.as_ref().and_then(|rule| page::oldest_age(rule, &body));
        let (lifetimes, initial_age, stored) = match keep {
            Keep::Store { lifetimes, initial_age } => (lifetimes, initial_age, true),
            Keep::Share | Keep::Private => (NOTHING, std::time::Duration::ZERO, false),
        };
        let made_at = head.extensions.get::<SentAt>().map_or(asked_at, |sent| sent.0);
        let times = Times { made_at, initial_age, lifetimes, oldest_age };
        let entry = Arc::new(Entry::new(head.status, head.headers, body, times));
        if stored {
            self.entries.insert(key, Arc::clone(&entry));
        }
        Landed::Shared(Arc::new(Catch { entry, stored, quota }))
    }

    fn keep(&self, key: &CacheKey, route: &Route, answer: &Response<Body>) -> Keep {
        match &route.endpoint.cache {
            CacheRule::Off => Keep::Private,
            CacheRule::Override { lifetimes, .. } if answer.status() == http::StatusCode::OK => {
                let when = &route.endpoint.when;
                let lifetimes = freshness::lifetimes(*lifetimes, when, key.parameters());
                Keep::Store { lifetimes, initial_age: std::time::Duration::ZERO }
            }
            // Nobody's own: the question that was asked is the same for all who wait.
            CacheRule::Override { .. } => Keep::Share,
            CacheRule::Respect => {
                let authorized =
                    if route.upstream.authorized { Authorized::Yes } else { Authorized::No };
                let wall = self.clock.wall();
                match respect::storable(answer.status(), answer.headers(), authorized, wall) {
                    Some(storable) => Keep::Store {
                        lifetimes: storable.lifetimes,
                        initial_age: storable.initial_age,
                    },
                    None => Keep::Private,
                }
            }
        }
    }
}

const NOTHING: Lifetimes = Lifetimes {
    fresh: std::time::Duration::ZERO,
    stale_while_revalidate: std::time::Duration::ZERO,
    stale_if_error: std::time::Duration::ZERO,
};

fn broken_off(error: &BoxError) -> GatewayError {
    match error.downcast_ref::<UpstreamError>() {
        Some(error) => GatewayError::Upstream(error.clone()),
        None => GatewayError::FlightLost,
    }
}

enum Gathered {
    Whole(Bytes),
    TooLarge(Continued),
}

/// Reads a body into memory, unless it turns out larger than the limit.
async fn gather(mut body: Body, limit: usize) -> Result<Gathered, BoxError> {
    if body.size_hint().lower() > limit as u64 {
        return Ok(Gathered::TooLarge(Continued { begun: Bytes::new(), rest: body }));
    }
    let mut begun = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        begun.extend_from_slice(&data);
        if begun.len() > limit {
            return Ok(Gathered::TooLarge(Continued { begun: begun.freeze(), rest: body }));
        }
    }
    Ok(Gathered::Whole(begun.freeze()))
}

/// A body whose beginning has been read already.
struct Continued {
    begun: Bytes,
    rest: Body,
}

impl http_body::Body for Continued {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.begun.is_empty() {
            return Pin::new(&mut self.rest).poll_frame(cx);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.begun)))))
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let begun = self.begun.len() as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + begun);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + begun);
        }
        hint
    }
}
