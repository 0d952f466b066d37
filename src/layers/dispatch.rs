//! The way out: the upstream's connections, and what they count.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::Response;
use http::header::{HeaderValue, USER_AGENT, VIA};
use tower::Service;

use crate::clock::Clock;
use crate::error::GatewayError;
use crate::http::{Body, strip_hop_by_hop};
use crate::metrics::UpstreamStatus;
use crate::request::{SentAt, SignedRequest};
use crate::upstream::OnConnected;

/// Fields by which clients know what weir itself says; an upstream cannot say it.
const OURS: [&str; 5] =
    ["x-request-id", "weir-error", "weir-stored-trackingid", "weir-pages", "weir-tokens-spent"];

/// Sends each request over its upstream's connections.
#[derive(Clone, Debug)]
pub struct Dispatch {
    clock: Clock,
    via: HeaderValue,
}

impl Dispatch {
    /// Measures answers by this clock, and signs requests so.
    pub fn new(clock: Clock, via: HeaderValue) -> Self {
        Self { clock, via }
    }
}

impl Service<SignedRequest> for Dispatch {
    type Response = Response<Body>;
    type Error = GatewayError;
    type Future = BoxFuture<'static, Result<Response<Body>, GatewayError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: SignedRequest) -> Self::Future {
        let SignedRequest { route, mut http, departure, manner, record } = request;
        http.extensions_mut().insert(manner);
        if let Some(departure) = departure {
            http.extensions_mut().insert(OnConnected(Arc::new(move || departure.now())));
        }
        let clock = self.clock.clone();
        let headers = http.headers_mut();
        // RFC 9110, section 7.6.3: an intermediary adds itself to Via in both directions.
        headers.append(VIA, self.via.clone());
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
        let mut client = route.upstream.client.clone();
        Box::pin(async move {
            let sent_at = clock.now();
            let answer = client.call(http).await;
            let took = clock.now().saturating_duration_since(sent_at);
            record.answered(took);
            let status = match &answer {
                Ok(answer) => UpstreamStatus::Code(answer.status().as_u16()),
                Err(error) => UpstreamStatus::Failed(error.as_str()),
            };
            route.metrics.upstream(status, took.as_secs_f64());
            let mut answer = answer?;
            strip_hop_by_hop(answer.headers_mut());
            for name in OURS {
                answer.headers_mut().remove(name);
            }
            answer.extensions_mut().insert(SentAt(sent_at));
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests;
