//! Tries again where that may help: outside the limiter, so that every attempt pays.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use tower::retry::budget::Budget as _;
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::Body;
use crate::policy::breaker::Company;
use crate::policy::feedback::Throttle;
use crate::policy::retry::{Attempt, Once, Tried, Verdict, judge};
use crate::request::{FetchRequest, Spent};
use crate::store::credential::{Generation, Renewable};
use crate::upstream::Connection;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct RetryLayer;

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry { inner }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
}

impl<S> Service<FetchRequest> for Retry<S>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = BoxFuture<'static, Result<Response<Body>, GatewayError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: FetchRequest) -> Self::Future {
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(attempts(inner, request))
    }
}

async fn attempts<S>(
    mut inner: S,
    mut request: FetchRequest,
) -> Result<Response<Body>, GatewayError>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>,
{
    let upstream = Arc::clone(&request.route.upstream);
    upstream.retry_budget.deposit();
    request.manner.trail = upstream.client.trail();
    let mut tried = Tried {
        retries_left: upstream.max_retries,
        reauthorized: Once::NotYet,
        reconnected: Once::NotYet,
    };
    let mut spent = Spent::default();
    let mut outcome = loop {
        let outcome = inner.call(request.clone()).await;
        spent.0 += cost(&outcome, request.route.label.is_some());
        let others = || upstream.client.others(request.manner.trail.as_ref());
        let attempt = attempt(&outcome, &upstream.retry_on, others);
        match judge(attempt, &request.method, &tried) {
            Verdict::Accept => break outcome,
            Verdict::Reauthorize => {
                tried.reauthorized = Once::Already;
                let used = outcome.as_ref().ok().and_then(|a| a.extensions().get::<Generation>());
                let renewable = used.map(|used| upstream.credential.reject(*used));
                if renewable != Some(Renewable::Retry) {
                    break outcome;
                }
            }
            Verdict::Reconnect => {
                tried.reconnected = Once::Already;
                request.manner.connection = Connection::Fresh;
            }
            Verdict::Retry => {
                if asks_for_patience(&outcome) || !upstream.retry_budget.withdraw() {
                    break outcome;
                }
                tried.retries_left -= 1;
                tokio::time::sleep(LEAST_PAUSE + LEAST_PAUSE.mul_f32(4.0 * fastrand::f32())).await;
            }
        }
        upstream.retries.inc();
    };
    if let (Ok(answer), true) = (&mut outcome, spent.0 > 0) {
        answer.extensions_mut().insert(spent);
    }
    outcome
}

/// What an attempt has cost of its label's tokens. One that is lost may have reached the upstream.
fn cost(outcome: &Result<Response<Body>, GatewayError>, limited: bool) -> u32 {
    match outcome {
        Ok(answer) => answer.extensions().get::<Spent>().map_or(0, |spent| spent.0),
        Err(GatewayError::Upstream(error)) => u32::from(limited && !error.never_sent()),
        Err(_) => 0,
    }
}

/// An upstream that stumbled gets a moment, and not everybody's second attempt in the same one.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// An upstream that says when to come back is not asked before. A 429 is the limiter's business.
fn asks_for_patience(outcome: &Result<Response<Body>, GatewayError>) -> bool {
    outcome.as_ref().is_ok_and(|answer| {
        answer.status() == StatusCode::SERVICE_UNAVAILABLE
            && answer.headers().contains_key(RETRY_AFTER)
    })
}

fn attempt(
    outcome: &Result<Response<Body>, GatewayError>,
    retry_on: &[StatusCode],
    others: impl Fn() -> Company,
) -> Attempt {
    match outcome {
        Ok(answer) if retry_on.contains(&answer.status()) => Attempt::Stumbled,
        Ok(answer) => Attempt::Answered {
            status: answer.status(),
            throttle: answer.extensions().get::<Throttle>().copied(),
        },
        Err(GatewayError::Upstream(error)) if error.was_kept_too_long() => Attempt::Stale,
        Err(GatewayError::Upstream(error)) if error.is_unfit() => Attempt::Unfit(others()),
        Err(GatewayError::Upstream(error)) if error.is_retryable() && error.never_sent() => {
            Attempt::Unsent(others())
        }
        Err(GatewayError::Upstream(error)) if error.is_retryable() => Attempt::Lost,
        Err(_) => Attempt::Failed,
    }
}

#[cfg(test)]
mod tests;
