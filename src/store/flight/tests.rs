//! Who joins what, and what a change does to it.

use tokio::sync::oneshot;

use super::*;
use crate::policy::cache_key::{KeyRoot, KeySeed};
use crate::policy::credential::CredentialId;
use crate::policy::endpoint::{EndpointId, UpstreamId};
use crate::policy::params::Canonical;

const NEVER: Since<'_> = Since { mark: Mark::NONE, is_current: &|_| true };

fn asked() -> Asked {
    let (upstream, endpoint) = (UpstreamId::new("u"), EndpointId::new("e"));
    let root = KeyRoot::new(upstream, CredentialId::new("c"), endpoint, &KeySeed::fixed());
    let key = CacheKey::new(&Arc::new(root), None, Canonical::of(&[], &[]));
    Asked { key: Arc::new(key), selector: None, asker: Asker::Anybody }
}

fn board<F>(flights: &Flights<u32>, fetch: impl FnOnce(Wanted) -> F) -> Boarding<u32, ()>
where
    F: Future<Output = u32> + Send + 'static,
{
    flights.board(&asked(), 1, NEVER, None, || None, |wanted, _| fetch(wanted))
}

#[tokio::test]
async fn all_who_wait_get_the_one_result_and_the_leaders_hang_up_harms_nobody() {
    let flights = Flights::<u32>::default();
    let (land, landed) = oneshot::channel();
    let Boarding::Leads(leader) = board(&flights, |_| async { landed.await.unwrap() }) else {
        panic!("the first leads")
    };
    let Boarding::Joins(follower) = board(&flights, |_| async { 2 }) else {
        panic!("the second joins")
    };
    drop(leader);
    land.send(1).unwrap();
    assert_eq!(follower.result().await, Some(1));
    assert!(flights.is_empty());
    assert!(matches!(board(&flights, |_| async { 3 }), Boarding::Leads(_)));
}

#[tokio::test]
async fn a_flight_that_dies_is_told_and_leaves_the_table() {
    let flights = Flights::<u32>::default();
    let boarding = board(&flights, |_| async { panic!("the fetch is broken") });
    let Boarding::Leads(leader) = boarding else { panic!("the first leads") };
    assert_eq!(leader.result().await, None);
    assert!(flights.is_empty());
}

#[tokio::test]
async fn a_flight_learns_that_nobody_waits_any_more() {
    let flights = Flights::<u32>::default();
    let boarding = board(&flights, |wanted| async move {
        wanted.by_nobody().await;
        7
    });
    let (Boarding::Leads(leader), Boarding::Joins(follower)) =
        (boarding, board(&flights, |_| async { 2 }))
    else {
        panic!("one leads, one joins")
    };
    drop(leader);
    tokio::task::yield_now().await;
    assert_eq!(flights.len(), 1, "one still waits");
    drop(follower);
    while !flights.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_has_just_landed_is_not_fetched_again_and_the_table_is_bounded() {
    let flights = Flights::<u32>::default();
    let landed = flights.board(&asked(), 1, NEVER, None, || Some("entry"), |_, _| async { 1 });
    assert!(matches!(landed, Boarding::Landed("entry")));
    let full = flights.board(&asked(), 0, NEVER, None, || None::<()>, |_, _| async { 1 });
    assert!(matches!(full, Boarding::Full));
    assert!(flights.is_empty());
}

#[tokio::test]
async fn whoever_comes_after_a_change_does_not_join_what_left_before() {
    let flights = Flights::<u32>::default();
    let (land, landed) = oneshot::channel::<u32>();
    let mut old = None;
    let boarding = flights.board(
        &asked(),
        9,
        NEVER,
        None,
        || None::<()>,
        |_, ticket| {
            old = Some(ticket);
            async { landed.await.unwrap() }
        },
    );
    let (Boarding::Leads(first), Some(old)) = (boarding, old) else { panic!("it leads") };
    flights.void(&asked().key);
    assert!(old.is_void());
    let boarding = flights.board(
        &asked(),
        9,
        NEVER,
        None,
        || None::<()>,
        |_, ticket| async move { u32::from(!ticket.is_void()) },
    );
    let Boarding::Leads(second) = boarding else { panic!("it leads as well") };
    land.send(7).unwrap();
    assert_eq!((first.result().await, second.result().await), (Some(7), Some(1)));
    assert!(flights.is_empty());
}

#[tokio::test]
async fn each_form_of_a_question_has_a_flight_of_its_own() {
    let flights = Flights::<u32>::default();
    let names: Arc<[http::HeaderName]> = [http::header::ACCEPT_LANGUAGE].into();
    let form = |language: &'static str| {
        let value = http::HeaderValue::from_static(language);
        let request = [(http::header::ACCEPT_LANGUAGE, value)].into_iter().collect();
        Asked { selector: Some(Selector::of(&names, &request)), ..asked() }
    };
    let board = |asked: &Asked, n| {
        flights.board(asked, 9, NEVER, None, || None::<()>, |_, _| std::future::ready(n))
    };
    let (de, fr) = (board(&form("de"), 1), board(&form("fr"), 2));
    let (Boarding::Leads(de), Boarding::Leads(fr)) = (de, fr) else { panic!("both lead") };
    assert!(matches!(board(&form("de"), 3), Boarding::Joins(_)));
    assert_eq!((de.result().await, fr.result().await), (Some(1), Some(2)));
}
