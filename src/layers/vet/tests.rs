use http::Request;

use super::*;
use crate::layers::testing::{Fake, Rig, answer, code, send};

fn rules() -> Rules {
    Rules {
        head: HeadLimits { head_bytes: 9999, uri_bytes: 50, field_bytes: 60, fields: 6 },
        name: "weir".to_owned(),
        trusted_proxies: vec![
            "10.0.0.0/8".parse().unwrap(),
            "::1".parse::<IpAddr>().unwrap().into(),
        ],
    }
}

fn http2(authority: Option<&str>, target: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let uri = match authority {
        Some(authority) => format!("http://{authority}{target}"),
        None => target.to_owned(),
    };
    let mut request = Request::get(uri).version(Version::HTTP_2);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::Empty).unwrap()
}

/// What becomes of it, and the fields that go on.
async fn vetted(request: Request<Body>) -> (String, HeaderMap) {
    let rig = Rig::new();
    let seen = Arc::new(std::sync::Mutex::new(HeaderMap::new()));
    let keep = Arc::clone(&seen);
    let fake = Fake::new(move |_, request: EdgeRequest| {
        *keep.lock().unwrap() = request.http.headers().clone();
        async { Ok(answer(200, &[], "")) }
    });
    let vet = VetLayer::new(Arc::new(rules())).layer(fake.clone());
    let outcome = send(&vet, rig.edge(rig.world(), request)).await;
    let code = code(&outcome).to_owned();
    assert_eq!(fake.calls() > 0, code == "ok" && outcome.unwrap().status() == 200);
    let seen = seen.lock().unwrap().clone();
    (code, seen)
}

#[tokio::test]
async fn http2_is_held_against_the_same_rules() {
    let long = "v".repeat(60);
    let longer = "/".to_owned() + &"u".repeat(50);
    for (authority, target, fields, expected) in [
        (Some("a"), "/", &[][..], "ok"),
        (Some("a"), "/", &[("host", "A")], "ok"),
        (Some("a:80"), "/", &[("host", "a")], "ok"),
        (None, "/", &[("host", "a")], "ok"),
        (None, "/", &[], "bad-request"),
        (None, "/", &[("host", "")], "bad-request"),
        (Some("a"), "/", &[("host", "b")], "bad-request"),
        (Some("a"), "/", &[("host", "a"), ("host", "a")], "bad-request"),
        (Some("a"), "/", &[("host", "a b")], "bad-request"),
        (Some("u@a"), "/", &[], "bad-request"),
        (Some("a"), "/", &[("content-length", "0"), ("content-length", "0")], "bad-request"),
        (Some("a"), "/", &[("x", " y")], "bad-request"),
        (Some("a"), "/", &[("x", "y\t")], "bad-request"),
        (Some("a"), "/", &[("x", long.get(1..).unwrap())], "ok"),
        (Some("a"), "/", &[("x", &long)], "head-too-large"),
        (Some("a"), "/", &[("x", "y"); 7], "ok"),
        (Some("a"), "/", &[("x", "y"); 8], "head-too-large"),
        (Some("a"), longer.get(..50).unwrap(), &[], "ok"),
        (Some("a"), &longer, &[], "uri-too-long"),
    ] {
        let (code, _) = vetted(http2(authority, target, fields)).await;
        assert_eq!(code, expected, "{authority:?} {target} {fields:?}");
    }
    // HTTP/1 has been vetted on the wire.
    let mut request = http2(None, "/", &[("x", " y")]);
    *request.version_mut() = Version::HTTP_11;
    assert_eq!(vetted(request).await.0, "ok");
}

#[tokio::test]
async fn what_the_wire_refused_is_told_so() {
    for (fault, code, status) in [
        (Fault::Malformed("x"), "bad-request", 400),
        (Fault::UriTooLong, "uri-too-long", 414),
        (Fault::HeadTooLarge("x"), "head-too-large", 431),
        (Fault::Version, "http-version", 505),
        (Fault::TransferCoding, "transfer-coding", 501),
        (Fault::HeadTimeout, "head-timeout", 408),
    ] {
        let mut request = http2(Some("a"), "/", &[]);
        request.extensions_mut().insert(fault);
        assert_eq!(vetted(request).await.0, code);
        assert_eq!(GatewayError::from(fault).row().status, status);
    }
}

#[tokio::test]
async fn a_request_that_has_been_here_is_turned_away() {
    for (via, expected) in [("1.1 other", "ok"), ("1.1 other, 1.0 Weir", "loop")] {
        let request = http2(Some("a"), "/", &[("via", "1.1 x"), ("via", via)]);
        assert_eq!(vetted(request).await.0, expected);
    }
}

#[tokio::test]
async fn what_is_said_about_the_client_counts_from_those_who_are_trusted() {
    let told = [
        ("forwarded", "for=9.9.9.9"),
        ("x-forwarded-for", "9.9.9.9"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "9.9.9.9"),
        ("x-other", "1"),
    ];
    for (peer, trusted) in [
        (Some("10.1.2.3:5"), true),
        (Some("[::ffff:10.1.2.3]:5"), true),
        (Some("[::1]:5"), true),
        (Some("11.1.2.3:5"), false),
        (None, false),
    ] {
        let mut request = http2(Some("a"), "/", &told);
        let address = peer.map(|peer| peer.parse::<SocketAddr>().unwrap());
        request.extensions_mut().insert(PeerAddr(address));
        let (code, seen) = vetted(request).await;
        assert_eq!(code, "ok");
        assert_eq!(seen["x-other"], "1");
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            assert_eq!(seen.contains_key(name), trusted, "{name} from {peer:?}");
        }
        let hops = seen.get_all("x-forwarded-for").iter();
        let hops: Vec<_> = hops.map(|hop| hop.to_str().unwrap().to_owned()).collect();
        if let (true, Some(address)) = (trusted, address) {
            assert_eq!(hops, ["9.9.9.9".to_owned(), address.ip().to_canonical().to_string()]);
        }
    }
}

#[tokio::test]
async fn a_question_about_the_server_is_answered_by_it() {
    let request = Request::options("*").body(Body::Empty).unwrap();
    let rig = Rig::new();
    let vet = VetLayer::new(Arc::new(rules()))
        .layer(Fake::new(|_, _: EdgeRequest| async { panic!("nobody else is asked") }));
    let told = send(&vet, rig.edge(rig.world(), request)).await.unwrap();
    assert_eq!(told.status(), 204);
    assert!(told.headers()[ALLOW].to_str().unwrap().contains("GET"));
}
