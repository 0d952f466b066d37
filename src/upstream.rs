//! The way to an upstream: a pooled hyper client as a service, with three time limits.
//!
//! Redirects are not followed and nothing is decompressed: the answer is passed on as it came. The
//! request names its host in an absolute URI.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Version, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pin_project_lite::pin_project;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Sleep;
use tower::Service;

use crate::http::{Body, BoxError};

mod connect;
mod error;

use connect::Bounded;
pub use error::{Detail, Phase, UpstreamError};

/// More idle connections to one host are closed.
const MAX_IDLE_PER_HOST: usize = 64;

/// A busy HTTP/2 connection that answers no ping for this long is given up, or every request would
/// time out on it until TCP does the same.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A token endpoint's answer is small and soon there.
const TOKEN_ANSWER_MAX: usize = 64 * 1024;
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a connection (name, TCP and TLS) may take.
    pub connect_timeout: Duration,
    /// From having a connection until the answer's head.
    pub first_byte_timeout: Duration,
    /// From the call until the end of the answer.
    pub total_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Speak HTTP/2 only, without negotiation.
    pub http2_prior_knowledge: bool,
}

/// In a request's extensions: called once there is a connection and the request goes out on it.
#[derive(Clone)]
pub struct OnConnected(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for OnConnected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnConnected")
    }
}

/// Sends requests to upstreams. Clones share the connections.
#[derive(Clone, Debug)]
pub struct UpstreamClient {
    client: Client<Bounded<HttpsConnector<HttpConnector>>, Full<Bytes>>,
    options: Options,
}

impl UpstreamClient {
    /// Trusts the system's certificate authorities, or Mozilla's where the system has none.
    pub fn new(options: Options) -> Result<Self, UpstreamError> {
        Self::trusting(Arc::clone(trusted_roots()), options)
    }

    fn trusting(roots: Arc<RootCertStore>, options: Options) -> Result<Self, UpstreamError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| UpstreamError::Tls(Detail::of(&error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = connect::connector(tls, &options);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .http2_only(options.http2_prior_knowledge)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector);
        Ok(Self { client, options })
    }

    async fn send(
        self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, UpstreamError> {
        // What the client spoke is no matter here, and the host is the URI's.
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(header::HOST);
        let mut total = Box::pin(tokio::time::sleep(self.options.total_timeout));
        let (head, body) = self.head(request, total.as_mut()).await?.into_parts();
        Ok(Response::from_parts(head, Body::stream(Timed { body, total })))
    }

    async fn head(
        &self,
        mut request: Request<Full<Bytes>>,
        mut total: Pin<&mut Sleep>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let mut connection = capture_connection(&mut request);
        let on_connected = request.extensions_mut().remove::<OnConnected>();
        let mut answer = self.client.request(request);
        let connected = connection.wait_for_connection_metadata();
        tokio::select! {
            biased;
            answer = &mut answer => return answer.map_err(|error| UpstreamError::of(&error)),
            connected = tokio::time::timeout(self.options.connect_timeout, connected) => {
                connected.map_err(|_elapsed| UpstreamError::Timeout(Phase::Connect))?;
                if let Some(OnConnected(tell)) = on_connected {
                    tell();
                }
            }
            () = total.as_mut() => return Err(UpstreamError::Timeout(Phase::Connect)),
        }
        tokio::select! {
            biased;
            answer = tokio::time::timeout(self.options.first_byte_timeout, answer) => answer
                .map_err(|_elapsed| UpstreamError::Timeout(Phase::FirstByte))?
                .map_err(|error| UpstreamError::of(&error)),
            () = total => Err(UpstreamError::Timeout(Phase::FirstByte)),
        }
    }
}

impl Service<Request<Full<Bytes>>> for UpstreamClient {
    type Response = Response<Body>;
    type Error = UpstreamError;
    type Future = BoxFuture<'static, Result<Response<Body>, UpstreamError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// Sends one request and collects its small answer; a failure is told as a label only, because an
/// answer's text may hold what the request did.
pub type SmallExchange = Arc<
    dyn Fn(Request<Full<Bytes>>) -> BoxFuture<'static, Result<Response<Bytes>, &'static str>>
        + Send
        + Sync,
>;

/// A bounded way to token endpoints, over connections of its own.
pub fn token_exchange() -> Result<SmallExchange, UpstreamError> {
    let client = UpstreamClient::new(Options {
        connect_timeout: TOKEN_TIMEOUT,
        first_byte_timeout: TOKEN_TIMEOUT,
        total_timeout: TOKEN_TIMEOUT,
        // Tokens are asked for less often than any server keeps a connection.
        idle_timeout: Duration::from_secs(1),
        http2_prior_knowledge: false,
    })?;
    Ok(Arc::new(move |request| {
        let client = client.clone();
        Box::pin(async move {
            let answer = client.send(request).await.map_err(|error| error.as_str())?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, TOKEN_ANSWER_MAX).collect().await;
            let body = body.map_err(|error| {
                error.downcast_ref().map_or("answer_too_large", UpstreamError::as_str)
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }))
}

/// Read once a process: they do not change, and reading them takes longer than a request.
fn trusted_roots() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    })
}

pin_project! {
    /// An answer's body that ends, one way or another, when its time is up.
    struct Timed {
        #[pin]
        body: Incoming,
        total: Pin<Box<Sleep>>,
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if this.total.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(UpstreamError::Timeout(Phase::Body).into())));
        }
        let frame = ready!(this.body.poll_frame(cx));
        Poll::Ready(
            frame
                .map(|frame| frame.map_err(|error| UpstreamError::Body(Detail::of(&error)).into())),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
