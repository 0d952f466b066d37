//! One access-log line, one count and one duration a request, whatever becomes of it.

mod cut;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header::{Entry, HeaderMap};
use http::{Method, Request, Response};
use http_body::Body as _;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use self::cut::Watched;
pub use self::cut::{Cut, CutShort};
use crate::clock::Clock;
use crate::http::Body;
use crate::metrics::{CacheLabel, CacheResult, Metrics};
use crate::peer::PeerAddr;
use crate::request::{EdgeRequest, Record};
use crate::telemetry::{AccessLine, AccessLog};
use crate::world::{Client, Clients, Route, World};

/// What [`Observe`] writes to.
#[derive(Debug)]
pub struct Witness {
    /// Time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Lines, unless switched off.
    pub access_log: Option<AccessLog>,
    /// Who was cut off in the end.
    pub cut: CutShort,
    /// The configuration in force.
    pub world: Arc<ArcSwap<World>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    witness: Arc<Witness>,
}

impl ObserveLayer {
    /// Observes for this witness.
    pub fn new(witness: Arc<Witness>) -> Self {
        Self { witness }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, witness: Arc::clone(&self.witness) }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    witness: Arc<Witness>,
}

impl<S> Service<Request<Body>> for Observe<S>
where
    S: Service<EdgeRequest, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Observed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut http: Request<Body>) -> Self::Future {
        let world = self.witness.world.load_full();
        hide_key(&world.clients, http.headers_mut());
        let arrived = self.witness.clock.now();
        let record = Arc::new(Record::default());
        let request_id = http.headers().get("x-request-id").cloned();
        let testimony = Testimony {
            witness: Arc::clone(&self.witness),
            world: Arc::clone(&world),
            record: Arc::clone(&record),
            arrived,
            peer: http.extensions().get().and_then(|PeerAddr(peer)| *peer),
            method: http.method().clone(),
            request_id,
            told: false,
        };
        self.witness.metrics.in_flight.inc();
        let deadline = arrived + world.request_timeout;
        let answer = self.inner.call(EdgeRequest { http, world, record, deadline });
        Observed { answer, testimony }
    }
}

/// The field that carries clients' keys is a credential, whatever it is called.
fn hide_key(clients: &Clients, headers: &mut HeaderMap) {
    if let Clients::Keyed(roster) = clients
        && let Entry::Occupied(mut shown) = headers.entry(roster.key_field().name())
    {
        shown.iter_mut().for_each(|value| value.set_sensitive(true));
    }
}

pin_project! {
    /// The answer, about to be told of.
    #[derive(Debug)]
    pub struct Observed<F> {
        #[pin]
        answer: F,
        testimony: Testimony,
    }
}

impl<F, E> Future for Observed<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if let Ok(answer) = &mut answer {
            this.testimony.tell(answer.status().as_u16(), answer.body().size_hint().exact());
            this.testimony.watch(answer.body_mut());
        }
        Poll::Ready(answer)
    }
}

#[derive(Debug)]
struct Testimony {
    witness: Arc<Witness>,
    world: Arc<World>,
    record: Arc<Record>,
    arrived: Instant,
    peer: Option<SocketAddr>,
    method: Method,
    request_id: Option<http::HeaderValue>,
    told: bool,
}

/// The status, borrowed from nginx, of a request whose client hung up before it was answered.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What there is to tell of a request once it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// By what it was answered.
    pub world: &'f World,
    /// When it came.
    pub arrived: Instant,
    /// Its method.
    pub method: &'f Method,
    /// `X-Request-Id`
    pub request_id: &'f str,
    /// The endpoint it was routed to.
    pub route: Option<&'f Route>,
    /// Who called.
    pub client: Option<&'f Client>,
    /// What the cache had for it.
    pub cache: CacheLabel,
    /// Time spent waiting for tokens.
    pub wait: Option<Duration>,
    /// Time spent waiting for the upstream.
    pub upstream: Option<Duration>,
    /// The answer's status.
    pub status: u16,
    /// Size of the answer's body, if known by then.
    pub bytes: Option<u64>,
}

impl Witness {
    /// Counts and logs one request.
    pub fn tell(&self, facts: &Facts<'_>) {
        let Facts { route, client, cache, status, .. } = *facts;
        let duration = self.clock.now().saturating_duration_since(facts.arrived);
        let counts = route.map_or(&facts.world.unrouted, |route| &route.metrics);
        let index = client.map_or(facts.world.unknown_client, |client| client.index);
        counts.request(index, status, cache, duration.as_secs_f64());
        if let Some(cache) = cache {
            counts.cache(cache);
        }
        let Some(log) = &self.access_log else { return };
        log.write(&AccessLine {
            time: self.clock.wall(),
            request_id: facts.request_id,
            method: facts.method.as_str(),
            template: route.map(|route| route.endpoint.path.as_str()),
            endpoint: route.map(|route| route.endpoint.id.as_str()),
            client: client.map(|client| &*client.name),
            status,
            cache: cache.map(CacheResult::as_str),
            label: route.and_then(|route| route.label.as_ref()).map(|label| label.spec.id.as_str()),
            wait: facts.wait,
            upstream: facts.upstream,
            duration,
            bytes: facts.bytes,
        });
    }
}

impl Testimony {
    fn tell(&mut self, status: u16, bytes: Option<u64>) {
        self.told = true;
        self.witness.metrics.in_flight.dec();
        let request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        self.witness.tell(&Facts {
            world: &self.world,
            arrived: self.arrived,
            method: &self.method,
            request_id: request_id.unwrap_or_default(),
            route: self.record.route().map(|route| &**route),
            client: self.record.client().map(|client| &**client),
            cache: self.record.cache(),
            wait: self.record.wait(),
            upstream: self.record.upstream(),
            status,
            bytes,
        });
    }
}

impl Testimony {
    /// What is in memory leaves as fast as its client reads; what still arrives may be cut off.
    fn watch(&self, body: &mut Body) {
        if matches!(body, Body::Stream(_)) {
            *body = Body::stream(Watched {
                inner: std::mem::take(body),
                witness: Arc::clone(&self.witness),
                record: Arc::clone(&self.record),
                peer: self.peer,
                arrived: self.arrived,
            });
        }
    }
}

impl Drop for Testimony {
    fn drop(&mut self) {
        if !self.told {
            let age = || self.witness.clock.now().saturating_duration_since(self.arrived);
            self.witness.cut.given_up(&self.record, self.peer, age);
            self.tell(CLIENT_CLOSED_REQUEST, None);
        }
    }
}

#[cfg(test)]
mod tests;
