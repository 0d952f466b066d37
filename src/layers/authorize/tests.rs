use http::Method;
use http_body_util::BodyExt as _;

use super::*;
use crate::layers::testing::{Fake, Rig, answer, code, send, text};
use crate::policy::credential::{AuthScheme, Grant};
use crate::secret::Secret;

/// Answers with the request's head and body.
fn echo() -> Fake<SignedRequest> {
    Fake::new(|_, request: SignedRequest| async move {
        let (head, body) = request.http.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut fields: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        fields.sort();
        let fields = fields.join("\n");
        Ok(answer(200, &[], format!("{} {}\n{fields}\n\n{}", head.method, head.uri, body.len())))
    })
}

fn request(rig: &Rig) -> FetchRequest {
    let mut request = rig.fetch(Method::POST);
    for name in ["authorization", "proxy-authorization", "cookie", "x-api-key", "accept"] {
        for value in ["client", "client"] {
            request.headers.append(name, value.parse().unwrap());
        }
    }
    request.body = "body".into();
    request
}

#[tokio::test]
async fn our_credential_stands_in_the_place_of_the_clients() {
    let own = "accept: client\naccept: client\n";
    let key = "x-api-key: client\nx-api-key: client\n";
    for (auth, fields) in [
        (AuthScheme::None, format!("{own}authorization: client\nauthorization: client\n{key}")),
        (
            AuthScheme::Bearer { token: Secret::new("ours") },
            format!("{own}authorization: Bearer ours\n{key}"),
        ),
        (
            AuthScheme::Header {
                name: http::HeaderName::from_static("x-api-key"),
                value: Secret::new("ours"),
            },
            format!("{own}x-api-key: ours\n"),
        ),
    ] {
        let rig = Rig::with(|setup| setup.auth = auth);
        let answer = send(&AuthorizeLayer.layer(echo()), request(&rig)).await.unwrap();
        assert!(answer.extensions().get::<Generation>().is_some());
        let seen = text(answer).await;
        assert_eq!(seen, format!("POST http://upstream.test/v2/things/a\n{fields}\n4"));
    }
}

#[tokio::test]
async fn what_cannot_be_signed_is_not_sent() {
    let rig = Rig::with(|setup| {
        setup.auth = AuthScheme::OAuth2 {
            token_url: Uri::from_static("http://tokens.test/"),
            client_id: Secret::new("id"),
            client_secret: Secret::new("secret"),
            grant: Grant::ClientCredentials { scope: None },
        };
    });
    let fake = echo();
    let authorize = AuthorizeLayer.layer(fake.clone());
    assert_eq!(code(&send(&authorize, request(&rig)).await), "credential");

    let rig = Rig::new();
    let mut long = request(&rig);
    long.target = format!("/{}", "x".repeat(70_000)).into();
    assert_eq!(code(&send(&authorize, long).await), "bad-path");
    assert_eq!(fake.calls(), 0);
}

#[tokio::test]
async fn a_signed_request_does_not_show_itself() {
    let rig = Rig::with(|setup| setup.auth = AuthScheme::Bearer { token: Secret::new("zecret") });
    let fake = Fake::new(|_, request: SignedRequest| async move {
        Ok(answer(200, &[], format!("{request:?} {:?}", request.http)))
    });
    let seen = text(send(&AuthorizeLayer.layer(fake), request(&rig)).await.unwrap()).await;
    assert!(seen.contains("things") && !seen.contains("zecret"), "{seen}");
}
