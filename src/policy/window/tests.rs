use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn window(limit: u32, per: Duration) -> WindowGuard {
    WindowGuard::new(WindowSpec { limit: NonZeroU32::new(limit).unwrap(), per })
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
fn origin() -> Instant {
    Instant::now()
}

/// Leaves, and is answered at once.
fn go(guard: &mut WindowGuard, now: Instant) {
    guard.take(now);
    guard.left(now);
    guard.answered(now, Duration::ZERO, now);
}

#[test]
fn a_whole_figure_leaves_at_once_and_the_next_waits_for_the_window() {
    let mut guard = window(3, SECOND);
    let start = origin();
    for ahead in 0..3 {
        assert_eq!(guard.earliest(3, ahead, start), start);
    }
    for _ in 0..3 {
        go(&mut guard, start);
    }
    let next = start + SECOND + TICK;
    assert_eq!(guard.earliest(3, 0, start), next);
    assert_eq!(guard.earliest(3, 2, start), next);
    assert_eq!(guard.earliest(3, 3, start), next + SECOND + TICK);
    assert_eq!((guard.remaining(3, start), guard.remaining(3, next)), (0, 3));
}

#[test]
fn a_departure_given_back_can_be_taken_again_at_once() {
    let mut guard = window(2, SECOND);
    let start = origin();
    go(&mut guard, start);
    let half = start + SECOND / 2;
    guard.take(half);
    guard.left(half);
    assert_eq!(guard.remaining(2, half), 0);
    guard.give_back(Some(half));
    assert_eq!((guard.earliest(2, 0, half), guard.remaining(2, half)), (half, 1));
}

#[test]
fn a_request_that_looks_for_a_connection_holds_its_place() {
    let mut guard = window(2, SECOND);
    let start = origin();
    guard.take(start);
    guard.take(start);
    let later = start + 5 * SECOND;
    assert_eq!((guard.remaining(2, later), guard.earliest(2, 0, later)), (0, later + guard.kept()));
    guard.left(later);
    guard.give_back(None);
    assert_eq!((guard.remaining(2, later), guard.earliest(2, 0, later)), (1, later));
    assert_eq!(guard.earliest(2, 1, later), later + JITTER + guard.kept());
}

#[test]
fn a_smaller_figure_holds_at_once_and_a_larger_one_opens_at_once() {
    let mut guard = window(4, SECOND);
    let start = origin();
    for n in 0..4 {
        go(&mut guard, start + n * 100 * MS);
    }
    let now = start + 400 * MS;
    assert_eq!(guard.earliest(4, 0, now), start + guard.kept());
    assert_eq!(guard.earliest(2, 0, now), start + 200 * MS + guard.kept());
    assert_eq!(guard.earliest(1, 0, now), start + 300 * MS + guard.kept());
    assert_eq!(guard.earliest(5, 0, now), now);
    assert_eq!((guard.remaining(2, now), guard.remaining(9, now)), (0, 5));
}

/// Leaves then, and is answered after so long; how late it counts.
fn late(guard: &mut WindowGuard, left: Instant, took: Duration) -> Duration {
    guard.take(left);
    guard.left(left);
    assert_eq!(guard.earliest(1, 0, left), left + JITTER + guard.kept(), "under way");
    guard.answered(left, Duration::ZERO, left + took);
    guard.arrivals.back().unwrap().duration_since(left)
}

#[test]
fn the_first_answers_are_taken_for_the_arrivals_and_later_ones_are_measured_by_them() {
    let mut guard = window(3, SECOND);
    let mut left = origin();
    let mut after = |took: u32| {
        left += 2 * SECOND;
        late(&mut guard, left, took * MS)
    };
    assert_eq!([after(80), after(60), after(400)], [80 * MS, 60 * MS, 400 * MS]);
    // The fastest was 60: so late is what comes later than that, and never less than the margin.
    assert_eq!(after(60), JITTER);
    let two_hundred = after(260);
    assert!(two_hundred.abs_diff(200 * MS + JITTER) < MS, "{two_hundred:?}");
    assert_eq!(after(3), 3 * MS, "an answer is never earlier than its arrival");
}

#[test]
fn a_slow_upstream_costs_a_hundredth_and_a_late_answer_still_tells() {
    for spread in [0, 100] {
        let mut guard = window(40, SECOND);
        let start = origin();
        let (mut now, mut answers) = (start, 0_u32);
        // Saturated: everybody leaves as soon as they may.
        while answers < 40 * 60 {
            now = guard.earliest(40, 0, now);
            guard.take(now);
            guard.left(now);
            // Every value up to `spread` in a scattered order.
            let took = 200 + answers * 37 % (spread + 1);
            guard.answered(now, Duration::ZERO, now + took * MS);
            answers += 1;
        }
        let took = now - start;
        assert!(took < 61 * SECOND, "40 a second for 60 s took {took:?}, {spread} ms more or less");
        let counted = late(&mut guard, now + SECOND, 500 * MS);
        assert!(counted > 200 * MS && counted < 330 * MS, "later than usual: {counted:?}");
    }
}

#[test]
fn a_moment_in_which_all_is_late_does_not_pass_for_usual_and_a_faster_upstream_does() {
    let mut guard = window(10, SECOND);
    let mut left = origin();
    let mut window_of = |took: u32| {
        (0..10)
            .map(|_| {
                left += SECOND;
                late(&mut guard, left, took * MS)
            })
            .min()
            .unwrap()
    };
    window_of(20);
    assert!(window_of(520) > 430 * MS);
    assert!(window_of(520) > 370 * MS);
    window_of(20);
    let again = window_of(220);
    assert!(again > 170 * MS, "followed down at once: {again:?}");
}

#[test]
fn what_this_machine_is_late_is_added_to_the_margin() {
    let mut guard = window(1, SECOND);
    let mut left = origin();
    late(&mut guard, left, 100 * MS);
    for (lag, took, expected) in [(0, 100, 5), (30, 100, 35), (30, 20, 20), (0, 100, 85)] {
        left += 5 * SECOND;
        guard.take(left);
        guard.left(left);
        guard.answered(left, lag * MS, left + took * MS);
        let counted = guard.arrivals.back().unwrap().duration_since(left);
        assert!(counted.abs_diff(expected * MS) < 2 * MS, "{lag} {took}: {counted:?}");
    }
    // And nothing is learned meanwhile.
    let base = guard.usual.base;
    guard.answered(left, 30 * MS, left + 900 * MS);
    assert_eq!(guard.usual.base, base);
}

#[test]
fn an_overdue_answer_holds_its_place_for_a_second_window_and_no_longer() {
    let mut guard = window(2, SECOND);
    let start = origin();
    for n in 1..=2 {
        late(&mut guard, start + 2 * SECOND * n, 50 * MS);
    }
    let left = start + 10 * SECOND;
    for _ in 0..2 {
        guard.take(left);
        guard.left(left);
    }
    let due = left + 50 * MS + SECOND / DOUBT + JITTER;
    assert_eq!(guard.earliest(2, 0, due), left + JITTER + guard.kept(), "not overdue");
    let later = due + MS;
    assert_eq!((guard.earliest(2, 0, later), guard.remaining(2, later)), (later + guard.kept(), 0));
    let end = left + guard.kept() * 2;
    assert_eq!((guard.earliest(2, 1, end), guard.remaining(2, end)), (end, 2));
    // Its answer still tells when it may have arrived.
    guard.take(end);
    guard.left(end);
    guard.answered(left, Duration::ZERO, end + MS);
    assert_eq!(guard.remaining(2, end + MS), 0);
}

#[test]
fn one_that_is_lost_may_have_arrived_until_then() {
    let mut guard = window(1, SECOND);
    let left = origin();
    guard.take(left);
    guard.left(left);
    guard.lost(left, left + SECOND / 2);
    let next = left + SECOND / 2 + guard.kept();
    assert_eq!(guard.earliest(1, 0, left + SECOND), next);
    guard.take(next);
    guard.left(next);
    let given_up = next + 20 * SECOND;
    guard.lost(next, given_up);
    assert_eq!(guard.earliest(1, 0, given_up), given_up, "a timeout long after");
}

#[test]
fn memory_holds_one_window() {
    let mut guard = window(5, SECOND);
    let mut now = origin();
    for _ in 0..1000 {
        now = guard.earliest(5, 0, now);
        go(&mut guard, now);
        assert!(guard.arrivals.len() + guard.under_way.len() + guard.pending <= 5);
    }
    for _ in 0..1000 {
        now += SECOND / 5 + MS;
        guard.count(now, now);
        assert!(guard.arrivals.len() <= 10);
    }
}

/// How a request fares: how long until it leaves, until it arrives, until its answer is here.
#[derive(Clone, Debug)]
struct Way {
    pause: u64,
    connect: u64,
    there: u64,
    back: u64,
}

fn ways(there: u64, back: u64) -> impl Strategy<Value = Vec<Way>> {
    let way = (0_u64..300, 0_u64..200, 0..=there, 0..=back);
    let way = way.prop_map(|(pause, connect, there, back)| Way { pause, connect, there, back });
    prop::collection::vec(way, 1..150)
}

/// Lets everybody leave as soon as they may, and hands over what happens in the order of time.
/// The arrivals at the upstream.
/// `frozen`: those who leave in that time arrive when it is over; milliseconds.
fn simulate(limit: u32, ways: &[Way], frozen: std::ops::Range<u64>) -> Vec<Instant> {
    let allowed = limit as usize;
    let mut guard = window(limit, SECOND);
    let start = origin();
    let (thaw, frozen) = (start + frozen.end * MS_U, start + frozen.start * MS_U);
    let mut now = start;
    let mut arrived = Vec::new();
    // (when, departure, is it the answer's)
    let mut events: Vec<(Instant, Instant, bool)> = Vec::new();
    for way in ways {
        now += way.pause * MS_U;
        loop {
            let at = guard.earliest(allowed, 0, now);
            events.sort();
            let due = events.first().filter(|(when, ..)| *when <= at.max(now)).copied();
            if let Some((when, left, answer)) = due {
                events.remove(0);
                now = now.max(when);
                if answer { guard.answered(left, Duration::ZERO, when) } else { guard.left(when) }
            } else if at > now {
                now = at;
            } else {
                break;
            }
        }
        guard.take(now);
        let left = now + way.connect * MS_U;
        events.push((left, left, false));
        let sent = if (frozen..thaw).contains(&left) { thaw } else { left };
        events.push((sent + (way.there + way.back) * MS_U, left, true));
        arrived.push(sent + way.there * MS_U);
    }
    arrived.sort();
    arrived
}

struct Ms;
const MS_U: Ms = Ms;
impl std::ops::Mul<Ms> for u64 {
    type Output = Duration;
    fn mul(self, _: Ms) -> Duration {
        Duration::from_millis(self)
    }
}

fn largest(arrived: &[Instant]) -> usize {
    let inside = |first: usize| {
        arrived[first..].iter().take_while(|t| **t - arrived[first] <= SECOND).count()
    };
    (0..arrived.len()).map(inside).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn two_lists_are_read_as_one(
        mut arrivals in prop::collection::vec(0_u64..40, 0..12),
        mut left in prop::collection::vec(0_u64..40, 0..12),
        from in 0_usize..12,
    ) {
        arrivals.sort_unstable();
        left.sort_unstable();
        let start = origin();
        let at = |ms: &u64| start + *ms * MS_U;
        let (arrivals, left): (VecDeque<_>, VecDeque<_>) =
            (arrivals.iter().map(at).collect(), left.iter().map(at).collect());
        let from = from.min(left.len());
        let counted = left.iter().skip(from).map(|left| *left + JITTER);
        let mut all: Vec<_> = arrivals.iter().copied().chain(counted).collect();
        all.sort();
        let merged = Merged { arrivals: &arrivals, left: &left, from };
        prop_assert_eq!(merged.len(), all.len());
        for index in 0..=all.len() {
            prop_assert_eq!(merged.nth(index), all.get(index).copied());
        }
        for ms in 0..50 {
            let until = all.iter().filter(|other| **other <= at(&ms)).count();
            prop_assert_eq!(merged.until(Some(at(&ms))), until);
        }
    }

    /// A network that stands still for up to a second, and lets everything through at once; for the
    /// rest it stays within the margin.
    #[test]
    fn nor_where_everything_stands_still_for_a_while(
        limit in 1_u32..12,
        freeze in 0_u64..950,
        ways in ways(3, 2),
    ) {
        let ways: Vec<_> = ways.into_iter().map(|way| Way { connect: 0, ..way }).collect();
        prop_assert!(largest(&simulate(limit, &ways, 1000..1000 + freeze)) <= limit as usize);
    }

    /// Connections take their time, and answers are here within the doubt: certain.
    #[test]
    fn no_sliding_window_at_the_upstream_ever_holds_more_than_the_limit(
        limit in 1_u32..20,
        ways in ways(5, 5),
    ) {
        prop_assert!(largest(&simulate(limit, &ways, 0..0)) <= limit as usize);
    }

    /// A slow upstream, and a network that delays by less than the margin.
    #[test]
    fn nor_where_answers_take_long_and_the_network_jitters_within_the_margin(
        limit in 1_u32..20,
        latency in 50_u64..400,
        ways in ways(5, 0),
    ) {
        let ways: Vec<_> = ways.into_iter().map(|way| Way { back: latency, ..way }).collect();
        prop_assert!(largest(&simulate(limit, &ways, 0..0)) <= limit as usize);
    }

    #[test]
    fn the_estimate_for_a_queue_is_when_each_really_leaves(
        limit in 1_u32..8,
        allowed in 1_usize..8,
        before in 0_usize..8,
        waiting in 1_usize..40,
    ) {
        let mut guard = window(limit, SECOND);
        let start = origin();
        for _ in 0..before.min(allowed) {
            go(&mut guard, start);
        }
        let estimates: Vec<_> = (0..waiting).map(|n| guard.earliest(allowed, n, start)).collect();
        let mut now = start;
        for estimate in estimates {
            prop_assert_eq!(guard.earliest(allowed, 0, now), estimate);
            let before = estimate.checked_sub(Duration::from_nanos(1)).unwrap();
            prop_assert!(estimate <= now || guard.earliest(allowed, 0, before) > before);
            now = estimate;
            go(&mut guard, now);
        }
    }
}
