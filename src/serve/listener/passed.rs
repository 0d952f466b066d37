//! Sockets that whoever started this process has opened for it (systemd's socket activation).

use std::io;

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use super::{Kind, Listener, Origin, prepare};
use crate::address::Passed;

/// Most sockets that are taken over.
const MOST: usize = 64;

/// Sockets that were passed and that no listener has taken yet.
#[derive(Debug, Default)]
pub struct PassedSockets(Vec<(String, Socket)>);

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl PassedSockets {
    /// Takes them over. `names` is what LISTEN_FDNAMES says.
    ///
    /// To be called once and before there are threads: it removes LISTEN_FDS from the environment,
    /// so that no child takes them for its own. An error tells of what is no listening socket.
    pub fn from_environment(names: Option<&str>) -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        if given.len() > MOST {
            return Err(io::Error::other(format!("more than {MOST} sockets were passed")));
        }
        let mut names = names.unwrap_or_default().split(':');
        let mut sockets = Vec::new();
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            let socket = match given.take_unix_listener(index) {
                Ok(unix) => unix.map(Socket::Unix),
                Err(_not_unix) => given.take_tcp_listener(index)?.map(Socket::Tcp),
            };
            let Some(socket) = socket else { continue };
            if !socket.listens()? {
                let why = format!("socket {index} that was passed does not listen (Accept=yes?)");
                return Err(io::Error::other(why));
            }
            sockets.push((name.to_owned(), socket));
        }
        Ok(Self(sockets))
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes those that are meant out. None at all is an error.
    pub(super) fn take(&mut self, which: &Passed) -> io::Result<Vec<Listener>> {
        let meant = |name: &String| match which {
            Passed::Rest => true,
            Passed::Named(wanted) => name == wanted,
        };
        let (taken, left) =
            std::mem::take(&mut self.0).into_iter().partition::<Vec<_>, _>(|(name, _)| meant(name));
        self.0 = left;
        if taken.is_empty() {
            let why = "no such socket was passed by whoever started this process";
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        taken.into_iter().map(|(_, socket)| socket.listener()).collect()
    }
}

impl Socket {
    fn listens(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(listener) => SockRef::from(listener).is_listener(),
            Self::Unix(listener) => SockRef::from(listener).is_listener(),
        }
    }

    fn listener(self) -> io::Result<Listener> {
        let kind = match self {
            Self::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                prepare(&SockRef::from(&listener))?;
                Kind::Tcp(TcpListener::from_std(listener)?)
            }
            Self::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Kind::Unix(UnixListener::from_std(listener)?)
            }
        };
        Ok(Listener { kind, origin: Origin::Passed })
    }
}
