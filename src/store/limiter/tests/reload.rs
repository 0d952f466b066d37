//! Budgets are carried over by name.

use super::*;

fn budgets() -> (Budgets, UpstreamId, Clock) {
    let clock = clock();
    (Budgets::new(clock.clone()), UpstreamId::new("zoom"), clock)
}

fn adopt(budgets: &Budgets, upstream: &UpstreamId, label: &LabelSpec, pool: &PoolSpec) -> Limiter {
    let (labels, pools) = (std::slice::from_ref(label), std::slice::from_ref(pool));
    let needs = Needs { upstream, labels, pools };
    budgets.prepare([needs]).unwrap();
    budgets.adopt(needs)
}

#[tokio::test(start_paused = true)]
async fn a_reload_neither_refills_nor_forgets_and_other_figures_rescale() {
    let (budgets, zoom, clock) = budgets();
    let mut spec = heavy(10);
    spec.max_wait = Duration::ZERO;
    let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
    let label = limiter.label(&spec.id).unwrap();
    for _ in 0..10 {
        spend(&limiter, label, clock.now()).await.unwrap();
    }
    for _ in 0..20 {
        let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
        assert_eq!(limiter.label(&spec.id), Some(label));
        assert_eq!(left(&limiter, label), (0, 90), "no refill");
        assert!(spend(&limiter, label, clock.now()).await.is_err());
    }
    let mut more = spec.clone();
    more.windows[0].limit = figure(15);
    more.burst = figure(15);
    adopt(&budgets, &zoom, &more, &daily(200));
    assert_eq!(left(&limiter, label), (5, 190), "against the new figures");
    for _ in 0..5 {
        spend(&limiter, label, clock.now()).await.unwrap();
    }
    assert!(spend(&limiter, label, clock.now()).await.is_err());
    adopt(&budgets, &zoom, &spec, &daily(12));
    clock.advance(SECOND + TICK);
    assert_eq!(left(&limiter, label), (10, 0));
    assert_eq!(spend(&limiter, label, clock.now()).await.unwrap_err().reason, Reason::Day);
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_waiting_and_is_served_by_the_new_figures() {
    let (budgets, zoom, clock) = budgets();
    let mut spec = heavy(1);
    spec.max_wait = 30 * SECOND;
    let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
    let label = limiter.label(&spec.id).unwrap();
    let start = clock.now();
    let late = start + 60 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let waiting: Vec<_> = (0..20).map(|_| waits(&limiter, label, &share("a"), late)).collect();
    settle().await;
    let mut more = spec.clone();
    (more.windows[0].limit, more.burst) = (figure(40), figure(40));
    adopt(&budgets, &zoom, &more, &daily(100));
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
    assert!(clock.now() - start < SECOND, "{:?}", clock.now() - start);
}

#[tokio::test(start_paused = true)]
async fn labels_pools_and_upstreams_that_go_and_come_back_remember() {
    let (budgets, zoom, clock) = budgets();
    let spec = heavy(10);
    let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
    let label = limiter.label(&spec.id).unwrap();
    spend(&limiter, label, clock.now()).await.unwrap();
    drop(limiter);
    // Another label, another pool, another upstream.
    let other = LabelSpec { id: LabelId::new("other"), pool: Some(PoolId::new("own")), ..heavy(3) };
    let own = PoolSpec { id: PoolId::new("own"), ..daily(7) };
    let limiter = adopt(&budgets, &zoom, &other, &own);
    let at = limiter.label(&other.id).unwrap();
    assert_ne!(at, label);
    spend(&limiter, at, clock.now()).await.unwrap();
    assert_eq!(left(&limiter, at), (2, 6));
    adopt(&budgets, &UpstreamId::new("elsewhere"), &spec, &daily(100));
    // And back.
    let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
    assert_eq!(limiter.label(&spec.id), Some(label));
    assert_eq!(left(&limiter, label), (9, 99));
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_added_leaves_the_others_alone() {
    let (budgets, zoom, clock) = budgets();
    let mut spec = heavy(10);
    spec.max_wait = Duration::ZERO;
    let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
    let label = limiter.label(&spec.id).unwrap();
    for _ in 0..4 {
        spend(&limiter, label, clock.now()).await.unwrap();
    }
    let mut both = spec.clone();
    both.windows.push(WindowSpec { limit: figure(12), per: 60 * SECOND });
    adopt(&budgets, &zoom, &both, &daily(100));
    let windows: Vec<_> = limiter.budget(label).windows.iter().map(|w| w.remaining).collect();
    assert_eq!(windows, [6, 8], "what the other knows to have left has left");
    adopt(&budgets, &zoom, &spec, &daily(100));
    assert_eq!(left(&limiter, label), (6, 96));
}

#[tokio::test(start_paused = true)]
async fn a_token_goes_back_although_the_day_ends_at_another_time_now() {
    let (budgets, zoom, clock) = budgets();
    let spec = heavy(10);
    let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
    let label = limiter.label(&spec.id).unwrap();
    let permit = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    let sooner = PoolSpec { resets_at: 18 * 3600 * SECOND, ..daily(100) };
    adopt(&budgets, &zoom, &spec, &sooner);
    drop(permit);
    assert_eq!(left(&limiter, label), (10, 100));
}

#[tokio::test(start_paused = true)]
async fn a_token_goes_back_to_the_pool_it_came_from() {
    let (budgets, zoom, clock) = budgets();
    let spec = heavy(10);
    let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
    let label = limiter.label(&spec.id).unwrap();
    let mut sent = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    let unsent = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    // The label spends from another pool from now on.
    let own = PoolSpec { id: PoolId::new("own"), ..daily(100) };
    let moved = LabelSpec { pool: Some(own.id.clone()), ..spec.clone() };
    adopt(&budgets, &zoom, &moved, &own);
    for _ in 0..3 {
        spend(&limiter, label, clock.now()).await.unwrap();
    }
    drop(unsent);
    sent.spend().now();
    sent.answered();
    let mut word = Word { remaining: Some(50), ..Word::default() };
    assert_eq!(sent.day().unwrap().per_day, 100);
    sent.heard(&mut word, None);
    drop(sent);
    assert_eq!(left(&limiter, label).1, 97, "three are spent of the new pool, and no word on it");
    adopt(&budgets, &zoom, &spec, &daily(100));
    let day = limiter.status(label).unwrap().day.unwrap();
    assert_eq!((day.spent, day.others), (1, 49), "one is spent of the old pool");
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_added_knows_of_those_under_way() {
    let (budgets, zoom, clock) = budgets();
    let mut spec = heavy(10);
    spec.max_wait = Duration::ZERO;
    let limiter = adopt(&budgets, &zoom, &spec, &daily(100));
    let label = limiter.label(&spec.id).unwrap();
    let (now, console) = (clock.now(), share("console"));
    let mut before = limiter.acquire(label, &console, now).await.unwrap();
    let mut both = spec.clone();
    both.windows.push(WindowSpec { limit: figure(10), per: 60 * SECOND });
    adopt(&budgets, &zoom, &both, &daily(100));
    let mut permits = Vec::new();
    for _ in 0..9 {
        permits.push(limiter.acquire(label, &console, now).await.unwrap());
    }
    before.spend().now();
    clock.advance(2 * SECOND);
    let late = limiter.acquire(label, &console, clock.now()).await;
    for permit in &mut permits {
        permit.spend().now();
    }
    assert!(late.is_err(), "an eleventh in one minute");
}
