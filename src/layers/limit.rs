//! The label's budget: go, wait in the fair queue, or be refused at once.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use crate::clock::Clock;
use crate::error::{GatewayError, QuotaFields};
use crate::http::{Body, Gathered, Room, gather_until, whole_seconds};
use crate::policy::endpoint::Priority;
use crate::policy::feedback::{self, Throttle, Word};
use crate::policy::share::Share;
use crate::request::{FetchRequest, Spent, Urgency};
use crate::store::flight::{Joined, Wanted};
use crate::store::limiter::{Departure, Heard, Permit};
use crate::world::{Label, Upstream};

/// See the module.
#[derive(Clone, Debug)]
pub struct LimitLayer {
    clock: Clock,
    abandoned: Abandoned,
}

/// Room for requests that have left and that nobody waits for any more. They are nobody's requests
/// in flight, so `server.max_in_flight` does not hold them.
type Abandoned = Arc<Semaphore>;

/// So many of them at a time; further ones are broken off.
const MAX_ABANDONED: usize = 1024;

impl LimitLayer {
    /// Measures waits by this clock.
    pub fn new(clock: Clock) -> Self {
        Self { clock, abandoned: Arc::new(Semaphore::new(MAX_ABANDONED)) }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit { inner, clock: self.clock.clone(), abandoned: Arc::clone(&self.abandoned) }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Limit<S> {
    inner: S,
    clock: Clock,
    abandoned: Abandoned,
}

impl<S> Service<FetchRequest> for Limit<S>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
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
        Box::pin(limited(inner, request, self.clock.clone(), Arc::clone(&self.abandoned)))
    }
}

async fn limited<S>(
    mut inner: S,
    mut request: FetchRequest,
    clock: Clock,
    abandoned: Abandoned,
) -> Result<Response<Body>, GatewayError>
where
    S: Service<FetchRequest, Response = Response<Body>, Error = GatewayError> + Send + 'static,
    S::Future: Send + 'static,
{
    let upstream = Arc::clone(&request.route.upstream);
    // Nobody is there: neither a wait nor a token is spent on finding that out again.
    if let Some(down) = upstream.client.refuses() {
        return Err(down.into());
    }
    // First, because a token is not spent on a request that cannot be authorized, nor held while
    // one is fetched: its departure would be late, and the window no longer exact.
    upstream.credential.ready(request.deadline).await?;
    let Some(label) = request.route.label.clone() else { return inner.call(request).await };
    let mut permit = admitted(&request, &upstream, &label, &clock).await?;
    let departure = permit.spend();
    request.departure = Some(departure.clone());
    let spending = Spending { label, client: request.client.index, permit: Some(permit) };
    let way = async move {
        match inner.call(request).await {
            Ok(answer) => Ok(spending.answered(answer, &upstream, &clock).await),
            Err(error) => Err(spending.failed(error)),
        }
    };
    Way { rest: Some(Box::pin(way)), departure, abandoned }.await
}

type Answer = Result<Response<Body>, GatewayError>;

/// A request with its token. Given up before it has left, it costs nothing; afterwards it goes on
/// to its answer without those who asked, so that what is counted as spent is what the upstream
/// has seen, and a connection is not torn down for it. Where too many go on like that it is broken
/// off: its token is spent all the same, and only the upstream's word on it is lost.
struct Way {
    rest: Option<BoxFuture<'static, Answer>>,
    departure: Departure,
    abandoned: Abandoned,
}

impl Future for Way {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(mut rest) = self.rest.take() else { return Poll::Pending };
        // Taken out meanwhile: what panics is not polled again.
        let answer = rest.as_mut().poll(cx);
        if answer.is_pending() {
            self.rest = Some(rest);
        }
        answer
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take().filter(|_| self.departure.has_left())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && let Ok(room) = Arc::clone(&self.abandoned).try_acquire_owned()
        {
            runtime.spawn(async move {
                let _room = room;
                rest.await
            });
        }
    }
}

/// Waits for a token, as long as anybody waits for the answer.
async fn admitted(
    request: &FetchRequest,
    upstream: &Upstream,
    label: &Label,
    clock: &Clock,
) -> Result<Permit, GatewayError> {
    let (limiter, client) = (&upstream.limiter, &request.client);
    let asked_at = clock.now();
    let acquired = async {
        let of = |priority| Share { priority, ..client.share.clone() };
        let first = match request.urgency {
            Urgency::Asked => Cow::Borrowed(&client.share),
            Urgency::Ahead => Cow::Owned(of(Priority::Low)),
        };
        tokio::select! {
            permit = limiter.acquire(label.index, &first, request.deadline) => permit,
            // Somebody who goes first needs it now, and is not to wait behind those that can wait.
            priority = somebody(request.joined.as_ref()) => {
                limiter.acquire(label.index, &of(priority), request.deadline).await
            }
        }
    };
    let permit = tokio::select! {
        permit = acquired => permit,
        // Everybody who asked has hung up: leave the queue, at no cost.
        () = nobody(request.wanted.as_ref()) => return Err(GatewayError::Abandoned),
    };
    let waited = clock.now().saturating_duration_since(asked_at);
    request.record.waited(waited);
    let permit = permit.map_err(|refused| {
        label.metrics.refused(client.index, refused.reason.as_str());
        let quota = Arc::new(QuotaFields::of(&label.spec.id, &limiter.budget(label.index)));
        GatewayError::Limited { refused, quota }
    })?;
    label.metrics.waited(waited.as_secs_f64());
    if let Some(observed) = permit.observed() {
        label.metrics.observed(client.index, observed.as_str());
    }
    Ok(permit)
}

async fn somebody(joined: Option<&Joined>) -> Priority {
    match joined {
        Some(joined) => joined.by_somebody().await,
        None => std::future::pending().await,
    }
}

async fn nobody(wanted: Option<&Wanted>) {
    match wanted {
        Some(wanted) => wanted.by_nobody().await,
        None => std::future::pending().await,
    }
}

/// A token on its way. Counted as spent if the request has left, whatever becomes of it then.
struct Spending {
    label: Arc<Label>,
    client: usize,
    permit: Option<Permit>,
}

impl Spending {
    async fn answered(
        self,
        answer: Response<Body>,
        upstream: &Upstream,
        clock: &Clock,
    ) -> Response<Body> {
        let (label, Some(permit)) = (&self.label, &self.permit) else { return answer };
        permit.answered();
        let mut answer = heed(answer, upstream, label, permit, clock).await;
        answer.extensions_mut().insert(Spent(1));
        let fields = QuotaFields::of(&label.spec.id, &upstream.limiter.budget(label.index));
        let headers = answer.headers_mut();
        for (name, text) in [("ratelimit-policy", fields.policy), ("ratelimit", fields.current)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        answer
    }

    fn failed(mut self, error: GatewayError) -> GatewayError {
        let never_sent = match &error {
            GatewayError::Upstream(failed) => failed.never_sent(),
            // Nothing but the upstream's own failures happens after it was sent.
            _ => true,
        };
        if let Some(permit) = self.permit.take() {
            if never_sent {
                permit.never_sent();
            } else {
                permit.sent();
                self.permit = Some(permit);
            }
        }
        error
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        if self.permit.as_ref().is_some_and(Permit::has_left) {
            self.label.metrics.spent(self.client);
        }
    }
}

/// Largest 429 body that is read for its message.
const MAX_MESSAGE: usize = 16 * 1024;

/// How long such a body is waited for; it is small and usually there with its head.
const MESSAGE_PATIENCE: Duration = Duration::from_millis(250);

/// Hears what the upstream says about its limits, and leaves the answer as it was but for a 429's
/// `Retry-After`: Zoom's is missing or an ISO instant, which the field's readers do not understand
/// (RFC 9110, section 10.2.3).
async fn heed(
    answer: Response<Body>,
    upstream: &Upstream,
    label: &Label,
    permit: &Permit,
    clock: &Clock,
) -> Response<Body> {
    let (mut head, mut body) = answer.into_parts();
    let mut throttle = None;
    if head.status == StatusCode::TOO_MANY_REQUESTS {
        throttle = feedback::by_type(&head.headers);
    }
    if head.status == StatusCode::TOO_MANY_REQUESTS && throttle.is_none() {
        // Until it is heard others leave, to be refused as well.
        let too_late = tokio::time::sleep(MESSAGE_PATIENCE);
        let message =
            match gather_until(too_late, body, MAX_MESSAGE, Room::unbounded().part()).await {
                Ok(Gathered::Whole(message, _)) => {
                    body = Body::from(message.clone());
                    message
                }
                Ok(Gathered::TooLarge(whole) | Gathered::NoRoom(whole)) => {
                    body = whole;
                    Bytes::new()
                }
                Err(broken_off) => {
                    body = Body::broken(broken_off);
                    Bytes::new()
                }
            };
        throttle = Some(feedback::by_message(&message));
    }
    let mut word = Word::read(&head.headers, permit.day().as_ref(), clock.wall());
    let outcome = permit.heard(&mut word, throttle);
    tell(upstream, label, &word, throttle, &outcome);
    if let Some(throttle) = throttle {
        if let Some(wait) = outcome.wait {
            head.headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        head.extensions.insert(throttle);
    }
    Response::from_parts(head, body)
}

/// Tells the operator what the upstream has said, and what is odd about it.
fn tell(
    upstream: &Upstream,
    label: &Label,
    word: &Word,
    throttle: Option<Throttle>,
    heard: &Heard,
) {
    let (id, name) = (upstream.id.as_str(), label.spec.id.as_str());
    for odd in &word.odd {
        label.metrics.odd(odd.as_str());
        tracing::debug!(upstream = id, label = name, odd = odd.as_str(), "rate-limit field");
    }
    if let Some(throttle) = throttle {
        let (window, wait) = (throttle.as_str(), heard.wait);
        label.metrics.throttled(window);
        tracing::warn!(upstream = id, label = name, window, ?wait, "the upstream answered 429");
    }
    if heard.reopened {
        tracing::info!(upstream = id, label = name, "the upstream answers again");
    }
    let Some(category) = &word.category else { return };
    if Word::is_category_of(category, name) {
        return;
    }
    let known = upstream.labels.iter().find(|l| Word::is_category_of(category, l.spec.id.as_str()));
    label.metrics.mismatched(known.map(|label| label.spec.id.as_str()));
    if !label.mismatch_told.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            upstream = id,
            label = name,
            category,
            "the upstream counts this label's requests in another category: the endpoint's label \
             may be wrong"
        );
    }
}

#[cfg(test)]
mod tests;
