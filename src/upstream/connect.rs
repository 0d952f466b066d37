//! Connections: a name, perhaps a proxy, TCP, TLS, and no longer than allowed.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::Service;

use super::error::{Detail, UpstreamError};
use super::guard::Guarding;
use super::names::Names;
use crate::http::BoxError;
use crate::policy::reach::{Egress, Place, Reach};
use crate::policy::trust::{SystemRoots, Trust};

/// Makes connections to one replica.
pub(super) type Connector = Guarding<Bounded<HttpsConnector<Dial>>>;

/// Plain or TLS as the URI says; HTTP/2 where the upstream agrees to it.
pub(super) fn connector(
    reach: &Reach,
    tls: &ClientConfig,
    place: Option<&Place>,
    address: Option<SocketAddr>,
) -> Result<Connector, UpstreamError> {
    let resolver = address.map_or_else(|| Resolver::ByName(Names::system()), Resolver::Fixed);
    connector_by(resolver, reach, tls, place)
}

fn connector_by(
    resolver: Resolver,
    reach: &Reach,
    tls: &ClientConfig,
    place: Option<&Place>,
) -> Result<Connector, UpstreamError> {
    let (trust, options) = (&reach.trust, &reach.options);
    let egress = place.and_then(|place| place.egress.as_ref());
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(options.connect_timeout));
    let dial = match egress {
        None => Dial::Direct(tcp),
        Some(egress) => Dial::Through(through(egress, tcp)?),
    };
    let mut connector = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
    if let Some(name) = &trust.server_name {
        connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name.clone()));
    }
    let inner = if options.http2_prior_knowledge {
        connector.enable_http2().wrap_connector(dial)
    } else {
        connector.enable_all_versions().wrap_connector(dial)
    };
    let inner = Bounded { inner, limit: options.connect_timeout };
    Ok(Guarding { inner, http2_only: options.http2_prior_knowledge })
}

fn through(
    egress: &Egress,
    tcp: HttpConnector<Resolver>,
) -> Result<Tunnel<HttpConnector<Resolver>>, UpstreamError> {
    let tunnel = Tunnel::new(egress.proxy.clone(), tcp);
    let Some(authorization) = &egress.authorization else { return Ok(tunnel) };
    let value = HeaderValue::from_str(authorization.expose());
    Ok(tunnel.with_auth(value.map_err(|error| UpstreamError::Connect(Detail::of(&error)))?))
}

/// Made once for all replicas: the authorities of a system are many.
pub(super) fn tls(trust: &Trust) -> Result<ClientConfig, UpstreamError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UpstreamError::Tls(Detail::of(&error)))?
        .with_root_certificates(roots(trust));
    Ok(match &trust.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let resolver = SingleCertAndKey::from(identity.certified());
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
    })
}

fn roots(trust: &Trust) -> Arc<RootCertStore> {
    if trust.authorities.is_empty() && trust.system == SystemRoots::Believed {
        return Arc::clone(system_roots());
    }
    let mut roots = match trust.system {
        SystemRoots::Believed => RootCertStore::clone(system_roots()),
        SystemRoots::Ignored => RootCertStore::empty(),
    };
    roots.add_parsable_certificates(trust.authorities.iter().cloned());
    Arc::new(roots)
}

/// Read once a process: they do not change, and reading them takes longer than a request.
/// Mozilla's where the system has none.
fn system_roots() -> &'static Arc<RootCertStore> {
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

/// What a name leads to.
#[derive(Clone, Debug)]
pub(super) enum Resolver {
    /// Whatever is said when a connection is made.
    ByName(Names),
    /// Always this; the port is the URI's.
    Fixed(SocketAddr),
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Self::ByName(names) => {
                let names = names.clone();
                Box::pin(async move { Ok(names.find(name.as_str()).await?.into_iter()) })
            }
            Self::Fixed(address) => Box::pin(std::future::ready(Ok(vec![*address].into_iter()))),
        }
    }
}

/// TCP, straight or through a proxy.
#[derive(Clone, Debug)]
pub(super) enum Dial {
    Direct(HttpConnector<Resolver>),
    Through(Tunnel<HttpConnector<Resolver>>),
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Self::Through(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(uri);
                Box::pin(async move { Ok(connecting.await?) })
            }
            Self::Through(tunnel) => {
                let connecting = tunnel.call(with_port(uri));
                Box::pin(async move { Ok(connecting.await?) })
            }
        }
    }
}

/// A tunnel takes every name without a port for one of TLS.
fn with_port(uri: Uri) -> Uri {
    let bare = uri.port().is_none() && uri.scheme_str() == Some("http");
    let Some(host) = uri.host().filter(|_| bare) else { return uri };
    format!("http://{host}:80/").parse().unwrap_or(uri)
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
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    use super::*;
    use crate::policy::reach::Options;
    use crate::upstream::{Line, NO_BREAKER, Phase};

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_never_made_is_given_up_in_time() {
        let inner = tower::service_fn(|_: Uri| std::future::pending::<Result<(), BoxError>>());
        let limit = Duration::from_secs(3);
        let connected = Bounded { inner, limit }.call(Uri::from_static("http://a/"));
        assert!(connected.await.unwrap_err().is::<tokio::time::error::Elapsed>());
    }

    #[tokio::test]
    async fn the_wait_for_a_name_is_part_of_the_wait_for_a_connection() {
        let (free, hang) = std::sync::mpsc::channel::<()>();
        let hang = parking_lot::Mutex::new(hang);
        let names =
            Names::asking(move |_| hang.lock().recv().map_or(Ok(Vec::new()), |()| Ok(Vec::new())));
        let options = Options {
            connect_timeout: Duration::from_millis(50),
            first_byte_timeout: Duration::from_mins(1),
            total_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_mins(1),
            http2_prior_knowledge: false,
        };
        let trust = Trust::default();
        let tls = tls(&trust).unwrap();
        let reach = Reach {
            options,
            trust,
            places: Vec::new(),
            resolve: None,
            breaker: NO_BREAKER,
            health: None,
            faults: Vec::new(),
        };
        let connector = connector_by(Resolver::ByName(names), &reach, &tls, None).unwrap();
        let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
        let failed = client.get(Uri::from_static("http://slow.test/")).await.unwrap_err();
        let failed = UpstreamError::of(&failed, Line::Fresh);
        assert!(matches!(failed, UpstreamError::Timeout(Phase::Connect)), "{failed:?}");
        drop(free);
    }

    #[test]
    fn a_tunnel_is_told_the_port() {
        for (uri, port) in [("http://a/", Some(80)), ("https://a/", None), ("http://a:1/", Some(1))]
        {
            assert_eq!(with_port(Uri::from_static(uri)).port_u16(), port, "{uri}");
        }
    }
}
