use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::*;

/// A pair of keys: what signs, and what is published.
fn pair(id: Option<&str>) -> (EncodingKey, Value) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let private = EncodingKey::from_ec_der(&pair.serialize_der());
    let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).unwrap();
    public.common.key_id = id.map(ToOwned::to_owned);
    public.common.key_algorithm = None;
    (private, serde_json::to_value(public).unwrap())
}

fn set(keys: &[&Value]) -> Result<KeySet, String> {
    KeySet::parse(&json!({ "keys": keys }).to_string())
}

fn signed(key: &EncodingKey, id: Option<&str>) -> String {
    let header = Header { kid: id.map(ToOwned::to_owned), ..Header::new(Algorithm::ES256) };
    encode(&header, &json!({ "sub": "svc" }), key).unwrap()
}

const ES256: &[Algorithm] = &[Algorithm::ES256];

#[test]
fn the_key_that_is_named_has_to_have_signed() {
    let ((a, public_a), (b, public_b)) = (pair(Some("a")), pair(Some("b")));
    let both = set(&[&public_a, &public_b]).unwrap();
    let verify =
        |token: &str| both.verify(token.as_bytes(), ES256).map(|claims| claims["sub"].clone());
    assert_eq!(verify(&signed(&a, Some("a"))), Ok(json!("svc")));
    assert_eq!(verify(&signed(&b, Some("b"))), Ok(json!("svc")));
    assert_eq!(verify(&signed(&a, Some("b"))), Err(TokenFault::Signature));
    assert_eq!(verify(&signed(&a, Some("c"))), Err(TokenFault::Key));
    // Two could be meant: neither is tried.
    assert_eq!(verify(&signed(&a, None)), Err(TokenFault::Key));
    let one = set(&[&public_a]).unwrap();
    assert!(one.verify(signed(&a, None).as_bytes(), ES256).is_ok());
}

#[test]
fn neither_algorithm_nor_content_can_be_changed() {
    let (key, public) = pair(Some("a"));
    let keys = set(&[&public]).unwrap();
    let good = signed(&key, Some("a"));
    let [head, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let part = |value: Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
    };
    let header = |change: Value| {
        let mut header = json!({ "alg": "ES256", "kid": "a", "typ": "JWT" });
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        part(header)
    };
    let secret = EncodingKey::from_secret(public.to_string().as_bytes());
    let hs256 = Header { kid: Some("a".into()), ..Header::new(Algorithm::HS256) };
    let confused = encode(&hs256, &json!({ "sub": "svc" }), &secret).unwrap();
    for (token, fault) in [
        (format!("{head}.{}.{signature}", part(json!({ "sub": "root" }))), TokenFault::Signature),
        (format!("{head}.{claims}."), TokenFault::Signature),
        (format!("{head}.{claims}.AAAA"), TokenFault::Signature),
        (format!("{}.{claims}.", header(json!({ "alg": "none" }))), TokenFault::Malformed),
        (
            format!("{}.{claims}.{signature}", header(json!({ "alg": "RS256" }))),
            TokenFault::Algorithm,
        ),
        (
            format!("{}.{claims}.{signature}", header(json!({ "crit": ["x"] }))),
            TokenFault::Malformed,
        ),
        (confused, TokenFault::Algorithm),
        ("..".to_owned(), TokenFault::Malformed),
        ("a.b.c".to_owned(), TokenFault::Malformed),
        (format!("{head}.%.{signature}"), TokenFault::Signature),
    ] {
        assert_eq!(keys.verify(token.as_bytes(), ES256), Err(fault), "{token}");
    }
    // Accepted, but no key is for it.
    let other = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256];
    let secret_token = encode(&hs256, &json!({}), &secret).unwrap();
    assert_eq!(keys.verify(secret_token.as_bytes(), &other), Err(TokenFault::Key));
    assert!(keys.fits(Algorithm::ES256) && !keys.fits(Algorithm::RS256));
}

#[test]
fn a_set_that_cannot_be_what_was_meant_is_refused() {
    let (_, good) = pair(Some("a"));
    let with = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    for (keys, why) in [
        (vec![], "holds no public key"),
        (vec![json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s" })], "keys[0] is a symmetric key"),
        (vec![good.clone(), with("d", json!("x"))], "keys[1] holds a private key"),
        (vec![good.clone(), good.clone()], "keys[1] has the kid of another"),
        (vec![with("use", json!("enc"))], "holds no public key"),
        (vec![with("crv", json!("P-521"))], "holds no public key"),
        (vec![with("alg", json!("RSA-OAEP"))], "holds no public key"),
        (vec![json!({ "kty": "new" }), json!(7)], "holds no public key"),
        (vec![with("x", json!("!"))], "keys[0] is malformed"),
        (vec![good.clone(); MAX_KEYS + 1], "holds more than 64 keys"),
    ] {
        let refused = set(&keys.iter().collect::<Vec<_>>()).unwrap_err();
        assert!(refused.starts_with(why), "{refused}");
    }
    let many: Vec<_> = (0..MAX_KEYS).map(|n| with("kid", json!(n.to_string()))).collect();
    assert!(set(&many.iter().collect::<Vec<_>>()).is_ok());
    let named = set(&[&with("alg", json!("ES256"))]).unwrap();
    assert!(named.fits(Algorithm::ES256));
    assert!(KeySet::parse("{\"keys\":").is_err() && KeySet::parse("[]").is_err());
}
