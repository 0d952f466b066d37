//! `mode = "observe"`.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_label_that_observes_lets_everything_through_and_says_what_it_would_have_done() {
    let mut spec = heavy(2);
    (spec.max_wait, spec.mode) = (SECOND, Mode::Observe);
    let (limiter, clock, label) = limiter(spec, 7);
    let start = clock.now();
    let mut would = Vec::new();
    for _ in 0..10 {
        let acquired = limiter.acquire(label, &share("console"), start + SECOND + TICK).await;
        let mut permit = acquired.expect("everything goes through");
        would.push(permit.observed().map_or("go", Observed::as_str));
        permit.spend().now();
        permit.answered();
    }
    assert_eq!(clock.now(), start, "and at once");
    // Two at once, two after a second if they may wait so long, and nobody longer than that.
    assert_eq!(would[..5], ["go", "go", "rate-second", "rate-second", "rate-second"]);
    assert_eq!(would[7..], ["quota-day"; 3]);
    let status = limiter.status(label).unwrap();
    assert_eq!(
        (status.mode, status.day.unwrap().spent),
        (Mode::Observe, 10),
        "what was sent counts"
    );
    clock.advance(SECOND);
    let permit = limiter.acquire(label, &share("console"), clock.now() + SECOND).await.unwrap();
    assert_eq!(permit.observed(), Some(Observed::Refused(Reason::Day)));
    drop(permit);
    assert_eq!(limiter.status(label).unwrap().day.unwrap().spent, 10, "given back all the same");
}

#[tokio::test(start_paused = true)]
async fn who_would_have_waited_stands_in_the_way_of_those_after_it() {
    let mut spec = heavy(1);
    (spec.max_wait, spec.mode) = (5 * SECOND / 2, Mode::Observe);
    let (limiter, clock, label) = limiter(spec, 100);
    let mut would = Vec::new();
    for _ in 0..5 {
        let permit = limiter.acquire(label, &share("console"), clock.now() + 60 * SECOND).await;
        let mut permit = permit.unwrap();
        would.push(permit.observed().map_or("go", Observed::as_str));
        permit.spend().now();
        permit.answered();
    }
    assert_eq!(would, ["go", "wait", "wait", "rate-second", "rate-second"]);
}

#[tokio::test(start_paused = true)]
async fn what_would_have_waited_and_was_never_sent_stands_in_nobodys_way() {
    let mut spec = heavy(1);
    spec.mode = Mode::Observe;
    let (limiter, clock, label) = limiter(spec, 100);
    let late = clock.now() + 600 * SECOND;
    let mut permits = Vec::new();
    for _ in 0..4 {
        permits.push(limiter.acquire(label, &share("a"), late).await.unwrap());
    }
    drop(permits);
    let permit = limiter.acquire(label, &share("a"), late).await.unwrap();
    assert_eq!(permit.observed(), None, "nothing has left");
}
