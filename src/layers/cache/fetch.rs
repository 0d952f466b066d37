//! Asking the upstream: for one request, or in a flight for all that ask the same.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use parking_lot::Mutex;
use tower::{Service, ServiceExt as _};

use super::status::{Forward, Status};
use super::{Answer, Bypass, State};
use crate::error::GatewayError;
use crate::http::{Body, BoxError, Gathered, gather};
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
        let mut headers = request.headers;
        let body = collect(request.body, request.max_body_bytes);
        let body = tokio::time::timeout_at(until, body).await;
        let body = body.unwrap_or(Err(GatewayError::BodyTimeout))?;
        let answer = tokio::time::timeout_at(until, async {
            // The body goes on whole, with its own length, and nobody has to be asked to continue.
            headers.remove(header::CONTENT_LENGTH);
            headers.remove(header::EXPECT);
            let question = FetchRequest {
                target: target(&request.route, &request.key),
                method: request.method,
                route: request.route,
                client: request.client,
                headers,
                body,
                deadline: request.deadline,
                departure: None,
                wanted: None,
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
        departure: None,
        wanted: None,
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
            return Landed::private(answer);
        }
        let (mut head, body) = answer.into_parts();
        let body = match gather(body, self.max_entry_bytes).await {
            Ok(Gathered::Whole(body)) => body,
            Ok(Gathered::TooLarge(body)) => {
                return Landed::private(Response::from_parts(head, body));
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
        let entry = Arc::new(Entry::new(head.status, head.headers, &body, times));
        if stored {
            self.entries.insert(key, Arc::clone(&entry));
        }
        Landed::Shared(Arc::new(Catch { entry, stored, quota }))
    }

    fn keep(&self, key: &CacheKey, route: &Route, answer: &Response<Body>) -> Keep {
        match &route.endpoint.cache {
            CacheRule::Off => Keep::Private,
            CacheRule::Override { lifetimes, .. } if answer.status() == StatusCode::OK => {
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
