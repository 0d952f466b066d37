//! The label's budget: go, wait in the fair queue, or be refused at once.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tower::{Layer, Service};

use crate::clock::Clock;
use crate::error::{GatewayError, QuotaFields};
use crate::http::{Body, Gathered, gather, whole_seconds};
use crate::policy::feedback::{self, Throttle};
use crate::request::FetchRequest;
use crate::store::flight::Wanted;
use crate::store::limiter::Budget;
use crate::world::Label;

/// See the module.
#[derive(Clone, Debug)]
pub struct LimitLayer {
    clock: Clock,
}

impl LimitLayer {
    /// Measures waits by this clock.
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit { inner, clock: self.clock.clone() }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Limit<S> {
    inner: S,
    clock: Clock,
}

impl<S> Service<FetchRequest> for Limit<S>
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
        Box::pin(limited(inner, request, self.clock.clone()))
    }
}

async fn limited<S>(
    mut inner: S,
    mut request: FetchRequest,
    clock: Clock,
) -> Result<Response<Body>, GatewayError>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>,
{
    let upstream = Arc::clone(&request.route.upstream);
    // First, because a token is not spent on a request that cannot be authorized, nor held while
    // one is fetched: its departure would be late, and the window no longer exact.
    upstream.credential.ready(request.deadline).await?;
    let Some(label) = request.route.label.clone() else { return inner.call(request).await };
    let (limiter, client) = (&upstream.limiter, Arc::clone(&request.client));
    let asked_at = clock.now();
    let acquired = limiter.acquire(label.index, client.share, request.deadline);
    let permit = tokio::select! {
        permit = acquired => permit,
        // Everybody who asked has hung up: leave the queue, at no cost.
        () = nobody(request.wanted.as_ref()) => return Err(GatewayError::Abandoned),
    };
    let waited = clock.now().saturating_duration_since(asked_at);
    request.record.waited(waited);
    let mut permit = permit.map_err(|refused| {
        label.metrics.refused(client.index, refused.reason.as_str());
        let quota = Arc::new(quota_fields(&label, &limiter.budget(label.index)));
        GatewayError::Limited { refused, quota }
    })?;
    label.metrics.waited(waited.as_secs_f64());
    request.departure = Some(permit.spend());
    let mut spending = Spending { label: &label, client: client.index, undone: false };
    match inner.call(request).await {
        Ok(answer) => {
            permit.answered();
            let mut answer = if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                let answer = heed(answer, &clock, |throttle, until| {
                    label.metrics.throttled(throttle.as_str());
                    let wait = limiter.throttled(label.index, throttle, until);
                    let (upstream, label) = (upstream.id.as_str(), label.spec.id.as_str());
                    let window = throttle.as_str();
                    tracing::warn!(upstream, label, window, ?wait, "the upstream answered 429");
                    wait
                });
                answer.await
            } else {
                answer
            };
            let fields = quota_fields(&label, &limiter.budget(label.index));
            let headers = answer.headers_mut();
            for (name, text) in [("ratelimit-policy", fields.policy), ("ratelimit", fields.current)]
            {
                if let Ok(value) = HeaderValue::try_from(text) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
            Ok(answer)
        }
        Err(error) => {
            let never_sent = match &error {
                GatewayError::Upstream(failed) => failed.never_sent(),
                // Nothing but the upstream's own failures happens after it was sent.
                _ => true,
            };
            if never_sent {
                spending.undone = true;
                permit.never_sent();
            }
            Err(error)
        }
    }
}

async fn nobody(wanted: Option<&Wanted>) {
    match wanted {
        Some(wanted) => wanted.by_nobody().await,
        None => std::future::pending().await,
    }
}

/// Counts a token as spent, also when the request is cancelled on its way.
struct Spending<'l> {
    label: &'l Label,
    client: usize,
    undone: bool,
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        if !self.undone {
            self.label.metrics.spent(self.client);
        }
    }
}

/// Largest 429 body that is read for its message.
const MAX_MESSAGE: usize = 16 * 1024;

/// Reads what a 429 is about, and leaves the answer as it was but for `Retry-After`: Zoom's is
/// missing or an ISO instant, which the field's readers do not understand (RFC 9110, section
/// 10.2.3).
async fn heed(
    answer: Response<Body>,
    clock: &Clock,
    tell: impl FnOnce(Throttle, Option<SystemTime>) -> Option<Duration>,
) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let (message, body) = match gather(body, MAX_MESSAGE).await {
        Ok(Gathered::Whole(message)) => (message.clone(), Body::from(message)),
        Ok(Gathered::TooLarge(body)) => (Bytes::new(), body),
        Err(broken_off) => (Bytes::new(), Body::broken(broken_off)),
    };
    let throttle = feedback::classify(&head.headers, &message);
    let wait = tell(throttle, feedback::retry_at(&head.headers, clock.wall()));
    if let Some(wait) = wait {
        head.headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    head.extensions.insert(throttle);
    Response::from_parts(head, body)
}

/// draft-ietf-httpapi-ratelimit-headers: names and figures of the label's windows, and what is
/// left of them.
fn quota_fields(label: &Label, budget: &Budget) -> QuotaFields {
    let name = &label.spec.id;
    let mut policy = Vec::new();
    let mut current = Vec::new();
    if let Some((limit, per, left)) = budget.window {
        policy.push(format!("\"{name}\";q={limit};w={}", per.as_secs()));
        current.push(format!("\"{name}\";r={left};t={}", per.as_secs()));
    }
    if let Some((pool, per_day, left, resets_in)) = &budget.pool {
        policy.push(format!("\"{pool}\";q={per_day};w=86400"));
        current.push(format!("\"{pool}\";r={left};t={}", resets_in.as_secs()));
    }
    QuotaFields { policy: policy.join(", "), current: current.join(", ") }
}

#[cfg(test)]
mod tests;
