//! A whole listing in one answer, where the endpoint's rule has a parameter for it: walks the
//! pages by way of the cache, each asked for by the token that the one before it named, and answers
//! all of them together or not at all.
//!
//! Nothing is spawned: a client that hangs up ends its walk.

mod answer;
mod walk;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Either};
use http::{HeaderMap, Response};
use tower::{Layer, Service};

use self::walk::{Outcome, Walk};
use crate::clock::Clock;
use crate::error::GatewayError;
use crate::http::Body;
use crate::metrics::WalkResult;
use crate::policy::cache_key::CacheKey;
use crate::policy::freshness::Freshness;
use crate::policy::listing::{Extent, ListingFault};
use crate::request::RoutedRequest;
use crate::store::cache::EntryCache;
use crate::store::limiter::Reason;
use crate::world::Route;

/// See the module.
#[derive(Clone, Debug)]
pub struct ListingLayer {
    memory: Memory,
    clock: Clock,
}

impl ListingLayer {
    /// `entries` are those of the cache below: what is there is not paid for.
    pub fn new(entries: EntryCache, clock: Clock) -> Self {
        Self { memory: Memory { entries, clock: clock.clone() }, clock }
    }
}

impl<S> Layer<S> for ListingLayer {
    type Service = Listing<S>;

    fn layer(&self, inner: S) -> Listing<S> {
        Listing { inner, memory: self.memory.clone(), clock: self.clock.clone() }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Listing<S> {
    inner: S,
    memory: Memory,
    clock: Clock,
}

type Answer = Result<Response<Body>, GatewayError>;

impl<S> Service<RoutedRequest> for Listing<S>
where
    S: Service<RoutedRequest, Response = Response<Body>, Error = GatewayError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<S::Future, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: RoutedRequest) -> Self::Future {
        if request.extent == Extent::Page {
            return Either::Left(self.inner.call(request));
        }
        let tally = Tally { route: Arc::clone(&request.route), result: WalkResult::Abandoned };
        let walk = Walk::new(self.inner.clone(), self.memory.clone(), self.clock.clone(), request);
        Either::Right(Box::pin(counted(walk, tally)))
    }
}

async fn counted<S>(walk: Option<Walk<S>>, mut tally: Tally) -> Answer
where
    S: Service<RoutedRequest, Response = Response<Body>, Error = GatewayError> + Clone + Send,
    S::Future: Send,
{
    let Some(walk) = walk else { return Err(GatewayError::Internal) };
    let outcome = walk.run().await;
    tally.result = match &outcome {
        Ok(Outcome::Whole(_)) => WalkResult::Whole,
        Ok(Outcome::Refused(_)) => WalkResult::Refused,
        Err(error) => failure(error),
    };
    let (Outcome::Whole(answer) | Outcome::Refused(answer)) = outcome?;
    Ok(answer)
}

fn failure(error: &GatewayError) -> WalkResult {
    match error {
        GatewayError::Deadline | GatewayError::Listing(ListingFault::NoTime { .. }) => {
            WalkResult::Time
        }
        GatewayError::Limited { refused, .. } if refused.reason == Reason::Deadline => {
            WalkResult::Time
        }
        GatewayError::Limited { .. } | GatewayError::Unaffordable { .. } => WalkResult::Budget,
        GatewayError::Listing(ListingFault::TooLong { .. } | ListingFault::TooLarge { .. }) => {
            WalkResult::Bound
        }
        _ => WalkResult::Failed,
    }
}

/// Counts a walk, whatever becomes of it.
struct Tally {
    route: Arc<Route>,
    result: WalkResult,
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.route.metrics.walk(self.result);
    }
}

/// What a walk has to know of the cache below it, and may do to it.
#[derive(Clone, Debug)]
struct Memory {
    entries: EntryCache,
    clock: Clock,
}

impl Memory {
    /// Whether there is an answer that could be served without a token, should there be none.
    fn has(&self, key: &Arc<CacheKey>, headers: &HeaderMap) -> bool {
        let now = self.clock.now();
        let entry = self.entries.get(key, headers);
        entry.is_some_and(|entry| entry.times().freshness(now) != Freshness::Dead)
    }

    /// Forgets what the token in it has made useless, or the tokens that it leads to.
    fn forget(&self, key: &Arc<CacheKey>) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests;
