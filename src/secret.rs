//! A string that cannot be printed.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, Digest};
use secrecy::{ExposeSecret as _, SecretString};

/// A key, secret or token. `Debug` and `Display` print a mask; memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes ownership of the plain text.
    pub fn new(plain: impl Into<String>) -> Self {
        Self(SecretString::from(plain.into()))
    }

    /// The plain text, for the one place that puts it on the wire.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
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

/// Enough of a secret to recognise it by: its SHA-256.
#[derive(Clone)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    /// That of this secret.
    pub fn of(secret: &Secret) -> Self {
        Self(digest::digest(&digest::SHA256, secret.expose().as_bytes()))
    }

    /// Whether this is the secret. How long that takes does not tell how much of it is right.
    pub fn recognises(&self, given: &[u8]) -> bool {
        let given = digest::digest(&digest::SHA256, given);
        verify_slices_are_equal(self.0.as_ref(), given.as_ref()).is_ok()
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
        let fingerprint = Fingerprint::of(&Secret::new("hunter2"));
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
