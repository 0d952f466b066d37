//! From text to settings, and from wrong text to words.

use std::time::Duration;

use super::settings::UpstreamSettings;
use super::*;
use crate::address::Address;
use crate::policy::credential::AuthScheme;
use crate::policy::endpoint::Spelling;
use crate::policy::endpoint::*;

mod admin;
mod clients;
mod effective;
mod environment;
mod faults;
mod faults_of_endpoints;
mod files;
mod listeners;
mod preset;
mod reach;
mod shares;
mod spending;
mod state;
mod tls;

fn env(variables: &[(&str, &str)]) -> Env {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn good(text: &str) -> Loaded {
    good_with(text, &[])
}

fn good_with(text: &str, variables: &[(&str, &str)]) -> Loaded {
    from_text("weir.toml", text, &env(variables)).unwrap_or_else(|faults| panic!("{faults}"))
}

/// What is wrong, as printed.
fn bad(text: &str) -> Vec<String> {
    bad_with(text, &[])
}

fn bad_with(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let faults = from_text("weir.toml", text, &env(variables)).unwrap_err();
    faults.to_string().lines().map(ToOwned::to_owned).collect()
}

/// The smallest configuration, to which tests add.
const SMALL: &str = r#"
[upstreams.u]
base_url = "http://127.0.0.1:1"
auth = { kind = "none" }
[[upstreams.u.endpoints]]
id = "all"
method = "*"
path = "/{*rest}"
"#;

const ZOOM: &str = r#"
[upstreams.zoom]
preset = "zoom-video-sdk"
auth = { kind = "jwt", key = { value = "k" }, secret = { value = "s" } }
"#;

/// A label and a pool for [`SMALL`], whose endpoint spends from them.
const BUDGET: &str = r#"
label = "l"
[upstreams.u.labels.l]
per_second = 10
pool = "p"
[upstreams.u.pools.p]
per_day = 1000
"#;

fn warned(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}

fn tcp(text: &str) -> Address {
    Address::Tcp(text.parse().unwrap())
}

fn only(loaded: &Loaded) -> &UpstreamSettings {
    assert_eq!(loaded.settings.upstreams.len(), 1);
    &loaded.settings.upstreams[0]
}

fn endpoint<'a>(upstream: &'a UpstreamSettings, id: &str) -> &'a Endpoint {
    upstream.endpoints.iter().find(|endpoint| endpoint.id.as_str() == id).unwrap()
}

fn fresh(secs: u64) -> impl Fn(&Lifetimes) -> bool {
    move |lifetimes| lifetimes.fresh == Duration::from_secs(secs)
}

#[test]
fn defaults_are_those_documented() {
    let loaded = good(SMALL);
    let server = &loaded.settings.server;
    assert_eq!(server.listen, [tcp("127.0.0.1:8080")]);
    assert_eq!((server.workers, server.max_connections), (0, 10_000));
    assert_eq!((server.limits.head.head_bytes, server.max_body_bytes), (64 << 10, 1 << 20));
    assert_eq!(server.request_timeout, Duration::from_secs(30));
    assert_eq!(loaded.settings.admin.listen, tcp("127.0.0.1:9090"));
    assert_eq!(loaded.settings.cache.max_bytes, 256 << 20);
    assert_eq!(loaded.settings.cache.max_entry_bytes, 4 << 20);
    let upstream = only(&loaded);
    assert_eq!(upstream.mounts, [""]);
    assert_eq!(upstream.spelling, Spelling::Plain);
    assert_eq!(upstream.reach.options.idle_timeout, Duration::from_secs(4));
    let all = endpoint(upstream, "all");
    assert_eq!(all.methods, Methods::Any);
    assert_eq!((&all.key, &all.cache, &all.label), (&KeyRule::Every, &CacheRule::Off, &None));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn clients_have_hashed_keys_and_shares() {
    let text = format!(
        r#"{SMALL}
        [[clients]]
        name = "console"
        key = {{ env = "CONSOLE_KEY" }}
        weight = 2
        priority = "high"
        per_second = 5
        [[clients]]
        name = "billing"
        key = {{ sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8" }}
        "#
    );
    let loaded = good_with(&text, &[("CONSOLE_KEY", "hunter2")]);
    let [console, billing] = loaded.settings.clients.as_slice() else { panic!() };
    assert_eq!((console.name.as_str(), console.weight.get()), ("console", 2));
    assert_eq!(console.priority, Priority::High);
    let quota = console.quota.unwrap();
    assert_eq!((quota.per_second.get(), quota.burst.get()), (5, 5));
    assert!(console.keys[0].recognises(b"hunter2") && console.keys.len() == 1);
    // The SHA-256 of "password".
    assert!(billing.keys[0].recognises(b"password") && billing.keys.len() == 1);
    assert_eq!((billing.quota, billing.priority), (None, Priority::Normal));
}

#[test]
fn every_kind_of_auth() {
    let with = |auth: &str| {
        let text = SMALL.replace(r#"{ kind = "none" }"#, &format!("{{ {auth} }}"));
        only(&good(&text)).auth.clone()
    };
    let v = r#"{ value = "v" }"#;
    let jwt = with(&format!(r#"kind = "jwt", key = {v}, secret = {v}"#));
    assert!(matches!(jwt, AuthScheme::Jwt { lifetime, .. } if lifetime.as_secs() == 3600));
    let bearer = with(&format!(r#"kind = "bearer", token = {v}"#));
    assert!(matches!(bearer, AuthScheme::Bearer { token } if token.expose() == "v"));
    let basic = with(&format!(r#"kind = "basic", username = {v}, password = {v}"#));
    assert_eq!(basic.kind(), "basic");
    let header = with(&format!(r#"kind = "header", name = "X-Key", value = {v}"#));
    assert!(matches!(header, AuthScheme::Header { name, .. } if name == "x-key"));
    let url = r#"token_url = "https://h/token""#;
    let oauth2 = with(&format!(r#"kind = "oauth2", {url}, client_id = {v}, client_secret = {v}"#));
    assert!(matches!(oauth2, AuthScheme::OAuth2 { .. }));
    let account = with(&format!(
        r#"kind = "oauth2", {url}, client_id = {v}, client_secret = {v}, account_id = "a",
           grant = "account_credentials""#
    ));
    assert!(matches!(account, AuthScheme::OAuth2 { .. }));
}

#[test]
fn another_account_is_another_credential() {
    let id = |key: &str, secret: &str, base: &str| {
        let text = format!(
            "{}\nbase_url = \"{base}\"\n",
            ZOOM.replace(r#""k""#, &format!("{key:?}")).replace(r#""s""#, &format!("{secret:?}"))
        );
        only(&good(&text)).credential.clone()
    };
    let one = id("key", "secret", "https://a");
    assert!(one.as_str().starts_with("zoom-") && !one.as_str().contains("key"), "{one}");
    assert_eq!(one, id("key", "rotated", "https://a"), "a new secret is the same account");
    assert_ne!(one, id("other", "secret", "https://a"));
    assert_ne!(one, id("key", "secret", "https://b"));
}
