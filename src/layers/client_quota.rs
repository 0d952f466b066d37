//! A client's own share, if one is configured: it counts every request, hits included.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
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
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<Ready<Result<Response<Body>, GatewayError>>, S::Future>;

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
            return Either::Left(ready(Err(error)));
        }
        Either::Right(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests;
