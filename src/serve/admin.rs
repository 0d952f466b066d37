//! The admin listener: `/metrics`, `/livez`, `/readyz`, `/status`, `/reopen`, `/purge`. Never on
//! the public listener.

mod accept;
mod purge;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, VARY,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

pub use self::purge::{Of, Order, Purge, Refusal};
use super::drain::Drain;
use crate::http::Body;
use crate::metrics::Metrics;
use crate::policy::cross_site::{self, CrossSite};
use crate::secret::Fingerprint;

/// Writes what `/status` shows.
pub type StatusSource = Arc<dyn Fn() -> Value + Send + Sync>;

/// Forgets what an upstream has said about its limits: of one upstream or all, of one label or all.
/// How many labels there were.
pub type Reopen = Arc<dyn Fn(Option<&str>, Option<&str>) -> usize + Send + Sync>;

/// Sets the gauges that are computed when somebody asks.
pub type Refresh = Arc<dyn Fn() + Send + Sync>;

/// Who may change something at the moment.
pub type Lock = Arc<dyn Fn() -> Access + Send + Sync>;

/// Who may change something.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever shows this token. No web page can.
    Token(Fingerprint),
    /// Anybody but a web page; these are names by which the listener is called.
    Local(Vec<String>),
}

/// What the gateway has for its operator.
#[derive(Clone)]
pub struct Desk {
    /// For `/status`.
    pub status: StatusSource,
    /// For `/metrics`.
    pub refresh: Refresh,
    /// For `/reopen`.
    pub reopen: Reopen,
    /// For `/purge`.
    pub purge: Purge,
    /// For whoever wants to change something.
    pub lock: Lock,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// Answers on the admin listener. Everything it says is computed in memory, so it is ready at once.
#[derive(Clone, Debug)]
pub struct AdminService {
    metrics: Arc<Metrics>,
    desk: Desk,
    drain: Drain,
}

impl AdminService {
    /// `drain` is the public listener's: `/readyz` turns with it. The admin listener itself needs
    /// another one, finished later, so that it can still say so.
    pub fn new(metrics: Arc<Metrics>, desk: Desk, drain: Drain) -> Self {
        Self { metrics, desk, drain }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let page: fn(&Self, &Request<B>) -> Page = match request.uri().path() {
            "/metrics" => Self::metrics,
            "/livez" => |_, _| Page::text(StatusCode::OK, "ok\n"),
            "/readyz" => |admin, _| admin.readiness(),
            "/status" => |admin, _| admin.status(),
            "/reopen" => return self.act(request, Self::reopening),
            "/purge" => return self.act(request, Self::purging),
            _ => |_, _| Page::problem(StatusCode::NOT_FOUND, NOT_FOUND),
        };
        match *request.method() {
            Method::GET => page(self, request).into_response(true),
            Method::HEAD => page(self, request).into_response(false),
            _ => method_not_allowed("GET, HEAD"),
        }
    }

    /// What changes something: by POST, and with the token where there is one. Without, no web page
    /// may be behind it.
    fn act<B>(&self, request: &Request<B>, action: fn(&Self, &str) -> Page) -> Response<Body> {
        if request.method() != Method::POST {
            return method_not_allowed("POST");
        }
        let (headers, target) = (request.headers(), request.uri().authority());
        match (self.desk.lock)() {
            Access::Token(token) if !is_shown(&token, headers) => return unauthorized(),
            Access::Token(_) => {}
            Access::Local(names) => {
                if let Err(why) = cross_site::check(headers, target, &names) {
                    return forbidden(why);
                }
            }
        }
        action(self, request.uri().query().unwrap_or_default()).into_response(true)
    }

    /// What the upstream has said is forgotten. Whatever is named has to be there.
    fn reopening(&self, query: &str) -> Page {
        let (mut upstream, mut label) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("upstream", name)) if upstream.is_none() => upstream = Some(name),
                Some(("label", name)) if label.is_none() => label = Some(name),
                _ => return Page::problem(StatusCode::BAD_REQUEST, REOPEN),
            }
        }
        match (self.desk.reopen)(upstream, label) {
            0 => Page::problem(StatusCode::NOT_FOUND, "There is no such label."),
            reopened => Page::done(&json!({ "reopened": reopened })),
        }
    }

    /// What was asked for before now is not served any more, or only as something stale.
    fn purging(&self, query: &str) -> Page {
        match Order::parse(query).and_then(|order| (self.desk.purge)(&order)) {
            Ok(purged) => Page::done(&purged),
            Err(Refusal::Bad(why)) => Page::problem(StatusCode::BAD_REQUEST, &why),
            Err(Refusal::Unknown(what)) => Page::problem(StatusCode::NOT_FOUND, &what),
        }
    }

    fn metrics<B>(&self, request: &Request<B>) -> Page {
        (self.desk.refresh)();
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
        let mut text = format!("{:#}", (self.desk.status)());
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

const NOT_FOUND: &str =
    "The admin listener has /metrics, /livez, /readyz, /status, /reopen and /purge.";
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

    /// What was done, on one line.
    fn done(what: &Value) -> Self {
        Self::new(StatusCode::OK, "application/json", format!("{what}\n"))
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

/// Whether a request shows the token (RFC 6750, section 2.1).
fn is_shown(token: &Fingerprint, headers: &HeaderMap) -> bool {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, given) = given.split_at_checked(7).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"bearer ") && token.recognises(given.trim_ascii())
}

fn forbidden(why: CrossSite) -> Response<Body> {
    let detail = format!("Refused: {why}. Set admin.token, or list the name in admin.hosts.");
    Page::problem(StatusCode::FORBIDDEN, &detail).into_response(true)
}

fn unauthorized() -> Response<Body> {
    let detail = "This needs the operator's token: Authorization: Bearer <admin.token>.";
    let mut response = Page::problem(StatusCode::UNAUTHORIZED, detail).into_response(true);
    // RFC 9110, section 11.6.1
    let challenge = HeaderValue::from_static("Bearer realm=\"weir admin\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}
