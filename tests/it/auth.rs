//! The credential is put in here and renewed here, and a client's own goes no further.

use std::time::Duration;

use http::StatusCode;
use weir::sandbox::{Fault, FaultKind};

use crate::support::gateway::{start, users};
use crate::support::{Setup, TestGateway, Upstream, clock, join_all};

/// `Authorization` of everything the account was asked, in order.
fn shown(gateway: &TestGateway) -> Vec<String> {
    let seen = gateway.sandbox.requests();
    seen.iter()
        .filter(|seen| !seen.target.starts_with("/oauth"))
        .map(|seen| {
            assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
            seen.headers["authorization"].to_str().unwrap().to_owned()
        })
        .collect()
}

fn page(gateway: &TestGateway, page_size: usize) -> String {
    users(&gateway.sandbox.biggest_session_id(), &format!("?page_size={page_size}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_is_minted_reused_and_renewed_before_it_expires() {
    let gateway = TestGateway::start().await;
    for page_size in 1..=3 {
        assert_eq!(gateway.get(&page(&gateway, page_size)).await.status, 200);
    }
    let tokens = shown(&gateway);
    assert!(tokens[0].starts_with("Bearer eyJ") && tokens.iter().all(|token| *token == tokens[0]));
    // Every ten minutes for three hours: the account checks each against the same clock.
    for page_size in 4..22 {
        gateway.clock.advance(Duration::from_secs(600));
        assert_eq!(gateway.get(&page(&gateway, page_size)).await.status, 200);
    }
    let mut tokens = shown(&gateway);
    tokens.dedup();
    assert!((3..=8).contains(&tokens.len()), "renewed {} times", tokens.len());
    assert_eq!(gateway.sandbox.counters().with_status(401), 0);
}

const OAUTH: &str = r#"
kind = "oauth2"
token_url = "http://SANDBOX/oauth/token"
client_id = { value = "sandbox-client" }
client_secret = { value = "sandbox-client-secret" }
"#;

fn oauth(more: &str) -> Setup {
    let zoom = "max_retries = 0".to_owned();
    Setup { auth: format!("{OAUTH}{more}"), zoom, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oauth_token_is_fetched_once_for_all_and_renewed_before_it_expires() {
    for grant in ["", "grant = \"account_credentials\"\naccount_id = \"sandbox-account\"\n"] {
        let gateway = oauth(grant).start().await;
        let crowd = join_all((1..=10).map(|page_size| {
            let (client, target) = (gateway.client(), page(&gateway, page_size));
            async move { client.get(&target).await.status }
        }));
        assert_eq!(crowd.await, [200; 10]);
        let fetched = || gateway.sandbox.counters().requests_to("oauthToken");
        assert_eq!(fetched(), 1, "one fetch for all");
        // The token lives an hour less a second; the account refuses an expired one.
        for page_size in 11..23 {
            gateway.clock.advance(Duration::from_secs(600));
            assert_eq!(gateway.get(&page(&gateway, page_size)).await.status, 200);
        }
        assert!((3..=5).contains(&fetched()), "{}", fetched());
        assert_eq!(gateway.sandbox.counters().with_status(401), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_renewed_once_and_the_client_does_not_notice() {
    let gateway = oauth("").start().await;
    assert_eq!(gateway.get(&page(&gateway, 1)).await.status, 200);
    gateway.sandbox.revoke_tokens();
    assert_eq!(gateway.get(&page(&gateway, 2)).await.status, 200);
    let counters = gateway.sandbox.counters();
    assert_eq!((counters.requests_to("oauthToken"), counters.with_status(401)), (2, 1));
    let tokens = shown(&gateway);
    assert_eq!(tokens.len(), 3);
    assert!(tokens[0] == tokens[1] && tokens[1] != tokens[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_401_is_passed_on() {
    for setup in [Setup::default(), oauth("")] {
        let gateway = setup.start().await;
        gateway
            .sandbox
            .inject(Fault::new(FaultKind::Status(StatusCode::UNAUTHORIZED), 2).on("sessionUsers"));
        let told = gateway.get(&page(&gateway, 1)).await;
        assert_eq!((told.status, told.header("weir-error")), (401, ""), "{told:?}");
        assert_eq!(gateway.heavy().arrived, 2, "once renewed, once retried");
        assert_eq!(gateway.get(&page(&gateway, 1)).await.status, 200, "and not stored");
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.sum("weir_limit_spent_total", &[]), 3, "each attempt pays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_401s_at_once_renew_once() {
    let gateway = oauth("").start().await;
    assert_eq!(gateway.get(&page(&gateway, 1)).await.status, 200);
    gateway.clock.advance(Duration::from_secs(2));
    gateway.sandbox.revoke_tokens();
    let crowd = join_all((2..=6).map(|page_size| {
        let (client, target) = (gateway.client(), page(&gateway, page_size));
        async move { client.get(&target).await.status }
    }));
    assert_eq!(crowd.await, [200; 5]);
    assert_eq!(gateway.sandbox.counters().requests_to("oauthToken"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_sent_and_nothing_is_spent() {
    let auth = OAUTH.replace("sandbox-client-secret", "wrong");
    let gateway = Setup { auth, ..Setup::default() }.start().await;
    let told = gateway.get(&page(&gateway, 1)).await;
    let problem = told.problem(502, "credential");
    assert!(!problem.to_string().contains("wrong"), "{problem}");
    assert_eq!(gateway.heavy().arrived, 0);
    assert_eq!(gateway.left_today().await, 30_000);
}

/// What the upstream is shown, for one kind of credential.
async fn shown_by(auth: &str) -> serde_json::Value {
    let upstream = Upstream::echo().await;
    let config = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[upstreams.own]
base_url = "http://{}"
[upstreams.own.auth]
{auth}
[[upstreams.own.endpoints]]
id = "all"
method = "*"
path = "/{{*rest}}"
"#,
        upstream.address
    );
    let gateway = start(&config, clock()).await;
    let client = gateway
        .client()
        .with("authorization", "Bearer clients-own")
        .with("proxy-authorization", "Basic clients-own")
        .with("cookie", "clients-own=1")
        .with("x-api-key", "clients-own");
    let told = client.get("/a").await;
    assert_eq!(told.status, 200);
    told.json()["headers"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_credential_replaces_the_clients_own() {
    let bearer = shown_by("kind = \"bearer\"\ntoken = { value = \"ours\" }").await;
    assert_eq!(bearer["authorization"], "Bearer ours");
    let basic =
        "kind = \"basic\"\nusername = { value = \"user\" }\npassword = { value = \"pa:ss\" }";
    let basic = shown_by(basic).await;
    assert_eq!(basic["authorization"], "Basic dXNlcjpwYTpzcw==");
    let header = "kind = \"header\"\nname = \"X-Api-Key\"\nvalue = { value = \"ours\" }";
    let header = shown_by(header).await;
    assert_eq!(header["x-api-key"], "ours");
    for (kind, shown) in [("bearer", bearer), ("basic", basic), ("header", header)] {
        let mut shown = shown.as_object().unwrap().clone();
        if kind != "header" {
            // A header like any other where it is not the credential.
            assert_eq!(shown.remove("x-api-key").unwrap(), "clients-own");
        }
        let text = serde_json::Value::from(shown).to_string();
        assert!(!text.contains("clients-own"), "{kind}: {text}");
    }
}

/// Where weir has no credential and asks for no key, what the client shows is for the upstream.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_credential_the_clients_own_goes_on() {
    let shown = shown_by("kind = \"none\"").await;
    assert_eq!(shown["authorization"], "Bearer clients-own");
    assert_eq!(shown["x-api-key"], "clients-own");
    for name in ["proxy-authorization", "cookie"] {
        assert!(shown.get(name).is_none(), "{name} ends here: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_token_does_not_reach_the_account() {
    let gateway = TestGateway::start().await;
    let big = gateway.sandbox.biggest_session_id();
    let client = gateway
        .client()
        .with("authorization", "Bearer clients-own")
        .with("cookie", "clients-own=1")
        .with("x-own", "clients-own");
    // One by a flight, one passed through.
    for target in [users(&big, ""), format!("/videosdk/sessions/{big}")] {
        assert_eq!(client.get(&target).await.status, 200);
    }
    for seen in gateway.sandbox.requests() {
        assert!(!seen.headers.contains_key("cookie"), "{seen:?}");
        assert!(seen.headers["authorization"].to_str().unwrap().starts_with("Bearer eyJ"));
    }
}
