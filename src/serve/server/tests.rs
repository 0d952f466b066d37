//! On real sockets of the loopback interface: what matters here is what the kernel and hyper do.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2 as client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::service_fn;

mod drains;
mod express;
mod http2;
mod kinds;
mod rest;
mod tls;

use super::*;
use crate::peer::PeerCertificate;
use crate::serve::Finished;

/// No test waits that long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    let patience = Patience { head: Duration::from_secs(30), ..Limits::default().patience };
    let head = HeadLimits { head_bytes: 32 * 1024, ..Limits::default().head };
    Limits { patience, head, max_connections: 100, ..Limits::default() }
}

fn impatient() -> Limits {
    let short = Duration::from_millis(200);
    let patience = Patience { head: short, idle: short, ..limits().patience };
    Limits { patience, ..limits() }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n";

struct Fixture {
    address: SocketAddr,
    drain: Drain,
    open: prometheus_client::metrics::gauge::Gauge,
    server: JoinHandle<()>,
    /// Paths of requests the service has begun.
    begun: mpsc::Receiver<String>,
    /// Lets requests for `/held` go.
    release: Arc<Semaphore>,
    /// Paths of requests whose future has been dropped or has ended.
    ended: mpsc::Receiver<String>,
}

struct SayEnded(mpsc::Sender<String>, String);

impl Drop for SayEnded {
    fn drop(&mut self) {
        drop(self.0.try_send(std::mem::take(&mut self.1)));
    }
}

async fn start(limits: Limits) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    start_at(listener.into(), address, limits)
}

fn start_at(entrance: Entrance, address: SocketAddr, limits: Limits) -> Fixture {
    let (drain, metrics) = (Drain::new(), ConnectionMetrics::default());
    let open = metrics.open.clone();
    let (say_begun, begun) = mpsc::channel(100);
    let (say_ended, ended) = mpsc::channel(100);
    let release = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&release);
    let service = service_fn(move |request: Request<Incoming>| {
        let (say_begun, say_ended) = (say_begun.clone(), say_ended.clone());
        let held = Arc::clone(&held);
        async move {
            let path = request.uri().path().to_owned();
            say_begun.send(path.clone()).await.unwrap();
            let _ended = SayEnded(say_ended, path.clone());
            match path.as_str() {
                "/held" => drop(held.acquire().await.unwrap()),
                "/for-ever" => pending().await,
                "/reset" => return Err(BoxError::from("no answer")),
                _ => {}
            }
            let peer = request.extensions().get::<PeerAddr>().unwrap().0;
            let peer = peer.map_or_else(|| "nowhere".to_owned(), |peer| peer.to_string());
            let names = request.extensions().get::<PeerCertificate>();
            let names = names.map(|names| format!(" {:?}", names.0)).unwrap_or_default();
            Ok(Response::new(Body::from(peer + &names)))
        }
    });
    let server = tokio::spawn(serve(entrance, Refusing(service), limits, drain.clone(), metrics));
    Fixture { address, drain, open, server, begun, release, ended }
}

impl Fixture {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// A connection whose request the service is working on.
    async fn requesting(&mut self, path: &str) -> TcpStream {
        let request = format!("GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n");
        let stream = self.send(request.as_bytes()).await;
        assert_eq!(self.begun().await, path);
        stream
    }

    async fn begun(&mut self) -> String {
        timeout(PATIENCE, self.begun.recv()).await.unwrap().unwrap()
    }

    async fn ended(&mut self) -> String {
        timeout(PATIENCE, self.ended.recv()).await.unwrap().unwrap()
    }
}

/// Reads until the peer closes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("closed").unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Reads one answer of a connection that stays open: head and `content-length` bytes.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() == length {
                return text.into_owned();
            }
        }
        let read = timeout(PATIENCE, stream.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed within an answer");
    }
}

#[tokio::test]
async fn a_client_that_says_too_little_is_let_go() {
    let fixture = start(impatient()).await;
    let half_a_preface = &b"PRI * HTTP/2.0\r\n"[..];
    for said in [&b""[..], b"P", b"PRI", half_a_preface] {
        let mut stream = fixture.send(said).await;
        assert_eq!(rest(&mut stream).await, "", "after {said:?}");
    }
    for said in [&b"GET / HT"[..], b"GET / HTTP/1.1\r\nHost:"] {
        let mut stream = fixture.send(said).await;
        let told = rest(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 408 "), "after {said:?}: {told}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_let_go() {
    let fixture = start(impatient()).await;
    let mut stream = fixture.send(GET).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_preface_and_nothing_more_is_let_go() {
    let fixture = start(impatient()).await;
    let mut stream = fixture.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("closed").unwrap();
}

#[tokio::test]
async fn requests_in_pieces_are_served_and_know_their_peer() {
    let mut fixture = start(limits()).await;
    let mut stream = fixture.connect().await;
    stream.set_nodelay(true).unwrap();
    for piece in [&b"P"[..], b"RI", b" / HTTP/1.1\r\nHo", b"st: weir\r\n\r\n"] {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let text = answer(&mut stream).await;
    assert!(text.ends_with(&stream.local_addr().unwrap().to_string()), "{text}");
    assert_eq!(fixture.begun().await, "/");
    stream.write_all(GET).await.unwrap();
    assert!(!answer(&mut stream).await.contains("connection: close"));
}

async fn http2_client(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> client::SendRequest<Empty<Bytes>> {
    let (client, connection) =
        client::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

fn http2_get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://weir{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let fixture = start(limits()).await;
    let stream = fixture.connect().await;
    let local = stream.local_addr().unwrap().to_string();
    let mut client = http2_client(stream).await;
    for _ in 0..2 {
        let response = client.send_request(http2_get("/")).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, local.as_bytes());
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_let_go_and_a_busy_one_is_not() {
    let mut fixture = start(impatient()).await;
    let mut client = http2_client(fixture.connect().await).await;
    let mut held = tokio::spawn(client.send_request(http2_get("/held")));
    assert_eq!(fixture.begun().await, "/held");
    // Longer than a connection that is idle would live.
    assert!(timeout(impatient().patience.head * 5, &mut held).await.is_err());
    fixture.release.add_permits(1);
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
    let gone = async {
        while fixture.open.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("let go");
    assert!(client.send_request(http2_get("/")).await.is_err());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431_and_the_answer_arrives() {
    let mut fixture = start(limits()).await;
    let mut head = b"GET / HTTP/1.1\r\nHost: weir\r\nX-Large: ".to_vec();
    head.resize(40_000, b'a');
    head.extend_from_slice(b"\r\n\r\n");
    let mut stream = fixture.send(&head).await;
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    assert!(fixture.begun.try_recv().is_err());
}

#[tokio::test]
async fn an_answer_given_before_the_body_was_read_arrives() {
    let fixture = start(limits()).await;
    let mut request = b"POST / HTTP/1.1\r\nHost: weir\r\nContent-Length: 700000\r\n\r\n".to_vec();
    request.resize(request.len() + 700_000, b'a');
    // The kernel keeps little of it for the client: the server has to go on taking it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(8 * 1024).unwrap();
    let mut stream = socket.connect(fixture.address).await.unwrap();
    stream.write_all(&request).await.expect("no reset while sending");
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
}

#[tokio::test]
async fn an_error_of_the_service_resets_the_connection() {
    let mut fixture = start(limits()).await;
    let mut stream = fixture.requesting("/reset").await;
    let mut bytes = Vec::new();
    let error = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(bytes.is_empty());
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_a_slot() {
    let limits = Limits { max_connections: 2, ..limits() };
    let mut fixture = start(limits).await;
    let first = fixture.requesting("/held").await;
    let _second = fixture.requesting("/held").await;
    let mut third = fixture.send(GET).await;
    let waited = timeout(Duration::from_millis(100), third.read_u8()).await;
    assert!(waited.is_err(), "served without a slot");
    assert_eq!(fixture.open.get(), 2);
    drop(first);
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn accept_errors_are_logged_once_a_second() {
    let clock = Clock::system();
    let start = clock.now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut log = ErrorLog::default();
    assert_eq!(log.due(at(0)), Some(0));
    assert_eq!(log.due(at(400)), None);
    assert_eq!(log.due(at(900)), None);
    assert_eq!(log.due(at(1_000)), Some(2));
    assert_eq!(log.due(at(2_500)), Some(0));
}

#[tokio::test]
async fn a_service_may_be_infallible() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = Drain::new();
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Body::Empty))
    });
    let server = tokio::spawn(serve(
        listener,
        service,
        limits(),
        drain.clone(),
        ConnectionMetrics::default(),
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    drop(stream);
    assert_eq!(drain.finish(PATIENCE).await, Finished::default());
    server.await.unwrap();
}
