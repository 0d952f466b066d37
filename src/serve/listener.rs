//! Sockets to accept on: how they are bound, taken over and given up.

mod file;
mod passed;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, SockRef, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use self::file::SocketFile;
pub use self::passed::PassedSockets;
use super::socket::Socket;
use crate::address::Address;
use crate::peer::PeerAddr;

/// Connections that the kernel makes before we accept them.
pub(super) const BACKLOG: u16 = 1024;

/// A peer that vanished is noticed after two minutes, however quiet its connection is.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 6;

/// How sockets are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Who may share a port.
    pub sharing: Sharing,
    /// Permissions of a socket file.
    pub unix_mode: u32,
}

/// Who may listen on the same port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    #[default]
    Alone,
    /// Other processes of the same user, if they say so too (SO_REUSEPORT). The kernel
    /// distributes connections.
    Shared,
}

/// A socket to accept on.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    origin: Origin,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who else has it.
#[derive(Debug)]
enum Origin {
    /// Nobody: what is in its queue when it is closed is lost.
    Bound(Option<SocketFile>),
    /// Whoever passed it, and perhaps a successor.
    Passed,
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self { kind: Kind::Tcp(listener), origin: Origin::Bound(None) }
    }
}

impl Listener {
    /// Opens what an address says. One that names passed sockets takes them out of `passed`.
    pub fn open(
        address: &Address,
        options: SocketOptions,
        passed: &mut PassedSockets,
    ) -> io::Result<Vec<Self>> {
        match address {
            Address::Tcp(address) => Ok(vec![tcp(*address, options.sharing)?]),
            Address::Unix(path) => {
                let (listener, file) = file::bind(path, options.unix_mode)?;
                let kind = Kind::Unix(UnixListener::from_std(listener)?);
                Ok(vec![Self { kind, origin: Origin::Bound(Some(file)) }])
            }
            Address::Passed(which) => passed.take(which),
        }
    }

    /// Where it really listens.
    pub fn address(&self) -> Option<Address> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().ok().map(Address::Tcp),
            Kind::Unix(listener) => {
                let address = listener.local_addr().ok()?;
                address.as_pathname().map(|path| Address::Unix(path.to_owned()))
            }
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, PeerAddr)>> {
        Poll::Ready(match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                Ok((Socket::Tcp(stream), PeerAddr(Some(peer))))
            }
            Kind::Unix(listener) => {
                let (stream, _unnamed) = ready!(listener.poll_accept(cx))?;
                Ok((Socket::Unix(stream), PeerAddr(None)))
            }
        })
    }

    /// Nobody finds it any more. Whether those who already have are for us to serve.
    pub(super) fn withdraw(&mut self) -> Queue {
        match &mut self.origin {
            Origin::Bound(file) => {
                drop(file.take());
                Queue::Ours
            }
            Origin::Passed => Queue::Shared,
        }
    }
}

/// Whose the connections are that wait in the kernel when a listener closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Ours: closing resets them.
    Ours,
    /// Whoever else has the socket finds them.
    Shared,
}

fn tcp(address: SocketAddr, sharing: Sharing) -> io::Result<Listener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Connections of a process before us may still be closing.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG.into())?;
    prepare(&SockRef::from(&socket))?;
    Ok(TcpListener::from_std(socket.into())?.into())
}

/// What the kernel holds of answers for one client, bytes; it doubles this for its own needs. A slow
/// reader is seen to read when a third of it has gone, and ten thousand hold no more than that each.
const SEND_BUFFER: usize = 128 * 1024;

/// Accepted connections inherit it, at no cost to each.
fn prepare(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests;
