use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::endpoint::Weight;

fn share(client: &str, weight: u32, priority: Priority) -> Share {
    let weight = Weight::new(weight).unwrap();
    Share { client: ClientId::new(client), weight, priority, daily: None }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
fn origin() -> Instant {
    Instant::now()
}

fn pop<T>(queue: &mut FairQueue<T>, aged: Option<Instant>) -> Option<T> {
    let ticket = queue.next(aged)?;
    queue.serve(&ticket)
}

fn served<T>(queue: &mut FairQueue<T>) -> Vec<T> {
    std::iter::from_fn(|| pop(queue, None)).collect()
}

#[test]
fn a_greedy_client_does_not_delay_a_modest_one() {
    let mut queue = FairQueue::default();
    let now = origin();
    for n in 0..100 {
        queue.push(&share("greedy", 1, Priority::Normal), ("greedy", n), now);
    }
    queue.push(&share("modest", 1, Priority::Normal), ("modest", 0), now);
    let order = served(&mut queue);
    let place = order.iter().position(|&(client, _)| client == "modest").unwrap();
    assert!(place <= 1, "served as number {place}");
}

#[test]
fn weights_share_in_proportion() {
    for (heavy, light, expected) in [(3, 1, 75), (1, 1, 50), (9, 1, 90), (1000, 1000, 50)] {
        let mut queue = FairQueue::default();
        let now = origin();
        for n in 0..300 {
            queue.push(&share("light", light, Priority::Normal), ("light", n), now);
            queue.push(&share("heavy", heavy, Priority::Normal), ("heavy", n), now);
        }
        let first: Vec<&str> = (0..100).map(|_| pop(&mut queue, None).unwrap().0).collect();
        let got = first.iter().filter(|&&client| client == "heavy").count();
        assert!(got.abs_diff(expected) <= 1, "{got} of 100 for {heavy} against {light}");
    }
}

#[test]
fn who_hangs_up_costs_its_client_nothing() {
    let mut queue = FairQueue::default();
    let now = origin();
    let (a, b) = (share("a", 1, Priority::Normal), share("b", 1, Priority::Normal));
    let gone: Vec<_> = (0..50).map(|n| queue.push(&a, ("a", n), now)).collect();
    for n in 0..10 {
        queue.push(&b, ("b", n), now);
    }
    for ticket in &gone {
        assert!(queue.remove(ticket).is_some());
        assert_eq!(queue.remove(ticket), None);
    }
    assert_eq!(queue.by_client(), BTreeMap::from([(ClientId::new("b"), 10)]));
    for n in 50..60 {
        queue.push(&a, ("a", n), now);
    }
    let first: Vec<&str> = served(&mut queue).iter().take(10).map(|(client, _)| *client).collect();
    assert_eq!(first.iter().filter(|&&client| client == "a").count(), 5, "{first:?}");
}

#[test]
fn an_idle_client_saves_nothing_up() {
    let mut queue = FairQueue::default();
    let now = origin();
    let (busy, idle) = (share("busy", 1, Priority::Normal), share("idle", 1, Priority::Normal));
    for n in 0..100 {
        queue.push(&busy, ("busy", n), now);
    }
    for _ in 0..50 {
        pop(&mut queue, None).unwrap();
    }
    for n in 0..50 {
        queue.push(&idle, ("idle", n), now);
    }
    let next: Vec<&str> = (0..20).map(|_| pop(&mut queue, None).unwrap().0).collect();
    assert_eq!(next.iter().filter(|&&client| client == "idle").count(), 10, "{next:?}");
}

#[test]
fn priority_goes_first() {
    let mut queue = FairQueue::default();
    let now = origin();
    let low = queue.push(&share("a", 1, Priority::Low), "low", now);
    queue.push(&share("b", 1, Priority::Normal), "normal", now);
    let high = share("c", 1, Priority::High);
    assert_eq!(queue.ahead(&high), Ahead { strict: 0, aged: None });
    queue.push(&high, "high", now);
    assert_eq!(queue.ahead(&share("d", 1, Priority::Low)), Ahead { strict: 3, aged: Some(2) });
    assert_eq!(queue.get(&low), Some(&"low"));
    assert_eq!(queue.remove(&low), Some("low"));
    assert_eq!(queue.get(&low), None);
    assert_eq!((served(&mut queue), queue.len()), (vec!["high", "normal"], 0));
}

#[test]
fn one_of_four_grants_goes_to_who_has_aged() {
    let mut queue = FairQueue::default();
    let start = origin();
    let second = Duration::from_secs(1);
    for n in 0..40 {
        queue.push(&share("high", 1, Priority::High), format!("high {n}"), start);
    }
    for n in 0..5 {
        queue.push(&share("low", 1, Priority::Low), format!("low {n}"), start + second * n);
        if n == 2 {
            queue.push(&share("normal", 1, Priority::Normal), "normal".into(), start + second * n);
        }
    }
    let mut order = |aged| (0..4).map(|_| pop(&mut queue, aged).unwrap()).collect::<Vec<_>>();
    assert!(order(None).iter().all(|who| who.starts_with("high")));
    let aged = Some(start + second * 2);
    // The debt is not larger than one grant, and the oldest comes first whatever its class.
    assert_eq!(order(aged), ["low 0", "high 4", "high 5", "high 6"]);
    assert_eq!(order(aged), ["low 1", "high 7", "high 8", "high 9"]);
    assert_eq!(order(aged)[0], "low 2");
    assert_eq!(order(aged)[0], "normal");
    assert!(order(aged).iter().all(|who| who.starts_with("high")), "the others are too young");
    assert_eq!(order(Some(start + second * 9))[0], "low 3");
}

#[test]
fn weights_decide_among_those_whose_turn_it_is_although_others_age() {
    let mut queue = FairQueue::default();
    let now = origin();
    for n in 0..100 {
        queue.push(&share("a", 1, Priority::Normal), ("a", n), now);
    }
    for n in 0..100 {
        queue.push(&share("b", 3, Priority::Normal), ("b", n), now);
        queue.push(&share("c", 1, Priority::Low), ("c", n), now);
    }
    let first: Vec<&str> = (0..120).map(|_| pop(&mut queue, Some(now)).unwrap().0).collect();
    let count = |who| first.iter().filter(|&&client| client == who).count();
    assert_eq!(count("c"), 30);
    assert!(count("b").abs_diff(67) <= 1, "{}", count("b"));
}

#[test]
fn the_last_gives_up_its_place_to_whoever_would_go_before_it() {
    let mut queue = FairQueue::default();
    let now = origin();
    let (a, b) = (share("a", 1, Priority::Normal), share("b", 4, Priority::Normal));
    assert_eq!(queue.displaced_by(&a), None);
    let tickets: Vec<_> = (0..3).map(|n| queue.push(&a, n, now)).collect();
    assert_eq!(queue.displaced_by(&a), None, "nobody gives up a place to its own client's next");
    assert_eq!(queue.displaced_by(&b), Some(tickets[2].clone()));
    for n in 3..11 {
        queue.push(&b, n, now);
    }
    assert_eq!(queue.displaced_by(&b), None, "8 at a quarter are 2 of the other's");
    assert_eq!(queue.displaced_by(&share("low", 9, Priority::Low)), None);
    assert!(queue.displaced_by(&share("high", 1, Priority::High)).is_some());
    let low = queue.push(&share("low", 9, Priority::Low), 9, now);
    assert_eq!(queue.displaced_by(&a), Some(low), "the lowest class first");
}

#[test]
fn whoever_is_named_leaves() {
    let mut queue = FairQueue::default();
    let now = origin();
    for n in 0..10 {
        queue.push(&share("a", 1, Priority::Normal), n, now);
        queue.push(&share("b", 1, Priority::Low), n, now);
    }
    assert_eq!(queue.remove_where(|n| n % 2 == 0).len(), 10);
    assert_eq!(queue.len(), 10);
    assert!(served(&mut queue).iter().all(|n| n % 2 == 1));
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Serve,
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..6).prop_map(Step::Push),
        2 => Just(Step::Serve),
        1 => (0_usize..64).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 0..120)
}

const CLIENTS: [(&str, u32, Priority); 6] = [
    ("a", 1, Priority::Normal),
    ("b", 3, Priority::Normal),
    ("c", 7, Priority::Normal),
    ("d", 1, Priority::High),
    ("e", 2, Priority::Low),
    ("f", 2, Priority::Low),
];

proptest! {
    /// Whatever has happened: the number told is how many really are served first.
    #[test]
    fn ahead_is_how_many_are_served_before(steps in steps(), newcomer in 0_usize..6) {
        let mut queue = FairQueue::default();
        let now = origin();
        let mut tickets = Vec::new();
        let mut waiting = 0;
        let of = |index: usize| {
            let (name, weight, priority) = CLIENTS[index];
            share(name, weight, priority)
        };
        for step in steps {
            match step {
                Step::Push(client) => {
                    tickets.push(queue.push(&of(client), client, now));
                    waiting += 1;
                }
                Step::Serve => waiting -= usize::from(pop(&mut queue, None).is_some()),
                Step::Leave(n) => {
                    let ticket = tickets.get(n);
                    waiting -= usize::from(ticket.and_then(|t| queue.remove(t)).is_some());
                }
            }
            prop_assert_eq!(queue.len(), waiting);
            prop_assert_eq!(queue.by_client().values().sum::<usize>(), waiting);
        }
        let told = queue.ahead(&of(newcomer)).strict;
        queue.push(&of(newcomer), 99, now);
        let place = served(&mut queue).iter().position(|&who| who == 99);
        prop_assert_eq!(place, Some(told));
    }

    /// While all wait, nobody's service lags behind its weight by more than one request each.
    #[test]
    fn service_follows_weights(weights in prop::collection::vec(1_u32..20, 2..6), grants in 1_usize..200) {
        let mut queue = FairQueue::default();
        let now = origin();
        let shares: Vec<_> = weights.iter().enumerate()
            .map(|(n, weight)| share(&n.to_string(), *weight, Priority::Normal))
            .collect();
        for (client, share) in shares.iter().enumerate() {
            for _ in 0..grants {
                queue.push(share, client, now);
            }
        }
        let mut served = vec![0_u64; weights.len()];
        for _ in 0..grants {
            served[pop(&mut queue, None).unwrap()] += 1;
        }
        for (a, weight_a) in weights.iter().enumerate() {
            for (b, weight_b) in weights.iter().enumerate() {
                let (lead, lag) = (served[a] * u64::from(*weight_b), served[b] * u64::from(*weight_a));
                prop_assert!(lead <= lag + u64::from(*weight_a) + u64::from(*weight_b) + 1);
            }
        }
    }
}
