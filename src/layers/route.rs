//! What is asked for: path and method become an endpoint, parameters become one spelling.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::header::{AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION};
use http::{Method, Response};
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::{Body, strip_hop_by_hop};
use crate::policy::cache_key::CacheKey;
use crate::policy::endpoint::Spelling;
use crate::policy::listing::Extent;
use crate::policy::params::{BadParameter, Canonical};
use crate::policy::route::Route as Match;
use crate::policy::spelling::{could_split, has_broken_escape, has_dot_segment};
use crate::request::{IdentifiedRequest, RoutedRequest};
use crate::world::{Clients, Route, World};

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
    let (route, parameters) = find(&edge.world, &head, |route| edge.record.routed(route))?;
    let extent = Extent::asked(&route.endpoint, &head.method, head.uri.query())?;
    let by_client = route.endpoint.cache.varies_by_client();
    let key = CacheKey::new(
        route.upstream.id.clone(),
        route.upstream.credential.id().clone(),
        route.endpoint.id.clone(),
        by_client.then(|| Arc::clone(&client.name)),
        parameters,
    );
    let mut headers = head.headers;
    strip_hop_by_hop(&mut headers);
    // Host is for the connection to us, and a cookie would make an answer one client's own.
    for name in [PROXY_AUTHORIZATION, COOKIE, HOST] {
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
        deadline: edge.deadline,
        record: edge.record,
        extent,
    })
}

/// Longest path that is looked at. A URI's own bound is the request head's.
const MAX_PATH: usize = 8192;

/// The Zoom API decodes a path before it matches it, so that an encoded slash in an id makes it
/// another endpoint's, with another label. Only session ids may hold one: they go encoded twice.
fn whole_segments(spelling: Spelling, parameters: &Canonical) -> Result<(), BadParameter> {
    let split =
        |(_, value): &&(String, String)| spelling == Spelling::ZoomSessionId && could_split(value);
    match parameters.path.iter().find(split) {
        Some((name, _)) => Err(BadParameter {
            name: name.clone(),
            why: "holds characters that would make it another path".to_owned(),
        }),
        None => Ok(()),
    }
}

const AMBIGUOUS: &str = "with empty segments this path could be taken for another endpoint's";
const DOT_SEGMENT: &str = "dot segments are not resolved here";

fn find(
    world: &World,
    head: &http::request::Parts,
    found: impl FnOnce(Arc<Route>),
) -> Result<(Arc<Route>, Canonical), GatewayError> {
    let path = head.uri.path();
    if path.len() > MAX_PATH {
        return Err(GatewayError::BadPath("the path is too long"));
    }
    if !path.starts_with('/') {
        return Err(GatewayError::BadPath("the path has to begin with a slash"));
    }
    if has_broken_escape(path) {
        return Err(GatewayError::BadPath("a percent sign begins an escape of two hex digits"));
    }
    if has_dot_segment(path) {
        return Err(GatewayError::BadPath(DOT_SEGMENT));
    }
    // RFC 9110, section 9.3.8: a TRACE's answer repeats the request, and that holds our credential
    // by then. A CONNECT would be a tunnel.
    if matches!(head.method, Method::TRACE | Method::CONNECT) {
        let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned();
        return Err(GatewayError::MethodNotAllowed { allow });
    }
    let mut refusal = GatewayError::UnknownEndpoint;
    for site in &world.sites {
        let Some(below) = path.strip_prefix(site.mount.as_str()) else { continue };
        if !below.starts_with('/') {
            continue;
        }
        let table = &site.table;
        let below = table.spelling.canonical(below);
        // Again, because the canonical spelling may have laid some bare.
        if has_dot_segment(&below) {
            return Err(GatewayError::BadPath(DOT_SEGMENT));
        }
        if table.routes.is_ambiguous(&head.method, &below) {
            return Err(GatewayError::BadPath(AMBIGUOUS));
        }
        match table.routes.find(&head.method, &below) {
            Match::Found { endpoint, captures } => {
                let route = table.endpoints.get(endpoint).ok_or(GatewayError::Internal)?;
                found(Arc::clone(route));
                let parameters = Canonical::new(&route.endpoint, &captures, head.uri.query())?;
                whole_segments(table.spelling, &parameters)?;
                return Ok((Arc::clone(route), parameters));
            }
            // Of several, the longest mount's.
            Match::MethodNotAllowed { allow } => {
                if matches!(refusal, GatewayError::UnknownEndpoint) {
                    refusal = GatewayError::MethodNotAllowed { allow };
                }
            }
            Match::Unknown => {}
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests;
