//! Several replicas of one upstream, and what happens when they fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::gateway::{Running, start};
use crate::support::scripted::{Act, Scripted, say};
use crate::support::{clock, until};

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";

async fn good() -> Scripted {
    Scripted::start(|_, _| vec![say(GOOD)]).await
}

fn config(urls: &[SocketAddr], keys: &str) -> String {
    let urls: Vec<_> = urls.iter().map(|url| format!("\"http://{url}\"")).collect();
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[cache]
remember_failure = "0s"
[upstreams.a]
base_url = [{}]
first_byte_timeout = "300ms"
retry_on = [503]
{keys}
[upstreams.a.auth]
kind = "none"
[upstreams.a.labels.l]
per_second = 1000
[[upstreams.a.endpoints]]
id = "x"
method = "*"
path = "/{{*rest}}"
label = "l"
[[upstreams.a.endpoints]]
id = "stale"
path = "/stale"
cache = {{ mode = "override", fresh = "1s", stale_if_error = "1h" }}
"#,
        urls.join(", ")
    )
}

async fn gateway(urls: &[SocketAddr], keys: &str) -> Running {
    start(&config(urls, keys), clock()).await
}

/// An address at which nobody listens, until somebody takes it.
fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// It begins to listen, and answers.
fn appears(socket: socket2::Socket) -> Scripted {
    listens(socket, |_, _| vec![say(GOOD)])
}

fn listens(
    socket: socket2::Socket,
    script: impl Fn(&str, usize) -> Vec<Act> + Send + Sync + 'static,
) -> Scripted {
    socket.listen(128).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    Scripted::on(listener, script)
}

fn asked(upstream: &Scripted) -> usize {
    upstream.asked.lock().unwrap().len()
}

async fn states(running: &Running) -> Vec<String> {
    let status = running.admin("/status").await.json();
    let replicas = status["upstreams"][0]["replicas"].as_array().unwrap().clone();
    replicas.iter().map(|replica| replica["state"].as_str().unwrap().to_owned()).collect()
}

async fn spent(running: &Running) -> u64 {
    running.metrics().await.sum("weir_limit_spent_total", &[("label", "l")])
}

#[tokio::test]
async fn requests_go_to_all_of_them_and_to_the_less_busy_first() {
    let (one, other) = (good().await, good().await);
    let running = gateway(&[one.address, other.address], "").await;
    for n in 0..60 {
        assert_eq!(running.get(&format!("/{n}")).await.text(), "good");
    }
    assert!(asked(&one) > 10 && asked(&other) > 10, "{} {}", asked(&one), asked(&other));
    assert_eq!(asked(&one) + asked(&other), 60);
    let metrics = running.metrics().await;
    let count =
        |state| metrics.sum("weir_upstream_replicas", &[("upstream", "a"), ("state", state)]);
    assert_eq!((count("in"), count("ejected"), count("down")), (2, 0, 0));

    let (slow, quick) = (Scripted::start(|_, _| vec![Act::Hang]).await, good().await);
    let text = config(&[slow.address, quick.address], "").replace("300ms", "20s");
    let running = start(&text, clock()).await;
    let client = running.client();
    let stuck = tokio::spawn(async move {
        let asks = (0..8).map(|n| {
            let client = client.clone();
            tokio::spawn(async move { client.get(&format!("/stuck/{n}")).await })
        });
        let _kept: Vec<_> = asks.collect();
        std::future::pending::<()>().await;
    });
    until("one hangs", async || (asked(&slow) > 0).then_some(())).await;
    let before = asked(&slow);
    for n in 0..40 {
        assert_eq!(running.get(&format!("/{n}")).await.text(), "good");
    }
    assert!(asked(&slow) <= before + 1, "the busy one is left to the busy ones");
    stuck.abort();
}

#[tokio::test]
async fn one_that_is_gone_is_left_alone_and_found_again() {
    let (socket, gone) = nobody();
    let well = good().await;
    let running = gateway(&[gone, well.address], "breaker = { failures = 3, open = \"5s\" }").await;
    for n in 0..40 {
        assert_eq!(running.get(&format!("/{n}")).await.text(), "good", "a retry goes elsewhere");
    }
    assert_eq!(states(&running).await, ["ejected", "in"]);
    let metrics = running.metrics().await;
    assert_eq!(metrics.sum("weir_upstream_ejections_total", &[("upstream", "a")]), 1);
    assert_eq!(metrics.sum("weir_upstream_requests_total", &[("status", "connect")]), 3);
    assert_eq!(spent(&running).await, 40, "what did not arrive costs nothing");
    let back = appears(socket);
    running.clock.advance(Duration::from_secs(6));
    for n in 0..40 {
        assert_eq!(running.get(&format!("/again/{n}")).await.text(), "good");
    }
    assert!(asked(&back) > 5, "{}", asked(&back));
    assert_eq!(states(&running).await, ["in", "in"]);
}

#[tokio::test]
async fn what_has_certainly_not_left_goes_to_another_whatever_its_method() {
    let (socket, gone) = nobody();
    let well = good().await;
    let running = gateway(&[gone, well.address], "breaker = { failures = 3, open = \"5s\" }").await;
    let client = running.client();
    for n in 0..40 {
        let answer = client.request(Method::POST, &format!("/{n}"), "").await;
        assert_eq!(answer.text(), "good");
    }
    let metrics = running.metrics().await;
    assert_eq!(metrics.sum("weir_upstream_requests_total", &[("status", "connect")]), 3);
    assert_eq!((asked(&well), spent(&running).await), (40, 40), "once each");
    assert_eq!(states(&running).await, ["ejected", "in"]);

    // It is back, and what may not be repeated is not what finds out.
    let back = appears(socket);
    running.clock.advance(Duration::from_secs(6));
    for n in 0..20 {
        client.request(Method::POST, &format!("/again/{n}"), "").await;
    }
    assert_eq!((asked(&back), states(&running).await), (0, vec!["ejected".into(), "in".into()]));
    assert_eq!(running.get("/probe").await.text(), "good");
    assert_eq!((asked(&back), states(&running).await), (1, vec!["in".into(), "in".into()]));

    // Nobody else is there: the client has to know.
    let (_socket, gone) = nobody();
    let running = gateway(&[gone], "").await;
    let answer = running.client().request(Method::POST, "/", "").await;
    answer.problem(502, "upstream-failed");
    let metrics = running.metrics().await;
    assert_eq!(metrics.sum("weir_upstream_requests_total", &[("status", "connect")]), 1);
}

#[tokio::test]
async fn one_that_answers_badly_is_left_alone_but_never_the_last() {
    for bad in [BUSY, "junk\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        let well = good().await;
        let ill = Scripted::start(move |_, _| vec![say(bad), Act::Close]).await;
        let running = gateway(&[ill.address, well.address], "max_retries = 0").await;
        for n in 0..60 {
            let target = format!("/{n}");
            drop(running.client().try_request(Method::GET, &target, "").await);
        }
        assert_eq!((asked(&ill), states(&running).await), (5, vec!["ejected".into(), "in".into()]));

        let (one, other) = (
            Scripted::start(move |_, _| vec![say(bad), Act::Close]).await,
            Scripted::start(move |_, _| vec![say(bad), Act::Close]).await,
        );
        let running = gateway(&[one.address, other.address], "max_retries = 0").await;
        for n in 0..60 {
            let target = format!("/{n}");
            drop(running.client().try_request(Method::GET, &target, "").await);
        }
        assert_eq!(asked(&one) + asked(&other), 60, "the last one is always asked");
        let states = states(&running).await;
        assert_eq!(states.iter().filter(|state| *state == "in").count(), 1, "{states:?}");
    }
}

#[tokio::test]
async fn the_only_one_is_broken_off_if_it_is_not_there_and_never_if_it_talks_nonsense() {
    let nonsense = Scripted::start(|_, _| vec![say("junk\r\n\r\n"), Act::Close]).await;
    let running = gateway(&[nonsense.address], "max_retries = 0").await;
    for n in 0..20 {
        running.get(&format!("/{n}")).await.problem(502, "upstream-failed");
    }
    assert_eq!(asked(&nonsense), 20);

    let (socket, gone) = nobody();
    let running = gateway(&[gone], "max_retries = 0").await;
    for n in 0..5 {
        running.get(&format!("/{n}")).await.problem(502, "upstream-failed");
    }
    for n in 0..5 {
        let down = running.get(&format!("/down/{n}")).await;
        down.problem(503, "upstream-down");
        assert_eq!(down.header("retry-after"), "1");
    }
    assert_eq!(states(&running).await, ["ejected"]);
    let metrics = running.metrics().await;
    assert_eq!(metrics.sum("weir_upstream_requests_total", &[]), 5, "nothing was sent");
    assert_eq!(spent(&running).await, 0);
    // One finds out, in vain: the pause doubles.
    running.clock.advance(Duration::from_secs(1));
    running.get("/probe/1").await.problem(502, "upstream-failed");
    let down = running.get("/down").await;
    assert_eq!(down.header("retry-after"), "2");
    let back = appears(socket);
    running.clock.advance(Duration::from_secs(2));
    assert_eq!(running.get("/probe/2").await.text(), "good");
    assert_eq!(running.get("/after").await.text(), "good");
    assert_eq!((asked(&back), spent(&running).await), (2, 2));
}

#[tokio::test]
async fn stale_answers_while_nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = gateway(&[listener.local_addr().unwrap()], "max_retries = 0").await;
    let once = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        stream.read_u8().await.unwrap();
        stream.write_all(GOOD.as_bytes()).await.unwrap();
        while stream.read_u8().await.is_ok_and(|byte| byte != b'\r') {}
    });
    assert_eq!(running.get("/stale").await.text(), "good");
    once.await.unwrap();
    running.clock.advance(Duration::from_secs(5));
    for n in 0..5 {
        running.get(&format!("/{n}")).await.problem(502, "upstream-failed");
    }
    let stale = running.get("/stale").await;
    assert_eq!(stale.text(), "good");
    assert!(stale.cache_status().contains("detail=upstream-down"), "{}", stale.cache_status());
}

#[tokio::test]
async fn one_probe_at_a_time() {
    let (socket, gone) = nobody();
    let running = gateway(&[gone], "max_retries = 0").await;
    for n in 0..5 {
        running.get(&format!("/{n}")).await.problem(502, "upstream-failed");
    }
    let upstream = listens(socket, |_, _| vec![Act::Hang]);
    running.clock.advance(Duration::from_secs(5));
    let asks = (0..20).map(|n| {
        let client = running.client();
        async move { client.get(&format!("/probe/{n}")).await }
    });
    let answers = crate::support::join_all(asks.collect::<Vec<_>>()).await;
    let codes = |code: &str| answers.iter().filter(|a| a.header("weir-error") == code).count();
    assert_eq!((codes("upstream-timeout"), codes("upstream-down")), (1, 19));
    assert_eq!(asked(&upstream), 1);
    assert_eq!(states(&running).await, ["in"], "it is back, however slow");
}

#[tokio::test]
async fn a_probe_to_what_takes_long_is_not_waited_for() {
    let (socket, gone) = nobody();
    let keys = "breaker = { failures = 1 }\nmax_retries = 0";
    let text = config(&[gone], keys).replace("300ms", "20s");
    let running = start(&text, clock()).await;
    running.get("/1").await.problem(502, "upstream-failed");
    let upstream =
        listens(
            socket,
            |line, _| {
                if line.contains("/long") { vec![Act::Hang] } else { vec![say(GOOD)] }
            },
        );
    running.clock.advance(Duration::from_secs(1));
    let client = running.client();
    let probe = tokio::spawn(async move { client.get("/long").await });
    until("it is on its way", async || (asked(&upstream) == 1).then_some(())).await;
    running.get("/2").await.problem(503, "upstream-down");
    running.clock.advance(Duration::from_secs(1));
    assert_eq!(running.get("/3").await.text(), "good");
    assert_eq!(running.get("/4").await.text(), "good");
    probe.abort();
}

#[tokio::test]
async fn silence_on_some_of_it_takes_nothing_else_of_the_only_one_down() {
    let upstream = Scripted::start(|line, _| match line {
        _ if line.contains("/well") => vec![say(GOOD)],
        _ if line.contains("/early") => vec![say("HTTP/1.1 103 Early Hints\r\n\r\n"), Act::Hang],
        _ if line.contains("/half") => vec![say("HTTP/1.1 200 OK\r\ncont"), Act::Hang],
        _ => vec![Act::Hang],
    })
    .await;
    let running = gateway(&[upstream.address], "max_retries = 0").await;
    for path in ["early", "half", "silent"] {
        let asks = (0..12).map(|n| {
            let client = running.client();
            async move { client.get(&format!("/{path}/{n}")).await }
        });
        for answer in crate::support::join_all(asks.collect::<Vec<_>>()).await {
            answer.problem(504, "upstream-timeout");
        }
        assert_eq!(running.get(&format!("/well/{path}")).await.text(), "good", "{path}");
    }
    assert_eq!(states(&running).await, ["in"]);
}

#[tokio::test]
async fn a_probe_that_is_given_up_lets_the_next_one_find_out() {
    let (_socket, gone) = nobody();
    let running = gateway(&[gone], "max_retries = 0\nbreaker = { failures = 1 }").await;
    running.get("/1").await.problem(502, "upstream-failed");
    running.get("/2").await.problem(503, "upstream-down");
    drop(running);

    let (socket, gone) = nobody();
    let running = gateway(&[gone], "max_retries = 0\nbreaker = { failures = 1 }").await;
    running.get("/1").await.problem(502, "upstream-failed");
    let upstream =
        listens(
            socket,
            |line, _| {
                if line.contains("good") { vec![say(GOOD)] } else { vec![Act::Hang] }
            },
        );
    running.clock.advance(Duration::from_secs(3));
    let client = running.client();
    let probe = tokio::spawn(async move { client.get("/stale").await });
    until("it is on its way", async || (asked(&upstream) > 0).then_some(())).await;
    running.get("/2").await.problem(503, "upstream-down");
    probe.abort();
    drop(probe.await);
    until("the next finds out", async || (running.get("/good").await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn what_a_replica_says_of_itself_counts_and_carries_no_credential() {
    let well = Arc::new(AtomicBool::new(true));
    let (says, checks) = (Arc::clone(&well), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&checks);
    let upstream = crate::support::Upstream::start(move |request| {
        if request.target != "/healthz?full=1" {
            return GOOD.to_owned();
        }
        assert_eq!(request.header("authorization"), "");
        counted.fetch_add(1, Ordering::SeqCst);
        if says.load(Ordering::SeqCst) { GOOD.to_owned() } else { BUSY.to_owned() }
    })
    .await;
    let other = good().await;
    let health = "[upstreams.a.health]\npath = \"/healthz?full=1\"\ninterval = \"100ms\"";
    let text = config(&[upstream.address, other.address], "");
    let text = text.replace("kind = \"none\"", "kind = \"bearer\"\ntoken = { value = \"t\" }");
    let running = start(&format!("{text}\n{health}"), clock()).await;
    let becomes = async |expected: [&str; 2]| {
        until("it is known", async || (states(&running).await == expected).then_some(())).await;
    };
    becomes(["in", "in"]).await;
    well.store(false, Ordering::SeqCst);
    becomes(["down", "in"]).await;
    let before = upstream.count("/x");
    for n in 0..20 {
        assert_eq!(running.get(&format!("/x/{n}")).await.text(), "good");
    }
    assert_eq!(upstream.count("/x"), before, "it is not asked");
    well.store(true, Ordering::SeqCst);
    becomes(["in", "in"]).await;
    let metrics = running.metrics().await;
    let checked = |result| metrics.sum("weir_upstream_health_checks_total", &[("result", result)]);
    assert!(checked("healthy") > 2 && checked("unhealthy") >= 2);
    assert_eq!(spent(&running).await, 20, "a check spends no token");
}

#[tokio::test]
async fn a_reload_takes_other_replicas_and_lets_what_is_under_way_end() {
    let slow = Scripted::start(|_, _| {
        let head = say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
        vec![head, Act::Drip(b"slow".to_vec(), Duration::from_millis(100))]
    })
    .await;
    let other = good().await;
    let running = gateway(&[slow.address], "").await;
    let client = running.client();
    let under_way = tokio::spawn(async move { client.get("/slow").await });
    until("it is on its way", async || (asked(&slow) == 1).then_some(())).await;
    let text = config(&[other.address], "");
    let settings = weir::config::from_text("test.toml", &text, &weir::config::Env::new());
    running.gateway.reload(settings.unwrap().settings).unwrap();
    assert_eq!(running.get("/other").await.text(), "good");
    assert_eq!(under_way.await.unwrap().text(), "slow");
    assert_eq!((asked(&slow), asked(&other)), (1, 1));
}
