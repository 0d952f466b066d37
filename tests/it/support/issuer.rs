//! Whoever issues tokens to clients: a pair of keys, and the file that publishes one of them.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

/// Issues tokens that say `iss` = "issuer" and `aud` = "weir".
pub(crate) struct Issuer {
    key: EncodingKey,
    directory: tempfile::TempDir,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let issuer = Self { key: pair(), directory: tempfile::tempdir().unwrap() };
        issuer.publish();
        issuer
    }

    fn publish(&self) {
        let mut public = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        public.common.key_id = Some("k1".into());
        std::fs::write(self.file(), json!({ "keys": [public] }).to_string()).unwrap();
    }

    /// Another pair of keys, published in place of the first.
    pub(crate) fn rotate(&mut self) {
        self.key = pair();
        self.publish();
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("jwks.json")
    }

    /// The table `[server.jwt]`.
    pub(crate) fn table(&self) -> String {
        let file = self.file();
        format!(
            "[server.jwt]\njwks = {:?}\nissuer = \"issuer\"\naudience = \"weir\"\n",
            file.display().to_string()
        )
    }

    /// A token for that subject that lives so many seconds from `now`.
    pub(crate) fn token(&self, subject: &str, lives: i64, now: SystemTime) -> String {
        let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let claims = json!({ "iss": "issuer", "aud": "weir", "sub": subject, "exp": now + lives });
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &self.key).unwrap()
    }
}

fn pair() -> EncodingKey {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    EncodingKey::from_ec_der(&pair.serialize_der())
}
