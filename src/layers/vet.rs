//! What no server should answer ends here, before anything is known about it but its head.
//!
//! Most of HTTP/1 has been vetted on the wire: what was found there arrives as a [`Fault`]. HTTP/2
//! is framed by its library, and its heads are held against the same rules here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::header::{ALLOW, CONTENT_LENGTH, FORWARDED, HOST, HeaderMap, HeaderValue, VIA};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode, Version};
use ipnet::IpNet;
use tower::{Layer, Service};

use crate::error::GatewayError;
use crate::http::Body;
use crate::peer::PeerAddr;
use crate::policy::authority::{is_host, same_host};
use crate::policy::framing::{Fault, HeadLimits};
use crate::policy::via;
use crate::request::EdgeRequest;

/// What is let in.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What a request's head may be, also over HTTP/2.
    pub head: HeadLimits,
    /// What weir calls itself in `Via`: a request that has been here is turned away.
    pub name: String,
    /// Whose word about the client before them is passed on.
    pub trusted_proxies: Vec<IpNet>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct VetLayer {
    rules: Arc<Rules>,
}

impl VetLayer {
    /// By these rules.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self { rules }
    }
}

impl<S> Layer<S> for VetLayer {
    type Service = Vet<S>;

    fn layer(&self, inner: S) -> Vet<S> {
        Vet { inner, rules: Arc::clone(&self.rules) }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Vet<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> Service<EdgeRequest> for Vet<S>
where
    S: Service<EdgeRequest, Response = Response<Body>, Error = GatewayError>,
{
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = Either<Ready<Result<Response<Body>, GatewayError>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: EdgeRequest) -> Self::Future {
        let EdgeRequest { http, world, record, deadline } = request;
        let (mut head, body) = http.into_parts();
        if let Err(error) = vet(&mut head, &self.rules) {
            return Either::Left(ready(Err(error)));
        }
        // RFC 9110, section 9.3.7: it asks about this server, and no endpoint of it.
        if head.method == Method::OPTIONS && head.uri.path() == "*" {
            return Either::Left(ready(Ok(about_the_server())));
        }
        let http = http::Request::from_parts(head, body);
        Either::Right(self.inner.call(EdgeRequest { http, world, record, deadline }))
    }
}

/// Turns away what no server should answer, and forgets what only some may say.
pub fn vet(head: &mut Parts, rules: &Rules) -> Result<(), GatewayError> {
    if let Some(fault) = head.extensions.get::<Fault>() {
        return Err(GatewayError::Framing(*fault));
    }
    if head.version == Version::HTTP_2 {
        vet_http2(head, &rules.head)?;
    }
    // RFC 9110, section 7.6.3: it would come back to us for ever.
    let mut hops = head.headers.get_all(VIA).iter();
    if hops.any(|hop| via::names(hop.as_bytes(), &rules.name)) {
        return Err(GatewayError::Loop);
    }
    strip_hearsay(&mut head.headers, head.extensions.get(), &rules.trusted_proxies);
    Ok(())
}

const fn malformed(why: &'static str) -> GatewayError {
    GatewayError::Framing(Fault::Malformed(why))
}

fn vet_http2(head: &Parts, limits: &HeadLimits) -> Result<(), GatewayError> {
    let too_large = |what| GatewayError::Framing(Fault::HeadTooLarge(what));
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.uri_bytes {
        return Err(GatewayError::Framing(Fault::UriTooLong));
    }
    // The request id has been added already.
    if head.headers.len() > limits.fields + 1 {
        return Err(too_large("too many fields"));
    }
    for (name, value) in &head.headers {
        if name.as_str().len() + value.len() > limits.field_bytes {
            return Err(too_large("one field"));
        }
        // RFC 9113, section 8.2.1.
        if matches!(value.as_bytes(), [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Err(malformed("white space around a field's value"));
        }
    }
    if head.headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(malformed("more than one Content-Length"));
    }
    vet_authority(head)
}

/// RFC 9113, section 8.3.1: `:authority` or one Host, and where there are both they agree.
fn vet_authority(head: &Parts) -> Result<(), GatewayError> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(malformed("more than one Host"));
    }
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    if host.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(malformed("Host names no host"));
    }
    if authority.is_some_and(|authority| !is_host(authority.as_bytes())) {
        return Err(malformed(":authority names no host"));
    }
    match (authority, host) {
        (None, None) => Err(malformed("neither :authority nor Host")),
        (Some(authority), Some(host)) if !same_host(authority.as_bytes(), host.as_bytes()) => {
            Err(malformed("Host and :authority differ"))
        }
        _ => Ok(()),
    }
}

/// What others say about who asked counts only from those who are trusted to say it.
fn strip_hearsay(headers: &mut HeaderMap, peer: Option<&PeerAddr>, trusted: &[IpNet]) {
    const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const HEARSAY: [HeaderName; 8] = [
        FORWARDED,
        X_FORWARDED_FOR,
        HeaderName::from_static("x-forwarded-host"),
        HeaderName::from_static("x-forwarded-proto"),
        HeaderName::from_static("x-forwarded-port"),
        HeaderName::from_static("x-forwarded-prefix"),
        HeaderName::from_static("x-forwarded-server"),
        HeaderName::from_static("x-real-ip"),
    ];
    let peer = peer.and_then(|PeerAddr(address)| address.as_ref().map(SocketAddr::ip));
    let peer = peer.map(|address| address.to_canonical());
    let Some(proxy) = peer.filter(|peer: &IpAddr| trusted.iter().any(|net| net.contains(peer)))
    else {
        for name in HEARSAY {
            headers.remove(name);
        }
        return;
    };
    // Whom they name asked them, and they asked us.
    if headers.contains_key(&X_FORWARDED_FOR)
        && let Ok(proxy) = HeaderValue::try_from(proxy.to_string())
    {
        headers.append(X_FORWARDED_FOR, proxy);
    }
}

fn about_the_server() -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    answer.headers_mut().insert(ALLOW, allow);
    answer
}

#[cfg(test)]
mod tests;
