//! Who is at the other end of a connection, as far as the connection itself tells.

/// The peer's address, found in every request's extensions. A unix socket's peer has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub Option<std::net::SocketAddr>);

/// The names in a client certificate that was verified, found in its requests' extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub std::sync::Arc<[CertificateName]>);

/// One name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateName {
    /// A subject alternative name: a host.
    Dns(String),
    /// A subject alternative name: a URI, such as a SPIFFE id.
    Uri(String),
    /// A subject alternative name: a mailbox.
    Email(String),
    /// The subject's common name.
    CommonName(String),
}
