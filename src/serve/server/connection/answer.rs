//! Between hyper and the service: what a request learns from its connection, and what its answer
//! tells the connection.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Service, ServiceExt as _};

use crate::http::Body;
use crate::peer::PeerAddr;
use crate::serve::drain::Drain;

/// What the requests of one connection share.
pub(super) struct Line {
    peer: PeerAddr,
    /// HTTP/1 alone says `Connection: close`; HTTP/2 has GOAWAY.
    closes_with: Option<Drain>,
    refused: AtomicBool,
}

impl Line {
    pub(super) fn new(peer: SocketAddr, closes_with: Option<Drain>) -> Self {
        Self { peer: PeerAddr(Some(peer)), closes_with, refused: AtomicBool::new(false) }
    }

    /// Whether the service answered with an error, which means: no answer.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The service as hyper calls it.
pub(super) struct Requests<S> {
    service: S,
    line: Arc<Line>,
}

impl<S> Requests<S> {
    pub(super) fn new(service: S, line: Arc<Line>) -> Self {
        Self { service, line }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S>;

    fn call(&self, mut request: Request<Incoming>) -> Answer<S> {
        request.extensions_mut().insert(self.line.peer);
        Answer { answer: self.service.clone().oneshot(request), line: Arc::clone(&self.line) }
    }
}

pin_project! {
    pub(super) struct Answer<S>
    where
        S: Service<Request<Incoming>>,
    {
        #[pin]
        answer: Oneshot<S, Request<Incoming>>,
        line: Arc<Line>,
    }
}

impl<S> Future for Answer<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
{
    type Output = Result<Response<Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        match &mut answer {
            Ok(response) => {
                if this.line.closes_with.as_ref().is_some_and(Drain::is_draining) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
            }
            Err(_) => this.line.refused.store(true, Ordering::Relaxed),
        }
        Poll::Ready(answer)
    }
}
