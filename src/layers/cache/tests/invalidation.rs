//! A change makes what is stored of it invalid (RFC 9111, section 4.4).

use super::crowd::respecting;
use super::*;
use crate::layers::testing::{endpoint, keyed, route, settle, share, site, start};
use crate::policy::endpoint::{Methods, Override};
use crate::world::{Client, Clients};

/// GET tells the number of the call; anything else is answered with this, at once.
fn changing(code: u16, fields: &'static [(&str, &str)]) -> Fake<FetchRequest> {
    Fake::new(move |n, question: FetchRequest| async move {
        if question.method == Method::GET {
            return Ok(answer(200, &[("cache-control", "max-age=10")], n.to_string()));
        }
        Ok(answer(code, fields, ""))
    })
}

async fn is_kept(rig: &Rig, cache: &Caching<Fake<FetchRequest>>, id: &str) -> bool {
    let told = send(cache, rig.ask(Method::GET, id)).await.unwrap();
    let is_hit = status(&told).starts_with("weir; hit");
    assert!(is_hit || status(&told) == "weir; fwd=miss; fwd-status=200; stored");
    is_hit
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_is_forgotten_and_only_that() {
    let read = [Method::HEAD, Method::OPTIONS];
    let changes = [Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
    for rule in [seconds(10, 0, 0), CacheRule::Respect(Respect::default())] {
        for (methods, code, is_forgotten) in [
            (&changes[..], 200, true),
            (&changes, 204, true),
            (&changes, 303, true),
            (&changes, 400, false),
            (&changes, 404, false),
            (&changes, 500, false),
            (&read, 200, false),
        ] {
            for method in methods {
                let rig = Rig::with(|setup| setup.cache = rule.clone());
                let cache = rig.cached(changing(code, &[]));
                for id in ["a", "b"] {
                    assert!(!is_kept(&rig, &cache, id).await);
                }
                send(&cache, rig.ask(method.clone(), "a")).await.unwrap();
                assert_eq!(!is_kept(&rig, &cache, "a").await, is_forgotten, "{method} {code}");
                assert!(is_kept(&rig, &cache, "b").await);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_names_is_forgotten_too_if_it_is_of_the_same_origin() {
    const CASES: [(&[(&str, &str)], bool); 8] = [
        (&[("location", "/v2/things/b")], true),
        (&[("location", "http://upstream.test/v2/things/b")], true),
        (&[("location", "b")], true),
        (&[("content-location", "/v2/things/b")], true),
        (&[("location", "/v2/things/c"), ("content-location", "b")], true),
        (&[("location", "http://other.test/v2/things/b")], false),
        (&[("content-location", "https://upstream.test/v2/things/b")], false),
        (&[("location", "/v3/things/b")], false),
    ];
    for (fields, is_forgotten) in CASES {
        for code in [201, 409] {
            let rig = Rig::with(|setup| setup.cache = seconds(10, 0, 0));
            let cache = rig.cached(changing(code, fields));
            is_kept(&rig, &cache, "b").await;
            send(&cache, rig.ask(Method::POST, "a")).await.unwrap();
            let expected = is_forgotten && code == 201;
            assert_eq!(!is_kept(&rig, &cache, "b").await, expected, "{code} {fields:?}");
        }
    }
}

/// A row of its own for what changes things, as a table often has it.
fn writing(rig: &Rig, id: &str) -> RoutedRequest {
    let row = endpoint("write", Methods::Listed(vec![Method::PUT]), "/things/{id}");
    let write = route(&rig.route.upstream, row, &rig.metrics);
    let site = site("", vec![Arc::clone(&rig.route), Arc::clone(&write)]);
    let mut request = rig.ask(Method::PUT, id);
    request.world = Arc::new(rig.world_of(vec![site], Clients::Anonymous(Arc::clone(&rig.client))));
    request.key = Arc::new(write.key(None, request.key.parameters().clone()));
    request.route = write;
    request
}

#[tokio::test(start_paused = true)]
async fn what_another_row_changes_is_forgotten_as_well() {
    let rig = Rig::with(|setup| setup.cache = seconds(10, 0, 0));
    let cache = rig.cached(changing(204, &[]));
    for id in ["a", "b"] {
        is_kept(&rig, &cache, id).await;
    }
    send(&cache, writing(&rig, "a")).await.unwrap();
    assert!(!is_kept(&rig, &cache, "a").await);
    assert!(is_kept(&rig, &cache, "b").await);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_for_each_client_is_forgotten_for_all() {
    let CacheRule::Override(rule) = seconds(10, 0, 0) else { panic!("it is our own") };
    let rule = CacheRule::Override(Override { vary_by_client: true, ..rule });
    let rig = Rig::with(|setup| setup.cache = rule);
    let clients =
        ["one", "two"].map(|name| Arc::new(Client::new(0, share(name), None, &rig.clock)));
    let both = || keyed(&[("a", Arc::clone(&clients[0])), ("b", Arc::clone(&clients[1]))]);
    let ask = |method: Method, client: &Arc<Client>| {
        let mut request = rig.ask(method, "a");
        request.world =
            Arc::new(rig.world_of(vec![site("", vec![Arc::clone(&rig.route)])], both()));
        request.key = Arc::new(rig.route.key(Some(client), request.key.parameters().clone()));
        request.client = Arc::clone(client);
        request
    };
    let cache = rig.cached(changing(204, &[]));
    let [one, two] = &clients;
    let is_hit = async |client| {
        let told = send(&cache, ask(Method::GET, client)).await.unwrap();
        status(&told).starts_with("weir; hit")
    };
    for expected in [false, true] {
        assert_eq!((is_hit(one).await, is_hit(two).await), (expected, expected));
    }
    send(&cache, ask(Method::PUT, one)).await.unwrap();
    assert_eq!((is_hit(one).await, is_hit(two).await), (false, false));
}

/// GET takes a second and tells what it was told then; a change takes no time.
fn slow_to_read(is_kept: &'static [bool]) -> Fake<FetchRequest> {
    Fake::new(move |n, question: FetchRequest| async move {
        if question.method != Method::GET {
            return Ok(answer(204, &[], ""));
        }
        tokio::time::sleep(SECOND).await;
        let is_kept = is_kept.get(n).copied().unwrap_or(true);
        let told = if is_kept { "max-age=10" } else { "no-store" };
        Ok(answer(200, &[("cache-control", told)], n.to_string()))
    })
}

#[tokio::test(start_paused = true)]
async fn what_left_before_the_change_is_answered_and_not_kept() {
    let rig = Rig::with(|setup| setup.cache = seconds(10, 30, 600));
    let fake = slow_to_read(&[]);
    let cache = rig.cached(fake.clone());
    let before = start(&cache, rig.get());
    settle().await;
    send(&cache, rig.ask(Method::PUT, "a")).await.unwrap();
    // Who asks after the change does not join what left before it.
    let after = start(&cache, rig.get());
    let before = before.await.unwrap().unwrap();
    assert_eq!(status(&before), "weir; fwd=miss; fwd-status=200");
    assert_eq!(text(before).await, "0");
    assert_eq!(text(after.await.unwrap().unwrap()).await, "2");
    let hit = send(&cache, rig.get()).await.unwrap();
    assert_eq!((text(hit).await.as_str(), fake.calls()), ("2", 3));
}

#[tokio::test(start_paused = true)]
async fn nor_is_what_one_asked_for_alone() {
    let rig = respecting();
    // The first is nobody else's: the second does not wait for company.
    let fake = slow_to_read(&[false]);
    let cache = rig.cached(fake.clone());
    send(&cache, rig.get()).await.unwrap();
    let alone = start(&cache, rig.get());
    settle().await;
    send(&cache, rig.ask(Method::DELETE, "a")).await.unwrap();
    let alone = alone.await.unwrap().unwrap();
    assert_eq!(status(&alone), "weir; fwd=miss; fwd-status=200");
    assert_eq!(text(alone).await, "1");
    let next = send(&cache, rig.get()).await.unwrap();
    assert_eq!(status(&next), "weir; fwd=miss; fwd-status=200; stored");
}

#[tokio::test(start_paused = true)]
async fn a_failure_from_before_the_change_is_not_told_after_it() {
    let rig = Rig::with(|setup| setup.cache = seconds(10, 0, 0));
    let fake = Fake::new(|n, question: FetchRequest| async move {
        Ok(answer(
            if n == 0 && question.method == Method::GET { 503 } else { 200 },
            &[],
            n.to_string(),
        ))
    });
    let cache = rig.cached(fake);
    for _ in 0..2 {
        assert_eq!(send(&cache, rig.get()).await.unwrap().status(), 503);
    }
    send(&cache, rig.ask(Method::PUT, "a")).await.unwrap();
    assert_eq!(send(&cache, rig.get()).await.unwrap().status(), 200);
}
