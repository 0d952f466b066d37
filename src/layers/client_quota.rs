//! A client's own share, if one is configured: it counts every request that is not refused, hits
//! included.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Either, Ready, ready};
use http::Response;
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::Body;
use crate::request::RoutedRequest;
use crate::store::limiter::{Reason, Refused};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct ClientQuotaLayer;

impl<S> Layer<S> for ClientQuotaLayer {
    type Service = ClientQuota<S>;

    fn layer(&self, inner: S) -> ClientQuota<S> {
        ClientQuota { inner }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ClientQuota<S> {
    inner: S,
}

impl<S> Service<RoutedRequest> for ClientQuota<S>
where
    S: Service<RoutedRequest, Response = Response<Body>, Error = GatewayError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<S::Future, Either<Ready<Answer>, BoxFuture<'static, Answer>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: RoutedRequest) -> Self::Future {
        if let Err(retry_after) = request.client.check_quota() {
            if let Some(label) = &request.route.label {
                label.metrics.refused(request.client.index, Reason::ClientShare.as_str());
            }
            let refused = Refused { reason: Reason::ClientShare, retry_after };
            let error = GatewayError::Limited { refused, quota: Arc::default() };
            return Either::Right(Either::Left(ready(Err(error))));
        }
        let client = request.client.has_quota().then(|| Arc::clone(&request.client));
        let answer = self.inner.call(request);
        let Some(client) = client else { return Either::Left(answer) };
        Either::Right(Either::Right(Box::pin(async move {
            let answer = answer.await;
            // One in every window, or in none: also in this one.
            if matches!(answer, Err(GatewayError::Limited { .. })) {
                client.give_back_quota();
            }
            answer
        })))
    }
}

type Answer = Result<Response<Body>, GatewayError>;

#[cfg(test)]
mod tests;
