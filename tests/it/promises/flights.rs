//! At most one flight a key, one answer for all who wait, and nobody is harmed by who leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use weir::sandbox::{Fault, FaultKind};

use crate::support::gateway::users;
use crate::support::raw::Raw;
use crate::support::{Answer, Client, Setup, TestGateway, join_all, until};

const CROWD: usize = 500;

async fn patient_gateway() -> TestGateway {
    let zoom = "max_retries = 0\nfirst_byte_timeout = \"1s\"".to_owned();
    // Longer than a crowd takes on a slow machine: the gateway's clock runs on by itself.
    let tables = "[cache]\nremember_failure = \"30s\"\n".to_owned();
    let gateway = Setup { zoom, tables, ..Setup::default() }.start().await;
    // Long enough for all to arrive before the answer does.
    gateway.sandbox.set_latency(Duration::from_millis(700));
    gateway
}

/// Five hundred at once, over a few connections with many streams each.
async fn crowd(gateway: &TestGateway, target: &str) -> Vec<Answer> {
    let clients: Vec<_> = (0..5).map(|_| Client::http2(gateway.gateway.public())).collect();
    join_all((0..CROWD).map(|index| {
        let (client, target) = (clients[index % clients.len()].clone(), target.to_owned());
        async move { client.get(&target).await }
    }))
    .await
}

fn count<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// One request at the upstream, one token, and this for everybody.
async fn assert_one_flight(gateway: &TestGateway, answers: &[Answer], status: u16, code: &str) {
    let told = count(answers.iter().map(|answer| (answer.status, answer.header("weir-error"))));
    assert_eq!(told, BTreeMap::from([((status, code), CROWD)]));
    assert_eq!(gateway.heavy().arrived, 1, "one request at the upstream");
    assert_eq!(count(answers.iter().map(|answer| &answer.body)).len(), distinct(code));
    let metrics = gateway.metrics().await;
    let result = |result| metrics.sum("weir_cache_requests_total", &[("result", result)]);
    assert_eq!((result("miss"), result("collapsed")), (1, CROWD as u64 - 1));
    assert_eq!(metrics.sum("weir_limit_spent_total", &[]), 1);
    assert_eq!(gateway.left_today().await, 29_999);
}

/// Within the moment in which a failure is remembered, whoever asks again gets it too, at no cost;
/// after it the upstream is asked anew, and the answer is stored.
async fn assert_held_for_a_moment(gateway: &TestGateway, target: &str, status: u16, code: &str) {
    let told = gateway.get(target).await;
    assert_eq!((told.status, told.header("weir-error")), (status, code));
    assert_eq!(gateway.heavy().arrived, 1, "within the moment nobody asks");
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_cache_requests_total", &[("result", "miss")]), 1);
    let collapsed = [("result", "collapsed")];
    assert_eq!(metrics.sum("weir_cache_requests_total", &collapsed), CROWD as u64);
    assert_eq!(metrics.sum("weir_limit_spent_total", &[]), 1);
    gateway.clock.advance(Duration::from_secs(30));
    let anew = gateway.get(target).await;
    assert_eq!((anew.status, anew.is_hit()), (200, false));
    assert_eq!(gateway.heavy().arrived, 2, "after it one does");
    assert!(gateway.get(target).await.is_hit());
}

/// An error of our own names each request; an answer of the upstream is the same for all.
fn distinct(code: &str) -> usize {
    if code.is_empty() { 1 } else { CROWD }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_ask_one_question_and_the_upstream_hears_it_once() {
    let gateway = patient_gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    let answers = crowd(&gateway, &target).await;
    assert_one_flight(&gateway, &answers, 200, "").await;
    let stored = answers.iter().filter(|answer| answer.cache_status().contains("stored")).count();
    assert_eq!(stored, CROWD);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("weir_limit_saved_total", &[]), CROWD as u64 - 1);
    assert!(gateway.get(&target).await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_error_is_everybodys_for_a_moment() {
    let gateway = patient_gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    gateway.sandbox.inject(Fault::new(FaultKind::Status(StatusCode::INTERNAL_SERVER_ERROR), 1));
    let answers = crowd(&gateway, &target).await;
    assert_one_flight(&gateway, &answers, 500, "").await;
    assert_held_for_a_moment(&gateway, &target, 500, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_is_everybodys_for_a_moment() {
    let gateway = patient_gateway().await;
    gateway.sandbox.set_latency(Duration::ZERO);
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    gateway.sandbox.inject(Fault::new(FaultKind::Timeout, 1));
    let answers = crowd(&gateway, &target).await;
    assert_one_flight(&gateway, &answers, 504, "upstream-timeout").await;
    assert_held_for_a_moment(&gateway, &target, 504, "upstream-timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_everybodys_for_a_moment() {
    let gateway = patient_gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    gateway.sandbox.inject(Fault::new(FaultKind::Reset, 1));
    let answers = crowd(&gateway, &target).await;
    assert_one_flight(&gateway, &answers, 502, "upstream-failed").await;
    assert_held_for_a_moment(&gateway, &target, 502, "upstream-failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_answer_is_everybodys_for_a_moment() {
    let gateway = patient_gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    gateway.sandbox.inject(Fault::new(FaultKind::Truncate, 1));
    let answers = crowd(&gateway, &target).await;
    assert_one_flight(&gateway, &answers, 502, "upstream-failed").await;
    assert_held_for_a_moment(&gateway, &target, 502, "upstream-failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_first_may_hang_up() {
    let gateway = patient_gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    let mut first = Raw::connect(gateway.gateway.public()).await;
    first.get(&target).await;
    until("the upstream hears of it", async || (gateway.heavy().arrived == 1).then_some(())).await;
    let others = tokio::spawn({
        let client = Client::http2(gateway.gateway.public());
        let target = target.clone();
        async move {
            join_all((0..50).map(|_| {
                let (client, target) = (client.clone(), target.clone());
                async move { client.get(&target).await }
            }))
            .await
        }
    });
    until("the others wait", async || in_flight(&gateway, 51).await).await;
    drop(first);
    until("its leaving is noticed", async || in_flight(&gateway, 50).await).await;
    let others = others.await.unwrap();
    assert!(others.iter().all(|answer| answer.status == 200 && answer.json()["users"].is_array()));
    assert_eq!(gateway.heavy().arrived, 1);
    assert!(gateway.get(&target).await.is_hit());
}

async fn in_flight(gateway: &TestGateway, expected: u64) -> Option<()> {
    let metrics = gateway.metrics().await;
    (metrics.sum("weir_in_flight", &[]) == expected).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_hang_up_the_answer_is_stored_all_the_same() {
    let gateway = patient_gateway().await;
    let target = users(&gateway.sandbox.biggest_session_id(), "");
    let mut only = Raw::connect(gateway.gateway.public()).await;
    only.get(&target).await;
    until("the upstream hears of it", async || (gateway.heavy().arrived == 1).then_some(())).await;
    drop(only);
    until("the answer is stored", async || {
        (gateway.metrics().await.sum("weir_cache_entries", &[]) == 1).then_some(())
    })
    .await;
    assert!(gateway.get(&target).await.is_hit());
    assert_eq!(gateway.heavy().arrived, 1);
}
