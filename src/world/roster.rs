//! The clients that have to prove who they are, and how each is recognised: in the same time,
//! however many there are.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;

use super::Client;
use crate::peer::PeerCertificate;
use crate::policy::certificate::{Holder, Holders};
use crate::policy::identity::{
    Doubt, KeyField, MAX_KEY, Shown, Unidentified, Ways, looks_like_token,
};
use crate::secret::Fingerprint;
use crate::store::token::Tokens;

/// What clients are recognised by; numbers are places in the list of clients.
#[derive(Debug)]
pub struct Proofs {
    /// Where keys and tokens are looked for.
    pub field: KeyField,
    /// By API key. The map's own hash is keyed, and what it finds is compared whole and in constant
    /// time: how long a look takes tells nothing about a key.
    pub keys: HashMap<Fingerprint, usize>,
    /// By client certificate.
    pub certificates: Holders,
    /// By token, if tokens are taken.
    pub tokens: Option<Tokens>,
}

/// See the module.
#[derive(Debug)]
pub struct Roster {
    all: Vec<Arc<Client>>,
    proofs: Proofs,
}

impl Roster {
    /// These clients, in the order of the configuration.
    pub fn new(all: Vec<Arc<Client>>, proofs: Proofs) -> Self {
        Self { all, proofs }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Client>] {
        &self.all
    }

    /// Where keys and tokens are looked for.
    pub fn key_field(&self) -> &KeyField {
        &self.proofs.field
    }

    /// Who calls. A key that is shown decides, and has to be right; else it is the certificate.
    pub fn identify(
        &self,
        headers: &HeaderMap,
        certificate: Option<&PeerCertificate>,
    ) -> Result<&Arc<Client>, Unidentified> {
        let number = match self.proofs.field.shown(headers)? {
            Shown::Key(shown) => self.by_key(shown)?,
            Shown::Nothing => self.by_certificate(certificate)?,
        };
        self.all.get(number).ok_or(Unidentified::Doubtful(Doubt::Unknown))
    }

    /// Whether these fields will mean the same client as long as the configuration does not
    /// change: a token ends by itself.
    pub fn is_lasting(&self, headers: &HeaderMap) -> bool {
        let shown = self.proofs.field.shown(headers);
        !matches!(shown, Ok(Shown::Key(key)) if self.proofs.tokens.is_some() && looks_like_token(key))
    }

    fn by_key(&self, shown: &[u8]) -> Result<usize, Doubt> {
        match &self.proofs.tokens {
            Some(tokens) if looks_like_token(shown) => tokens.client(shown).map_err(Doubt::Token),
            _ if shown.len() > MAX_KEY => Err(Doubt::TooLong),
            _ => self.proofs.keys.get(&Fingerprint::of(shown)).copied().ok_or(Doubt::Unknown),
        }
    }

    fn by_certificate(&self, certificate: Option<&PeerCertificate>) -> Result<usize, Unidentified> {
        let names = certificate.map_or(&[][..], |certificate| &certificate.0);
        match self.proofs.certificates.find(names) {
            Holder::Client(number) => Ok(number),
            Holder::Several => Err(Doubt::Several.into()),
            Holder::Nobody => Err(Unidentified::Missing(Ways {
                field: self.proofs.field.clone(),
                certificates: !self.proofs.certificates.is_empty(),
            })),
        }
    }
}
