//! What the upstream says, and what becomes of it.

use super::*;

fn remaining(remaining: u32) -> Word {
    Word { remaining: Some(remaining), ..Word::default() }
}

fn retry_at(at: SystemTime) -> Word {
    Word { retry_at: Some(at), ..Word::default() }
}

#[tokio::test(start_paused = true)]
async fn a_429_of_the_second_closes_the_label_and_one_request_opens_it() {
    let mut spec = heavy(10);
    spec.max_wait = Duration::ZERO;
    let (limiter, clock, label) = limiter(spec, 100);
    let now = clock.now();
    let heard = told(&limiter, label, now, Word::default(), Some(Throttle::Resource)).await;
    assert_eq!(heard.unwrap(), Heard::default());
    spend(&limiter, label, clock.now()).await.expect("one resource punishes nobody else");
    let heard = told(&limiter, label, now, Word::default(), Some(Throttle::Concurrency)).await;
    assert_eq!(heard.unwrap(), Heard::default());

    let heard = told(&limiter, label, now, Word::default(), Some(Throttle::Rate)).await.unwrap();
    assert_eq!(heard.wait, Some(SECOND), "its window, when it says nothing");
    let refused = spend(&limiter, label, clock.now()).await.unwrap_err();
    assert_eq!(refused, Refused { reason: Reason::UpstreamClosed, retry_after: SECOND });
    assert_eq!(limiter.status(label).unwrap().closed, Some((SECOND, Reason::UpstreamClosed)));
    clock.advance(SECOND - NS);
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "refused just before");
    clock.advance(2 * MS);
    let mut probe = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    probe.spend().now();
    assert!(limiter.status(label).unwrap().probing);
    let refused = spend(&limiter, label, clock.now()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Rate, "one request finds out");
    probe.answered();
    assert!(probe.heard(&mut Word::default(), None).reopened);
    spend(&limiter, label, clock.now()).await.expect("open for all");
    let status = limiter.status(label).unwrap();
    assert_eq!((status.closed, status.probing, status.pace), (None, false, 700));
}

#[tokio::test(start_paused = true)]
async fn after_a_429_the_pace_is_lower_and_rises_while_it_is_quiet() {
    let mut spec = heavy(40);
    (spec.max_wait, spec.max_queue) = (60 * SECOND, 1000);
    let (limiter, clock, label) = limiter(spec, 100_000);
    let late = clock.now() + 600 * SECOND;
    told(&limiter, label, late, Word::default(), Some(Throttle::Rate)).await.unwrap();
    told(&limiter, label, late, Word::default(), None).await.unwrap();
    let mut a_second = Vec::new();
    for _ in 0..14 {
        let end = clock.now() + SECOND;
        let mut served = 0;
        while clock.now() < end {
            told(&limiter, label, late, Word::default(), None).await.unwrap();
            served += 1;
        }
        a_second.push(served);
    }
    assert!((26..=31).contains(&a_second[1]), "{a_second:?}");
    assert!((33..=37).contains(&a_second[6]), "{a_second:?}");
    assert!((39..=42).contains(&a_second[13]), "{a_second:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_cannot_be_served_in_time_any_more_is_told_at_once() {
    let (limiter, clock, label) = limiter(heavy(1), 100);
    let start = clock.now();
    let late = start + 60 * SECOND;
    let mut permit = limiter.acquire(label, &share("console"), late).await.unwrap();
    permit.spend().now();
    let waiting: Vec<_> = (0..3).map(|_| waits(&limiter, label, &share("a"), late)).collect();
    settle().await;
    permit.answered();
    let mut word = retry_at(clock.wall() + 8 * SECOND);
    assert_eq!(permit.heard(&mut word, Some(Throttle::Rate)).wait, Some(8 * SECOND));
    for waiter in waiting {
        let refused = waiter.await.unwrap().unwrap_err();
        assert_eq!(refused, Refused { reason: Reason::UpstreamClosed, retry_after: 3 * SECOND });
    }
    assert_eq!(clock.now(), start);
}

#[tokio::test(start_paused = true)]
async fn who_has_little_time_is_told_although_somebody_with_more_goes_before() {
    let (limiter, clock, label) = limiter(heavy(1), 100);
    let start = clock.now();
    let mut permit = limiter.acquire(label, &share("console"), start).await.unwrap();
    permit.spend().now();
    let patient = waits(&limiter, label, &share("a"), start + 60 * SECOND);
    settle().await;
    let hurried = waits(&limiter, label, &share("a"), start + 3 * SECOND);
    settle().await;
    permit.answered();
    permit.heard(&mut retry_at(clock.wall() + 4 * SECOND), Some(Throttle::Rate));
    let refused = hurried.await.unwrap().unwrap_err();
    assert_eq!(refused, Refused { reason: Reason::UpstreamClosed, retry_after: SECOND });
    assert_eq!(clock.now(), start);
    patient.await.unwrap().expect("when it opens");
}

#[tokio::test(start_paused = true)]
async fn the_longest_instant_counts_and_none_is_longer_than_a_minute() {
    let mut spec = heavy(10);
    spec.max_wait = Duration::ZERO;
    let (limiter, clock, label) = limiter(spec, 100);
    let now = clock.now();
    let console = share("console");
    let mut permits = Vec::new();
    for seconds in [30, 5, 3600] {
        let mut permit = limiter.acquire(label, &console, now).await.unwrap();
        permit.spend().now();
        permits.push((permit, retry_at(clock.wall() + seconds * SECOND)));
    }
    let mut told = Vec::new();
    for (permit, mut word) in permits {
        permit.answered();
        permit.heard(&mut word, Some(Throttle::Rate));
        told.push(spend(&limiter, label, now).await.unwrap_err().retry_after);
    }
    assert_eq!(told, [30 * SECOND, 30 * SECOND, 60 * SECOND]);
    limiter.reopen(label);
    spend(&limiter, label, now).await.expect("the operator knows better");
}

#[tokio::test(start_paused = true)]
async fn a_429_of_the_day_closes_the_pool_and_a_doubtful_one_for_a_minute() {
    let (limiter, clock, label) = limiter(heavy(10), 100);
    let now = clock.now();
    let until = clock.wall() + 100 * SECOND;
    let heard = told(&limiter, label, now, retry_at(until), Some(Throttle::Day)).await.unwrap();
    assert_eq!(heard.wait, Some(100 * SECOND));
    let refused = spend(&limiter, label, now + SECOND).await.unwrap_err();
    assert_eq!(refused, Refused { reason: Reason::Day, retry_after: 100 * SECOND });
    let status = limiter.status(label).unwrap();
    assert_eq!(status.closed, Some((100 * SECOND, Reason::Day)));
    assert_eq!(left(&limiter, label).1, 0);
    clock.advance(100 * SECOND);
    // Open again; then a 429 that says "daily", with most of the day left by its own count.
    told(&limiter, label, clock.now(), remaining(97), None).await.unwrap();
    let word = Word { retry_at: Some(clock.wall() + 30_000 * SECOND), ..remaining(96) };
    let mut permit = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    permit.spend().now();
    permit.answered();
    let mut heard = word.clone();
    assert_eq!(permit.heard(&mut heard, Some(Throttle::Day)).wait, Some(60 * SECOND));
    assert_eq!(heard.odd.len(), 1, "counted");
    limiter.reopen(label);
    spend(&limiter, label, clock.now()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_lost_is_followed_by_another() {
    let mut spec = heavy(10);
    spec.max_wait = Duration::ZERO;
    let (limiter, clock, label) = limiter(spec, 100);
    told(&limiter, label, clock.now(), Word::default(), Some(Throttle::Rate)).await.unwrap();
    clock.advance(SECOND + 2 * MS);
    let mut lost = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    lost.spend().now();
    assert!(spend(&limiter, label, clock.now()).await.is_err());
    clock.advance(2 * (SECOND + TICK));
    told(&limiter, label, clock.now(), Word::default(), None).await.expect("two windows later");
    spend(&limiter, label, clock.now()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_ledger_follows_the_upstream_down_and_not_up() {
    let (limiter, clock, label) = limiter(heavy(10), 1000);
    told(&limiter, label, clock.now(), remaining(600), None).await.unwrap();
    assert_eq!(left(&limiter, label).1, 600);
    let day = limiter.status(label).unwrap().day.unwrap();
    assert_eq!((day.spent, day.others), (1, 399));
    told(&limiter, label, clock.now(), remaining(1000), None).await.unwrap();
    assert_eq!(left(&limiter, label).1, 998, "never above our own count");
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_under_one_label_counts_for_all_of_the_pool() {
    let other = LabelSpec { id: LabelId::new("other"), ..heavy(5) };
    let clock = clock();
    let labels = [heavy(10), other];
    let limiter = Limiter::new(UpstreamId::new("zoom"), &labels, &[daily(1000)], clock.clone());
    let label = |name| limiter.label(&LabelId::new(name)).unwrap();
    told(&limiter, label("heavy"), clock.now(), remaining(500), None).await.unwrap();
    assert_eq!(left(&limiter, label("other")).1, 500);
    let word = Word::default();
    told(&limiter, label("other"), clock.now(), word.clone(), Some(Throttle::Day)).await.unwrap();
    assert_eq!(spend(&limiter, label("heavy"), clock.now()).await.unwrap_err().reason, Reason::Day);
    limiter.reopen(label("heavy"));
    told(&limiter, label("other"), clock.now(), word, Some(Throttle::Rate)).await.unwrap();
    spend(&limiter, label("heavy"), clock.now()).await.expect("its own second is its own");
}

/// All but one of the day are spent, of which the upstream has counted one of ours twice.
async fn nearly_over() -> (Limiter, Clock, LabelIndex, Permit, Permit) {
    let (limiter, clock, label) = limiter(heavy(10), 10);
    let (now, console) = (clock.now(), share("console"));
    let mut first = limiter.acquire(label, &console, now).await.unwrap();
    let mut second = limiter.acquire(label, &console, now).await.unwrap();
    first.spend().now();
    second.spend().now();
    (limiter, clock, label, first, second)
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answers_word_is_judged_by_it_and_not_before() {
    let (limiter, clock, label, first, second) = nearly_over().await;
    first.answered();
    // Others have spent seven, and both of ours are counted.
    first.heard(&mut remaining(1), None);
    drop(first);
    assert_eq!(left(&limiter, label).1, 0);
    let waiter = waits(&limiter, label, &share("a"), clock.now() + 5 * SECOND);
    settle().await;
    second.answered();
    settle().await;
    second.heard(&mut remaining(1), None);
    waiter.await.unwrap().expect("there was one left");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_that_never_comes_is_told_at_once() {
    let (limiter, clock, label, first, second) = nearly_over().await;
    first.answered();
    first.heard(&mut remaining(1), None);
    let waiter = waits(&limiter, label, &share("a"), clock.now() + 5 * SECOND);
    settle().await;
    let start = clock.now();
    drop((first, second));
    let refused = waiter.await.unwrap().unwrap_err();
    assert_eq!((refused.reason, clock.now() - start), (Reason::Day, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_label_without_windows_is_probed_by_one_request_too() {
    let mut spec = heavy(10);
    (spec.windows, spec.max_wait) = (Vec::new(), Duration::ZERO);
    let (limiter, clock, label) = limiter(spec, 100);
    let now = clock.now();
    told(&limiter, label, now, Word::default(), Some(Throttle::Rate)).await.unwrap();
    clock.advance(SECOND + 2 * MS);
    let mut probe = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    probe.spend().now();
    let refused = spend(&limiter, label, clock.now()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Rate, "one request finds out");
    clock.advance(SECOND);
    drop(probe);
    told(&limiter, label, clock.now(), Word::default(), None).await.expect("a second later");
    spend(&limiter, label, clock.now()).await.expect("open for all");
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_the_day_that_is_never_sent_is_given_back() {
    let (limiter, clock, label) = limiter(heavy(10), 100);
    let until = retry_at(clock.wall() + 10 * SECOND);
    told(&limiter, label, clock.now(), until, Some(Throttle::Day)).await.unwrap();
    clock.advance(10 * SECOND);
    drop(limiter.acquire(label, &share("a"), clock.now()).await.unwrap());
    let mut probe = limiter.acquire(label, &share("a"), clock.now()).await.unwrap();
    probe.spend().now();
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "one at a time");
}

#[tokio::test(start_paused = true)]
async fn a_429_of_a_day_that_is_none_of_ours_closes_the_label() {
    let spec = LabelSpec { pool: None, max_wait: Duration::ZERO, ..heavy(10) };
    let (limiter, clock, label) = limiter(spec, 100);
    let word = retry_at(clock.wall() + 3600 * SECOND);
    let heard = told(&limiter, label, clock.now(), word, Some(Throttle::Day)).await.unwrap();
    assert_eq!(heard.wait, Some(60 * SECOND));
    let refused = spend(&limiter, label, clock.now()).await.unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (Reason::UpstreamClosed, 60 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn at_midnight_all_wait_for_the_one_that_finds_out() {
    let (limiter, clock, label) = limiter(heavy(10), 100);
    told(&limiter, label, clock.now(), Word::default(), Some(Throttle::Day)).await.unwrap();
    clock.advance(43_200 * SECOND);
    let late = clock.now() + 60 * SECOND;
    let mut probe = limiter.acquire(label, &share("console"), late).await.unwrap();
    probe.spend().now();
    let waiting: Vec<_> = (0..5).map(|_| waits(&limiter, label, &share("a"), late)).collect();
    settle().await;
    assert_eq!(limiter.budget(label).queued, 5);
    probe.answered();
    assert!(probe.heard(&mut Word::default(), None).reopened);
    let start = clock.now();
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
    assert!(clock.now() - start < 10 * MS);
}
