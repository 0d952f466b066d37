//! Whom an upstream is believed to be, and the proxy on the way to it.

use std::path::Path;
use std::time::Duration;

use weir::config::{Env, load};
use weir::gateway::Gateway;

use crate::support::proxy::{Authority, Mood, Proxy, tls_server};
use crate::support::scripted::{Act, Scripted, say};
use crate::support::{Client, clock};

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";

/// Writes a configuration into a directory, and reads it as the binary does.
fn settings(
    directory: &Path,
    url: &str,
    keys: &str,
    env: &[(&str, &str)],
) -> weir::config::Settings {
    let auth =
        if keys.contains("upstreams.a.auth") { "" } else { "[upstreams.a.auth]\nkind = \"none\"" };
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [cache]\nremember_failure = \"0s\"\n\
         [upstreams.a]\nbase_url = \"{url}\"\nmax_retries = 0\nconnect_timeout = \"500ms\"\n\
         breaker = {{ failures = 0 }}\n{keys}\n{auth}\n\
         [[upstreams.a.endpoints]]\nid = \"x\"\npath = \"/{{*rest}}\"\n"
    );
    let file = directory.join("weir.toml");
    std::fs::write(&file, text).unwrap();
    let env: Env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    load(&file, &env).unwrap_or_else(|faults| panic!("{faults}")).settings
}

async fn gateway(
    directory: &Path,
    url: &str,
    keys: &str,
    env: &[(&str, &str)],
) -> (Gateway, Client) {
    let settings = settings(directory, url, keys, env);
    let gateway = Gateway::start(settings, clock(), None).await.unwrap();
    let client = Client::new(gateway.public());
    (gateway, client)
}

#[tokio::test]
async fn an_authority_of_ones_own_a_name_and_a_certificate_that_shows_who_asks() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (servers, clients) = (Authority::new(), Authority::new());
    let (server, client) = (servers.sign("api.internal"), clients.sign("weir"));
    std::fs::write(at("ca.pem"), &servers.pem).unwrap();
    std::fs::write(at("cert.pem"), &client.cert).unwrap();
    std::fs::write(at("key.pem"), &client.key).unwrap();
    let address = tls_server(&server, Some(&clients)).await;
    let url = format!("https://{address}");
    let ca = "ca_file = \"ca.pem\"";
    let name = "server_name = \"api.internal\"";
    let own = "client_cert = \"cert.pem\"\nclient_key = \"key.pem\"";
    for (tls, good) in [
        (format!("{ca}\n{name}\n{own}"), true),
        (format!("{ca}\n{name}\n{own}\nsystem_roots = false"), true),
        (format!("{ca}\n{own}"), false),
        (format!("{name}\n{own}"), false),
        (format!("{ca}\n{name}"), false),
    ] {
        let keys = format!("[upstreams.a.tls]\n{tls}");
        let (_gateway, client) = gateway(directory.path(), &url, &keys, &[]).await;
        let answer = client.get("/x").await;
        if good {
            assert_eq!((answer.status, answer.text()), (200, "api.internal"), "{tls}");
        } else {
            answer.problem(502, "upstream-failed");
        }
    }
}

#[tokio::test]
async fn certificates_are_read_again_on_reload() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (old, new) = (Authority::new(), Authority::new());
    let address = tls_server(&new.sign("127.0.0.1"), None).await;
    std::fs::write(&ca, &old.pem).unwrap();
    let (url, keys) = (format!("https://{address}"), "[upstreams.a.tls]\nca_file = \"ca.pem\"");
    let (gateway, client) = gateway(directory.path(), &url, keys, &[]).await;
    client.get("/x").await.problem(502, "upstream-failed");
    std::fs::write(&ca, &new.pem).unwrap();
    gateway.reload(settings(directory.path(), &url, keys, &[])).unwrap();
    assert_eq!(client.get("/x").await.status, 200);
}

#[tokio::test]
async fn a_token_endpoint_is_believed_and_reached_like_its_upstream() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    std::fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
    let address = tls_server(&authority.sign("auth.test"), None).await;
    let proxy = Proxy::start(Mood::Connects).await;
    let upstream = Scripted::start(|_, _| vec![say(GOOD)]).await;
    let keys = format!(
        "egress_proxy = \"http://{}\"\n[upstreams.a.tls]\nca_file = \"ca.pem\"\n\
         [upstreams.a.auth]\nkind = \"oauth2\"\ntoken_url = \"https://auth.test:{}/token\"\n\
         client_id = {{ value = \"i\" }}\nclient_secret = {{ value = \"s\" }}",
        proxy.address,
        address.port()
    );
    let url = format!("http://{}", upstream.address);
    let (_gateway, client) = gateway(directory.path(), &url, &keys, &[]).await;
    assert_eq!(client.get("/x").await.text(), "good");
    let told = proxy.told();
    assert!(told[0].starts_with(&format!("CONNECT auth.test:{} ", address.port())), "{told:?}");
}

#[tokio::test]
async fn plain_and_tls_go_through_a_proxy_that_is_told_who_asks() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    std::fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
    let secure = tls_server(&authority.sign("api.test"), None).await.port();
    let plain = Scripted::start(|_, _| vec![say(GOOD)]).await.address.port();
    let proxy = Proxy::start(Mood::Connects).await;
    let at = format!("http://user:pass@{}", proxy.address);
    let ca = "[upstreams.a.tls]\nca_file = \"ca.pem\"";
    // Nobody but the proxy can tell what these names mean.
    for (url, keys, env, body) in [
        (
            format!("https://api.test:{secure}"),
            format!("egress_proxy = {at:?}\n{ca}"),
            vec![],
            "api.test",
        ),
        (format!("http://api.test:{plain}"), format!("egress_proxy = {at:?}"), vec![], "good"),
        (
            format!("https://api.test:{secure}"),
            format!("egress_proxy = {{ env = \"P\" }}\n{ca}"),
            vec![("P", at.as_str())],
            "api.test",
        ),
        (
            format!("https://api.test:{secure}"),
            ca.to_owned(),
            vec![("HTTPS_PROXY", at.as_str())],
            "api.test",
        ),
        (
            format!("http://api.test:{plain}"),
            String::new(),
            vec![("http_proxy", at.as_str())],
            "good",
        ),
    ] {
        proxy.told.lock().unwrap().clear();
        let (_gateway, client) = gateway(directory.path(), &url, &keys, &env).await;
        assert_eq!(client.get("/x").await.text(), body, "{keys}");
        let told = proxy.told().join("\n");
        let host = url.split("//").nth(1).unwrap();
        assert!(told.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")), "{told}");
        assert!(told.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "{told}");
        assert!(!told.contains("GET"), "one CONNECT and no more: {told}");
    }
}

#[tokio::test]
async fn some_go_straight() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = Scripted::start(|_, _| vec![say(GOOD)]).await;
    let proxy = Proxy::start(Mood::Says("HTTP/1.1 418 No\r\n\r\n")).await;
    let at = format!("http://{}", proxy.address);
    let port = upstream.address.port();
    let everywhere = [("ALL_PROXY", at.as_str())];
    for (host, keys, env) in [
        ("127.0.0.1", "", everywhere.to_vec()),
        ("localhost", "", everywhere.to_vec()),
        ("127.0.0.1", "egress_proxy = \"none\"", everywhere.to_vec()),
    ] {
        let url = format!("http://{host}:{port}");
        let (_gateway, client) = gateway(directory.path(), &url, keys, &env).await;
        assert_eq!(client.get("/x").await.text(), "good", "{host}");
    }
    assert!(proxy.told().is_empty());
}

#[tokio::test]
async fn a_proxy_that_refuses_or_hangs_is_no_connection_and_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for (mood, status, code) in [
        (
            Mood::Says("HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\n\r\n"),
            502,
            "upstream-failed",
        ),
        (Mood::Says("HTTP/1.1 502 No\r\n\r\n"), 502, "upstream-failed"),
        (Mood::Says("junk\r\n\r\n"), 502, "upstream-failed"),
        (Mood::Says(""), 502, "upstream-failed"),
        (Mood::Hangs, 504, "upstream-timeout"),
    ] {
        let proxy = Proxy::start(mood).await;
        let keys = format!("egress_proxy = \"http://u:hunter2@{}\"", proxy.address);
        let (gateway, client) = gateway(directory.path(), "http://a.test", &keys, &[]).await;
        let begun = clock().now();
        let answer = client.get("/x").await;
        let problem = answer.problem(status, code);
        assert!(clock().now() - begun < Duration::from_secs(5), "{mood:?}");
        assert!(proxy.told()[0].starts_with("CONNECT a.test:80 "), "{mood:?}");
        assert!(!problem.to_string().contains("hunter2"));
        let status = Client::new(gateway.admin()).get("/status").await;
        assert!(!status.text().contains("hunter2"));
    }
}

#[tokio::test]
async fn an_answer_over_tls_that_is_cut_without_a_goodbye_is_not_whole() {
    // Until the connection ends, and it ends without close_notify.
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    std::fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
    let inner = Scripted::start(|_, _| vec![say("HTTP/1.1 200 OK\r\n\r\nhalf"), Act::Close]).await;
    let address =
        crate::support::proxy::tls_front(&authority.sign("127.0.0.1"), inner.address).await;
    let keys = "[upstreams.a.tls]\nca_file = \"ca.pem\"";
    let (_gateway, client) =
        gateway(directory.path(), &format!("https://{address}"), keys, &[]).await;
    assert!(client.try_request(http::Method::GET, "/x", "").await.is_err());
}
