use std::num::NonZeroU32;

use crate::policy::endpoint::{Priority, Weight};
use crate::policy::quota::{JITTER_MARGIN, Mode, PoolId, WindowSpec};
use crate::policy::share::Reserve;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn heavy(per_second: u32) -> LabelSpec {
    LabelSpec {
        id: LabelId::new("heavy"),
        windows: vec![WindowSpec { limit: NonZeroU32::new(per_second).unwrap(), per: SECOND }],
        burst: NonZeroU32::new(per_second).unwrap(),
        pool: Some(PoolId::new("daily")),
        max_wait: 5 * SECOND,
        max_queue: 100,
        mode: Mode::Enforce,
    }
}

fn limiter(label: LabelSpec, per_day: u32) -> (Limiter, Clock, LabelIndex) {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 20_000 + 43_200);
    let clock = Clock::starting_at(noon);
    let pool = PoolSpec {
        id: PoolId::new("daily"),
        per_day: NonZeroU32::new(per_day).unwrap(),
        resets_at: Duration::ZERO,
        reserve: Reserve::default(),
    };
    let limiter = Limiter::new(&[label], &[pool], clock.clone());
    let label = limiter.label(&LabelId::new("heavy")).unwrap();
    (limiter, clock, label)
}

fn share(client: usize) -> Share {
    Share { client, weight: Weight::MIN, priority: Priority::Normal }
}

async fn spend(limiter: &Limiter, label: LabelIndex, deadline: Instant) -> Result<(), Refused> {
    limiter.acquire(label, share(0), deadline).await.map(|mut permit| {
        permit.spend().now();
    })
}

fn left(limiter: &Limiter, label: LabelIndex) -> (usize, u32) {
    let budget = limiter.budget(label);
    (budget.window.unwrap().2, budget.pool.unwrap().2)
}

#[tokio::test(start_paused = true)]
async fn a_burst_leaves_at_once_and_the_rest_as_the_window_allows() {
    let (limiter, clock, label) = limiter(heavy(3), 1000);
    let start = clock.now();
    let mut at = Vec::new();
    for _ in 0..7 {
        spend(&limiter, label, start + 60 * SECOND).await.unwrap();
        at.push((clock.now() - start).as_millis());
    }
    assert_eq!(at[..3], [0, 0, 0]);
    for pair in at.windows(4) {
        let apart = pair[3] - pair[0];
        assert!(apart > 1000 && apart <= 1022, "{at:?}");
    }
    assert_eq!(left(&limiter, label).1, 993);
}

#[tokio::test(start_paused = true)]
async fn a_burst_below_the_figure_paces() {
    let mut spec = heavy(10);
    spec.burst = NonZeroU32::MIN;
    let (limiter, clock, label) = limiter(spec, 1000);
    let start = clock.now();
    for _ in 0..5 {
        spend(&limiter, label, start + 60 * SECOND).await.unwrap();
    }
    let took = clock.now() - start;
    assert!(took >= Duration::from_millis(300), "5 at one a 100 ms took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_served_in_time_is_refused_at_once_and_told_when() {
    let (limiter, clock, label) = limiter(heavy(1), 1000);
    let start = clock.now();
    spend(&limiter, label, start).await.unwrap();
    let refused = spend(&limiter, label, start + SECOND / 2).await.unwrap_err();
    assert_eq!(clock.now(), start, "at once");
    assert_eq!(refused, Refused { reason: Reason::Rate, retry_after: SECOND + JITTER_MARGIN });
    clock.advance(refused.retry_after - Duration::from_nanos(1));
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "refused just before");
    clock.advance(Duration::from_nanos(1));
    spend(&limiter, label, clock.now()).await.expect("admitted just after");
}

#[tokio::test(start_paused = true)]
async fn max_wait_and_max_queue_bound_the_queue() {
    let mut spec = heavy(1);
    (spec.max_wait, spec.max_queue) = (100 * SECOND, 2);
    let (limiter, clock, label) = limiter(spec, 1000);
    let late = clock.now() + 1000 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { spend(&limiter, label, late).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(limiter.budget(label).queued, 2);
    assert_eq!(spend(&limiter, label, late).await.unwrap_err().reason, Reason::QueueFull);
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
    assert_eq!(limiter.budget(label).queued, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_given_back_in_every_window() {
    let (limiter, clock, label) = limiter(heavy(2), 10);
    let now = clock.now();
    drop(limiter.acquire(label, share(0), now).await.unwrap());
    assert_eq!(left(&limiter, label), (2, 10), "cancelled before it was sent");
    let mut permit = limiter.acquire(label, share(0), now).await.unwrap();
    permit.spend().now();
    assert_eq!(left(&limiter, label), (1, 9));
    permit.never_sent();
    assert_eq!(left(&limiter, label), (2, 10), "the connection failed");
    for _ in 0..2 {
        spend(&limiter, label, now).await.unwrap();
    }
    assert_eq!(left(&limiter, label), (0, 8), "sent ones are never given back");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_hangs_up_costs_nothing_and_holds_up_nobody() {
    let (limiter, clock, label) = limiter(heavy(1), 10);
    let late = clock.now() + 60 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let waiter = tokio::spawn({
        let limiter = limiter.clone();
        async move { spend(&limiter, label, late).await }
    });
    tokio::task::yield_now().await;
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    assert_eq!((limiter.budget(label).queued, left(&limiter, label).1), (0, 9));
    spend(&limiter, label, late).await.unwrap();
    assert_eq!(left(&limiter, label).1, 8);
}

#[tokio::test(start_paused = true)]
async fn the_day_is_refused_until_it_ends() {
    let (limiter, clock, label) = limiter(heavy(10), 2);
    let late = clock.now() + 60 * SECOND;
    for _ in 0..2 {
        spend(&limiter, label, late).await.unwrap();
    }
    let refused = spend(&limiter, label, late).await.unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (Reason::Day, 43_200 * SECOND));
    clock.advance(refused.retry_after);
    spend(&limiter, label, clock.now()).await.expect("a new day");
}

#[tokio::test(start_paused = true)]
async fn the_upstreams_429_holds_the_label_or_the_pool_back() {
    let (limiter, clock, label) = limiter(heavy(10), 100);
    limiter.throttled(label, Throttle::Resource, None);
    spend(&limiter, label, clock.now()).await.expect("one resource punishes nobody else");
    limiter.throttled(label, Throttle::Rate, None);
    let refused = spend(&limiter, label, clock.now()).await.unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (Reason::UpstreamClosed, SECOND));
    spend(&limiter, label, clock.now() + 2 * SECOND).await.expect("opens after the pause");
    let until = clock.wall() + 100 * SECOND;
    limiter.throttled(label, Throttle::Day, Some(until));
    let refused = spend(&limiter, label, clock.now() + SECOND).await.unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (Reason::Day, 100 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn draining_answers_those_who_wait_and_those_who_come() {
    let (limiter, clock, label) = limiter(heavy(1), 10);
    let late = clock.now() + 60 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let waiter = tokio::spawn({
        let limiter = limiter.clone();
        async move { spend(&limiter, label, late).await }
    });
    tokio::task::yield_now().await;
    limiter.drain();
    assert_eq!(waiter.await.unwrap().unwrap_err().reason, Reason::Draining);
    assert_eq!(spend(&limiter, label, late).await.unwrap_err().reason, Reason::Draining);
    assert_eq!(left(&limiter, label).1, 9);
}

#[tokio::test(start_paused = true)]
async fn a_greedy_client_gets_its_share_and_no_more() {
    let mut spec = heavy(10);
    (spec.max_wait, spec.max_queue) = (1000 * SECOND, 1000);
    let (limiter, clock, label) = limiter(spec, 10_000);
    let late = clock.now() + 1000 * SECOND;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (client, requests) in [(0, 200), (1, 20)] {
        for _ in 0..requests {
            let (limiter, order) = (limiter.clone(), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let mut permit = limiter.acquire(label, share(client), late).await.unwrap();
                permit.spend().now();
                order.lock().push(client);
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let modest = order.lock().iter().rposition(|&client| client == 1).unwrap();
    assert!(modest < 60, "the modest client's last request was number {modest}");
}

#[tokio::test(start_paused = true)]
async fn the_window_counts_from_when_a_request_really_left() {
    let (limiter, clock, label) = limiter(heavy(1), 10);
    let mut permit = limiter.acquire(label, share(0), clock.now()).await.unwrap();
    let departure = permit.spend();
    clock.advance(3 * SECOND);
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "still looking for a connection");
    departure.now();
    clock.advance(SECOND);
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "a window after it left");
    clock.advance(JITTER_MARGIN);
    spend(&limiter, label, clock.now()).await.expect("and no longer");
    drop(permit);
    assert_eq!(left(&limiter, label).1, 8);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_says_that_the_request_arrived_late() {
    let (limiter, clock, label) = limiter(heavy(1), 100);
    let cold = (0..50).map(|_| (100, 1120));
    for (took, until_next) in cold.chain([(100, 1070), (400, 1320), (5, 1025)]) {
        let took = Duration::from_millis(took);
        let mut permit = limiter.acquire(label, share(0), clock.now()).await.unwrap();
        permit.spend().now();
        let left = clock.now();
        clock.advance(took);
        permit.answered();
        drop(permit);
        let free = limiter.acquire(label, share(0), clock.now()).await.unwrap_err().retry_after;
        let gap = clock.now() + free - left;
        let expected = Duration::from_millis(until_next);
        assert!(gap.abs_diff(expected) < Duration::from_millis(6), "{gap:?} for {took:?}");
        clock.advance(free);
    }
}
