//! Clients with keys: who calls, what is theirs, and what is counted for them.

use std::time::Duration;

use crate::support::gateway::users;
use crate::support::{Client, Setup, TestGateway, join_all};

const CLIENTS: &str = r#"
[[clients]]
name = "console"
key = { sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8" }
priority = "high"

[[clients]]
name = "billing"
key = { value = "billing-key-0123456789" }
per_second = 2
burst = 3
"#;

async fn gateway() -> TestGateway {
    Setup { tables: CLIENTS.to_owned(), ..Setup::default() }.start().await
}

fn with_key(gateway: &TestGateway, key: &str) -> Client {
    gateway.client().with("authorization", &format!("Bearer {key}"))
}

/// SHA-256 of this is in [`CLIENTS`].
const CONSOLE: &str = "password";
const BILLING: &str = "billing-key-0123456789";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_known_key_nothing_is_answered() {
    let gateway = gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    // Something to be had from memory, for those who may.
    assert_eq!(with_key(&gateway, CONSOLE).get(&target).await.status, 200);
    for (authorization, code) in [
        (None, "key-missing"),
        (Some("Basic cGFzc3dvcmQ6"), "key-missing"),
        (Some("password"), "key-missing"),
        (Some("Bearer passwor"), "key-unknown"),
        (Some("Bearer password2"), "key-unknown"),
        (
            Some("Bearer 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"),
            "key-unknown",
        ),
    ] {
        let client = gateway.client();
        let client = match authorization {
            Some(given) => client.with("authorization", given),
            None => client,
        };
        let told = client.get(&target).await;
        told.problem(401, code);
        assert!(told.header("www-authenticate").starts_with("Bearer"), "{told:?}");
        // Nor is it told what there would be.
        client.get("/nowhere").await.problem(401, code);
    }
    assert_eq!(gateway.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_share_answers_and_are_counted_apart() {
    let gateway = gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    assert!(!with_key(&gateway, CONSOLE).get(&target).await.is_hit());
    for _ in 0..2 {
        assert!(with_key(&gateway, BILLING).get(&target).await.is_hit());
    }
    let metrics = gateway.metrics().await;
    let of = |name, client| metrics.sum(name, &[("client", client)]);
    assert_eq!(
        (of("weir_requests_total", "console"), of("weir_requests_total", "billing")),
        (1, 2)
    );
    assert_eq!(
        (of("weir_limit_spent_total", "console"), of("weir_limit_spent_total", "billing")),
        (1, 0)
    );
    assert_eq!(
        (of("weir_limit_saved_total", "console"), of("weir_limit_saved_total", "billing")),
        (0, 2)
    );
    let log = crate::support::until("both are in the log", async || {
        let log = gateway.log();
        (log.lines().count() == 3).then_some(log)
    })
    .await;
    assert_eq!(log.matches("\"client\":\"billing\"").count(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_beyond_its_own_share_is_refused_and_the_others_are_not() {
    let gateway = gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    let billing = with_key(&gateway, BILLING);
    for _ in 0..3 {
        assert_eq!(billing.get(&target).await.status, 200);
    }
    let refused = billing.get(&target).await;
    refused.problem(429, "client-share");
    assert_eq!(refused.header("retry-after"), "1");
    for _ in 0..5 {
        assert_eq!(with_key(&gateway, CONSOLE).get(&target).await.status, 200);
    }
    // Two a second come back, and no more.
    gateway.clock.advance(Duration::from_secs(1));
    let answers = join_all((0..4).map(|_| {
        let (client, target) = (billing.clone(), target.clone());
        async move { client.get(&target).await.status }
    }));
    let served = answers.await.iter().filter(|status| **status == 200).count();
    assert!((2..=3).contains(&served), "{served}");
    let metrics = gateway.metrics().await;
    let refused = [("client", "billing"), ("reason", "client-share")];
    assert!(metrics.sum("weir_limit_refused_total", &refused) >= 2);
    assert_eq!(metrics.sum("weir_limit_refused_total", &[("client", "console")]), 0);
}
