//! TLS towards clients: from PEM to what a listener needs, or to what is wrong with it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::parse_x509_certificate;

use crate::secret::Secret;

/// Where a listener's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate and those between it and its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who vouches for clients; none = clients show no certificate.
    pub clients: Option<Authority<PathBuf>>,
}

/// Who vouches for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<T> {
    /// Root certificates.
    pub ca: T,
    /// Whether every client needs one.
    pub auth: ClientAuth,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// If they have one. One that is not good is refused all the same.
    Optional,
    /// All of them.
    Required,
}

/// Largest file of certificates that is read.
pub const MAX_PEM_BYTES: u64 = 1 << 20;

/// What the files hold.
#[derive(Clone, Debug)]
pub struct Pem {
    /// Certificates, the listener's own first.
    pub cert: String,
    /// A private key.
    pub key: Secret,
    /// Root certificates of clients.
    pub clients: Option<Authority<String>>,
}

/// What a listener needs to speak TLS.
#[derive(Clone)]
pub struct Identity {
    /// As rustls wants it.
    pub config: Arc<ServerConfig>,
    /// When the certificate ends, seconds since 1970.
    pub not_after: i64,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// What is wrong. Never quotes the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// With the certificate.
    #[error("the certificate {0}")]
    Certificate(String),
    /// With the key.
    #[error("the private key {0}")]
    Key(String),
    /// With both.
    #[error("the private key belongs to another certificate")]
    Mismatch,
    /// With the clients' roots.
    #[error("a certificate of client_ca {0}")]
    ClientCa(String),
}

/// HTTP/2 where the client has it (RFC 9113, section 3.2).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

impl Identity {
    /// Checks that everything fits together. That the certificate has ended is no fault: who has
    /// no better one goes on with it.
    pub fn new(pem: &Pem) -> Result<Self, TlsFault> {
        let chain = certificates(&pem.cert).map_err(TlsFault::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(pem.key.expose().as_bytes())
            .map_err(|_quotes| TlsFault::Key("is not there, or is no PEM".into()))?;
        let own = chain.first().ok_or(TlsFault::Mismatch)?;
        let (_, own) = parse_x509_certificate(own)
            .map_err(|_binary| TlsFault::Certificate("cannot be read".into()))?;
        let not_after = own.validity().not_after.timestamp();
        let clients = match &pem.clients {
            Some(authority) => verifier(authority).map_err(TlsFault::ClientCa)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| TlsFault::Certificate(error.to_string()))?
                .with_client_cert_verifier(clients)
                .with_single_cert(chain.clone(), key)
                .map_err(unusable)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(Self { config: Arc::new(config), not_after })
    }
}

fn unusable(error: rustls::Error) -> TlsFault {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsFault::Mismatch,
        rustls::Error::InvalidCertificate(why) => {
            TlsFault::Certificate(format!("cannot be used: {why:?}"))
        }
        other => TlsFault::Key(format!("cannot be used: {other}")),
    }
}

/// At least one.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("is not there: no CERTIFICATE in the file".into()),
        Ok(found) => Ok(found),
        Err(_quotes) => Err("cannot be read: it is no PEM".into()),
    }
}

fn verifier(authority: &Authority<String>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for root in certificates(&authority.ca)? {
        roots.add(root).map_err(|error| format!("cannot be used: {error}"))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match authority.auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required => builder,
    };
    builder.build().map_err(|error| format!("cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["weir.test".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn identity(cert: &str, key: &str, ca: Option<&str>) -> Result<Identity, TlsFault> {
        let clients = ca.map(|ca| Authority { ca: ca.to_owned(), auth: ClientAuth::Required });
        Identity::new(&Pem { cert: cert.to_owned(), key: Secret::new(key), clients })
    }

    #[test]
    fn a_pair_that_fits_is_taken_and_anything_else_is_named() {
        let ((cert, key), (other, _)) = (pair(), pair());
        let good = identity(&cert, &key, Some(&format!("{cert}{other}"))).unwrap();
        assert!(good.not_after > 0);
        assert_eq!(good.config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        let (half, _) = key.split_at(key.len() / 2);
        let broken = cert.replace("-----END", "=====END");
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (cert, key, ca, which) in [
            (&*other, &*key, None, "another certificate"),
            ("", &key, None, "the certificate"),
            (&broken, &key, None, "the certificate"),
            (garbage, &key, None, "the certificate"),
            (&cert, "", None, "the private key"),
            (&cert, half, None, "the private key"),
            (&cert, &cert, None, "the private key"),
            (&cert, &key, Some(""), "client_ca"),
            (&cert, &key, Some(garbage), "client_ca"),
        ] {
            let fault = identity(cert, key, ca).unwrap_err().to_string();
            assert!(fault.contains(which), "{which}: {fault}");
            assert!(!fault.contains("BEGIN"), "{fault}");
        }
    }

    #[test]
    fn nothing_of_the_key_is_printed() {
        let (cert, key) = pair();
        let pem = Pem { cert, key: Secret::new(key.clone()), clients: None };
        let printed = format!("{:?} {:?}", Identity::new(&pem).unwrap(), pem);
        let secret = key.lines().nth(1).unwrap();
        assert!(!printed.contains(secret), "{printed}");
    }
}
