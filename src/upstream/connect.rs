//! Connections: TCP, TLS, and no longer than allowed.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tower::Service;

use super::Options;
use crate::http::BoxError;

/// Plain or TLS as the URI says; HTTP/2 where the upstream agrees to it.
pub(super) fn connector(
    tls: ClientConfig,
    options: &Options,
) -> Bounded<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(options.connect_timeout));
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let connector = if options.http2_prior_knowledge {
        connector.enable_http2().wrap_connector(tcp)
    } else {
        connector.enable_all_versions().wrap_connector(tcp)
    };
    Bounded { inner: connector, limit: options.connect_timeout }
}

/// Gives up a connection that is not made in time, TLS included.
///
/// The caller's own timeout does not do: the client goes on with a connection whose caller was
/// served by another one.
#[derive(Clone, Debug)]
pub(super) struct Bounded<C> {
    inner: C,
    limit: Duration,
}

impl<C> Service<Uri> for Bounded<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<C::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connected = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move { connected.await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_never_made_is_given_up_in_time() {
        let inner = tower::service_fn(|_: Uri| std::future::pending::<Result<(), BoxError>>());
        let limit = Duration::from_secs(3);
        let connected = Bounded { inner, limit }.call(Uri::from_static("http://a/"));
        assert!(connected.await.unwrap_err().is::<tokio::time::error::Elapsed>());
    }
}
