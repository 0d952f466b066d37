use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::*;
use crate::policy::jwks::KeySet;
use crate::policy::token::Demands;

const NOW: u64 = 1_763_900_000;

struct Issuer {
    key: EncodingKey,
    tokens: Tokens,
    clock: Clock,
}

impl Issuer {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        let keys = KeySet::parse(&json!({ "keys": [public] }).to_string()).unwrap();
        let demands = Demands {
            issuer: "https://issuer".into(),
            audience: "weir".into(),
            leeway: Duration::ZERO,
            claim: "sub".into(),
        };
        let clock = Clock::starting_at(UNIX_EPOCH + Duration::from_secs(NOW));
        let rules = TokenRules { keys, algorithms: vec![Algorithm::ES256], demands };
        let subjects = HashMap::from([("svc".to_owned(), 7)]);
        Self { key, tokens: Tokens::new(rules, subjects, clock.clone()), clock }
    }

    fn token(&self, subject: &str, lives: u64, number: usize) -> String {
        let claims = json!({
            "iss": "https://issuer", "aud": "weir", "sub": subject, "exp": NOW + lives, "n": number,
        });
        encode(&Header::new(Algorithm::ES256), &claims, &self.key).unwrap()
    }

    fn remembered(&self) -> u64 {
        self.tokens.good.run_pending_tasks();
        self.tokens.good.entry_count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_token_is_its_clients_until_it_expires_and_remembered_no_longer() {
    let issuer = Issuer::new();
    assert!(issuer.clock.wall() > SystemTime::UNIX_EPOCH);
    let token = issuer.token("svc", 60, 0);
    for _ in 0..3 {
        assert_eq!(issuer.tokens.client(token.as_bytes()), Ok(7));
    }
    assert_eq!(issuer.remembered(), 1);
    issuer.clock.advance(Duration::from_secs(60));
    for _ in 0..2 {
        assert_eq!(issuer.tokens.client(token.as_bytes()), Err(TokenFault::Expired));
    }
    assert_eq!(issuer.remembered(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_good_is_not_remembered() {
    let issuer = Issuer::new();
    let stranger = issuer.token("stranger", 60, 0);
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    let good = issuer.token("svc", 60, 0);
    let forged = good.replace(&signature(&good), &signature(&stranger));
    let long = format!("a.{}.c", "b".repeat(MAX_TOKEN - 3));
    for (token, fault) in [
        (stranger, TokenFault::Subject),
        (forged, TokenFault::Signature),
        (Issuer::new().token("svc", 60, 0), TokenFault::Signature),
        (long, TokenFault::TooLong),
    ] {
        assert_eq!(issuer.tokens.client(token.as_bytes()), Err(fault));
    }
    assert_eq!(issuer.remembered(), 0);
    let longest = format!("a.{}.c", "b".repeat(MAX_TOKEN - 4));
    assert_eq!(longest.len(), MAX_TOKEN);
    assert_eq!(issuer.tokens.client(longest.as_bytes()), Err(TokenFault::Malformed));
}

#[tokio::test(start_paused = true)]
async fn so_many_are_remembered_and_all_the_others_are_good_as_well() {
    let issuer = Issuer::new();
    let most = usize::try_from(MOST).unwrap();
    for number in 0..most + 100 {
        let token = issuer.token("svc", 60, number);
        assert_eq!(issuer.tokens.client(token.as_bytes()), Ok(7));
    }
    assert!(issuer.remembered() <= MOST, "{}", issuer.remembered());
    assert_eq!(issuer.tokens.client(issuer.token("svc", 60, 0).as_bytes()), Ok(7));
}
