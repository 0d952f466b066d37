//! The admin listener: `/metrics`, `/livez`, `/readyz`, `/status`, `/reopen`. Never on the public
//! listener.

mod accept;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, VARY};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::drain::Drain;
use crate::http::Body;
use crate::metrics::Metrics;

/// Writes what `/status` shows.
pub type StatusSource = Arc<dyn Fn() -> Value + Send + Sync>;

/// Forgets what an upstream has said about its limits: of one upstream or all, of one label or all.
/// How many labels there were.
pub type Reopen = Arc<dyn Fn(Option<&str>, Option<&str>) -> usize + Send + Sync>;

/// Sets the gauges that are computed when somebody asks.
pub type Refresh = Arc<dyn Fn() + Send + Sync>;

/// Answers on the admin listener. Everything it says is computed in memory, so it is ready at once.
#[derive(Clone)]
pub struct AdminService {
    metrics: Arc<Metrics>,
    status: StatusSource,
    refresh: Refresh,
    reopen: Reopen,
    drain: Drain,
}

impl fmt::Debug for AdminService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminService").field("drain", &self.drain).finish_non_exhaustive()
    }
}

impl AdminService {
    /// `drain` is the public listener's: `/readyz` turns with it. The admin listener itself needs
    /// another one, finished later, so that it can still say so.
    pub fn new(
        metrics: Arc<Metrics>,
        status: StatusSource,
        refresh: Refresh,
        reopen: Reopen,
        drain: Drain,
    ) -> Self {
        Self { metrics, status, refresh, reopen, drain }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let page: fn(&Self, &Request<B>) -> Page = match request.uri().path() {
            "/metrics" => Self::metrics,
            "/livez" => |_, _| Page::text(StatusCode::OK, "ok\n"),
            "/readyz" => |admin, _| admin.readiness(),
            "/status" => |admin, _| admin.status(),
            "/reopen" => return self.reopening(request),
            _ => |_, _| Page::problem(StatusCode::NOT_FOUND, NOT_FOUND),
        };
        match *request.method() {
            Method::GET => page(self, request).into_response(true),
            Method::HEAD => page(self, request).into_response(false),
            _ => method_not_allowed("GET, HEAD"),
        }
    }

    /// What the upstream has said is forgotten. Whatever is named has to be there.
    fn reopening<B>(&self, request: &Request<B>) -> Response<Body> {
        if request.method() != Method::POST {
            return method_not_allowed("POST");
        }
        let (mut upstream, mut label) = (None, None);
        for pair in request.uri().query().unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            match pair.split_once('=') {
                Some(("upstream", name)) if upstream.is_none() => upstream = Some(name),
                Some(("label", name)) if label.is_none() => label = Some(name),
                _ => return Page::problem(StatusCode::BAD_REQUEST, REOPEN).into_response(true),
            }
        }
        let page = match (self.reopen)(upstream, label) {
            0 => Page::problem(StatusCode::NOT_FOUND, "There is no such label."),
            reopened => {
                let text = format!("{}\n", json!({ "reopened": reopened }));
                Page::new(StatusCode::OK, "application/json", text)
            }
        };
        page.into_response(true)
    }

    fn metrics<B>(&self, request: &Request<B>) -> Page {
        (self.refresh)();
        let face = accept::preferred(request.headers());
        Page::new(StatusCode::OK, face.content_type(), self.metrics.encode(face))
    }

    fn readiness(&self) -> Page {
        if self.drain.is_draining() {
            Page::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else {
            Page::text(StatusCode::OK, "ready\n")
        }
    }

    fn status(&self) -> Page {
        let mut text = format!("{:#}", (self.status)());
        text.push('\n');
        Page::new(StatusCode::OK, "application/json", text)
    }
}

impl<B> tower::Service<Request<B>> for AdminService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

const NOT_FOUND: &str = "The admin listener has /metrics, /livez, /readyz, /status and /reopen.";
const REOPEN: &str = "POST /reopen?upstream=NAME&label=NAME; without a name, all of them.";

struct Page {
    status: StatusCode,
    content_type: &'static str,
    content: Bytes,
}

impl Page {
    fn new(status: StatusCode, content_type: &'static str, content: impl Into<Bytes>) -> Self {
        Self { status, content_type, content: content.into() }
    }

    fn text(status: StatusCode, text: &'static str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text)
    }

    /// RFC 9457
    fn problem(status: StatusCode, detail: &str) -> Self {
        let problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        Self::new(status, "application/problem+json", problem.to_string())
    }

    /// HEAD is told the length of what GET would have sent (RFC 9110, section 9.3.2).
    fn into_response(self, with_content: bool) -> Response<Body> {
        let length = HeaderValue::from(self.content.len());
        let body = if with_content { Body::from(self.content) } else { Body::Empty };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        response
    }
}

fn method_not_allowed(allow: &'static str) -> Response<Body> {
    let detail = format!("This page answers {allow}.");
    let page = Page::problem(StatusCode::METHOD_NOT_ALLOWED, &detail);
    let mut response = page.into_response(true);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}
