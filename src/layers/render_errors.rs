//! Turns an error, and a panic, into `application/problem+json` (RFC 9457). Above here there are
//! only answers; here, and nowhere else, the operator hears of what went wrong.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{CatchUnwind, Either, Ready, ready};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, Response};
use serde::Serialize;
use tower::{Layer, Service};

use crate::error::{GatewayError, Level};
use crate::http::{Body, whole_seconds};
use crate::request::EdgeRequest;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct RenderErrorsLayer;

impl<S> Layer<S> for RenderErrorsLayer {
    type Service = RenderErrors<S>;

    fn layer(&self, inner: S) -> RenderErrors<S> {
        RenderErrors { inner }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct RenderErrors<S> {
    inner: S,
}

impl<S> Service<EdgeRequest> for RenderErrors<S>
where
    S: Service<EdgeRequest, Response = Response<Body>, Error = GatewayError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Rendered<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Below here everybody is always ready: what has to wait does so inside its call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: EdgeRequest) -> Self::Future {
        let request_id = request.http.headers().get("x-request-id").cloned();
        // Much happens in `call` itself: a hit is all done when it returns.
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        let answer = match called {
            Ok(answer) => Either::Left(AssertUnwindSafe(answer).catch_unwind()),
            Err(panic) => Either::Right(ready(Err(panic))),
        };
        Rendered { answer, request_id }
    }
}

type Panic = Box<dyn Any + Send>;

pin_project_lite::pin_project! {
    /// An answer, come what may.
    pub struct Rendered<F>
    where
        F: Future,
    {
        #[pin]
        answer: Either<CatchUnwind<AssertUnwindSafe<F>>, Ready<Result<F::Output, Panic>>>,
        request_id: Option<HeaderValue>,
    }
}

impl<F> Future for Rendered<F>
where
    F: Future<Output = Result<Response<Body>, GatewayError>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.answer.poll(cx).map(|answer| {
            let answer = answer.unwrap_or(Err(GatewayError::Internal));
            Ok(answer.unwrap_or_else(|error| render(&error, this.request_id.as_ref())))
        })
    }
}

impl<F: Future> fmt::Debug for Rendered<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").finish_non_exhaustive()
    }
}

const WEIR_ERROR: HeaderName = HeaderName::from_static("weir-error");

/// RFC 9457, section 3; `code` and `message` are what Zoom's clients read.
#[derive(Serialize)]
struct Problem<'p> {
    #[serde(rename = "type")]
    kind: String,
    title: &'p str,
    status: u16,
    detail: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'p str>,
    request_id: &'p str,
    code: u16,
    message: &'p str,
}

fn render(error: &GatewayError, request_id: Option<&HeaderValue>) -> Response<Body> {
    let row = error.row();
    let request_id = request_id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    match row.level {
        Level::Silent => {}
        Level::Warn => tracing::warn!(request_id, code = row.code, %error, "request failed"),
        Level::Error => tracing::error!(request_id, code = row.code, %error, "request failed"),
    }
    let detail = error.to_string();
    let problem = Problem {
        kind: format!("urn:weir:problem:{}", row.code),
        title: row.title,
        status: row.status.as_u16(),
        detail: &detail,
        parameter: match error {
            GatewayError::BadParameter(bad) => Some(&bad.name),
            _ => None,
        },
        request_id,
        code: row.status.as_u16(),
        message: &detail,
    };
    let text = serde_json::to_string(&problem).unwrap_or_default();
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = row.status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(WEIR_ERROR, HeaderValue::from_static(row.code));
    if let Some(after) = row.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
    }
    match error {
        GatewayError::MethodNotAllowed { allow } => put(headers, ALLOW, allow),
        GatewayError::KeyMissing(_) | GatewayError::KeyUnknown(_) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir\""));
        }
        GatewayError::Limited { quota, .. } | GatewayError::Unaffordable { quota, .. } => {
            put(headers, HeaderName::from_static("ratelimit-policy"), &quota.policy);
            put(headers, HeaderName::from_static("ratelimit"), &quota.current);
        }
        _ => {}
    }
    answer
}

fn put(headers: &mut http::HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text)
        && !text.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
