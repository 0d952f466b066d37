//! Sheds load at the door: so many requests at a time, and no more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::Response;
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::Body;
use crate::request::EdgeRequest;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct AdmitLayer {
    inside: Arc<AtomicUsize>,
}

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Admit<S> {
        Admit { inner, inside: Arc::clone(&self.inside) }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Admit<S> {
    inner: S,
    inside: Arc<AtomicUsize>,
}

impl<S> Service<EdgeRequest> for Admit<S>
where
    S: Service<EdgeRequest, Response = Response<Body>, Error = GatewayError>,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<Ready<Result<Response<Body>, GatewayError>>, Admitted<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: EdgeRequest) -> Self::Future {
        let place = Place::take(&self.inside);
        if place.before >= request.world.max_in_flight {
            return Either::Left(ready(Err(GatewayError::Overloaded)));
        }
        Either::Right(Admitted { answer: self.inner.call(request), _place: place })
    }
}

pin_project_lite::pin_project! {
    /// An answer on its way, and the place it takes.
    #[derive(Debug)]
    pub struct Admitted<F> {
        #[pin]
        answer: F,
        _place: Place,
    }
}

impl<F: Future> Future for Admitted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().answer.poll(cx)
    }
}

#[derive(Debug)]
struct Place {
    inside: Arc<AtomicUsize>,
    before: usize,
}

impl Place {
    fn take(inside: &Arc<AtomicUsize>) -> Self {
        let before = inside.fetch_add(1, Ordering::Relaxed);
        Self { inside: Arc::clone(inside), before }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
