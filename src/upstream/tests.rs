use std::net::SocketAddr;

use http::{StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::*;

const PATIENT: Options = Options {
    connect_timeout: Duration::from_secs(20),
    first_byte_timeout: Duration::from_secs(20),
    total_timeout: Duration::from_mins(1),
    idle_timeout: Duration::from_secs(4),
    http2_prior_knowledge: false,
};

/// For servers that will never do what is waited for.
const SHORT: Duration = Duration::from_millis(50);

fn get(scheme: &str, addr: SocketAddr) -> Request<Full<Bytes>> {
    Request::get(format!("{scheme}://{addr}/a%2Fb//c?d=e")).body(Full::default()).unwrap()
}

async fn exchange(
    options: Options,
    request: Request<Full<Bytes>>,
) -> Result<Response<Body>, UpstreamError> {
    UpstreamClient::new(options).unwrap().oneshot(request).await
}

async fn body_of(response: Response<Body>) -> Result<Bytes, UpstreamError> {
    let body = response.into_body().collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| error.downcast_ref::<UpstreamError>().unwrap().clone())
}

/// Answers the requests of each connection in turn with these bytes, and then closes it if
/// `close`, or keeps it open. Reports the heads it read, and on which connection.
async fn raw(
    answers: &'static [&'static str],
    close: bool,
) -> (SocketAddr, mpsc::Receiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (report, heads) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        for connection in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let Some(head) = read_head(&mut stream).await else { break };
                report.send((connection, head)).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            if !close {
                kept.push(stream);
            }
        }
    });
    (addr, heads)
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Lets the client's own task take a connection back that has served its request.
async fn back_in_the_pool() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_goes_as_it_came_save_version_and_host_and_the_connection_is_reused() {
    let (addr, mut heads) = raw(&[OK, OK], false).await;
    let client = UpstreamClient::new(PATIENT).unwrap();
    for _ in 0..2 {
        let mut request = get("http", addr);
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().insert(header::HOST, "evil.example".parse().unwrap());
        let response = client.clone().oneshot(request).await.unwrap();
        assert_eq!(body_of(response).await.unwrap(), "ok");
        assert_eq!(
            heads.recv().await.unwrap(),
            (0, format!("GET /a%2Fb//c?d=e HTTP/1.1\r\nhost: {addr}\r\n\r\n"))
        );
        back_in_the_pool().await;
    }
}

#[tokio::test]
async fn redirects_and_codings_are_passed_on() {
    let (addr, mut heads) = raw(
        &["HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nzzz"],
        false,
    )
    .await;
    let response = exchange(PATIENT, get("http", addr)).await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(body_of(response).await.unwrap(), "zzz");
    heads.recv().await.unwrap();
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn an_answer_without_content_is_an_empty_body() {
    let (addr, _heads) = raw(&["HTTP/1.1 204 No Content\r\n\r\n"], false).await;
    let response = exchange(PATIENT, get("http", addr)).await.unwrap();
    assert!(matches!(response.body(), Body::Empty));
}

#[tokio::test]
async fn nobody_listening_is_a_connect_failure_and_nothing_was_sent() {
    // Held without being listened on, so that nobody else gets it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    let error = exchange(PATIENT, get("http", addr)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Connect(_)), "{error:?}");
    assert!(error.never_sent() && error.is_retryable() && !error.is_timeout());
    assert!(!error.is_unfit());
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_worth_another_try() {
    for (answers, served) in [(&[""][..], 0), (&[OK, ""][..], 1)] {
        let (addr, _heads) = raw(answers, true).await;
        let client = UpstreamClient::new(PATIENT).unwrap();
        for _ in 0..served {
            body_of(client.clone().oneshot(get("http", addr)).await.unwrap()).await.unwrap();
            back_in_the_pool().await;
        }
        let error = client.oneshot(get("http", addr)).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Closed(..)), "{error:?}");
        assert!(error.is_retryable() && !error.never_sent());
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_protocol_failure() {
    let (addr, _heads) = raw(&["SSH-2.0-OpenSSH\r\n\r\n"], false).await;
    let error = exchange(PATIENT, get("http", addr)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Protocol(_)), "{error:?}");
    assert!(!error.is_retryable() && !error.never_sent());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_body_failure() {
    let (addr, _heads) = raw(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], true).await;
    let response = exchange(PATIENT, get("http", addr)).await.unwrap();
    let error = body_of(response).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Body(_)), "{error:?}");
    assert!(!error.is_retryable(), "its head has been passed on");
}

#[tokio::test]
async fn each_phase_has_its_own_limit() {
    let (silent, _heads) = raw(&[""], false).await;
    let (stuck, _heads) = raw(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], false).await;

    // The other side accepts, and never shakes hands.
    let options = Options { connect_timeout: SHORT, ..PATIENT };
    let error = exchange(options, get("https", silent)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout(Phase::Connect)), "{error:?}");
    assert!(error.never_sent() && error.is_retryable() && error.is_timeout());

    let options = Options { total_timeout: SHORT, ..PATIENT };
    let error = exchange(options, get("https", silent)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout(Phase::Connect)), "{error:?}");

    let options = Options { first_byte_timeout: SHORT, ..PATIENT };
    let error = exchange(options, get("http", silent)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout(Phase::FirstByte)), "{error:?}");
    assert!(!error.never_sent() && !error.is_retryable());

    let options = Options { total_timeout: SHORT, ..PATIENT };
    let error = exchange(options, get("http", silent)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout(Phase::FirstByte)), "{error:?}");

    let options = Options { total_timeout: Duration::from_secs(1), ..PATIENT };
    let response = exchange(options, get("http", stuck)).await.unwrap();
    let error = body_of(response).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout(Phase::Body)), "{error:?}");
    assert!(error.is_timeout() && !error.is_retryable());
}

#[tokio::test]
async fn an_answer_that_stops_is_given_up_and_one_that_drips_is_not() {
    let (stuck, _heads) = raw(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], false).await;
    let gap = Duration::from_millis(200);
    let options = Options { first_byte_timeout: gap, ..PATIENT };
    let begun = Clock::system().now();
    let error = body_of(exchange(options, get("http", stuck)).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout(Phase::Body)), "{error:?}");
    assert!(Clock::system().now() - begun < PATIENT.total_timeout / 2, "not by total_timeout");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await.unwrap();
        for byte in b"abcdefghi" {
            tokio::time::sleep(gap / 3).await;
            stream.write_all(&[*byte]).await.unwrap();
        }
    });
    let answer = exchange(options, get("http", addr)).await.unwrap();
    assert_eq!(body_of(answer).await.unwrap(), "abcdefghi");
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Self { chain: vec![made.cert.der().clone()], key }
    }

    fn trusted(&self) -> Trust {
        Trust { authorities: self.chain.clone(), ..Trust::default() }
    }
}

/// A TLS server that answers with the HTTP version it was asked in.
async fn tls(identity: &Identity, alpn: &'static [u8]) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            tokio::spawn(serve_version(TokioIo::new(stream), alpn == b"h2"));
        }
    });
    addr
}

async fn serve_version<I>(io: I, http2: bool)
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let answer = service_fn(|request: Request<Incoming>| async move {
        let body = format!("{:?} {}", request.version(), request.uri().path());
        Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(body)))
    });
    if http2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        drop(server.serve_connection(io, answer).await);
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        drop(server.serve_connection(io, answer).await);
    }
}

#[tokio::test]
async fn tls_negotiates_the_version_and_checks_who_answers() {
    let identity = Identity::new();
    for (alpn, version) in [(&b"h2"[..], "HTTP/2.0 /a%2Fb//c"), (b"http/1.1", "HTTP/1.1 /a%2Fb//c")]
    {
        let addr = tls(&identity, alpn).await;
        let client = UpstreamClient::trusting(identity.trusted(), PATIENT, None).unwrap();
        let response = client.oneshot(get("https", addr)).await.unwrap();
        assert_eq!(body_of(response).await.unwrap(), version);

        let error = exchange(PATIENT, get("https", addr)).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Tls(_)), "{error:?}");
        assert!(error.never_sent() && !error.is_retryable() && error.is_unfit());
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_a_tls_failure() {
    let (addr, _heads) = plain_greeter().await;
    let error = exchange(PATIENT, get("https", addr)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Tls(_)), "{error:?}");
}

/// Speaks first, and not TLS.
async fn plain_greeter() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"220 mail.example ready\r\n").await.unwrap();
            kept.push(stream);
        }
    });
    (addr, task)
}

#[tokio::test]
async fn http2_is_spoken_without_negotiation_where_it_is_known() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve_version(TokioIo::new(stream), true).await;
    });
    let options = Options { http2_prior_knowledge: true, ..PATIENT };
    let response = exchange(options, get("http", addr)).await.unwrap();
    assert_eq!(body_of(response).await.unwrap(), "HTTP/2.0 /a%2Fb//c");
}

#[tokio::test]
async fn an_http2_request_that_was_not_looked_at_is_worth_another_try() {
    for (reason, retryable) in
        [(h2::Reason::REFUSED_STREAM, true), (h2::Reason::INTERNAL_ERROR, false)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(reason);
            }
        });
        let options = Options { http2_prior_knowledge: true, ..PATIENT };
        let error = exchange(options, get("http", addr)).await.unwrap_err();
        assert_eq!(error.is_retryable(), retryable, "{error:?}");
        assert!(!error.never_sent());
    }
}

#[tokio::test]
async fn a_token_exchange_is_bounded_and_fails_with_a_label() {
    static BIG: std::sync::LazyLock<[&str; 1]> = std::sync::LazyLock::new(|| {
        let body = "x".repeat(TOKEN_ANSWER_MAX + 1);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        [answer.leak()]
    });
    let fetch = token_exchange(&Trust::default(), None).unwrap();
    let (addr, _heads) = raw(&[OK], false).await;
    assert_eq!(fetch(get("http", addr)).await.unwrap().body(), "ok");
    let (addr, _heads) = raw(&*BIG, false).await;
    assert_eq!(fetch(get("http", addr)).await.unwrap_err(), "answer_too_large");
    let (addr, _heads) = raw(&[""], true).await;
    assert_eq!(fetch(get("http", addr)).await.unwrap_err(), "closed");
    let (addr, _heads) = raw(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], true).await;
    assert_eq!(fetch(get("http", addr)).await.unwrap_err(), "body");
}

#[test]
fn details_are_short_and_one_line() {
    let inner = std::io::Error::other(format!("line\nline {}", "x".repeat(999)));
    let detail = Detail::of(&std::io::Error::other(inner)).to_string();
    assert!(detail.starts_with("line line x") && detail.chars().count() == 200, "{detail}");
}
