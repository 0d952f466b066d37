//! A string that cannot be printed.

use std::hash::{Hash, Hasher};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

/// A key, secret or token. `Debug` and `Display` print a mask; memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes ownership of the plain text, and leaves no copy of it behind.
    pub fn new(plain: impl Into<String>) -> Self {
        let mut plain = plain.into();
        if plain.len() == plain.capacity() {
            return Self(SecretString::from(plain));
        }
        // Shrinking would move it, and leave the text where it was.
        let exact = SecretString::from(Box::from(plain.as_str()));
        plain.zeroize();
        Self(exact)
    }

    /// The plain text, for the one place that puts it on the wire.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Enough of a secret to recognise it by: its SHA-256. Comparing two takes as long whatever they
/// have in common.
#[derive(Clone, Copy)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of this secret.
    pub fn of(secret: &[u8]) -> Self {
        let mut digest = [0; 32];
        let computed = digest::digest(&digest::SHA256, secret);
        digest.iter_mut().zip(computed.as_ref()).for_each(|(byte, from)| *byte = *from);
        Self(digest)
    }

    /// One that was computed elsewhere.
    pub fn from_sha256(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Whether this is the secret. How long that takes does not tell how much of it is right.
    pub fn recognises(&self, given: &[u8]) -> bool {
        *self == Self::of(given)
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Fingerprint {}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, Secret};

    #[test]
    fn a_fingerprint_recognises_its_secret_alone() {
        let fingerprint = Fingerprint::of(b"hunter2");
        assert_eq!(format!("{fingerprint:?}"), "***");
        for (given, same) in
            [("hunter2", true), ("hunter", false), ("hunter22", false), ("", false)]
        {
            assert_eq!(fingerprint.recognises(given.as_bytes()), same, "{given}");
        }
    }

    #[test]
    fn never_prints_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
