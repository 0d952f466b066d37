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
    // Two without a name are told apart by what they are for, if at all.
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let larger = EncodingKey::from_ec_der(&pair.serialize_der());
    let mut larger_public = Jwk::from_encoding_key(&larger, Algorithm::ES384).unwrap();
    larger_public.common.key_id = None;
    let (key, nameless) = self::pair(None);
    let two = set(&[&nameless, &serde_json::to_value(larger_public).unwrap()]).unwrap();
    let both = [Algorithm::ES256, Algorithm::ES384];
    assert!(two.verify(signed(&key, None).as_bytes(), &both).is_ok());
    let header = Header::new(Algorithm::ES384);
    let token = encode(&header, &json!({}), &larger).unwrap();
    assert!(two.verify(token.as_bytes(), &both).is_ok());
    let many: Vec<_> = (0..MAX_KEYS).map(|n| with("kid", json!(n.to_string()))).collect();
    assert!(set(&many.iter().collect::<Vec<_>>()).is_ok());
    let named = set(&[&with("alg", json!("ES256"))]).unwrap();
    assert!(named.fits(Algorithm::ES256));
    assert!(KeySet::parse("{\"keys\":").is_err() && KeySet::parse("[]").is_err());
}

#[test]
fn every_algorithm_that_may_be_listed_is_checked() {
    use aws_lc_rs::signature::KeyPair as _;
    use base64::Engine as _;
    /// What PKCS #8 puts before the PKCS #1 form of an RSA key of 2048 bits.
    const PKCS8_HEAD: usize = 26;

    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_der();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let ed = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(ed.public_key().as_ref());
    let public = |private: &EncodingKey, algorithm| {
        serde_json::to_value(Jwk::from_encoding_key(private, algorithm).unwrap()).unwrap()
    };
    let ed_public = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    let ed_private = EncodingKey::from_ed_der(ed.to_pkcs8().unwrap().as_ref());
    let mut pairs = vec![(Algorithm::EdDSA, ed_private, ed_public)];
    let ec = EncodingKey::from_ec_der(&p384.serialize_der());
    for (algorithm, private) in [(Algorithm::ES256, pair(None).0), (Algorithm::ES384, ec)] {
        let public = public(&private, algorithm);
        pairs.push((algorithm, private, public));
    }
    for algorithm in RSA {
        let private = EncodingKey::from_rsa_der(&rsa[PKCS8_HEAD..]);
        let public = public(&private, *algorithm);
        pairs.push((*algorithm, private, public));
    }
    for (algorithm, private, public) in pairs {
        let keys = set(&[&public]).unwrap();
        let token = encode(&Header::new(algorithm), &json!({ "sub": "svc" }), &private).unwrap();
        assert_eq!(keys.verify(token.as_bytes(), &[algorithm]).unwrap()["sub"], "svc");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { 'B' } else { 'A' };
        let rest: String = signature.chars().skip(1).collect();
        let forged = format!("{signed}.{other}{rest}");
        let judged = keys.verify(forged.as_bytes(), &[algorithm]);
        assert_eq!(judged, Err(TokenFault::Signature), "{algorithm:?}");
    }
}
