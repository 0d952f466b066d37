//! Shares among clients, priorities, ageing.

use std::collections::BTreeMap;

use super::*;

/// Clients that ask again as soon as they are answered, so many requests at a time each; how many
/// answers each had.
async fn contend(
    seconds: u32,
    per_second: u32,
    clients: &[(Share, usize)],
) -> BTreeMap<ClientId, u32> {
    let mut spec = heavy(per_second);
    (spec.max_wait, spec.max_queue) = (20 * SECOND, 10_000);
    let (limiter, clock, label) = limiter(spec, 1_000_000);
    // The first second's figure goes to whoever comes first: nobody contends yet.
    let begin = clock.now() + SECOND;
    let end = begin + seconds * SECOND;
    let mut askers = Vec::new();
    for (share, at_a_time) in clients {
        for _ in 0..*at_a_time {
            let (limiter, clock, share) = (limiter.clone(), clock.clone(), share.clone());
            askers.push(tokio::spawn(async move {
                let mut served = 0;
                while clock.now() < end {
                    match limiter.acquire(label, &share, end).await {
                        Ok(mut permit) => {
                            permit.spend().now();
                            tokio::time::sleep(3 * MS).await;
                            permit.answered();
                            served += u32::from(clock.now() > begin);
                        }
                        Err(_) => tokio::time::sleep(50 * MS).await,
                    }
                }
                (share.client, served)
            }));
        }
    }
    let mut sums = BTreeMap::new();
    for asker in askers {
        let (client, served) = asker.await.unwrap();
        *sums.entry(client).or_default() += served;
    }
    sums
}

fn part(sums: &BTreeMap<ClientId, u32>, client: &str) -> f64 {
    f64::from(sums[&ClientId::new(client)]) / f64::from(sums.values().sum::<u32>())
}

fn weighing(client: &str, weight: u32) -> Share {
    Share { weight: figure(weight), ..share(client) }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_a_hundred_times_as_often_gets_half() {
    for modest in [2, 40] {
        let clients = [(share("greedy"), modest * 100), (share("modest"), modest)];
        let sums = contend(30, 40, &clients).await;
        let half = part(&sums, "modest");
        assert!((0.48..=0.52).contains(&half), "{modest} at a time had {half}: {sums:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn weights_of_three_to_one_share_three_to_one() {
    let clients = [(weighing("three", 3), 60), (weighing("one", 1), 60)];
    let sums = contend(60, 40, &clients).await;
    let three = part(&sums, "three");
    assert!((0.7275..=0.7725).contains(&three), "{three}: {sums:?}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_else_wants_is_lent() {
    let sums = contend(20, 40, &[(weighing("alone", 1), 50)]).await;
    assert!(sums[&ClientId::new("alone")] >= 20 * 40 * 98 / 100, "{sums:?}");
    // One of three wants little: the others share what it leaves.
    let clients = [(share("a"), 60), (share("b"), 60), (weighing("idle", 100), 0)];
    let sums = contend(20, 40, &clients).await;
    assert!((0.48..=0.52).contains(&part(&sums, "a")), "{sums:?}");
}

#[tokio::test(start_paused = true)]
async fn high_goes_first_and_low_is_not_starved() {
    let high = Share { priority: Priority::High, ..share("high") };
    let low = Share { priority: Priority::Low, ..share("low") };
    let sums = contend(60, 40, &[(high, 2000), (low, 20)]).await;
    let part = part(&sums, "low");
    assert!(part > 0.01 && part <= 0.26, "{part}: {sums:?}");
}

#[tokio::test(start_paused = true)]
async fn low_waits_for_as_long_as_high_wants_everything_but_not_longer_than_it_ages() {
    let (limiter, clock, label) = limiter(heavy(1), 1000);
    let high = Share { priority: Priority::High, ..share("high") };
    let low = Share { priority: Priority::Low, ..share("low") };
    let start = clock.now();
    let late = start + 60 * SECOND;
    spend_as(&limiter, label, &high, late).await.unwrap();
    let low = waits(&limiter, label, &low, late);
    for _ in 0..3 {
        settle().await;
        waits(&limiter, label, &high, late).await.unwrap().unwrap();
    }
    settle().await;
    let next = waits(&limiter, label, &high, late);
    low.await.unwrap().expect("its turn, after three that went before it");
    assert!(clock.now() - start >= 5 * SECOND / 2, "half of max_wait at least");
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_who_wait_are_served_and_counted_by_client() {
    let mut spec = heavy(1000);
    (spec.max_wait, spec.max_queue) = (60 * SECOND, 10_000);
    let (limiter, clock, label) = limiter(spec, 1_000_000);
    let late = clock.now() + 60 * SECOND;
    let clients: Vec<_> = (0..50).map(|n| share(&format!("client-{n}"))).collect();
    let asked = (0..11_000).map(|n| waits(&limiter, label, &clients[n % 50], late));
    let asked: Vec<_> = asked.collect();
    while limiter.budget(label).queued < 10_000 {
        tokio::task::yield_now().await;
    }
    let status = limiter.status(label).unwrap();
    assert_eq!((status.budget.queued, status.queue.len()), (10_000, 50));
    assert!(status.queue.iter().all(|(_, waiting)| *waiting == 200), "{status:?}");
    for waiter in asked {
        waiter.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_daily_share_ends_before_the_pool_does() {
    let (limiter, clock, label) = limiter(heavy(40), 100);
    let ten = Share { daily: Percent::from_tenths(100), ..share("batch") };
    for _ in 0..10 {
        spend_as(&limiter, label, &ten, clock.now()).await.unwrap();
    }
    let refused = spend_as(&limiter, label, &ten, clock.now()).await.unwrap_err();
    assert_eq!(refused, Refused { reason: Reason::ClientShare, retry_after: 43_200 * SECOND });
    spend(&limiter, label, clock.now()).await.expect("others have theirs");
    let day = limiter.status(label).unwrap().day.unwrap();
    assert_eq!(day.by_client, [(ClientId::new("batch"), 10), (ClientId::new("console"), 1)]);
}

#[tokio::test(start_paused = true)]
async fn one_who_has_aged_and_waits_for_an_answer_holds_up_nobody_of_a_higher_class() {
    let mut pool = daily(200);
    pool.reserve.high = Percent::from_tenths(500).unwrap();
    let (clock, mut spec) = (clock(), heavy(1));
    spec.max_wait = 20 * SECOND;
    let limiter = Limiter::new(UpstreamId::new("zoom"), &[spec.clone()], &[pool], clock.clone());
    let label = limiter.label(&spec.id).unwrap();
    let late = clock.now() + 60 * SECOND;
    let high = Share { priority: Priority::High, ..share("high") };
    let mut permit = limiter.acquire(label, &high, late).await.unwrap();
    permit.spend().now();
    permit.answered();
    let mut word = Word { remaining: Some(109), ..Word::default() };
    permit.heard(&mut word, None);
    let low = Share { priority: Priority::Low, ..share("low") };
    let low = waits(&limiter, label, &low, late);
    settle().await;
    // None of these is answered: when the low one has aged, the upstream may have counted them.
    let highs: Vec<_> = (0..14)
        .map(|_| {
            let (limiter, clock, share) = (limiter.clone(), clock.clone(), high.clone());
            tokio::spawn(async move {
                let mut permit = limiter.acquire(label, &share, late).await.unwrap();
                permit.spend().now();
                // Its head is here, and what it says is not heard yet.
                permit.answered();
                (clock.now(), permit)
            })
        })
        .collect();
    let (mut left, mut permits) = (Vec::new(), Vec::new());
    for high in highs {
        let (at, permit) = high.await.unwrap();
        left.push(at);
        permits.push(permit);
    }
    left.sort_unstable();
    let longest = left.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < SECOND + 20 * MS, "{longest:?}");
    low.abort();
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_not_full_for_those_who_go_first() {
    let mut spec = heavy(1);
    (spec.max_wait, spec.max_queue) = (60 * SECOND, 10);
    let (limiter, clock, label) = limiter(spec, 100);
    let late = clock.now() + 600 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let low = Share { priority: Priority::Low, ..share("low") };
    let waiting: Vec<_> = (0..10).map(|_| waits(&limiter, label, &low, late)).collect();
    settle().await;
    let high = Share { priority: Priority::High, ..share("high") };
    let start = clock.now();
    spend_as(&limiter, label, &high, late).await.expect("a place for the highest class");
    assert!(clock.now() - start < 2 * SECOND);
    let mut refused = Vec::new();
    for waiter in waiting {
        refused.extend(waiter.await.unwrap().err());
    }
    assert_eq!(refused.len(), 1, "whoever would have been served last");
    assert_eq!(refused[0].reason, Reason::QueueFull);
}

#[tokio::test(start_paused = true)]
async fn a_greedy_client_does_not_fill_the_queue_for_all() {
    let mut spec = heavy(10);
    (spec.max_wait, spec.max_queue) = (60 * SECOND, 20);
    let (limiter, clock, label) = limiter(spec, 100_000);
    let end = clock.now() + 30 * SECOND;
    let mut askers = Vec::new();
    for (client, at_a_time) in [("greedy", 200), ("modest", 4)] {
        for _ in 0..at_a_time {
            let (limiter, clock) = (limiter.clone(), clock.clone());
            askers.push(tokio::spawn(async move {
                let mut served = 0_u32;
                while clock.now() < end {
                    match spend_as(&limiter, label, &share(client), end).await {
                        Ok(()) => served += 1,
                        Err(_) => tokio::time::sleep(50 * MS).await,
                    }
                }
                (ClientId::new(client), served)
            }));
        }
    }
    let mut sums = BTreeMap::new();
    for asker in askers {
        let (client, served) = asker.await.unwrap();
        *sums.entry(client).or_default() += served;
    }
    let modest = part(&sums, "modest");
    assert!((0.45..=0.52).contains(&modest), "{modest}: {sums:?}");
}
