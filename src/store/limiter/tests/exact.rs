//! Windows, refusals, and all or nothing.

use futures_util::FutureExt as _;

use super::*;

/// When each of 40 leaves who come at once; milliseconds.
async fn departures(clients: usize) -> Vec<u128> {
    let (limiter, clock, label) = limiter(heavy(10), 1000);
    let start = clock.now();
    let asked = (0..40).map(|n| {
        let (limiter, clock) = (limiter.clone(), clock.clone());
        let share = share(&(n % clients).to_string());
        tokio::spawn(async move {
            spend_as(&limiter, label, &share, start + 60 * SECOND).await.unwrap();
            (clock.now() - start).as_millis()
        })
    });
    let mut at = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        at.push(asked.await.unwrap());
    }
    assert_eq!(left(&limiter, label).1, 960);
    at.sort_unstable();
    at
}

#[tokio::test(start_paused = true)]
async fn a_burst_leaves_at_once_and_the_rest_as_the_window_allows() {
    let at = departures(1).await;
    for (round, leave) in at.chunks(10).enumerate() {
        let due = round as u128 * 1001;
        assert!(leave.iter().all(|at| (due..=due + 3).contains(at)), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_clients_contend_they_leave_one_after_the_other() {
    let at = departures(2).await;
    assert_eq!(at[..10], [0; 10], "the whole figure at once");
    for pair in at.windows(11) {
        assert!(pair[10] - pair[0] > 1000, "{at:?}");
    }
    for pair in at[10..].windows(2) {
        assert!(pair[1] - pair[0] >= 80, "one after the other: {at:?}");
    }
    assert!(at[30] <= 3006 && at[39] < 4000, "and nothing of the figure is lost: {at:?}");
}

#[tokio::test(start_paused = true)]
async fn saturated_the_figure_is_used_to_the_full() {
    for (per_second, latency) in [(40, 2), (40, 180), (10, 60), (3, 20), (1, 5)] {
        let mut spec = heavy(per_second);
        (spec.max_wait, spec.max_queue) = (600 * SECOND, 10_000);
        let (limiter, clock, label) = limiter(spec, 100_000);
        let start = clock.now();
        let end = start + 60 * SECOND;
        let askers = (0..200).map(|_| {
            let (limiter, clock) = (limiter.clone(), clock.clone());
            tokio::spawn(async move {
                let mut answered = 0_u32;
                while clock.now() < end {
                    let permit = limiter.acquire(label, &share("console"), end + SECOND).await;
                    let Ok(mut permit) = permit else { return answered };
                    permit.spend().now();
                    tokio::time::sleep(latency * MS).await;
                    permit.answered();
                    answered += u32::from(clock.now() <= end);
                }
                answered
            })
        });
        let mut answered = 0;
        for asker in askers.collect::<Vec<_>>() {
            answered += asker.await.unwrap();
        }
        let whole = f64::from(per_second * 60);
        let used = f64::from(answered) / whole;
        assert!(
            used >= 0.98,
            "{answered} of {whole} at {per_second}/s, answers after {latency} ms"
        );
    }
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
    assert!(took >= 300 * MS, "5 at one a 100 ms took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_served_in_time_is_refused_at_once_and_told_when() {
    // (max_wait, time until the deadline, when the same request is admitted)
    for (max_wait, deadline) in [(0, 9000), (300, 9000), (9000, 300), (999, 1000)] {
        let mut spec = heavy(1);
        spec.max_wait = max_wait * MS;
        let (limiter, clock, label) = limiter(spec, 1000);
        let start = clock.now();
        spend(&limiter, label, start).await.unwrap();
        let refused = spend(&limiter, label, start + deadline * MS).await.unwrap_err();
        assert_eq!(clock.now(), start, "at once");
        let patience = max_wait.min(deadline) * MS;
        let expected = SECOND + TICK - patience;
        assert_eq!(refused, Refused { reason: Reason::Rate, retry_after: expected });
        clock.advance(refused.retry_after - NS);
        let again = clock.now() + deadline * MS;
        assert!(spend(&limiter, label, again).await.is_err(), "refused just before");
        clock.advance(NS);
        spend(&limiter, label, clock.now() + deadline * MS).await.expect("admitted just after");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_behind_a_queue_is_admitted_when_told() {
    let asker = share("a");
    let low = Share { priority: Priority::Low, ..share("b") };
    let cases = [(10, 7), (10, 25), (40, 100), (3, 10), (1, 4)];
    let cases = cases.into_iter().flat_map(|case| [(case, &asker), (case, &low)]);
    for ((per_second, queued), asker) in cases {
        let mut spec = heavy(per_second);
        (spec.max_wait, spec.max_queue) = (60 * SECOND, 1000);
        let (limiter, clock, label) = limiter(spec, 100_000);
        let start = clock.now();
        let late = start + 100 * SECOND;
        for _ in 0..per_second {
            spend(&limiter, label, late).await.unwrap();
        }
        let waiting: Vec<_> =
            (0..queued).map(|_| waits(&limiter, label, &share("a"), late)).collect();
        while limiter.budget(label).queued < waiting.len() {
            tokio::task::yield_now().await;
        }
        let patience = 200 * MS;
        let refused = spend_as(&limiter, label, asker, clock.now() + patience).await.unwrap_err();
        assert_eq!((refused.reason, clock.now()), (Reason::Rate, start));
        // Another keeps its place in the queue.
        let own = waits(&limiter, label, asker, late);
        for waiter in waiting {
            waiter.await.unwrap().unwrap();
        }
        own.await.unwrap().unwrap();
        let told = start + refused.retry_after + patience;
        let really = clock.now();
        // A tick of the timer for every one in the line; and the last of several clients is alone.
        let (ticks, alone) = ((queued + 2) * MS, 4 * SECOND / 5 / per_second);
        assert!(really <= told + ticks, "{:?} late, {queued} of {per_second}/s", really - told);
        assert!(really + alone >= told, "{:?} early, {queued} of {per_second}/s", told - really);
    }
}

#[tokio::test(start_paused = true)]
async fn max_queue_bounds_the_queue_and_says_when_a_place_is_free() {
    let mut spec = heavy(1);
    (spec.max_wait, spec.max_queue) = (100 * SECOND, 2);
    let (limiter, clock, label) = limiter(spec, 1000);
    let late = clock.now() + 1000 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let first = waits(&limiter, label, &share("console"), late);
    let second = waits(&limiter, label, &share("console"), late);
    settle().await;
    assert_eq!(limiter.budget(label).queued, 2);
    let refused = spend(&limiter, label, late).await.unwrap_err();
    assert_eq!(refused, Refused { reason: Reason::QueueFull, retry_after: SECOND + TICK });
    first.await.unwrap().unwrap();
    let third = waits(&limiter, label, &share("console"), late);
    for waiter in [second, third] {
        waiter.await.unwrap().unwrap();
    }
    assert_eq!(limiter.budget(label).queued, 0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_late_in_the_queue_is_told_so() {
    let mut spec = heavy(1);
    spec.max_wait = 3 * SECOND / 2;
    let (limiter, clock, label) = limiter(spec, 1000);
    let late = clock.now() + 1000 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let low = Share { priority: Priority::Low, ..share("batch") };
    let low = waits(&limiter, label, &low, late);
    settle().await;
    // It could have been served; but somebody came who goes before it.
    let high = Share { priority: Priority::High, ..share("console") };
    let high = waits(&limiter, label, &high, late);
    high.await.unwrap().unwrap();
    let refused = low.await.unwrap().unwrap_err();
    assert_eq!(refused.reason, Reason::Rate, "told when the token went elsewhere");
    assert_eq!(left(&limiter, label).1, 998);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_given_back_in_every_window() {
    let (limiter, clock, label) = limiter(heavy(2), 10);
    let now = clock.now();
    let console = share("console");
    drop(limiter.acquire(label, &console, now).await.unwrap());
    assert_eq!(left(&limiter, label), (2, 10), "cancelled before it was sent");
    let mut permit = limiter.acquire(label, &console, now).await.unwrap();
    permit.spend().now();
    assert_eq!(left(&limiter, label), (1, 9));
    permit.never_sent();
    assert_eq!(left(&limiter, label), (2, 10), "the connection failed");
    let day = limiter.status(label).unwrap().day.unwrap();
    assert_eq!(day.by_client, [(console.client.clone(), 0)], "its own share too");
    for _ in 0..2 {
        spend(&limiter, label, now).await.unwrap();
    }
    assert_eq!(left(&limiter, label), (0, 8), "sent ones are never given back");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_one_window_takes_nothing_of_the_others() {
    let minute = WindowSpec { limit: figure(3), per: 60 * SECOND };
    let mut spec = heavy(2);
    spec.windows.push(minute);
    spec.max_wait = Duration::ZERO;
    let (limiter, clock, label) = limiter(spec, 10);
    let mut refused = 0;
    for _ in 0..200 {
        refused += usize::from(spend(&limiter, label, clock.now()).await.is_err());
        clock.advance(SECOND / 4);
    }
    let budget = limiter.budget(label);
    assert_eq!(refused, 197, "three a minute");
    assert_eq!(budget.pool.unwrap().remaining, 7);
    assert_eq!((budget.windows[0].remaining, budget.windows[1].remaining), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_hangs_up_costs_nothing_and_holds_up_nobody() {
    let (limiter, clock, label) = limiter(heavy(1), 10);
    let late = clock.now() + 60 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let waiter = waits(&limiter, label, &share("console"), late);
    settle().await;
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    assert_eq!((limiter.budget(label).queued, left(&limiter, label).1), (0, 9));
    spend(&limiter, label, late).await.unwrap();
    assert_eq!(left(&limiter, label).1, 8);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_hangs_up_when_its_token_has_just_come_gives_it_back() {
    let (limiter, clock, label) = limiter(heavy(1), 10);
    let late = clock.now() + 60 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let console = share("console");
    let mut waiter = Box::pin(limiter.acquire(label, &console, late));
    assert!((&mut waiter).now_or_never().is_none());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!((limiter.budget(label).queued, left(&limiter, label)), (0, (0, 8)), "handed over");
    drop(waiter);
    assert_eq!(left(&limiter, label), (1, 9));
}

#[tokio::test(start_paused = true)]
async fn the_day_is_refused_until_it_ends_and_waited_for_by_nobody() {
    let (limiter, clock, label) = limiter(heavy(10), 2);
    for _ in 0..2 {
        spend(&limiter, label, clock.now()).await.unwrap();
    }
    let refused = spend(&limiter, label, clock.now() + 60 * SECOND).await.unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), (Reason::Day, 43_200 * SECOND));
    clock.advance(refused.retry_after - NS);
    let late = clock.now() + 60 * SECOND;
    assert_eq!(spend(&limiter, label, late).await.unwrap_err().reason, Reason::Day);
    clock.advance(NS);
    spend(&limiter, label, clock.now()).await.expect("a new day");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_when_the_day_runs_out_are_told_at_once() {
    let (limiter, clock, label) = limiter(heavy(1), 2);
    let late = clock.now() + 60 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let first = waits(&limiter, label, &share("a"), late);
    settle().await;
    assert_eq!(spend(&limiter, label, late).await.unwrap_err().reason, Reason::Day, "at the door");
    // The last token of the day goes elsewhere while it waits.
    let wall = limiter.shared.now().wall;
    limiter.shared.state.lock().pools[0].take(&ClientId::new("other"), wall);
    assert_eq!(first.await.unwrap().unwrap_err().reason, Reason::Day);
    assert!(clock.now() < late - 50 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn draining_answers_those_who_wait_and_those_who_come() {
    let (limiter, clock, label) = limiter(heavy(1), 10);
    let late = clock.now() + 60 * SECOND;
    spend(&limiter, label, late).await.unwrap();
    let waiter = waits(&limiter, label, &share("console"), late);
    settle().await;
    limiter.drain();
    assert_eq!(waiter.await.unwrap().unwrap_err().reason, Reason::Draining);
    assert_eq!(spend(&limiter, label, late).await.unwrap_err().reason, Reason::Draining);
    assert_eq!(left(&limiter, label).1, 9);
}

#[tokio::test(start_paused = true)]
async fn the_window_counts_from_when_a_request_really_left() {
    let mut spec = heavy(1);
    spec.max_wait = Duration::ZERO;
    let (limiter, clock, label) = limiter(spec, 10);
    let mut permit = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    let departure = permit.spend();
    clock.advance(3 * SECOND);
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "still looking for a connection");
    departure.now();
    permit.answered();
    clock.advance(SECOND + TICK - NS);
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "a window after it left");
    clock.advance(NS);
    spend(&limiter, label, clock.now()).await.expect("and no later");
    drop(permit);
    assert_eq!(left(&limiter, label).1, 8);
}

#[tokio::test(start_paused = true)]
async fn while_an_answer_is_overdue_its_request_may_be_arriving_and_a_lost_one_has_arrived() {
    let mut spec = heavy(1);
    spec.max_wait = Duration::ZERO;
    let (limiter, clock, label) = limiter(spec, 10);
    let mut permit = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    permit.spend().now();
    clock.advance(3 * SECOND / 2);
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "a window later");
    drop(permit);
    clock.advance(SECOND);
    assert!(spend(&limiter, label, clock.now()).await.is_err(), "lost just now");
    clock.advance(TICK);
    let mut hangs = limiter.acquire(label, &share("console"), clock.now()).await.unwrap();
    hangs.spend().now();
    clock.advance(2 * (SECOND + TICK));
    spend(&limiter, label, clock.now()).await.expect("who hangs is not waited for any longer");
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_since_another_hung_up_does_not_wait_for_its_turn() {
    let (limiter, clock, label) = limiter(heavy(10), 1000);
    let late = clock.now() + 60 * SECOND;
    for _ in 0..10 {
        spend(&limiter, label, late).await.unwrap();
    }
    let [first, second, third] =
        ["a", "b", "c"].map(|client| waits(&limiter, label, &share(client), late));
    settle().await;
    first.await.unwrap().unwrap();
    let at = clock.now();
    second.abort();
    third.await.unwrap().unwrap();
    assert!(clock.now() - at < 3 * MS, "{:?}", clock.now() - at);
}
