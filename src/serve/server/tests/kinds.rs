//! Several sockets of several kinds.

use tokio::net::UnixStream;

use super::*;
use crate::address::Address;
use crate::serve::{PassedSockets, Sharing, SocketOptions};

struct Unix {
    fixture: Fixture,
    path: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

/// One TCP and one unix listener.
async fn both(limits: Limits) -> Unix {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let options = SocketOptions { sharing: Sharing::Alone, unix_mode: 0o600 };
    let unix = Address::Unix(path.clone());
    let mut listeners = Listener::open(&unix, options, &mut PassedSockets::default()).unwrap();
    listeners.push(tcp.into());
    let fixture = start_at(Entrance { listeners, tls: None, express: None }, address, limits);
    Unix { fixture, path, _directory: directory }
}

impl Unix {
    async fn send(&self, bytes: &[u8]) -> UnixStream {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

#[tokio::test]
async fn both_are_served_with_both_versions() {
    let unix = both(limits()).await;
    for _ in 0..3 {
        let mut stream = unix.send(GET).await;
        assert!(answer(&mut stream).await.ends_with("\r\n\r\nnowhere"));
        stream.write_all(GET).await.unwrap();
        assert!(answer(&mut stream).await.ends_with("\r\n\r\nnowhere"));
        let mut client = http2_client(unix.send(b"").await).await;
        assert_eq!(client.send_request(http2_get("/")).await.unwrap().status(), 200);
        let mut stream = unix.fixture.send(GET).await;
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn who_says_too_little_is_let_go() {
    let unix = both(impatient()).await;
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
        let mut stream = unix.send(said).await;
        assert_eq!(rest(&mut stream).await, "", "after {said:?}");
    }
    let mut half = unix.send(b"GET / HT").await;
    assert!(rest(&mut half).await.starts_with("HTTP/1.1 408 "));
    let mut preface = unix.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let mut bytes = Vec::new();
    timeout(PATIENCE, preface.read_to_end(&mut bytes)).await.expect("closed").unwrap();
}

/// Two listeners and one slot: neither holds it while nobody comes.
#[tokio::test]
async fn the_limit_is_one_for_all_listeners() {
    let limits = Limits { max_connections: 1, ..limits() };
    let mut unix = both(limits).await;
    for _ in 0..2 {
        let first = unix.fixture.requesting("/held").await;
        let mut second = unix.send(GET).await;
        let waited = timeout(Duration::from_millis(100), second.read_u8()).await;
        assert!(waited.is_err(), "served without a slot");
        drop(first);
        assert!(answer(&mut second).await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(unix.fixture.begun().await, "/");
    }
}

#[tokio::test]
async fn a_drain_answers_on_all_and_takes_the_file_away() {
    let mut unix = both(limits()).await;
    let mut busy = unix.send(b"GET /held HTTP/1.1\r\nHost: weir\r\n\r\n").await;
    assert_eq!(unix.fixture.begun().await, "/held");
    let drain = unix.fixture.drain.clone();
    let finish = tokio::spawn(async move { drain.finish(PATIENCE).await });
    timeout(PATIENCE, &mut unix.fixture.server).await.unwrap().unwrap();
    assert!(!unix.path.exists());
    unix.fixture.release.add_permits(1);
    assert!(rest(&mut busy).await.contains("connection: close"));
    assert_eq!(finish.await.unwrap(), Finished::default());
}

/// A busy listener does not keep the other from being asked.
#[tokio::test]
async fn listeners_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("b");
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let busy: Vec<_> =
        futures_util::future::join_all((0..4).map(|_| TcpStream::connect(address))).await;
    let options = SocketOptions { sharing: Sharing::Alone, unix_mode: 0o600 };
    let unix = Address::Unix(path.clone());
    let mut listeners: Vec<Listener> = vec![tcp.into()];
    listeners.extend(Listener::open(&unix, options, &mut PassedSockets::default()).unwrap());
    let _other = UnixStream::connect(&path).await.unwrap();
    let mut doors = Doors { listeners, next: 0 };
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let (socket, _) = poll_fn(|cx| doors.poll_accept(cx)).await.unwrap();
        kinds.push(matches!(socket, Socket::Tcp(_)));
    }
    assert_eq!(kinds, [true, false, true]);
    assert!(busy.iter().all(Result::is_ok));
}
