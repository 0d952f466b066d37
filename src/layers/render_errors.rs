//! Turns an error, and a panic, into `application/problem+json` (RFC 9457). Above here there are
//! only answers; here, and nowhere else, the operator hears of what went wrong.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::CatchUnwind;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, Response};
use serde::Serialize;
use tower::{Layer, Service};

use crate::error::{GatewayError, Level};
use crate::http::Body;
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
        let answer = std::panic::AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Rendered { answer, request_id }
    }
}

pin_project_lite::pin_project! {
    /// An answer, come what may.
    #[derive(Debug)]
    pub struct Rendered<F> {
        #[pin]
        answer: CatchUnwind<std::panic::AssertUnwindSafe<F>>,
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
        GatewayError::KeyMissing | GatewayError::KeyUnknown => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir\""));
        }
        GatewayError::Limited { quota, .. } => {
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

/// Rounded up: whoever waits as long as told finds the door open.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::policy::params::BadParameter;
    use crate::store::limiter::{Reason, Refused};

    async fn rendered(error: GatewayError) -> (Response<()>, serde_json::Value) {
        let id = HeaderValue::from_static("abc");
        let (head, body) = render(&error, Some(&id)).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(head, ()), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_tells_when_to_come_back_in_whole_seconds() {
        let refused = Refused { reason: Reason::Rate, retry_after: Duration::from_millis(1001) };
        let (head, body) = rendered(GatewayError::Limited { refused, quota: Arc::default() }).await;
        assert_eq!(
            (head.status().as_u16(), &head.headers()["retry-after"]),
            (429, &"2".parse().unwrap())
        );
        assert_eq!(head.headers()["weir-error"], "rate-second");
        assert_eq!(body["type"], "urn:weir:problem:rate-second");
        assert_eq!((&body["code"], &body["request_id"]), (&429.into(), &"abc".into()));
        assert_eq!(body["message"], body["detail"]);
    }

    #[tokio::test]
    async fn a_bad_parameter_is_named() {
        let bad = BadParameter { name: "type".into(), why: "must be one of live, past".into() };
        let (head, body) = rendered(bad.into()).await;
        assert_eq!((head.status().as_u16(), &body["parameter"]), (400, &"type".into()));
        assert_eq!(head.headers()["content-type"], "application/problem+json");
    }
}
