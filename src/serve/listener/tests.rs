use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

const ALONE: SocketOptions = SocketOptions { sharing: Sharing::Alone, unix_mode: 0o660 };
const SHARED: SocketOptions = SocketOptions { sharing: Sharing::Shared, unix_mode: 0o600 };

fn open(address: &Address, options: SocketOptions) -> io::Result<Listener> {
    let mut listeners = Listener::open(address, options, &mut PassedSockets::default())?;
    assert_eq!(listeners.len(), 1);
    Ok(listeners.remove(0))
}

fn loopback() -> Address {
    Address::parse("127.0.0.1:0").unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn accepted_connections_are_probed_when_they_are_quiet() {
    let listener = open(&loopback(), ALONE).unwrap();
    let Some(Address::Tcp(address)) = listener.address() else { panic!() };
    let _client = tokio::net::TcpStream::connect(address).await.unwrap();
    let (socket, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    assert!(peer.0.is_some());
    let Socket::Tcp(stream) = &socket else { panic!() };
    let socket = SockRef::from(stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
}

#[tokio::test]
async fn a_port_is_shared_only_if_both_say_so() {
    let first = open(&loopback(), SHARED).unwrap();
    let address = first.address().unwrap();
    assert_eq!(open(&address, ALONE).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let second = open(&address, SHARED).unwrap();
    assert_eq!(second.address(), first.address());
    let alone = open(&loopback(), ALONE).unwrap();
    assert_eq!(
        open(&alone.address().unwrap(), SHARED).unwrap_err().kind(),
        io::ErrorKind::AddrInUse
    );
}

#[tokio::test]
async fn a_socket_file_has_its_mode_and_goes_when_it_is_withdrawn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.sock");
    let mut listener = open(&Address::Unix(path.clone()), ALONE).unwrap();
    assert_eq!(mode(&path), 0o660);
    let _client = tokio::net::UnixStream::connect(&path).await.unwrap();
    let (_, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    assert_eq!(peer, PeerAddr(None));
    assert_eq!(listener.withdraw(), Queue::Ours);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.sock");
    let address = Address::Unix(path.clone());
    // What a process leaves behind that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let live = open(&address, SHARED).unwrap();
    assert_eq!(mode(&path), 0o600);
    // A live one is not for us.
    assert_eq!(open(&address, ALONE).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert!(path.exists());
    // And a successor's is not ours to remove.
    std::fs::remove_file(&path).unwrap();
    let successor = open(&address, ALONE).unwrap();
    drop(live);
    assert!(path.exists());
    drop(successor);
    // A file that is no socket is never touched.
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(open(&address, ALONE).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_socket_that_was_not_passed_is_an_error() {
    let error = open(&Address::parse("systemd:web").unwrap(), ALONE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
