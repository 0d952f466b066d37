//! No secret in any log line, metric, status page, error body or `check` output.

use http::Method;
use weir::clock::Clock;
use weir::sandbox::{Fault, FaultKind, Options, Sandbox};
use weir::secret::Secret;

use crate::support::child::{argument, file, run};
use crate::support::gateway::{serve_sandbox, users};
use crate::support::{Child, Client, Setup};

const API_SECRET: &str = "s3cr3t-of-the-account-0123456789";
const CLIENT_KEY: &str = "k3y-of-the-console-0123456789";
const OWN_BEARER: &str = "0wn-bearer-0123456789";
const OWN_COOKIE: &str = "0wn-cookie-0123456789";
const QUERY_TOKEN: &str = "qu3ry-token-0123456789";
const BODY_TOKEN: &str = "b0dy-token-0123456789";

fn account() -> Options {
    Options { api_secret: Secret::new(API_SECRET), ..Options::default() }
}

fn config(at: std::net::SocketAddr, zoom: &str) -> String {
    let setup = Setup {
        account: account(),
        zoom: format!("max_retries = 0\nfirst_byte_timeout = \"300ms\"\n{zoom}"),
        tables: format!("[[clients]]\nname = \"console\"\nkey = {{ value = \"{CLIENT_KEY}\" }}\n"),
        auth: format!(
            "kind = \"jwt\"\nkey = {{ value = \"sandbox-key\" }}\nsecret = {{ value = \"{API_SECRET}\" }}"
        ),
        ..Setup::default()
    };
    setup.config(at).replace("[log]", "[log]\nlevel = \"trace\"")
}

/// The tokens that the account was shown, all of them.
fn minted(sandbox: &Sandbox) -> Vec<String> {
    let mut tokens: Vec<_> = sandbox
        .requests()
        .iter()
        .map(|seen| seen.headers["authorization"].to_str().unwrap().replace("Bearer ", ""))
        .collect();
    tokens.dedup();
    tokens
}

/// Provokes everything that is worth a line, and returns everything that clients were told.
async fn provoke(child: &Child, sandbox: &Sandbox) -> String {
    let big = sandbox.biggest_session_id();
    let known = Client::new(child.public)
        .with("authorization", &format!("Bearer {CLIENT_KEY}"))
        .with("cookie", &format!("session={OWN_COOKIE}"));
    let unknown = Client::new(child.public)
        .with("authorization", &format!("Bearer {OWN_BEARER}"))
        .with("cookie", &format!("session={OWN_COOKIE}"));
    let mut told = String::new();
    let faults = [
        FaultKind::Status(http::StatusCode::UNAUTHORIZED),
        FaultKind::Status(http::StatusCode::INTERNAL_SERVER_ERROR),
        FaultKind::Reset,
        FaultKind::Timeout,
        FaultKind::Truncate,
        FaultKind::Garbage,
    ];
    for (index, kind) in faults.into_iter().enumerate() {
        sandbox.inject(Fault::new(kind, 2));
        let page_size = index + 1;
        let target = users(&big, &format!("?page_size={page_size}&access_token={QUERY_TOKEN}"));
        told += &known.get(&target).await.everything();
        sandbox.clear_faults();
    }
    for target in [
        format!("{}?type={QUERY_TOKEN}", users(&big, "")),
        format!("/videosdk/nowhere?access_token={QUERY_TOKEN}"),
        format!("/videosdk/sessions?access_token={QUERY_TOKEN}"),
        format!("/videosdk/sessions/{QUERY_TOKEN}/../users"),
    ] {
        told += &known.get(&target).await.everything();
        told += &unknown.get(&target).await.everything();
    }
    let target = format!("/videosdk/sessions/{big}/events?access_token={QUERY_TOKEN}");
    let body = format!("{{\"password\":\"{BODY_TOKEN}\"}}");
    told += &known.request(Method::PATCH, &target, &body).await.everything();
    told
}

#[track_caller]
fn assert_none(place: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "{place} tells {secret}: {line:?}");
    }
}

async fn nothing_is_told(zoom: &str) {
    let sandbox = Sandbox::new(account(), Clock::system());
    let at = serve_sandbox(&sandbox).await;
    let mut child = Child::serve(&config(at, zoom)).await;
    let told = provoke(&child, &sandbox).await;
    let jwts = minted(&sandbox);
    assert!(!jwts.is_empty() && jwts.iter().all(|jwt| jwt.starts_with("eyJ")), "{jwts:?}");
    let mut secrets: Vec<String> =
        [API_SECRET, CLIENT_KEY, OWN_BEARER, OWN_COOKIE, BODY_TOKEN].map(Into::into).into();
    // Neither whole nor in part: the signature is what counts.
    secrets.extend(jwts.iter().map(|jwt| jwt.rsplit('.').next().unwrap().to_owned()));

    // What was in a bad parameter may be told to whoever sent it, and to nobody else.
    assert_none("an answer", &told, &secrets);
    secrets.push(QUERY_TOKEN.to_owned());
    let admin = Client::new(child.admin);
    for page in ["/metrics", "/status", "/readyz", "/nowhere"] {
        assert_none(page, &admin.get(page).await.everything(), &secrets);
    }
    child.signal("HUP").await;
    crate::support::until("reloaded", async || {
        child.said().contains("configuration reloaded").then_some(())
    })
    .await;
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
    let said = child.said();
    assert!(said.contains("\"level\":\"TRACE\""), "the level took effect");
    assert!(said.contains("list-session-users") && said.contains("request failed"), "{said}");
    assert_none("the log", &said, &secrets);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_told_over_http1() {
    nothing_is_told("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_told_over_http2() {
    nothing_is_told("http2_prior_knowledge = true").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_masks_every_secret_also_in_complaints() {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let good = config(nowhere, "");
    let (_directory, path) = file(&good);
    let output = run(&["check", "-c", argument(&path)]).await;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("list-session-users"), "it prints what takes effect");
    let secrets = [API_SECRET, CLIENT_KEY].map(ToOwned::to_owned);
    assert_none("check", &said, &secrets);

    for broken in [
        good.replace("secret = {", "secrte = {"),
        good.replace(
            &format!("secret = {{ value = \"{API_SECRET}\" }}"),
            &format!("secret = \"{API_SECRET}\""),
        ),
        good.replace(&format!("\"{API_SECRET}\""), &format!("\"{API_SECRET}")),
        good.replace(
            &format!("key = {{ value = \"{CLIENT_KEY}\" }}"),
            &format!("key = {{ vaule = \"{CLIENT_KEY}\" }}"),
        ),
        good.replace(
            &format!("key = {{ value = \"{CLIENT_KEY}\" }}"),
            &format!("key = \"{CLIENT_KEY}\""),
        ),
    ] {
        assert_ne!(broken, good);
        let (_directory, path) = file(&broken);
        let output = run(&["check", "-c", argument(&path)]).await;
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert_none("check", &said, &secrets);
    }
}
