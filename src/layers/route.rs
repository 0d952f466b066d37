//! What is asked for: path and method become an endpoint, parameters become one spelling.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::header::{AUTHORIZATION, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, Response};
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::{Body, strip_hop_by_hop};
use crate::policy::cache_key::CacheKey;
use crate::policy::listing::Extent;
use crate::request::{IdentifiedRequest, RoutedRequest};
use crate::world::locate::Unlocated;
use crate::world::{Client, Clients, Route, World};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct RouteLayer;

impl<S> Layer<S> for RouteLayer {
    type Service = Routing<S>;

    fn layer(&self, inner: S) -> Routing<S> {
        Routing { inner }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Routing<S> {
    inner: S,
}

impl<S> Service<IdentifiedRequest> for Routing<S>
where
    S: Service<RoutedRequest, Response = Response<Body>, Error = GatewayError>,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<Ready<Result<Response<Body>, GatewayError>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: IdentifiedRequest) -> Self::Future {
        match routed(request) {
            Ok(request) => Either::Right(self.inner.call(request)),
            Err(error) => Either::Left(ready(Err(error))),
        }
    }
}

fn routed(request: IdentifiedRequest) -> Result<RoutedRequest, GatewayError> {
    let IdentifiedRequest { edge, client } = request;
    let (head, body) = edge.http.into_parts();
    let asks = Asks { method: &head.method, path: head.uri.path(), query: head.uri.query() };
    let found = |route: &Arc<Route>| edge.record.routed(Arc::clone(route));
    let Located { route, key, extent } = locate(&edge.world, &client, asks, found)?;
    let mut headers = head.headers;
    end_to_end(&mut headers);
    if is_ours(&edge.world.clients, &route) {
        headers.remove(AUTHORIZATION);
    }
    Ok(RoutedRequest {
        method: head.method,
        route,
        client,
        key: Arc::new(key),
        headers,
        body,
        max_body_bytes: edge.world.max_body_bytes,
        max_flights: edge.world.max_in_flight,
        world: edge.world,
        deadline: edge.deadline,
        record: edge.record,
        extent,
    })
}

/// What a request line asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'r> {
    /// How.
    pub method: &'r Method,
    /// Still encoded.
    pub path: &'r str,
    /// Still encoded; none = there is no question mark.
    pub query: Option<&'r str>,
}

/// What that means.
#[derive(Debug)]
pub struct Located {
    /// The endpoint.
    pub route: Arc<Route>,
    /// Tells it from every other question.
    pub key: CacheKey,
    /// How much of a listing.
    pub extent: Extent,
}

/// What this client asks for. `found` is told the endpoint even if the client may not ask it.
pub fn locate(
    world: &World,
    client: &Client,
    asks: Asks<'_>,
    mut found: impl FnMut(&Arc<Route>),
) -> Result<Located, GatewayError> {
    let mut may_ask = true;
    let located = world.locate(asks.method, asks.path, asks.query, |route| {
        found(route);
        may_ask = client.may_ask(route);
    });
    // Before a word about parameters: who may not ask is not taught how.
    if !may_ask {
        return Err(GatewayError::Forbidden);
    }
    let (route, parameters) = located.map_err(refusal)?;
    let extent = Extent::asked(&route.endpoint, asks.method, asks.query)?;
    let key = route.key(Some(client), parameters);
    Ok(Located { route, key, extent })
}

/// Leaves the fields that may go further. Host is for the connection to us, what it expects we have
/// done, and a cookie would make an answer one client's own.
pub fn end_to_end(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    for name in [PROXY_AUTHORIZATION, COOKIE, HOST, EXPECT] {
        headers.remove(name);
    }
}

/// Whether what proves who the client is was for us: where nobody has to prove anything, and no
/// credential of ours goes with the request, it is for the upstream.
pub fn is_ours(clients: &Clients, route: &Route) -> bool {
    matches!(clients, Clients::Keyed(_)) || route.upstream.authorized
}

fn refusal(unlocated: Unlocated) -> GatewayError {
    match unlocated {
        Unlocated::UnknownEndpoint => GatewayError::UnknownEndpoint,
        Unlocated::MethodNotAllowed { allow } => GatewayError::MethodNotAllowed { allow },
        Unlocated::BadPath(why) => GatewayError::BadPath(why),
        Unlocated::BadParameter(bad) => GatewayError::BadParameter(bad),
        Unlocated::Defect => GatewayError::Internal,
    }
}

#[cfg(test)]
mod tests;
