//! What a client's certificate calls it.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::peer::{CertificateName, PeerCertificate};

/// Most names that are looked at, and the longest of them, bytes.
const MOST_NAMES: usize = 64;
const LONGEST_NAME: usize = 256;

/// The names of a certificate that has been verified. Those that are too many or too long are
/// left out: nobody is known by a part of a name.
pub(super) fn names(certificate: &CertificateDer<'_>) -> PeerCertificate {
    let mut names = Vec::new();
    if let Ok((_, certificate)) = parse_x509_certificate(certificate) {
        if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
            names.extend(alternatives.value.general_names.iter().filter_map(alternative));
        }
        let common = certificate.subject().iter_common_name();
        let common = common.filter_map(|name| name.as_str().ok());
        names.extend(common.filter_map(|name| bounded(name).map(CertificateName::CommonName)));
    }
    names.truncate(MOST_NAMES);
    PeerCertificate(Arc::from(names))
}

fn alternative(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::DNSName(name) => bounded(name).map(CertificateName::Dns),
        GeneralName::URI(name) => bounded(name).map(CertificateName::Uri),
        GeneralName::RFC822Name(name) => bounded(name).map(CertificateName::Email),
        _ => None,
    }
}

fn bounded(name: &str) -> Option<String> {
    (1..=LONGEST_NAME).contains(&name.len()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    #[test]
    fn every_kind_of_name_is_found() {
        let found = names(&certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "console");
            params.subject_alt_names = vec![
                dns("console.internal"),
                SanType::URI("spiffe://example/console".try_into().unwrap()),
                SanType::Rfc822Name("console@example".try_into().unwrap()),
                SanType::IpAddress("10.0.0.1".parse().unwrap()),
            ];
        }));
        let expected = [
            CertificateName::Dns("console.internal".into()),
            CertificateName::Uri("spiffe://example/console".into()),
            CertificateName::Email("console@example".into()),
            CertificateName::CommonName("console".into()),
        ];
        assert_eq!(*found.0, expected);
    }

    #[test]
    fn names_are_bounded_in_number_and_length() {
        let found = names(&certificate(|params| {
            params.subject_alt_names = (0..100).map(|n| dns(&format!("a{n}"))).collect();
        }));
        assert_eq!(found.0.len(), MOST_NAMES);
        let found = names(&certificate(|params| {
            params.subject_alt_names =
                vec![dns(&"a".repeat(LONGEST_NAME + 1)), dns(&"b".repeat(LONGEST_NAME))];
        }));
        assert_eq!(*found.0, [CertificateName::Dns("b".repeat(LONGEST_NAME))]);
        assert!(names(&CertificateDer::from(vec![0; 10])).0.is_empty());
    }
}
