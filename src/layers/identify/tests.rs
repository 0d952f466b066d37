use std::collections::HashMap;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use super::*;
use crate::clock::Clock;
use crate::layers::render_errors::RenderErrorsLayer;
use crate::layers::testing::{Fake, Rig, answer, field, keyed, send, share};
use crate::peer::CertificateName;
use crate::policy::certificate::{CertificateRule, Holders};
use crate::policy::identity::{KeyField, MAX_KEY};
use crate::secret::Fingerprint;
use crate::world::{Proofs, Roster};

fn client(name: &str) -> Arc<Client> {
    Arc::new(Client::new(0, share(name), None, &Clock::system()))
}

/// Whoever has k0 is "zero", and so on; "cert" has a certificate and no key.
fn roster(field: KeyField) -> Roster {
    let names = ["zero", "one", "cert"];
    let keys = [("k0", 0), ("k1", 1), ("k1-next", 1)];
    let mut certificates = Holders::default();
    certificates.insert(CertificateRule::parse("dns:zero.internal").unwrap(), 0);
    certificates.insert(CertificateRule::parse("dns:cert.internal").unwrap(), 2);
    let keys: HashMap<_, _> =
        keys.iter().map(|(key, number)| (Fingerprint::of(key.as_bytes()), *number)).collect();
    let proofs = Proofs { field, keys, certificates, tokens: None };
    Roster::new(names.iter().map(|name| client(name)).collect(), proofs)
}

fn certificate(hosts: &[&str]) -> PeerCertificate {
    PeerCertificate(hosts.iter().map(|host| CertificateName::Dns((*host).to_owned())).collect())
}

fn who(
    roster: &Roster,
    fields: &[(HeaderName, &str)],
    certificate: Option<&PeerCertificate>,
) -> String {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value.parse().unwrap());
    }
    match roster.identify(&headers, certificate) {
        Ok(client) => client.name.to_string(),
        Err(why) => GatewayError::from(why).to_string(),
    }
}

#[test]
fn a_key_that_is_shown_decides_and_else_the_certificate() {
    let bearer = |key: &'static str| (AUTHORIZATION, key);
    let roster = roster(KeyField::Authorization);
    let (zero, cert) = (certificate(&["zero.internal"]), certificate(&["CERT.internal"]));
    let needed = "an API key is needed: Authorization: Bearer <key>, \
                  or a client certificate that is known here";
    let long = format!("Bearer {}", "k".repeat(MAX_KEY + 1));
    let longest = format!("Bearer {}", "k".repeat(MAX_KEY));
    let unknown = "this API key is not known here";
    for (fields, certificate, expected) in [
        (vec![bearer("Bearer k0")], None, "zero"),
        (vec![bearer("bearer  k1 ")], None, "one"),
        (vec![bearer("Bearer k1-next")], None, "one"),
        (vec![bearer("Bearer k1")], Some(&zero), "one"),
        (vec![bearer("Bearer k2")], Some(&zero), unknown),
        (vec![bearer("Bearer ")], Some(&zero), "the API key is empty"),
        (vec![bearer("Bearer k0"), bearer("Bearer k0")], None, "more than one API key is given"),
        (vec![(AUTHORIZATION, long.as_str())], None, "the API key is longer than 4096 bytes"),
        (vec![(AUTHORIZATION, longest.as_str())], None, unknown),
        (vec![bearer("Basic k0")], None, needed),
        (vec![], None, needed),
        (vec![], Some(&zero), "zero"),
        (vec![], Some(&cert), "cert"),
        (vec![], Some(&certificate(&["stranger.internal"])), needed),
        (vec![], Some(&certificate(&[])), needed),
        (
            vec![],
            Some(&certificate(&["zero.internal", "cert.internal"])),
            "the client certificate holds the names of more than one client",
        ),
    ] {
        assert_eq!(who(&roster, &fields, certificate), expected, "{fields:?} {certificate:?}");
    }
}

#[test]
fn another_field_carries_the_key_alone() {
    let own = HeaderName::from_static("x-api-key");
    let roster = roster(KeyField::Own(own.clone()));
    assert_eq!(who(&roster, &[(own.clone(), "k0")], None), "zero");
    assert!(who(&roster, &[(own, "Bearer k0")], None).contains("not known"));
    let refused = who(&roster, &[(AUTHORIZATION, "Bearer k0")], None);
    assert!(refused.starts_with("an API key is needed: x-api-key: <key>,"), "{refused}");
}

#[tokio::test]
async fn where_nobody_has_a_key_nobodys_is_looked_at() {
    let rig = Rig::new();
    let http = http::Request::get("/").header(AUTHORIZATION, "Bearer whatever");
    let http = http.body(Body::Empty).unwrap();
    let mut edge = rig.edge(rig.world_of(Vec::new(), Clients::Anonymous(client("all"))), http);
    assert_eq!(&*identify(&mut edge).unwrap().name, "all");
    assert!(edge.http.headers().contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn who_is_not_known_goes_no_further_and_is_told_how() {
    let rig = Rig::new();
    let fake = Fake::new(|_, request: IdentifiedRequest| async move {
        assert!(!request.edge.http.headers().contains_key(AUTHORIZATION), "it was for us");
        Ok(answer(200, &[], request.client.name.to_string()))
    });
    let stack = RenderErrorsLayer.layer(IdentifyLayer.layer(fake.clone()));
    for (key, status, error) in [
        (None, 401, "key-missing"),
        (Some("Bearer k2"), 401, "key-unknown"),
        (Some("Bearer k1"), 200, ""),
    ] {
        let mut http = http::Request::new(Body::Empty);
        if let Some(key) = key {
            http.headers_mut().insert(AUTHORIZATION, key.parse().unwrap());
        }
        let clients = keyed(&[("k1", client("console"))]);
        let request = rig.edge(rig.world_of(Vec::new(), clients), http);
        let record = Arc::clone(&request.record);
        let answer = send(&stack, request).await.unwrap();
        assert_eq!((answer.status().as_u16(), field(&answer, "weir-error")), (status, error));
        let challenge = if status == 401 { "Bearer realm=\"weir\"" } else { "" };
        assert_eq!(field(&answer, "www-authenticate"), challenge);
        assert_eq!(record.client().is_some(), status == 200);
    }
    assert_eq!(fake.calls(), 1);
}

#[tokio::test]
async fn a_certificate_comes_with_the_request() {
    let rig = Rig::new();
    let fake = Fake::new(|_, request: IdentifiedRequest| async move {
        Ok(answer(200, &[], request.client.name.to_string()))
    });
    let stack = RenderErrorsLayer.layer(IdentifyLayer.layer(fake.clone()));
    for (host, status) in [("cert.internal", 200), ("stranger.internal", 401)] {
        let mut http = http::Request::new(Body::Empty);
        http.extensions_mut().insert(certificate(&[host]));
        let world =
            rig.world_of(Vec::new(), Clients::Keyed(Box::new(roster(KeyField::Authorization))));
        let answer = send(&stack, rig.edge(world, http)).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{host}");
    }
    assert_eq!(fake.calls(), 1);
}
