//! A service that stands for everything below a layer, and what is looked at in answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Response};
use http_body_util::BodyExt as _;
use tower::{Service, ServiceExt as _};

use super::Answer;
use crate::error::GatewayError;
use crate::http::Body;

type Reply<R> = dyn Fn(usize, R) -> BoxFuture<'static, Answer> + Send + Sync;

/// Stands for everything below a layer: counts what arrives, and answers as told.
pub(crate) struct Fake<R> {
    calls: Arc<AtomicUsize>,
    reply: Arc<Reply<R>>,
}

impl<R> Clone for Fake<R> {
    fn clone(&self) -> Self {
        Self { calls: Arc::clone(&self.calls), reply: Arc::clone(&self.reply) }
    }
}

impl<R> Fake<R> {
    /// `reply` gets the number of the call, from 0, within `call` itself.
    pub(crate) fn new<F>(reply: impl Fn(usize, R) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self { calls: Arc::default(), reply: Arc::new(move |n, r| reply(n, r).boxed()) }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl<R> Service<R> for Fake<R> {
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = BoxFuture<'static, Answer>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        (self.reply)(self.calls.fetch_add(1, Ordering::SeqCst), request)
    }
}

pub(crate) fn answer(
    status: u16,
    fields: &[(&'static str, &str)],
    body: impl Into<Body>,
) -> Response<Body> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status.try_into().unwrap();
    for (name, value) in fields {
        let name = HeaderName::from_static(name);
        answer.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    answer
}

/// The code of an error, or `ok`.
pub(crate) fn code(answer: &Answer) -> &'static str {
    answer.as_ref().map_or_else(|error| error.row().code, |_| "ok")
}

/// A field's text, or nothing.
pub(crate) fn field<'a, B>(answer: &'a Response<B>, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

pub(crate) async fn text(answer: Response<Body>) -> String {
    let whole = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(whole.to_vec()).unwrap()
}

pub(crate) async fn send<S, R>(service: &S, request: R) -> Result<S::Response, S::Error>
where
    S: Service<R> + Clone,
{
    service.clone().oneshot(request).await
}

/// Sends in a task of its own, so that it runs whether somebody waits or not.
pub(crate) fn start<S, R>(
    service: &S,
    request: R,
) -> tokio::task::JoinHandle<Result<S::Response, S::Error>>
where
    S: Service<R, Future: Send, Response: Send, Error: Send> + Clone + Send + 'static,
    R: Send + 'static,
{
    tokio::spawn(service.clone().oneshot(request))
}

/// Lets everything run that can.
pub(crate) async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}
