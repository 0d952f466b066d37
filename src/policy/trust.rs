//! Who is believed to be an upstream, and what shows who we are.

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// Whether the system's certificate authorities are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SystemRoots {
    /// They are, besides those that are named.
    #[default]
    Believed,
    /// Only those that are named.
    Ignored,
}

/// Who is believed to be an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Certificate authorities of its own.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The system's.
    pub system: SystemRoots,
    /// What shows who we are.
    pub identity: Option<Identity>,
    /// The name that is asked for and has to be proved; none = the URL's.
    pub server_name: Option<ServerName<'static>>,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    /// Of the key, to tell whether it has changed.
    print: Vec<u8>,
}

impl Identity {
    /// Certificate chain and private key, both PEM; or what is wrong with which.
    pub fn of(chain: &str, key: &str) -> Result<Self, IdentityFault> {
        let chain = pem(chain).map_err(IdentityFault::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_why| IdentityFault::Key("holds no private key in PEM"))?;
        let print = digest::digest(&digest::SHA256, key.secret_der()).as_ref().to_vec();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        match CertifiedKey::from_der(chain, key, &provider) {
            Ok(key) => Ok(Self { key: Arc::new(key), print }),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(IdentityFault::Key("is not the key of the certificate"))
            }
            Err(rustls::Error::InvalidCertificate(_)) => {
                Err(IdentityFault::Certificate("cannot be understood"))
            }
            Err(_) => Err(IdentityFault::Key("cannot be used")),
        }
    }

    /// For TLS.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert && self.print == other.print
    }
}

impl Eq for Identity {}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// Which of the two is of no use, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFault {
    /// The certificate.
    Certificate(&'static str),
    /// The key.
    Key(&'static str),
}

/// Certificate authorities, PEM; or what is wrong with them.
pub fn authorities(text: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found = pem(text)?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots
            .add(certificate.clone())
            .map_err(|_why| "holds a certificate that is no authority")?;
    }
    Ok(found)
}

fn pem(text: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err("holds no certificate in PEM"),
        Ok(found) => Ok(found),
        Err(_) => Err("holds a certificate that is cut short or garbled"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_to_be_the_certificates_own() {
        let made = || rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let identity = Identity::of(&cert, &key).unwrap();
        assert_eq!(identity, Identity::of(&cert, &key).unwrap());
        assert_eq!(format!("{identity:?}"), "Identity");
        let fault = |cert: &str, key: &str| Identity::of(cert, key).unwrap_err();
        let mismatch = fault(&cert, &other.signing_key.serialize_pem());
        assert_eq!(mismatch, IdentityFault::Key("is not the key of the certificate"));
        assert!(matches!(fault(&key, &key), IdentityFault::Certificate(_)));
        assert!(matches!(fault(&cert, &cert), IdentityFault::Key(_)));
        assert!(matches!(fault(&cert, ""), IdentityFault::Key(_)));
    }

    #[test]
    fn authorities_are_certificates_and_at_least_one() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        assert_eq!(authorities(&made.cert.pem()).unwrap().len(), 1);
        for wrong in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            assert!(authorities(wrong).is_err(), "{wrong:?}");
        }
        let mut pem = made.cert.pem();
        pem.truncate(pem.len() / 2);
        assert!(authorities(&pem).is_err(), "cut short");
    }
}
