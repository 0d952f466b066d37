//! Who calls: an API key, a token or a client certificate becomes a client.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::{HeaderMap, Response};
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::Body;
use crate::peer::PeerCertificate;
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

    fn call(&mut self, mut edge: EdgeRequest) -> Self::Future {
        match identify(&mut edge) {
            Ok(client) => {
                edge.record.identified(Arc::clone(&client));
                Either::Right(self.inner.call(IdentifiedRequest { edge, client }))
            }
            Err(error) => Either::Left(ready(Err(error))),
        }
    }
}

fn identify(edge: &mut EdgeRequest) -> Result<Arc<Client>, GatewayError> {
    let certificate = edge.http.extensions().get::<PeerCertificate>().cloned();
    client(&edge.world.clients, edge.http.headers_mut(), certificate.as_ref())
}

/// Who calls. What proves it is taken out of the fields: it was for us, and whoever stands below
/// cannot pass it on.
pub fn client(
    clients: &Clients,
    headers: &mut HeaderMap,
    certificate: Option<&PeerCertificate>,
) -> Result<Arc<Client>, GatewayError> {
    let roster = match clients {
        // Zoom's own clients send their JWT: where nobody has a key, nobody's is looked at.
        Clients::Anonymous(client) => return Ok(Arc::clone(client)),
        Clients::Keyed(roster) => roster,
    };
    let client = Arc::clone(roster.identify(headers, certificate)?);
    headers.remove(roster.key_field().name());
    Ok(client)
}

#[cfg(test)]
mod tests;
