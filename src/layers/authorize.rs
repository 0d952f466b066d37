//! The secret enters here, and nowhere above.

use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Either, Ready, ready};
use http::{Response, Uri};
use http_body_util::Full;
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::Body;
use crate::request::{FetchRequest, SignedRequest};
use crate::store::credential::Generation;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizeLayer;

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { inner }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Authorize<S> {
    inner: S,
}

type Answer = Result<Response<Body>, GatewayError>;

impl<S> Service<FetchRequest> for Authorize<S>
where
    S: Service<SignedRequest, Response = Response<Body>, Error = GatewayError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: FetchRequest) -> Self::Future {
        let (signed, generation) = match sign(request) {
            Ok(signed) => signed,
            Err(error) => return Either::Left(ready(Err(error))),
        };
        let answer = self.inner.call(signed);
        Either::Right(Box::pin(async move {
            let mut answer = answer.await?;
            // So that a 401 is held against the token that was used, not the one that is current.
            answer.extensions_mut().insert(generation);
            Ok(answer)
        }))
    }
}

fn sign(request: FetchRequest) -> Result<(SignedRequest, Generation), GatewayError> {
    let FetchRequest { method, route, target, body, departure, manner, record, .. } = request;
    let mut headers = request.headers;
    let generation = route.upstream.credential.apply(&mut headers)?;
    let uri = Uri::try_from(format!("{}{target}", route.upstream.base_url))
        .map_err(|_too_long| GatewayError::BadPath("the path is too long for the upstream"))?;
    let mut http = http::Request::new(Full::new(body));
    *http.method_mut() = method;
    *http.uri_mut() = uri;
    *http.headers_mut() = headers;
    Ok((SignedRequest { route, http, departure, manner, record }, generation))
}

#[cfg(test)]
mod tests;
