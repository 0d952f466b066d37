//! Who calls: an API key becomes a client.

use std::sync::Arc;
use std::task::{Context, Poll};

use aws_lc_rs::digest;
use futures_util::future::{Either, Ready, ready};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Response};
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::Body;
use crate::request::{EdgeRequest, IdentifiedRequest};
use crate::world::{Client, Clients};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct IdentifyLayer;

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identify<S>;

    fn layer(&self, inner: S) -> Identify<S> {
        Identify { inner }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Identify<S> {
    inner: S,
}

impl<S> Service<EdgeRequest> for Identify<S>
where
    S: Service<IdentifiedRequest, Response = Response<Body>, Error = GatewayError>,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<Ready<Result<Response<Body>, GatewayError>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, edge: EdgeRequest) -> Self::Future {
        match identify(&edge.world.clients, edge.http.headers()) {
            Ok(client) => {
                edge.record.identified(Arc::clone(&client));
                Either::Right(self.inner.call(IdentifiedRequest { edge, client }))
            }
            Err(error) => Either::Left(ready(Err(error))),
        }
    }
}

fn identify(clients: &Clients, headers: &HeaderMap) -> Result<Arc<Client>, GatewayError> {
    let by_key = match clients {
        // Zoom's own clients send their JWT: where nobody has a key, nobody's is looked at.
        Clients::Anonymous(client) => return Ok(Arc::clone(client)),
        Clients::Keyed(by_key) => by_key,
    };
    let given = headers.get(AUTHORIZATION).ok_or(GatewayError::KeyMissing)?.as_bytes();
    let key = match given.split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key,
        _ => return Err(GatewayError::KeyMissing),
    };
    let hash = digest::digest(&digest::SHA256, key.trim_ascii());
    let client = by_key.get(hash.as_ref()).ok_or(GatewayError::KeyUnknown)?;
    Ok(Arc::clone(client))
}

#[cfg(test)]
mod tests;
