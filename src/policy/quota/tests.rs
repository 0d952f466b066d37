use proptest::prelude::*;

use super::*;

fn window(limit: u32, per: Duration) -> WindowGuard {
    WindowGuard::new(WindowSpec { limit: NonZeroU32::new(limit).unwrap(), per })
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
fn origin() -> Instant {
    Instant::now()
}

fn go(guard: &mut WindowGuard, now: Instant) {
    guard.take();
    guard.left(now);
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_whole_figure_leaves_at_once_and_the_next_waits_for_the_window() {
    let mut guard = window(3, SECOND);
    let start = origin();
    for ahead in 0..3 {
        assert_eq!(guard.earliest(ahead, start), start);
    }
    for _ in 0..3 {
        go(&mut guard, start);
    }
    let next = start + SECOND + JITTER_MARGIN;
    assert_eq!(guard.earliest(0, start), next);
    assert_eq!(guard.earliest(2, start), next);
    assert_eq!(guard.earliest(3, start), next + SECOND + JITTER_MARGIN);
    assert_eq!(guard.remaining(start), 0);
    assert_eq!(guard.remaining(next), 3);
}

#[test]
fn a_departure_given_back_can_be_taken_again_at_once() {
    let mut guard = window(2, SECOND);
    let start = origin();
    go(&mut guard, start);
    go(&mut guard, start + SECOND / 2);
    guard.give_back(Some(start + SECOND / 2));
    assert_eq!(guard.earliest(0, start + SECOND / 2), start + SECOND / 2);
    assert_eq!(guard.remaining(start + SECOND / 2), 1);
}

#[test]
fn a_request_that_looks_for_a_connection_holds_its_place() {
    let mut guard = window(2, SECOND);
    let start = origin();
    guard.take();
    guard.take();
    let later = start + 5 * SECOND;
    assert_eq!((guard.remaining(later), guard.earliest(0, later)), (0, later + guard.per));
    guard.left(later);
    guard.give_back(None);
    assert_eq!((guard.remaining(later), guard.earliest(0, later)), (1, later));
    assert_eq!(guard.earliest(1, later), later + guard.per);
    guard.restamp(later, later + SECOND / 2);
    assert_eq!(guard.earliest(1, later), later + SECOND / 2 + guard.per);
    guard.restamp(later + SECOND / 2, later);
    assert_eq!(guard.earliest(1, later), later + SECOND / 2 + guard.per, "never earlier");
}

proptest! {
    #[test]
    fn no_sliding_window_ever_holds_more_than_the_limit(
        limit in 1_u32..20,
        pauses in prop::collection::vec(0_u64..400, 1..200),
    ) {
        let mut guard = window(limit, SECOND);
        let mut now = origin();
        let mut sent = Vec::new();
        for pause in pauses {
            now += Duration::from_millis(pause);
            let at = guard.earliest(0, now);
            if at <= now {
                go(&mut guard, now);
                sent.push(now);
            } else {
                prop_assert!(guard.earliest(0, at - Duration::from_nanos(1)) > at - Duration::from_nanos(1));
                prop_assert_eq!(guard.earliest(0, at), at, "admitted exactly when promised");
            }
        }
        for (index, first) in sent.iter().enumerate() {
            let inside = sent.iter().skip(index).take_while(|t| **t - *first <= SECOND).count();
            prop_assert!(inside <= limit as usize);
        }
    }

    #[test]
    fn the_estimate_for_a_queue_is_when_each_really_leaves(
        limit in 1_u32..8,
        before in 0_usize..8,
        waiting in 1_usize..40,
    ) {
        let mut guard = window(limit, SECOND);
        let start = origin();
        for _ in 0..before.min(limit as usize) {
            go(&mut guard, start);
        }
        let estimates: Vec<Instant> = (0..waiting).map(|n| guard.earliest(n, start)).collect();
        for estimate in estimates {
            prop_assert_eq!(guard.earliest(0, start), estimate);
            go(&mut guard, estimate);
        }
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn ledger(per_day: u32, resets_at_hours: u64, wall: SystemTime) -> DayLedger {
    let spec = PoolSpec {
        id: PoolId::new("daily"),
        per_day: NonZeroU32::new(per_day).unwrap(),
        resets_at: Duration::from_secs(resets_at_hours * 3600),
        reserve: Reserve::default(),
    };
    DayLedger::new(&spec, wall)
}

#[test]
fn a_day_ends_at_the_configured_instant() {
    for (resets_at, wall, ends) in [
        (0, 86_400 * 3 + 5, 86_400 * 4),
        (0, 86_400 * 3, 86_400 * 4),
        (6, 86_400 * 3 + 5, 86_400 * 3 + 6 * 3600),
        (6, 86_400 * 3 + 6 * 3600, 86_400 * 4 + 6 * 3600),
    ] {
        assert_eq!(ledger(1, resets_at, at(wall)).ends(), at(ends), "{resets_at}h at {wall}");
    }
}

#[test]
fn a_new_day_begins_full_and_old_tokens_cannot_be_given_back_to_it() {
    let evening = at(86_400 * 4 - 1);
    let mut day = ledger(2, 0, evening);
    let yesterday = day.ends();
    day.take();
    day.take();
    day.roll(evening);
    assert_eq!((day.remaining(), day.opens()), (0, at(86_400 * 4)));
    day.roll(at(86_400 * 4));
    day.take();
    day.give_back(yesterday);
    assert_eq!(day.remaining(), 1);
    day.give_back(day.ends());
    assert_eq!(day.remaining(), 2);
}

#[test]
fn the_upstreams_word_closes_the_day_but_never_beyond_reason() {
    let noon = at(86_400 * 3 + 43_200);
    for (said, opens) in [
        (None, at(86_400 * 4)),
        (Some(at(86_400 * 3 + 50_000)), at(86_400 * 3 + 50_000)),
        (Some(at(5)), at(86_400 * 4)),
        (Some(noon), at(86_400 * 3 + 43_260)),
        (Some(at(86_400 * 3 + 43_199)), at(86_400 * 3 + 43_260)),
        (Some(at(86_400 * 400)), at(86_400 * 4)),
    ] {
        let mut day = ledger(10, 0, noon);
        day.close(said, noon);
        day.roll(noon);
        assert_eq!((day.remaining(), day.opens()), (0, opens));
        day.roll(opens);
        assert_eq!(day.remaining(), 10);
    }
}

#[test]
fn a_clock_set_back_does_not_make_the_day_last() {
    let mut day = ledger(10, 0, at(86_400 * 33));
    day.take();
    day.roll(at(86_400 * 3));
    assert_eq!((day.ends(), day.remaining()), (at(86_400 * 4), 9));
}
