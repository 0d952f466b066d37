//! What a purge does to what is stored, over real sockets.

use http::Method;
use weir::sandbox::IdKind;

use crate::support::gateway::{Running, start, users};
use crate::support::upstream::answer;
use crate::support::{Answer, Child, Client, Metrics, TestGateway, Upstream, clock, until};

/// What is told, and to whom, is counted; notes of each client are their own.
fn config(upstream: &Upstream) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

[log]
format = "json"

[[clients]]
name = "first"
key = {{ value = "first-key-0123456789" }}

[[clients]]
name = "second"
key = {{ value = "second-key-0123456789" }}

[upstreams.own]
base_url = "http://{address}/base"
mount = "/own"

[upstreams.own.auth]
kind = "none"

[[upstreams.own.endpoints]]
id = "notes"
path = "/notes/{{id}}"
cache = {{ mode = "override", fresh = "1h", stale_while_revalidate = "1h", vary_by_client = true }}

[[upstreams.own.endpoints]]
id = "rooms"
path = "/rooms/{{id}}"
cache = {{ mode = "override", fresh = "1h", stale_while_revalidate = "1h" }}
"#,
        address = upstream.address,
    )
}

/// Answers are tagged by what the path ends with.
async fn upstream() -> Upstream {
    Upstream::start(|request| {
        let id = request.target.rsplit('/').next().unwrap();
        let fields = format!("cache-tag: all, id-{id}\r\nsurrogate-key: room-{id} rooms\r\n");
        answer(200, &fields, &request.target)
    })
    .await
}

fn key_of(name: &str) -> String {
    format!("Bearer {name}-key-0123456789")
}

fn clients(public: std::net::SocketAddr) -> [Client; 2] {
    ["first", "second"].map(|name| Client::new(public).with("authorization", &key_of(name)))
}

async fn purge(admin: std::net::SocketAddr, query: &str) -> Answer {
    let told = Client::new(admin).request(Method::POST, &format!("/purge?{query}"), "").await;
    assert_eq!(told.status, 200, "{query}: {}", told.text());
    told
}

async fn start_keyed(upstream: &Upstream) -> (Running, [Client; 2]) {
    let gateway = start(&config(upstream), clock()).await;
    let clients = clients(gateway.gateway.public());
    (gateway, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_url_is_everybodys_answer_to_it_and_no_other() {
    let upstream = upstream().await;
    let (gateway, clients) = start_keyed(&upstream).await;
    for client in &clients {
        for note in ["/own/notes/a%20b", "/own/notes/c"] {
            assert!(!client.get(note).await.is_hit() && client.get(note).await.is_hit());
        }
    }
    assert_eq!(upstream.received().len(), 4, "to each their own");
    purge(gateway.gateway.admin(), "url=/own/notes/a%2520b").await;
    for client in &clients {
        assert!(client.get("/own/notes/c").await.is_hit());
        let again = client.get("/own/notes/a%20b").await;
        assert_eq!(again.cache_status(), "weir; fwd=miss; fwd-status=200; stored");
        assert!(client.get("/own/notes/a%20b").await.is_hit());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_hits_what_belongs_to_it() {
    let targets = ["/own/rooms/1", "/own/rooms/2", "/own/notes/1"];
    for (query, hit) in [
        ("all=true", [true, true, true]),
        ("endpoint=rooms", [true, true, false]),
        ("endpoint=notes&upstream=own", [false, false, true]),
        ("tag=id-1", [true, false, true]),
        ("tag=room-2&upstream=own", [false, true, false]),
        ("tag=all", [true, true, true]),
        ("tag=rooms", [true, true, true]),
        ("tag=room", [false, false, false]),
        ("url=/own/rooms/2", [false, true, false]),
    ] {
        let upstream = upstream().await;
        let (gateway, [client, _]) = start_keyed(&upstream).await;
        for target in targets {
            assert!(!client.get(target).await.is_hit() && client.get(target).await.is_hit());
        }
        purge(gateway.gateway.admin(), query).await;
        for (target, is_hit) in targets.into_iter().zip(hit) {
            assert_eq!(!client.get(target).await.is_hit(), is_hit, "{query}: {target}");
        }
        // And softly: served, and refreshed.
        purge(gateway.gateway.admin(), &format!("{query}&mode=soft")).await;
        for (target, is_hit) in targets.into_iter().zip(hit) {
            let stale = client.get(target).await;
            let is_stale = stale.cache_status() == "weir; hit; ttl=-1; detail=stale";
            assert!(stale.is_hit() && is_stale == is_hit, "{query}: {target}: {stale:?}");
            until("it is fresh", async || {
                let told = client.get(target).await;
                (!told.cache_status().contains("stale")).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_the_same_however_it_is_spelt() {
    let gateway = TestGateway::start().await;
    let session = gateway.sandbox.session_id(IdKind::LeadingSlash);
    let once = session.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    let twice = once.replace('%', "%25");
    let other = users(&gateway.sandbox.biggest_session_id(), "");
    assert!(!gateway.get(&other).await.is_hit());
    let raw = session.replace('+', "%2B");
    for (asked, purged) in [(&twice, &raw), (&raw, &twice), (&once, &twice.replace('%', "%25"))] {
        let target = users(asked, "");
        assert!(!gateway.get(&target).await.is_hit(), "{asked}");
        assert!(gateway.get(&target).await.is_hit(), "{asked}");
        purge(gateway.gateway.admin(), &format!("session={purged}")).await;
        let asked_again = gateway.get(&target).await;
        assert_eq!(asked_again.status, 200);
        assert!(!asked_again.is_hit(), "asked for {asked}, purged {purged}");
        purge(gateway.gateway.admin(), &format!("session={purged}")).await;
    }
    assert!(gateway.get(&other).await.is_hit(), "others are not its business");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_brings_nothing_back() {
    let upstream = upstream().await;
    let mut child = Child::serve(&config(&upstream)).await;
    let [client, _] = clients(child.public);
    for target in ["/own/rooms/1", "/own/rooms/2", "/own/rooms/3"] {
        assert!(!client.get(target).await.is_hit() && client.get(target).await.is_hit());
    }
    purge(child.admin, "url=/own/rooms/1").await;
    purge(child.admin, "url=/own/rooms/2&mode=soft").await;
    let reloads = async || {
        let page = Client::new(child.admin).get("/metrics").await;
        Metrics::parse(page.text()).sum("weir_config_reloads_total", &[("result", "ok")])
    };
    let more = "\n[[clients]]\nname = \"third\"\nkey = { value = \"third-key-0123456789\" }\n";
    std::fs::write(&child.file, config(&upstream) + more).unwrap();
    child.signal("HUP").await;
    until("it is reloaded", async || (reloads().await == 1).then_some(())).await;
    let third = Client::new(child.public).with("authorization", &key_of("third"));
    for (target, expected) in [
        ("/own/rooms/1", "weir; fwd=miss; fwd-status=200; stored"),
        ("/own/rooms/2", "weir; hit; ttl=-1; detail=stale"),
    ] {
        assert_eq!(third.get(target).await.cache_status(), expected);
    }
    let kept = third.get("/own/rooms/3").await;
    assert!(kept.is_hit() && !kept.cache_status().contains("stale"), "{kept:?}");
    // Nor does it lose what is purged later.
    purge(child.admin, "tag=id-3").await;
    assert!(!third.get("/own/rooms/3").await.is_hit());
    child.signal("TERM").await;
    assert_eq!(child.ended().await, Some(0));
}
