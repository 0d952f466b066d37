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
    /// A dNSName of the subject's alternative names.
    Dns(String),
    /// A uniformResourceIdentifier of the subject's alternative names; SPIFFE's identities are
    /// such.
    Uri(String),
    /// An rfc822Name of the subject's alternative names.
    Email(String),
    /// The common name of the subject.
    CommonName(String),
}
