//! Days on disk.

use std::fs;
use std::path::Path;

use super::*;

fn needs<'s>(
    upstream: &'s UpstreamId,
    labels: &'s [LabelSpec],
    pools: &'s [PoolSpec],
) -> Needs<'s> {
    Needs { upstream, labels, pools }
}

fn start(directory: &Path, clock: &Clock, pools: &[PoolSpec]) -> (Budgets, Limiter, LabelIndex) {
    with(Budgets::kept(directory, clock.clone()).unwrap(), pools)
}

fn with(budgets: Budgets, pools: &[PoolSpec]) -> (Budgets, Limiter, LabelIndex) {
    let (zoom, mut label) = (UpstreamId::new("zoom"), heavy(1000));
    label.max_wait = 60 * SECOND;
    budgets.prepare([needs(&zoom, &[], pools)]).unwrap();
    let limiter = budgets.adopt(needs(&zoom, &[label.clone()], pools));
    let label = limiter.label(&label.id).unwrap();
    (budgets, limiter, label)
}

fn spent(limiter: &Limiter, label: LabelIndex) -> u32 {
    limiter.status(label).unwrap().day.unwrap().spent
}

/// Lets the disk finish: its thread takes real time, which a paused clock does not see.
async fn written(directory: &Path, at_least: u32) {
    let path = directory.join("zoom.daily.json");
    for _ in 0..100_000 {
        let record = fs::read(&path).ok();
        let record =
            record.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        if record.is_some_and(|record| record["claimed"].as_u64() >= Some(at_least.into())) {
            return;
        }
        tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
    }
    panic!("never written");
}

#[tokio::test]
async fn a_crash_forgets_nothing_and_a_clean_stop_is_exact() {
    let directory = tempfile::tempdir().unwrap();
    let pools = [daily(200_000)];
    let clock = clock();
    let (budgets, limiter, label) = start(directory.path(), &clock, &pools);
    for _ in 0..260 {
        spend(&limiter, label, clock.now() + SECOND).await.unwrap();
    }
    // As after kill -9: nobody says anything any more.
    limiter.shared.state.lock().closed = true;
    drop((budgets, limiter));
    tokio::task::yield_now().await;
    let (budgets, limiter, label) = reopened(directory.path(), &clock, &pools).await;
    let after = spent(&limiter, label);
    assert!((260..=360).contains(&after), "{after}");
    for _ in 0..5 {
        spend(&limiter, label, clock.now() + 60 * SECOND).await.unwrap();
    }
    let exact = spent(&limiter, label);
    tokio::task::spawn_blocking(move || budgets.close()).await.unwrap();
    drop(limiter);
    let (_budgets, limiter, label) = reopened(directory.path(), &clock, &pools).await;
    assert_eq!(spent(&limiter, label), exact);
}

/// The tasks of the last ones let go of the directory in a moment.
async fn reopened(
    directory: &Path,
    clock: &Clock,
    pools: &[PoolSpec],
) -> (Budgets, Limiter, LabelIndex) {
    for _ in 0..100_000 {
        match Budgets::kept(directory, clock.clone()) {
            Ok(budgets) => return with(budgets, pools),
            Err(_) => tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap(),
        }
    }
    panic!("nobody lets go");
}

#[tokio::test]
async fn the_disk_is_never_behind_what_was_spent() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let (_budgets, limiter, label) = start(directory.path(), &clock, &[daily(20_000)]);
    for n in 1..=200 {
        spend(&limiter, label, clock.now() + 60 * SECOND).await.unwrap();
        let text = fs::read(directory.path().join("zoom.daily.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert!(record["claimed"].as_u64() >= Some(n), "{n}: {record}");
    }
}

#[tokio::test]
async fn a_disk_that_refuses_is_told_of_and_taken_up_again() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let (_budgets, limiter, label) = start(directory.path(), &clock, &[daily(20_000)]);
    // A directory where the new file should be: every write fails, for root too.
    let blocked = directory.path().join("zoom.daily.new");
    fs::create_dir(&blocked).unwrap();
    for _ in 0..50 {
        spend(&limiter, label, clock.now() + 60 * SECOND).await.expect("spending goes on");
    }
    let keeping = || limiter.status(label).unwrap().day.unwrap().keeping.as_str();
    assert_eq!((keeping(), spent(&limiter, label)), ("failing", 50));
    fs::remove_dir(&blocked).unwrap();
    written(directory.path(), 50).await;
    while keeping() != "kept" {
        tokio::task::yield_now().await;
    }
    spend(&limiter, label, clock.now() + 60 * SECOND).await.unwrap();
}

#[tokio::test]
async fn a_corrupt_day_is_no_untouched_day() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("zoom.daily.json"), "{\"ends\":").unwrap();
    let budgets = Budgets::kept(directory.path(), clock()).unwrap();
    let zoom = UpstreamId::new("zoom");
    let error = budgets.prepare([needs(&zoom, &[], &[daily(10)])]).unwrap_err().to_string();
    assert!(error.contains("zoom.daily.json is corrupt"), "{error}");
}

#[tokio::test]
async fn midnight_is_written_down_before_the_new_day_is_spent() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let (_budgets, limiter, label) = start(directory.path(), &clock, &[daily(20_000)]);
    spend(&limiter, label, clock.now() + 60 * SECOND).await.unwrap();
    clock.advance(43_200 * SECOND);
    spend(&limiter, label, clock.now() + 60 * SECOND).await.unwrap();
    assert_eq!(spent(&limiter, label), 1);
    let text = fs::read(directory.path().join("zoom.daily.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(record["ends"], 86_400_u64 * 20_002);
}

#[tokio::test]
async fn a_pool_that_cannot_be_written_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let budgets = Budgets::kept(directory.path(), clock.clone()).unwrap();
    let zoom = UpstreamId::new("zoom");
    let own = PoolSpec { id: PoolId::new("own"), ..daily(20_000) };
    let other = LabelSpec { id: LabelId::new("other"), pool: Some(own.id.clone()), ..heavy(1000) };
    let (labels, pools) = ([heavy(1000), other], [daily(20_000), own]);
    budgets.prepare([needs(&zoom, &labels, &pools)]).unwrap();
    let limiter = budgets.adopt(needs(&zoom, &labels, &pools));
    let label = |name| limiter.label(&LabelId::new(name)).unwrap();
    fs::create_dir(directory.path().join("zoom.daily.new")).unwrap();
    for name in ["heavy", "other", "heavy"] {
        for _ in 0..50 {
            let late = clock.now() + 2 * SECOND;
            spend(&limiter, label(name), late).await.expect("spending goes on");
        }
    }
    let keeping = |name| limiter.status(label(name)).unwrap().day.unwrap().keeping.as_str();
    assert_eq!((keeping("heavy"), keeping("other")), ("failing", "kept"));
    let text = fs::read(directory.path().join("zoom.own.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert!(record["claimed"].as_u64() >= Some(50), "{record}");
}

#[tokio::test]
async fn who_waits_for_nothing_waits_for_the_disk_and_not_for_the_rate() {
    let directory = tempfile::tempdir().unwrap();
    let (clock, zoom) = (clock(), UpstreamId::new("zoom"));
    let budgets = Budgets::kept(directory.path(), clock.clone()).unwrap();
    let spec = LabelSpec { max_wait: Duration::ZERO, ..heavy(3) };
    let (labels, pools) = ([spec.clone()], [daily(2000)]);
    let needs = needs(&zoom, &labels, &pools);
    budgets.prepare([needs]).unwrap();
    let limiter = budgets.adopt(needs);
    let label = limiter.label(&spec.id).unwrap();
    // Five at once, before anything is written down.
    let five = (0..5).map(|_| waits(&limiter, label, &share("a"), clock.now() + SECOND));
    let five: Vec<_> = five.collect();
    let mut served = 0;
    for waiter in five {
        match waiter.await.unwrap() {
            Ok(()) => served += 1,
            Err(refused) => assert_eq!(refused.reason, Reason::Rate),
        }
    }
    assert_eq!(served, 3);
}

#[tokio::test]
async fn what_was_sent_just_before_a_restart_is_in_the_same_window() {
    let directory = tempfile::tempdir().unwrap();
    let pools = [daily(30_000)];
    let clock = clock();
    let remaining = |limiter: &Limiter, label| limiter.budget(label).windows[0].remaining;
    let (budgets, limiter, label) = start(directory.path(), &clock, &pools);
    assert_eq!(remaining(&limiter, label), 1000, "nobody was before");
    tokio::task::spawn_blocking(move || budgets.close()).await.unwrap();
    drop(limiter);
    tokio::task::yield_now().await;
    // A clean stop, and another run a third of a second later: the rest of the window is waited for.
    clock.advance(SECOND / 3);
    let (budgets, limiter, label) = reopened(directory.path(), &clock, &pools).await;
    assert_eq!(remaining(&limiter, label), 0);
    clock.advance(SECOND);
    assert_eq!(remaining(&limiter, label), 1000);
    // A crash: nobody knows when.
    limiter.shared.state.lock().closed = true;
    drop((budgets, limiter));
    clock.advance(100 * SECOND);
    let (_budgets, limiter, label) = reopened(directory.path(), &clock, &pools).await;
    assert_eq!(remaining(&limiter, label), 0);
    clock.advance(SECOND + TICK);
    assert_eq!(remaining(&limiter, label), 1000);
}
