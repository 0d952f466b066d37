//! Whose a client certificate is, by the names in it.

use std::collections::HashMap;

use crate::peer::CertificateName;

/// A name that a client is known by: `dns:`, `uri:`, `email:` or `cn:` and the name, or
/// `dns:*.` and a domain, which means any one label below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateRule {
    /// This name.
    Is(CertificateName),
    /// Any host one label below this domain.
    Below(String),
}

impl CertificateRule {
    /// Reads what an operator wrote; or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (kind, name) = text.split_once(':').ok_or("has no kind")?;
        if name.is_empty() {
            return Err("has no name");
        }
        let plain = name.to_owned();
        let name = match kind {
            "dns" => match name.strip_prefix("*.") {
                Some("") => return Err("has no domain"),
                Some(domain) if !domain.contains('*') => {
                    return Ok(Self::Below(domain.to_ascii_lowercase()));
                }
                _ if name.contains('*') => return Err("has a \"*\" that is not its first label"),
                _ => CertificateName::Dns(name.to_ascii_lowercase()),
            },
            "uri" => CertificateName::Uri(plain),
            "email" => CertificateName::Email(plain),
            "cn" => CertificateName::CommonName(plain),
            _ => return Err("is of no known kind"),
        };
        Ok(Self::Is(name))
    }
}

/// Whose a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No name in it is anybody's.
    Nobody,
    /// This client's.
    Client(usize),
    /// Its names are those of several clients.
    Several,
}

/// The names of all clients, to be found in the time that one name takes.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    exact: HashMap<CertificateName, usize>,
    below: HashMap<String, usize>,
}

impl Holders {
    /// Notes whose a name is.
    pub fn insert(&mut self, rule: CertificateRule, client: usize) {
        match rule {
            CertificateRule::Is(name) => self.exact.insert(name, client),
            CertificateRule::Below(domain) => self.below.insert(domain, client),
        };
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }

    /// Whose these names are. A host's own entry goes before that of its domain.
    pub fn find(&self, names: &[CertificateName]) -> Holder {
        let mut holder = Holder::Nobody;
        for client in names.iter().filter_map(|name| self.of(name)) {
            match holder {
                Holder::Client(first) if first != client => return Holder::Several,
                _ => holder = Holder::Client(client),
            }
        }
        holder
    }

    fn of(&self, name: &CertificateName) -> Option<usize> {
        let CertificateName::Dns(host) = name else { return self.exact.get(name).copied() };
        // RFC 4343: names of hosts are compared without regard to case.
        let host = host.to_ascii_lowercase();
        let (label, domain) = host.split_once('.').unwrap_or((&host, ""));
        // A certificate for any host of a domain is no host's own.
        let is_label = !label.is_empty() && !label.contains('*');
        let below = self.below.get(domain).copied().filter(|_| is_label);
        self.exact.get(&CertificateName::Dns(host)).copied().or(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> CertificateRule {
        CertificateRule::parse(text).unwrap()
    }

    #[test]
    fn rules_are_read_or_refused() {
        assert_eq!(rule("dns:A.b"), CertificateRule::Is(CertificateName::Dns("a.b".into())));
        assert_eq!(rule("dns:*.B.c"), CertificateRule::Below("b.c".into()));
        let spiffe = CertificateName::Uri("spiffe://acme/Console".into());
        assert_eq!(rule("uri:spiffe://acme/Console"), CertificateRule::Is(spiffe));
        for bad in [
            "",
            "console",
            "dns:",
            "DNS:a",
            "ip:1.2.3.4",
            "dns:*",
            "dns:*.",
            "dns:a.*.b",
            "dns:*.*.b",
            "dns:x*.b",
        ] {
            assert!(CertificateRule::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_is_the_one_clients_whose_names_it_has() {
        let mut holders = Holders::default();
        assert!(holders.is_empty());
        for (text, client) in [
            ("dns:console.internal", 0),
            ("dns:*.jobs.internal", 1),
            ("dns:special.jobs.internal", 2),
            ("uri:spiffe://acme/console", 0),
            ("email:x@y", 3),
            ("cn:console", 4),
        ] {
            holders.insert(rule(text), client);
        }
        assert!(!holders.is_empty());
        let (dns, uri) =
            (|n: &str| CertificateName::Dns(n.into()), |n: &str| CertificateName::Uri(n.into()));
        for (names, holder) in [
            (vec![], Holder::Nobody),
            (vec![dns("Console.Internal")], Holder::Client(0)),
            (vec![dns("console.internal"), uri("spiffe://acme/console")], Holder::Client(0)),
            (vec![dns("unheard.of"), uri("spiffe://acme/console")], Holder::Client(0)),
            (vec![uri("spiffe://acme/Console")], Holder::Nobody),
            (vec![dns("a.jobs.internal")], Holder::Client(1)),
            (vec![dns("special.jobs.internal")], Holder::Client(2)),
            (vec![dns("a.b.jobs.internal")], Holder::Nobody),
            (vec![dns("jobs.internal")], Holder::Nobody),
            (vec![dns("*.jobs.internal")], Holder::Nobody),
            (vec![dns(".jobs.internal")], Holder::Nobody),
            (vec![CertificateName::Email("x@y".into())], Holder::Client(3)),
            (vec![CertificateName::CommonName("console".into())], Holder::Client(4)),
            // One kind of name is not another.
            (vec![dns("console")], Holder::Nobody),
            (vec![CertificateName::CommonName("console.internal".into())], Holder::Nobody),
            (vec![dns("console.internal"), dns("a.jobs.internal")], Holder::Several),
        ] {
            assert_eq!(holders.find(&names), holder, "{names:?}");
        }
    }
}
