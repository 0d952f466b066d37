//! The way to an upstream: its replicas, each with pooled connections and three time limits.
//!
//! Redirects are not followed and nothing is decompressed: the answer is passed on as it came. The
//! request names its host in an absolute URI.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio_util::task::AbortOnDropHandle;
use tower::Service;

use crate::clock::Clock;
use crate::http::Body;
use crate::policy::breaker::{Company, Rules};
use crate::policy::reach::{Place, Reach};
use crate::policy::trust::Trust;

mod connect;
mod error;
mod fleet;
mod guard;
mod names;
mod replica;
mod watch;

pub use crate::policy::reach::Options;
pub use error::{Detail, Line, Phase, UpstreamError};
use fleet::Fleet;
pub use fleet::{Counts, ReplicaStatus, Standing};
use watch::{Lookup, system_lookup};

/// A token endpoint's answer is small and soon there.
const TOKEN_ANSWER_MAX: usize = 64 * 1024;
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// In a request's extensions: called once there is a connection and the request goes out on it.
#[derive(Clone)]
pub struct OnConnected(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for OnConnected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnConnected")
    }
}

/// In a request's extensions: in what way it goes out.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// On what connection.
    pub connection: Connection,
    /// What has been tried; none = there is but one replica.
    pub trail: Option<Trail>,
}

/// The replica that was asked last; clones are attempts of one request.
#[derive(Clone, Debug)]
pub struct Trail(Arc<AtomicU64>);

const NOBODY: u64 = u64::MAX;

impl Trail {
    /// The one that is asked now, in place of the one that was before.
    fn step(&self, id: u64) {
        self.0.store(id, Ordering::Relaxed);
    }

    fn last(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|id| *id != NOBODY)
    }
}

/// On what connection a request may go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// One that is there, or a new one.
    #[default]
    Any,
    /// A new one, which is closed afterwards.
    Fresh,
}

/// Sends requests to an upstream. Clones share the replicas and their connections.
#[derive(Clone, Debug)]
pub struct UpstreamClient {
    fleet: Arc<Fleet>,
    /// Ends with the last clone.
    _tasks: Arc<Vec<AbortOnDropHandle<()>>>,
}

/// Never: there is nothing to give up on one's own.
const NO_BREAKER: Rules =
    Rules { failures: u32::MAX, open: Duration::ZERO, open_max: Duration::ZERO };

impl UpstreamClient {
    /// Goes where each request's URI says. Trusts the system's certificate authorities, or
    /// Mozilla's where the system has none.
    pub fn new(options: Options) -> Result<Self, UpstreamError> {
        Self::trusting(Trust::default(), options, None)
    }

    fn trusting(
        trust: Trust,
        options: Options,
        place: Option<Place>,
    ) -> Result<Self, UpstreamError> {
        let reach = Reach {
            options,
            trust,
            places: place.into_iter().collect(),
            resolve: None,
            breaker: NO_BREAKER,
            health: None,
            faults: Vec::new(),
        };
        Self::to("", reach, Clock::system(), Counts::default())
    }

    /// Goes to the replicas of an upstream. Needs a tokio runtime if names are looked up again or
    /// replicas are asked how they are.
    pub fn to(
        upstream: &str,
        reach: Reach,
        clock: Clock,
        counts: Counts,
    ) -> Result<Self, UpstreamError> {
        Self::looking_up(upstream, reach, clock, counts, system_lookup())
    }

    fn looking_up(
        upstream: &str,
        reach: Reach,
        clock: Clock,
        counts: Counts,
        lookup: Lookup,
    ) -> Result<Self, UpstreamError> {
        let fleet = Arc::new(Fleet::new(upstream, reach, clock, counts)?);
        let tasks = Arc::new(watch::start(&fleet, lookup));
        Ok(Self { fleet, _tasks: tasks })
    }

    /// How it goes there.
    pub fn reach(&self) -> &Reach {
        &self.fleet.reach
    }

    /// For how long nothing will be sent, because nobody is there; none = something may be.
    pub fn refuses(&self) -> Option<UpstreamError> {
        self.fleet.refuses().map(|retry_after| UpstreamError::Down { retry_after })
    }

    /// For all attempts of one request, so that the next goes elsewhere.
    pub fn trail(&self) -> Option<Trail> {
        self.fleet.is_many().then(|| Trail(Arc::new(AtomicU64::new(NOBODY))))
    }

    /// Whether there are others than the one that was asked last; none known = there is but one.
    pub fn others(&self, trail: Option<&Trail>) -> Company {
        trail.map_or(Company::Alone, |trail| self.fleet.others(trail))
    }

    /// The replicas, for the status page.
    pub fn status(&self) -> Vec<ReplicaStatus> {
        self.fleet.status()
    }
}

impl Service<Request<Full<Bytes>>> for UpstreamClient {
    type Response = Response<Body>;
    type Error = UpstreamError;
    type Future = BoxFuture<'static, Result<Response<Body>, UpstreamError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let fleet = Arc::clone(&self.fleet);
        Box::pin(async move {
            let trail = request.extensions().get::<Manner>().and_then(|m| m.trail.clone());
            let (replica, going) = fleet.pick(trail.as_ref(), request.method())?;
            replica.send(request, going).await
        })
    }
}

/// Sends one request and collects its small answer; a failure is told as a label only, because an
/// answer's text may hold what the request did.
pub type SmallExchange = Arc<
    dyn Fn(Request<Full<Bytes>>) -> BoxFuture<'static, Result<Response<Bytes>, &'static str>>
        + Send
        + Sync,
>;

/// A bounded way to a token endpoint, over connections of its own, trusting whom the upstream
/// trusts.
pub fn token_exchange(
    trust: &Trust,
    place: Option<&Place>,
) -> Result<SmallExchange, UpstreamError> {
    let options = Options {
        connect_timeout: TOKEN_TIMEOUT,
        first_byte_timeout: TOKEN_TIMEOUT,
        total_timeout: TOKEN_TIMEOUT,
        // Tokens are asked for less often than any server keeps a connection.
        idle_timeout: Duration::from_secs(1),
        http2_prior_knowledge: false,
    };
    // The name is the upstream's own, and not its token endpoint's.
    let trust = Trust { server_name: None, ..trust.clone() };
    let client = UpstreamClient::trusting(trust, options, place.cloned())?;
    Ok(Arc::new(move |request| {
        let mut client = client.clone();
        Box::pin(async move {
            let answer = client.call(request).await.map_err(|error| error.as_str())?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, TOKEN_ANSWER_MAX).collect().await;
            let body = body.map_err(|error| {
                error.downcast_ref().map_or("answer_too_large", UpstreamError::as_str)
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }))
}

#[cfg(test)]
mod tests;
