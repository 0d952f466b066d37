use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use parking_lot::Condvar;
use tokio::sync::mpsc;

use super::*;

/// A name server that says nothing about some names until it is told to.
#[derive(Default)]
struct Silent {
    hangs: Mutex<HashSet<String>>,
    freed: Condvar,
    now: AtomicUsize,
    most: AtomicUsize,
    calls: AtomicUsize,
}

impl Silent {
    fn names(hangs: impl IntoIterator<Item = String>) -> Asked {
        let server =
            Arc::new(Self { hangs: Mutex::new(hangs.into_iter().collect()), ..Self::default() });
        let (report, begun) = mpsc::channel(2 * MOST_NAMES);
        let asked = Arc::clone(&server);
        let names = Names::asking(move |name| {
            asked.calls.fetch_add(1, Ordering::SeqCst);
            asked.most.fetch_max(1 + asked.now.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
            report.try_send(name.to_owned()).unwrap();
            let mut hangs = asked.hangs.lock();
            asked.freed.wait_while(&mut hangs, |hangs| hangs.contains(name));
            drop(hangs);
            asked.now.fetch_sub(1, Ordering::SeqCst);
            match name {
                "nobody" => Err(io::ErrorKind::NotFound.into()),
                _ => Ok(vec![here()]),
            }
        });
        Asked { server, names, begun }
    }

    fn speak(&self) {
        self.hangs.lock().clear();
        self.freed.notify_all();
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

struct Asked {
    server: Arc<Silent>,
    names: Names,
    begun: mpsc::Receiver<String>,
}

impl Drop for Asked {
    /// Or a test that fails never ends.
    fn drop(&mut self) {
        self.server.speak();
    }
}

impl Asked {
    /// Until so many look-ups have begun.
    async fn begun(&mut self, many: usize) {
        for _ in 0..many {
            self.begun.recv().await.unwrap();
        }
    }
}

fn here() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn hosts(many: usize) -> Vec<String> {
    (0..many).map(|n| format!("host{n}")).collect()
}

/// Lets what has been spawned begin.
async fn settled() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_name_server_that_hangs_holds_few_threads() {
    let hosts = hosts(1000);
    let mut asked = Silent::names(hosts.clone());
    let names = asked.names.clone();
    let asks = join_all(hosts.iter().map(|host| names.find(host)));
    tokio::pin!(asks);
    assert!(asks.as_mut().now_or_never().is_none());
    asked.begun(MOST_BLOCKED).await;
    settled().await;
    assert_eq!(asked.server.calls(), MOST_BLOCKED);
    asked.server.speak();
    assert!(asks.await.into_iter().all(|found| found.unwrap() == [here()]));
    assert_eq!(asked.server.calls(), 1000);
    assert!(asked.server.most.load(Ordering::SeqCst) <= MOST_BLOCKED);
    assert!(asked.names.0.under_way.lock().is_empty());
}

#[tokio::test]
async fn all_who_ask_for_a_name_wait_for_one_look_up_and_another_name_is_found_meanwhile() {
    let mut asked = Silent::names(["slow".to_owned()]);
    let names = asked.names.clone();
    let asks = join_all((0..1000).map(|_| names.find("slow")));
    tokio::pin!(asks);
    assert!(asks.as_mut().now_or_never().is_none());
    asked.begun(1).await;
    assert_eq!(names.find("quick").await.unwrap(), [here()]);
    let failed = names.find("nobody").await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::NotFound);
    assert_eq!(asked.server.calls(), 3);
    asked.server.speak();
    assert!(asks.await.into_iter().all(|found| found.unwrap() == [here()]));
    assert_eq!(asked.server.calls(), 3);
}

#[tokio::test]
async fn whoever_stops_waiting_frees_no_thread_and_leaves_nothing_behind() {
    let hosts = hosts(MOST_BLOCKED);
    let mut asked = Silent::names(hosts.clone());
    let names = asked.names.clone();
    let asks = join_all(hosts.iter().map(|host| names.find(host)));
    let mut asks = Box::pin(asks);
    assert!(asks.as_mut().now_or_never().is_none());
    asked.begun(MOST_BLOCKED).await;
    drop(asks);
    for _ in 0..3 {
        // Those that hold a thread, and one that waits for one: all are given up.
        assert!(join_all(hosts.iter().map(|host| names.find(host))).now_or_never().is_none());
        assert!(names.find("late").now_or_never().is_none());
        settled().await;
        assert_eq!(asked.server.calls(), MOST_BLOCKED, "the same look-ups as before");
        let known = names.0.under_way.lock();
        assert!(known.len() == MOST_BLOCKED && !known.contains_key("late"), "{:?}", known.keys());
    }
    asked.server.speak();
    for host in hosts.iter().chain([&"late".to_owned()]) {
        assert_eq!(asked.names.find(host).await.unwrap(), [here()]);
    }
    assert!(asked.names.0.under_way.lock().is_empty());
}

#[tokio::test]
async fn no_more_names_than_bounded_are_under_way() {
    let hosts = hosts(MOST_NAMES);
    let asked = Silent::names(hosts.clone());
    let asks = join_all(hosts.iter().map(|host| asked.names.find(host)));
    tokio::pin!(asks);
    assert!(asks.as_mut().now_or_never().is_none());
    assert!(asked.names.find("one more").await.unwrap_err().to_string().contains("too many"));
    asked.server.speak();
    assert!(asks.await.into_iter().all(|found| found.is_ok()));
}

#[tokio::test]
async fn a_look_up_that_panics_is_an_error_and_the_next_is_made() {
    let calls = AtomicUsize::new(0);
    let names = Names::asking(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("once"),
        _ => Ok(vec![here()]),
    });
    assert!(names.find("a").await.unwrap_err().to_string().contains("lost"));
    assert_eq!(names.find("a").await.unwrap(), [here()]);
}
