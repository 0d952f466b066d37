//! The public keys of whoever issues tokens (RFC 7517), and which of them signed one.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::token::TokenFault;

/// More keys than that are no key set of ours.
pub const MAX_KEYS: usize = 64;

/// Public keys, each with the algorithms it may be used with.
#[derive(Clone)]
pub struct KeySet(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    /// The one that the key is for, if it says so.
    only: Option<Algorithm>,
    public: DecodingKey,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

impl KeySet {
    /// Reads a key set; or says what is wrong, quoting nothing of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let set: Value = serde_json::from_str(text).map_err(|_quotes| "is not JSON".to_owned())?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("has no list \"keys\"")?;
        if keys.len() > MAX_KEYS {
            return Err(format!("holds more than {MAX_KEYS} keys"));
        }
        let mut found: Vec<Key> = Vec::new();
        for (index, jwk) in keys.iter().enumerate() {
            let Some(key) = Key::parse(jwk).map_err(|why| format!("keys[{index}] {why}"))? else {
                continue;
            };
            if key.id.is_some() && found.iter().any(|other| other.id == key.id) {
                return Err(format!("keys[{index}] has the kid of another"));
            }
            found.push(key);
        }
        if found.is_empty() {
            return Err("holds no public key that signatures could be checked with".to_owned());
        }
        Ok(Self(found))
    }

    /// Whether one of the keys may be used with this algorithm.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.0.iter().any(|key| key.fits(algorithm))
    }

    /// The claims of a token, once its signature is known to be right.
    pub fn verify(
        &self,
        token: &[u8],
        accepted: &[Algorithm],
    ) -> Result<Map<String, Value>, TokenFault> {
        let header = decode_header(token).map_err(|_quotes| TokenFault::Malformed)?;
        // RFC 7515, section 4.1.11: what is critical and not understood makes a token invalid.
        if header.crit.is_some() {
            return Err(TokenFault::Malformed);
        }
        if !accepted.contains(&header.alg) {
            return Err(TokenFault::Algorithm);
        }
        let mut fitting = self.0.iter().filter(|key| key.fits(header.alg));
        let key = match &header.kid {
            Some(id) => fitting.find(|key| key.id.as_ref() == Some(id)),
            // Without a name it has to be the only one that could be meant.
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        let key = key.ok_or(TokenFault::Key)?;
        // Times, issuer and audience are judged by our own clock and rules.
        let mut signature = Validation::new(header.alg);
        signature.required_spec_claims.clear();
        signature.validate_exp = false;
        signature.validate_aud = false;
        match decode(token, &key.public, &signature) {
            Ok(data) => Ok(data.claims),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {
                Err(TokenFault::Signature)
            }
            Err(_quotes) => Err(TokenFault::Malformed),
        }
    }
}

impl Key {
    /// `None` if it is not meant for signatures that are checked here (RFC 7517, section 5).
    fn parse(written: &Value) -> Result<Option<Self>, &'static str> {
        if written.get("kty").and_then(Value::as_str) == Some("oct") {
            return Err("is a symmetric key: whoever checks with it could sign with it");
        }
        if written.get("d").is_some() {
            return Err("holds a private key: weir needs the public part alone");
        }
        let Ok(jwk) = Jwk::deserialize(written) else { return Ok(None) };
        if jwk.common.public_key_use.as_ref().is_some_and(|is| *is != PublicKeyUse::Signature) {
            return Ok(None);
        }
        let algorithms: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA,
            AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return Ok(None),
            },
            AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
            _ => return Ok(None),
        };
        let only = match written.get("alg").map(Algorithm::deserialize) {
            None => None,
            Some(Ok(algorithm)) => Some(algorithm),
            Some(Err(_not_for_signing)) => return Ok(None),
        };
        let public = DecodingKey::from_jwk(&jwk).map_err(|_quotes| "is malformed")?;
        Ok(Some(Self { id: jwk.common.key_id, algorithms, only, public }))
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm) && self.only.is_none_or(|only| only == algorithm)
    }
}

#[cfg(test)]
mod tests;
