//! What is asked for: path and method become an endpoint, parameters become one spelling.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::Response;
use http::header::{AUTHORIZATION, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION};
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::{Body, strip_hop_by_hop};
use crate::policy::listing::Extent;
use crate::request::{IdentifiedRequest, RoutedRequest};
use crate::world::locate::Unlocated;
use crate::world::{Clients, Route};

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
    let found = |route: &Arc<Route>| edge.record.routed(Arc::clone(route));
    let (path, query) = (head.uri.path(), head.uri.query());
    let located = edge.world.locate(&head.method, path, query, found);
    // Before a word about parameters: who may not ask is not taught how.
    if edge.record.route().is_some_and(|route| !client.may_ask(route)) {
        return Err(GatewayError::Forbidden);
    }
    let (route, parameters) = located.map_err(refusal)?;
    let extent = Extent::asked(&route.endpoint, &head.method, query)?;
    let key = route.key(Some(&client), parameters);
    let mut headers = head.headers;
    strip_hop_by_hop(&mut headers);
    // Host is for the connection to us, what it expects we have done, and a cookie would make an
    // answer one client's own.
    for name in [PROXY_AUTHORIZATION, COOKIE, HOST, EXPECT] {
        headers.remove(name);
    }
    // Whatever proved who the client is was for us; where nobody has to prove anything, and no
    // credential of ours goes with the request, it is for the upstream.
    let is_ours = matches!(edge.world.clients, Clients::Keyed(_)) || route.upstream.authorized;
    if is_ours {
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
