//! After all of that nothing is left behind.

use std::fs;

use http::Method;

use super::{GOOD, at_rest, cases, gateway};
use crate::support::scripted::{Scripted, say};
use crate::support::until;

/// Sockets between this process and that port, on either side. Other tests have their own.
fn sockets(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    let open = |line: &&str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        // 01 is established, 08 half closed by the other side.
        let alive = matches!(columns.get(3), Some(&("01" | "08")));
        alive && (columns[1].ends_with(&port) || columns[2].ends_with(&port))
    };
    table.lines().skip(1).filter(open).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_leave_no_socket_no_request_and_no_flight_behind() {
    let cases = cases::all();
    let most = cases.len();
    let upstream = Scripted::start(move |line, _| {
        let number = line.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
        match number.parse::<usize>() {
            Ok(number) => cases[number].1.clone(),
            Err(_) => vec![say(GOOD)],
        }
    })
    .await;
    let running =
        gateway(upstream.address, "idle_timeout = \"100ms\"\nbreaker = { failures = 0 }").await;
    let port = upstream.address.port();
    assert_eq!(sockets(port), 0);
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..most {
        for kind in ["kept", "passed"] {
            let client = running.client();
            asking.spawn(async move {
                drop(client.try_request(Method::GET, &format!("/{kind}/{number}"), "").await);
            });
        }
        while asking.len() > 64 {
            asking.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = asking.join_next().await {
        done.unwrap();
    }
    at_rest(&running).await;
    until("every socket to the upstream is closed", async || (sockets(port) == 0).then_some(()))
        .await;
    let status = running.admin("/status").await.json();
    assert_eq!(status["upstreams"][0]["replicas"][0]["in_flight"], 0, "{status}");
    assert_eq!(status["upstreams"][0]["replicas"][0]["state"], "in", "{status}");
    assert_eq!(running.get("/kept/good").await.text(), "good");
}
