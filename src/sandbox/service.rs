//! The sandbox as a `tower` service: what happens to a request, in order.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower::Service;

use super::answer::{Answer, ApiError, CATEGORY, KIND, LIMIT, REMAINING};
use super::api::{self, Asked};
use super::auth::Refusal;
use super::counters::Seen;
use super::faults::{self, FaultKind};
use super::json::iso;
use super::limits::{DailyPool, Verdict};
use super::operations::Label;
use super::paths::{self, Route};
use super::{Sandbox, control};
use crate::http::{Body, BoxError};

/// The largest request body that is read.
const MAX_BODY: usize = 64 * 1024;
const OAUTH_PATH: &str = "/oauth/token";

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The connection is dropped without an answer, as a fault asked for.
    #[error("the sandbox was told to drop this connection")]
    Reset,
}

/// An answer and what will be done to it.
struct Outcome {
    endpoint: &'static str,
    label: Option<Label>,
    answer: Answer,
    fault: Option<FaultKind>,
}

impl<B> Service<Request<B>> for Sandbox
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = SandboxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let sandbox = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            if head.uri.path().starts_with(control::PREFIX) {
                let query = head.uri.query().unwrap_or_default();
                return Ok(control::answer(&sandbox, &head.method, head.uri.path(), query));
            }
            let outcome = match read(body).await {
                Ok(body) => sandbox.decide(&head, &body),
                Err(error) => {
                    Outcome { endpoint: "unknown", label: None, answer: error.into(), fault: None }
                }
            };
            sandbox.deliver(outcome).await
        })
    }
}

async fn read<B>(body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::body_too_large()),
        Err(_broken) => Err(ApiError::unreadable_body()),
    }
}

impl Sandbox {
    fn decide(&self, head: &request::Parts, body: &Bytes) -> Outcome {
        let target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        let seen = Seen { method: head.method.clone(), target, headers: head.headers.clone() };
        self.inner.tally.lock().saw(seen);
        if head.uri.path() == OAUTH_PATH && head.method == Method::POST {
            return self.token(head, body);
        }
        if let Some(route) = paths::route(&head.method, head.uri.path()) {
            return self.operation(head, &route, body);
        }
        let answer = ApiError::unknown_endpoint().into();
        Outcome { endpoint: "unknown", label: None, answer, fault: None }
    }

    fn token(&self, head: &request::Parts, body: &Bytes) -> Outcome {
        let endpoint = "oauthToken";
        let form = String::from_utf8_lossy(body);
        let query = head.uri.query().unwrap_or_default();
        let answer =
            self.inner.gatekeeper.token(&head.headers, query, &form, self.now_ms() / 1_000);
        let fault = self.inner.faults.lock().strike(endpoint, true);
        let answer = match fault {
            Some(FaultKind::Status(status)) => ApiError::fault(status).into(),
            _ => answer,
        };
        Outcome { endpoint, label: None, answer, fault }
    }

    /// Authorization, then the limits, then a fault if one is on order, then the answer.
    fn operation(&self, head: &request::Parts, route: &Route, body: &Bytes) -> Outcome {
        let (endpoint, label) = (route.operation.id, route.operation.label);
        let outcome = |answer, fault| Outcome { endpoint, label: Some(label), answer, fault };
        let strike = |admitted| self.inner.faults.lock().strike(endpoint, admitted);
        self.arrive(label);
        if let Err(refusal) = self.inner.gatekeeper.check(&head.headers, self.now_ms() / 1_000) {
            let error = match refusal {
                Refusal::Invalid => ApiError::invalid_token(),
                Refusal::Expired => ApiError::expired_token(),
            };
            return outcome(error.into(), strike(false));
        }
        let (verdict, pool) = self.admit(label);
        let answer = match verdict {
            Verdict::Window => Answer::from(ApiError::per_second()).with(KIND, &"QPS"),
            Verdict::Day => daily(pool),
            Verdict::Admitted => {
                let fault = strike(true);
                let answer = match fault {
                    Some(FaultKind::Status(status)) => faulty(status),
                    _ => self.ask(head, route, body),
                };
                return outcome(labelled(answer, label, pool), fault);
            }
        };
        outcome(labelled(answer, label, pool), strike(false))
    }

    fn ask(&self, head: &request::Parts, route: &Route, body: &Bytes) -> Answer {
        let query = head.uri.query().unwrap_or_default();
        let asked = Asked { route, query, body, now: self.now_ms() };
        api::answer(&self.inner.account, &self.inner.pager, &asked).unwrap_or_else(Answer::from)
    }

    fn arrive(&self, label: Label) {
        let limits = self.inner.limits.lock();
        let now = self.inner.clock.now();
        self.inner.tally.lock().arrived(label, now, limits.figures());
    }

    fn admit(&self, label: Label) -> (Verdict, Option<DailyPool>) {
        // The clock is read under the lock, so that times are in the order of decisions.
        let mut limits = self.inner.limits.lock();
        let now = self.inner.clock.now();
        let verdict = limits.admit(label, now, self.now_ms());
        if verdict == Verdict::Admitted {
            self.inner.tally.lock().admitted(label, now, limits.figures());
        }
        (verdict, limits.pool(label))
    }

    async fn deliver(&self, outcome: Outcome) -> Result<Response<Body>, SandboxError> {
        let Outcome { endpoint, label, answer, fault } = outcome;
        let status = match fault {
            Some(FaultKind::Timeout | FaultKind::Reset) => 0,
            Some(FaultKind::Garbage) => StatusCode::OK.as_u16(),
            _ => answer.status.as_u16(),
        };
        self.inner.tally.lock().answered(endpoint, label, status);
        let answer = self.inner.headers.lock().restate(answer);
        let latency = self.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match fault {
            Some(FaultKind::Reset) => return Err(SandboxError::Reset),
            Some(FaultKind::Timeout) => {
                tokio::time::sleep(faults::HELD).await;
                return Err(SandboxError::Reset);
            }
            _ => {}
        }
        let response = answer.into_response(self.inner.options.seed, self.next_number());
        Ok(match fault {
            Some(fault) => faults::spoil(fault, response),
            None => response,
        })
    }
}

fn faulty(status: StatusCode) -> Answer {
    let answer = Answer::from(ApiError::fault(status));
    if status == StatusCode::TOO_MANY_REQUESTS { answer.with(KIND, &"QPS") } else { answer }
}

fn daily(pool: Option<DailyPool>) -> Answer {
    let answer = Answer::from(ApiError::daily()).with(KIND, &"Daily-limit");
    match pool {
        Some(pool) => answer.with(http::header::RETRY_AFTER, &iso(pool.resets_at)),
        None => answer,
    }
}

/// The figures in these headers are those of the day, so labels without a day have none.
fn labelled(answer: Answer, label: Label, pool: Option<DailyPool>) -> Answer {
    let answer = answer.with(CATEGORY, &label);
    match pool {
        Some(pool) => answer.with(LIMIT, &pool.limit).with(REMAINING, &pool.remaining),
        None => answer,
    }
}
