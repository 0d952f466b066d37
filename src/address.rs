//! Where a listener listens, as it is written: `127.0.0.1:8080`, `unix:/run/weir.sock`,
//! `systemd:web`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The place of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; port 0 is any free one.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
    /// Sockets that were opened by whoever started this process.
    Passed(Passed),
}

/// Which of the sockets that were passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// All that no other listener names.
    Rest,
    /// Those of this name.
    Named(String),
}

/// Longest path of a socket file, bytes (`sun_path` less its end).
pub const MAX_UNIX_PATH: usize = 107;

impl Address {
    /// Reads what is written; `None` if it is no address.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("unix" | "systemd", "")) => None,
            Some(("unix", path)) => Some(Self::Unix(path.into())),
            Some(("systemd", name)) => Some(Self::Passed(Passed::Named(name.to_owned()))),
            None if text == "systemd" => Some(Self::Passed(Passed::Rest)),
            _ => text.parse().ok().map(Self::Tcp),
        }
    }

    /// The same, with the path of a socket file relative to a directory.
    pub fn relative_to(self, directory: &Path) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(directory.join(path)),
            other => other,
        }
    }

    /// Whether others than those on this machine may get there, as far as the address tells. A
    /// socket file is guarded by its permissions.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }

    /// Whether both cannot be listened on.
    pub fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => {
                let same = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
                a.port() != 0 && a.port() == b.port() && same
            }
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Passed(Passed::Rest) => f.write_str("systemd"),
            Self::Passed(Passed::Named(name)) => write!(f, "systemd:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_written_again() {
        for text in [
            "127.0.0.1:8080",
            "[::]:80",
            "unix:/run/a.sock",
            "unix:a.sock",
            "systemd",
            "systemd:web",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "8080", ":8080", "localhost:80", "unix:", "systemd:", "unix", "127.0.0.1"]
        {
            assert_eq!(Address::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn two_that_cannot_be_had_at_once_collide() {
        let collide = |a, b| Address::parse(a).unwrap().collides(&Address::parse(b).unwrap());
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("systemd", "systemd", true),
            ("systemd:a", "systemd:a", true),
            // Whoever names its socket gets it, and the other the rest.
            ("systemd", "systemd:a", false),
        ] {
            assert_eq!(collide(a, b), expected, "{a} {b}");
            assert_eq!(collide(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn loopback_and_socket_files_are_not_open() {
        let open = |text| Address::parse(text).unwrap().is_open();
        assert!(open("0.0.0.0:80") && open("[::]:80") && open("10.0.0.1:80"));
        assert!(!open("127.0.0.1:80") && !open("[::1]:80") && !open("unix:/a"));
    }
}
