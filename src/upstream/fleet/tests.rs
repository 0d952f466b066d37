use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use http::{Method, StatusCode};

use super::*;
use crate::policy::breaker::Rules;
use crate::policy::reach::{Health as Asking, Options, Place};
use crate::policy::trust::Trust;
use crate::upstream::watch::{self, Lookup};

const SECOND: Duration = Duration::from_secs(1);

fn reach(hosts: &[&str]) -> Reach {
    let place = |host: &&str| {
        let url: http::Uri = format!("http://{host}").parse().unwrap();
        Place { authority: url.authority().unwrap().clone(), url, egress: None }
    };
    Reach {
        options: Options {
            connect_timeout: SECOND,
            first_byte_timeout: SECOND,
            total_timeout: SECOND,
            idle_timeout: SECOND,
            http2_prior_knowledge: false,
        },
        trust: Trust::default(),
        places: hosts.iter().map(place).collect(),
        resolve: None,
        breaker: Rules { failures: 2, open: SECOND, open_max: 4 * SECOND },
        health: None,
        faults: Vec::new(),
    }
}

fn fleet(reach: Reach) -> Arc<Fleet> {
    Arc::new(Fleet::new("a", reach, Clock::system(), Counts::default()).unwrap())
}

fn standing(fleet: &Fleet) -> Vec<Standing> {
    fleet.status().into_iter().map(|replica| replica.standing).collect()
}

fn absent() -> UpstreamError {
    UpstreamError::Timeout(crate::upstream::Phase::Connect)
}

/// Picks until it is this one, and lets it fail.
fn fail(fleet: &Arc<Fleet>, id: u64) {
    loop {
        let (replica, mut going) = fleet.pick(None, &Method::GET).unwrap();
        if replica.id == id {
            return going.failed(&absent());
        }
    }
}

#[tokio::test]
async fn the_less_busy_of_two_is_asked() {
    let fleet = fleet(reach(&["a:1", "b:1"]));
    let held: Vec<_> = (0..20).map(|_| fleet.pick(None, &Method::GET).unwrap()).collect();
    let loads: Vec<_> = fleet.status().iter().map(|replica| replica.in_flight).collect();
    assert_eq!(loads, [10, 10]);
    drop(held);
    assert!(fleet.status().iter().all(|replica| replica.in_flight == 0));
}

#[tokio::test]
async fn a_second_attempt_goes_to_another_if_there_is_one() {
    let trail = || Trail(Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX)));
    for (hosts, others) in [(&["a:1", "b:1", "c:1"][..], true), (&["a:1"][..], false)] {
        let fleet = fleet(reach(hosts));
        for _ in 0..50 {
            let trail = trail();
            let first = fleet.pick(Some(&trail), &Method::GET).unwrap().0.id;
            let second = fleet.pick(Some(&trail), &Method::GET).unwrap().0.id;
            assert_eq!(first != second, others);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_out_until_its_probe_has_answered() {
    let fleet = fleet(reach(&["a:1", "b:1"]));
    fail(&fleet, 0);
    assert_eq!(standing(&fleet), [Standing::In, Standing::In]);
    fail(&fleet, 0);
    assert_eq!(standing(&fleet), [Standing::Ejected, Standing::In]);
    for _ in 0..20 {
        assert_eq!(fleet.pick(None, &Method::GET).unwrap().0.id, 1);
    }
    tokio::time::advance(SECOND).await;
    let (probed, probe) = fleet.pick(None, &Method::GET).unwrap();
    assert_eq!(probed.id, 0);
    for _ in 0..20 {
        assert_eq!(
            fleet.pick(None, &Method::GET).unwrap().0.id,
            1,
            "one finds out, the rest go elsewhere"
        );
    }
    drop(probe);
    let (probed, mut probe) = fleet.pick(None, &Method::GET).unwrap();
    assert_eq!(probed.id, 0, "it was given up: the next finds out");
    probe.answered(StatusCode::OK);
    drop(probe);
    assert_eq!(standing(&fleet), [Standing::In, Standing::In]);
    let mut asked = [0; 2];
    (0..100).for_each(|_| {
        asked[usize::try_from(picked(&fleet, &Method::GET)).unwrap()] += 1;
    });
    assert!(asked[0] > 20 && asked[1] > 20, "{asked:?}");
    assert_eq!(fleet.counts.ejections.get(), 1);
}

/// Who is asked, with a request that comes to nothing.
fn picked(fleet: &Arc<Fleet>, method: &Method) -> u64 {
    fleet.pick(None, method).unwrap().0.id
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_repeated_is_not_risked_on_one_that_has_failed_while_another_is_in() {
    let fleet = fleet(reach(&["a:1", "b:1"]));
    fail(&fleet, 0);
    fail(&fleet, 0);
    tokio::time::advance(SECOND).await;
    for method in [Method::POST, Method::PATCH] {
        assert_eq!(picked(&fleet, &method), 1, "{method}");
    }
    for method in [Method::GET, Method::PUT] {
        assert_eq!(picked(&fleet, &method), 0, "{method}");
    }
    tokio::time::advance(3 * SECOND).await;
    assert_eq!(picked(&fleet, &Method::POST), 1);
    tokio::time::advance(SECOND).await;
    let (probed, probe) = fleet.pick(None, &Method::POST).unwrap();
    assert_eq!(probed.id, 0, "nothing else has come for open_max");
    for _ in 0..2 {
        fail(&fleet, 1);
    }
    drop(probe);
    assert_eq!(standing(&fleet), [Standing::Ejected, Standing::Ejected]);
    assert_eq!(picked(&fleet, &Method::POST), 0, "there is nowhere else to go");
}

#[tokio::test(start_paused = true)]
async fn one_left_alone_for_long_comes_back_sooner_once_there_is_no_other() {
    let breaker = Rules { failures: 2, open: 4 * SECOND, open_max: 64 * SECOND };
    let fleet = fleet(Reach { breaker, ..reach(&["a:1", "b:1"]) });
    fail(&fleet, 0);
    fail(&fleet, 0);
    for span in [4, 8, 16] {
        tokio::time::advance(span * SECOND).await;
        fail(&fleet, 0);
    }
    // It is to be left alone for 32 s; then the other one fails too, and is for 4 s.
    tokio::time::advance(7 * SECOND).await;
    fail(&fleet, 1);
    fail(&fleet, 1);
    assert_eq!(standing(&fleet), [Standing::Ejected, Standing::Ejected]);
    assert_eq!(fleet.refuses(), Some(3 * SECOND));
    tokio::time::advance(3 * SECOND).await;
    assert_eq!((fleet.refuses(), picked(&fleet, &Method::GET)), (None, 0));
}

#[tokio::test]
async fn there_are_others_than_the_one_that_was_asked_while_they_are_in() {
    let asked = |fleet: &Arc<Fleet>, id| {
        let trail = Trail(Arc::new(std::sync::atomic::AtomicU64::new(id)));
        fleet.others(&trail)
    };
    assert_eq!(asked(&fleet(reach(&["a:1"])), 0), Company::Alone);
    let fleet = fleet(reach(&["a:1", "b:1"]));
    assert_eq!((asked(&fleet, 0), asked(&fleet, 1)), (Company::Others, Company::Others));
    fail(&fleet, 1);
    fail(&fleet, 1);
    assert_eq!((asked(&fleet, 0), asked(&fleet, 1)), (Company::Alone, Company::Others));
}

#[tokio::test(start_paused = true)]
async fn when_nobody_is_there_it_is_said_for_how_long() {
    let fleet = fleet(reach(&["a:1", "b:1"]));
    for id in [0, 0, 1, 1] {
        fail(&fleet, id);
    }
    assert_eq!(standing(&fleet), [Standing::Ejected, Standing::Ejected]);
    assert_eq!(fleet.refuses(), Some(SECOND));
    let refused = fleet.pick(None, &Method::GET).err();
    assert!(matches!(refused, Some(UpstreamError::Down { retry_after: SECOND })), "{refused:?}");
    tokio::time::advance(SECOND).await;
    assert_eq!(fleet.refuses(), None);
}

#[tokio::test]
async fn nobody_well_is_no_reason_to_ask_nobody() {
    let health = Asking {
        path: "/".to_owned(),
        interval: SECOND,
        timeout: SECOND,
        unhealthy: 2,
        healthy: 2,
    };
    let fleet = fleet(Reach { health: Some(health), ..reach(&["a:1", "b:1"]) });
    let says = |id, well: &[bool]| well.iter().for_each(|well| fleet.asked_how_it_is(id, *well));
    says(0, &[false, true, false]);
    assert_eq!(standing(&fleet), [Standing::In, Standing::In], "two in a row");
    says(0, &[false]);
    assert_eq!(standing(&fleet), [Standing::Down, Standing::In]);
    says(1, &[false, false]);
    assert_eq!(standing(&fleet), [Standing::In, Standing::In], "all ill: all are asked");
    says(0, &[true, false, true, true]);
    assert_eq!(standing(&fleet), [Standing::In, Standing::Down]);
    assert_eq!((fleet.counts.healthy.get(), fleet.counts.unhealthy.get()), (4, 6));
}

#[tokio::test]
async fn coming_and_going_while_nobody_asks_is_bounded_and_known_afterwards() {
    let health = Asking {
        path: "/".to_owned(),
        interval: SECOND,
        timeout: SECOND,
        unhealthy: 1,
        healthy: 1,
    };
    let fleet = fleet(Reach { health: Some(health), ..reach(&["a:1", "b:1"]) });
    for n in 0..5000 {
        fleet.asked_how_it_is(0, n % 2 == 1);
    }
    assert!(fleet.state.lock().changes.lock().len() <= MOST_CHANGES);
    let mut asked = [0; 2];
    (0..100).for_each(|_| {
        asked[usize::try_from(picked(&fleet, &Method::GET)).unwrap()] += 1;
    });
    assert!(asked[0] > 20 && asked[1] > 20, "{asked:?}");
}

/// Answers in turn; the last answer for ever.
fn lookup(answers: Vec<io::Result<Vec<SocketAddr>>>) -> Lookup {
    let answers = Mutex::new(VecDeque::from(answers));
    Arc::new(move |host, port| {
        assert_eq!((host.as_str(), port), ("api.test", 8080));
        let mut answers = answers.lock();
        let next = if answers.len() > 1 { answers.pop_front() } else { None };
        let next = next.unwrap_or_else(|| match answers.front() {
            Some(Ok(found)) => Ok(found.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        });
        Box::pin(std::future::ready(next))
    })
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 8080))
}

#[tokio::test(start_paused = true)]
async fn addresses_come_and_go_and_a_failed_look_up_changes_nothing() {
    let fleet = fleet(Reach { resolve: Some(30 * SECOND), ..reach(&["api.test:8080"]) });
    let _tasks = watch::start(
        &fleet,
        lookup(vec![
            Ok(vec![address(2), address(1), address(2)]),
            Err(io::ErrorKind::NotFound.into()),
            Ok(Vec::new()),
            Ok(vec![address(2), address(3)]),
            Ok((0..=255).map(address).collect()),
        ]),
    );
    let names = || fleet.status().into_iter().map(|replica| replica.name).collect::<Vec<_>>();
    assert_eq!(names(), ["api.test:8080"], "by name, until it is known");
    tokio::time::sleep(SECOND).await;
    let two = ["api.test:8080 (10.0.0.1)", "api.test:8080 (10.0.0.2)"];
    assert_eq!(names(), two);
    let (first, under_way) = loop {
        let (replica, going) = fleet.pick(None, &Method::GET).unwrap();
        if replica.address == Some(address(1)) {
            break (replica, going);
        }
    };
    for _ in 0..2 {
        tokio::time::sleep(30 * SECOND).await;
        assert_eq!(names(), two, "not found, or nothing: the old ones stay");
    }
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(names(), ["api.test:8080 (10.0.0.2)", "api.test:8080 (10.0.0.3)"]);
    for _ in 0..50 {
        assert_ne!(
            fleet.pick(None, &Method::GET).unwrap().0.id,
            first.id,
            "nothing new for what has gone"
        );
    }
    assert_eq!(first.load(), 1, "what is under way there ends there");
    drop(under_way);
    assert_eq!(first.load(), 0);
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(names().len(), MAX_REPLICAS);
}
