//! THE STACK: every layer, in the order a request meets it. The answer climbs back up.
//!
//! ```text
//! edge zone      http::Request, EdgeRequest    anything a client can send
//! policy zone    RoutedRequest, FetchRequest   client, endpoint and parameters are known
//! upstream zone  SignedRequest                 carries the secret; never logged, never stored
//! ```
//!
//! The zones are types: a layer in the wrong one does not compile.

mod express;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use tower::{Service, ServiceBuilder};
use tower_http::ServiceBuilderExt as _;
use tower_http::request_id::{MakeRequestId, RequestId};
use tower_http::set_header::SetResponseHeaderLayer;

use self::express::FastWay;
use crate::clock::Clock;
use crate::http::Body;
use crate::layers::admit::AdmitLayer;
use crate::layers::authorize::AuthorizeLayer;
use crate::layers::cache::{CacheLayer, Limits};
use crate::layers::client_quota::ClientQuotaLayer;
use crate::layers::dispatch::Dispatch;
use crate::layers::identify::IdentifyLayer;
use crate::layers::limit::LimitLayer;
use crate::layers::listing::ListingLayer;
use crate::layers::observe::{ObserveLayer, Witness};
use crate::layers::render_errors::RenderErrorsLayer;
use crate::layers::retry::RetryLayer;
use crate::layers::route::RouteLayer;
use crate::layers::vet::{Rules, VetLayer};
use crate::policy::patience::LeastRate;
use crate::serve::{Express, in_time};
use crate::store::cache::EntryCache;
use crate::store::purges::Purges;

/// What the layers are built from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Time.
    pub clock: Clock,
    /// Where requests are counted and logged, and the configuration they are answered by.
    pub witness: Arc<Witness>,
    /// The entries.
    pub entries: EntryCache,
    /// The cache's own figures.
    pub cache_limits: Limits,
    /// What has been purged.
    pub purges: Purges,
    /// What is let in.
    pub rules: Rules,
    /// How fast the bodies of requests have to come.
    pub coming: LeastRate,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The whole way of a request, and the fast way of those that need no more than a hit.
pub fn stack<B>(
    parts: &Parts,
) -> (
    impl Service<Request<B>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + use<B>,
    Arc<dyn Express>,
)
where
    B: http_body::Body<Data = bytes::Bytes, Error: Into<crate::http::BoxError>> + Send + 'static,
{
    let (clock, via) = (&parts.clock, via(&parts.rules.name));
    let (coming, time) = (parts.coming, clock.clone());
    let rules = Arc::new(parts.rules.clone());
    let cache = CacheLayer::new(
        parts.entries.clone(),
        parts.purges.clone(),
        clock.clone(),
        parts.cache_limits,
    );
    let fast_way = FastWay {
        witness: Arc::clone(&parts.witness),
        memory: cache.memory(),
        rules: Arc::clone(&rules),
        via: via.clone(),
    };
    let stack = ServiceBuilder::new()
        // --- edge zone
        // one body type from here on, and one that does not drip for ever
        .map_request(move |request: Request<B>| request.map(|body| in_time(body, coming, &time)))
        // a caller's id is kept if it can be logged as it stands, else one is made
        .map_request(drop_insane_request_id)
        .set_request_id(REQUEST_ID, MakeUuid(clock.clone()))
        .propagate_request_id(REQUEST_ID)
        // whatever prints a request or an answer prints no credential
        .sensitive_request_headers(Arc::new([
            header::AUTHORIZATION,
            header::PROXY_AUTHORIZATION,
            header::COOKIE,
            HeaderName::from_static("x-zm-signature"),
        ]))
        .sensitive_response_headers(Arc::new([header::SET_COOKIE]))
        // RFC 9110, section 7.6.3
        .layer(SetResponseHeaderLayer::appending(header::VIA, via.clone()))
        // sees every answer, also the refused ones
        .layer(ObserveLayer::new(Arc::clone(&parts.witness)))
        // below here Err(GatewayError) and panics, above here only answers
        .layer(RenderErrorsLayer)
        // what no server should answer ends here
        .layer(VetLayer::new(rules))
        // sheds load at the door
        .layer(AdmitLayer::default())
        // API key, token or certificate -> client
        .layer(IdentifyLayer)
        // method, path, parameters -> endpoint and one spelling; 404, 405, 403, 400 end here
        .layer(RouteLayer)
        // --- policy zone
        // a client's own share, hits included
        .layer(ClientQuotaLayer)
        // page=all: one answer out of many, each by way of the cache, paid for where it has to be
        .layer(ListingLayer::new(parts.entries.clone(), clock.clone()))
        // hits end here and cost the upstream nothing; outside the limiter for that reason
        .layer(cache)
        // outside the limiter: every attempt pays
        .layer(RetryLayer)
        // the last gate: a token in every window, or none
        .layer(LimitLayer::new(clock.clone()))
        // the secret enters here, and nowhere above
        .layer(AuthorizeLayer)
        // --- upstream zone
        .service(Dispatch::new(clock.clone(), via));
    (stack, Arc::new(fast_way))
}

/// RFC 9110, section 7.6.3. The configuration lets no name through that could not stand here.
fn via(name: &str) -> HeaderValue {
    let name = HeaderValue::try_from(format!("1.1 {name}"));
    name.unwrap_or(HeaderValue::from_static("1.1 weir"))
}

#[derive(Clone)]
struct MakeUuid(Clock);

impl MakeRequestId for MakeUuid {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        let id = &mut [0; NEW_ID_LENGTH];
        HeaderValue::from_str(new_request_id(self.0.wall(), id)).ok().map(RequestId::new)
    }
}

const NEW_ID_LENGTH: usize = uuid::fmt::Simple::LENGTH;

/// A version 7 UUID (RFC 9562, section 5.7). It is a name and no secret: the kernel is not asked
/// for its random part.
fn new_request_id(now: SystemTime, text: &mut [u8; NEW_ID_LENGTH]) -> &str {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or_default();
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    id.simple().encode_lower(text)
}

/// Longest request id that is kept.
const MAX_REQUEST_ID: usize = 128;

/// The id that a request brings, if it brings one and it can be logged as it stands.
fn sane_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let sane = |value: &&HeaderValue| {
        (1..=MAX_REQUEST_ID).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
    };
    let mut given = headers.get_all(&REQUEST_ID).iter();
    given.next().filter(|_| given.next().is_none()).filter(sane)
}

fn drop_insane_request_id(mut request: Request<Body>) -> Request<Body> {
    if sane_request_id(request.headers()).is_none() {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

#[cfg(test)]
mod tests;
