use std::collections::HashMap;

use super::*;
use crate::clock::Clock;
use crate::layers::render_errors::RenderErrorsLayer;
use crate::layers::testing::{Fake, Rig, answer, field, send};

use crate::layers::testing::share;

fn client() -> Arc<Client> {
    Arc::new(Client::new(0, share("console"), None, &Clock::system()))
}

fn code(clients: &Clients, authorization: Option<&str>) -> &'static str {
    let headers = authorization.map(|v| (AUTHORIZATION, v.parse().unwrap())).into_iter().collect();
    identify(clients, &headers).map_or_else(|error| error.row().code, |_| "ok")
}

#[test]
fn a_key_tells_the_client_and_nothing_else_does() {
    let hash = digest::digest(&digest::SHA256, b"k1").as_ref().try_into().unwrap();
    let keyed = Clients::Keyed(HashMap::from([(hash, client())]));
    for (given, expected) in [
        (Some("Bearer k1"), "ok"),
        (Some("bearer  k1 "), "ok"),
        (Some("Bearer k2"), "key-unknown"),
        (Some("Bearer "), "key-unknown"),
        (Some("Basic k1"), "key-missing"),
        (Some("k1"), "key-missing"),
        (None, "key-missing"),
    ] {
        assert_eq!(code(&keyed, given), expected, "{given:?}");
    }
    assert_eq!(code(&Clients::Anonymous(client()), Some("Bearer whatever")), "ok");
}

#[tokio::test]
async fn who_is_not_known_goes_no_further_and_is_told_how() {
    let rig = Rig::new();
    let hash = digest::digest(&digest::SHA256, b"k1").as_ref().try_into().unwrap();
    let fake = Fake::new(|_, request: IdentifiedRequest| async move {
        Ok(answer(200, &[], request.client.name.to_string()))
    });
    let stack = RenderErrorsLayer.layer(IdentifyLayer.layer(fake.clone()));
    for (key, status, error) in [
        (None, 401, "key-missing"),
        (Some("Bearer k2"), 401, "key-unknown"),
        (Some("Bearer k1"), 200, ""),
    ] {
        let clients = Clients::Keyed(HashMap::from([(hash, client())]));
        let mut http = http::Request::new(Body::Empty);
        if let Some(key) = key {
            http.headers_mut().insert(AUTHORIZATION, key.parse().unwrap());
        }
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
