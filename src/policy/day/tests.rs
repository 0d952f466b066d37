use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::policy::endpoint::{Priority, Weight};
use crate::policy::quota::PoolId;
use crate::policy::share::{Percent, Reserve};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

const TODAY: u64 = 86_400 * 3;
const NOON: u64 = TODAY + 43_200;
const MIDNIGHT: u64 = TODAY + 86_400;

fn pool(per_day: u32) -> PoolSpec {
    PoolSpec {
        id: PoolId::new("daily"),
        per_day: NonZeroU32::new(per_day).unwrap(),
        resets_at: Duration::ZERO,
        reserve: Reserve::default(),
    }
}

fn day(per_day: u32) -> DayLedger {
    DayLedger::new(&pool(per_day), at(NOON))
}

fn share(client: &str, priority: Priority, daily: Option<u16>) -> Share {
    let daily = daily.map(|tenths| Percent::from_tenths(tenths).unwrap());
    Share { client: ClientId::new(client), weight: Weight::MIN, priority, daily }
}

fn anyone() -> Share {
    share("anyone", Priority::Normal, None)
}

fn heavy() -> LabelId {
    LabelId::new("heavy")
}

fn take(day: &mut DayLedger, share: &Share, wall: SystemTime) -> Result<DayToken, Denied> {
    day.admits(share, 0, wall).map(|()| day.take(&share.client, wall))
}

/// Takes one, and its answer says so.
fn answered(day: &mut DayLedger, remaining: u32, wall: SystemTime) -> Result<Heeded, Denied> {
    let token = take(day, &anyone(), wall)?;
    day.settle(token);
    day.passed(token);
    Ok(day.heard(token, &heavy(), remaining, wall))
}

#[test]
fn a_day_ends_at_the_configured_instant() {
    for (resets_at, wall, ends) in [
        (0, TODAY + 5, MIDNIGHT),
        (0, TODAY, MIDNIGHT),
        (6, TODAY + 5, TODAY + 6 * 3600),
        (6, TODAY + 6 * 3600, MIDNIGHT + 6 * 3600),
    ] {
        let resets_at = Duration::from_secs(resets_at * 3600);
        let spec = PoolSpec { resets_at, ..pool(1) };
        assert_eq!(DayLedger::new(&spec, at(wall)).ends(), at(ends), "{resets_at:?} at {wall}");
    }
}

#[test]
fn a_new_day_begins_full_and_old_tokens_cannot_be_given_back_to_it() {
    let evening = at(MIDNIGHT - 1);
    let mut day = day(2);
    let yesterday = take(&mut day, &anyone(), evening).unwrap();
    take(&mut day, &anyone(), evening).unwrap();
    assert_eq!(take(&mut day, &anyone(), evening), Err(Denied::Spent(at(MIDNIGHT))));
    let today = take(&mut day, &anyone(), at(MIDNIGHT)).unwrap();
    day.give_back(yesterday, &anyone().client);
    assert_eq!(day.remaining(), 1);
    day.give_back(today, &anyone().client);
    assert_eq!((day.remaining(), day.spent()), (2, 0));
    assert_eq!(day.by_client()[&anyone().client], 0);
}

#[test]
fn the_upstreams_word_closes_the_day_but_never_beyond_reason() {
    for (said, opens) in [
        (None, MIDNIGHT),
        (Some(TODAY + 50_000), TODAY + 50_000),
        (Some(5), MIDNIGHT),
        (Some(NOON), NOON + 60),
        (Some(NOON - 1), NOON + 60),
        (Some(86_400 * 400), MIDNIGHT),
    ] {
        let mut day = day(10);
        day.close(said.map(at), at(NOON));
        assert_eq!(day.admits(&anyone(), 0, at(NOON)), Err(Denied::Spent(at(opens))));
        assert_eq!(day.admits(&anyone(), 0, at(opens)), Ok(()));
    }
}

#[test]
fn one_request_at_a_time_finds_out_whether_the_day_is_open_again() {
    let mut day = day(10);
    let before = take(&mut day, &anyone(), at(NOON)).unwrap();
    day.close(Some(at(NOON + 100)), at(NOON));
    day.close(Some(at(NOON + 50)), at(NOON));
    let opens = at(NOON + 100);
    assert_eq!(take(&mut day, &anyone(), at(NOON + 99)), Err(Denied::Spent(opens)));
    let probe = take(&mut day, &anyone(), opens).unwrap();
    let next = opens + PROBE_EVERY;
    assert_eq!(take(&mut day, &anyone(), opens), Err(Denied::Soon), "its answer will tell");
    day.settle(before);
    assert!(!day.passed(before), "an answer from before tells nothing");
    assert_eq!(take(&mut day, &anyone(), opens), Err(Denied::Soon));
    day.settle(probe);
    assert_eq!(take(&mut day, &anyone(), opens), Err(Denied::Spent(next)), "it was lost");
    let probe = take(&mut day, &anyone(), next).unwrap();
    assert!(day.passed(probe));
    take(&mut day, &anyone(), next).expect("open for all");
    // Closed again, and the operator knows better.
    day.close(None, next);
    assert!(day.admits(&anyone(), 0, next).is_err());
    day.reopen();
    assert_eq!((day.admits(&anyone(), 0, next), day.spent()), (Ok(()), 4));
}

#[test]
fn a_clock_set_back_does_not_make_the_day_last() {
    let mut day = DayLedger::new(&pool(10), at(86_400 * 33));
    take(&mut day, &anyone(), at(86_400 * 33)).unwrap();
    day.roll(at(TODAY));
    assert_eq!((day.ends(), day.remaining()), (at(MIDNIGHT), 9));
}

#[test]
fn the_last_part_is_kept_for_priority_and_a_client_has_no_more_than_its_share() {
    let percent = |tenths| Percent::from_tenths(tenths).unwrap();
    let reserve = Reserve { high: percent(200), normal: percent(100) };
    let mut day = DayLedger::new(&PoolSpec { reserve, ..pool(100) }, at(NOON));
    let low = share("batch", Priority::Low, None);
    let normal = share("billing", Priority::Normal, Some(60));
    let high = share("console", Priority::High, None);
    let spent = Denied::Spent(at(MIDNIGHT));
    for _ in 0..6 {
        take(&mut day, &normal, at(NOON)).unwrap();
    }
    assert_eq!(take(&mut day, &normal, at(NOON)), Err(Denied::Share(at(MIDNIGHT))));
    for _ in 6..70 {
        take(&mut day, &low, at(NOON)).unwrap();
    }
    assert_eq!(take(&mut day, &low, at(NOON)), Err(spent));
    let other = share("other", Priority::Normal, None);
    for _ in 70..80 {
        take(&mut day, &other, at(NOON)).unwrap();
    }
    assert_eq!(take(&mut day, &other, at(NOON)), Err(spent));
    assert_eq!(day.admits(&high, 19, at(NOON)), Ok(()));
    assert_eq!(day.admits(&high, 20, at(NOON)), Err(spent), "those ahead take theirs first");
    for _ in 80..100 {
        take(&mut day, &high, at(NOON)).unwrap();
    }
    assert_eq!(take(&mut day, &high, at(NOON)), Err(spent));
    assert_eq!(take(&mut day, &normal, at(MIDNIGHT)).map(|_| ()), Ok(()), "a new day");
}

#[test]
fn each_alarm_is_raised_once_a_day() {
    let mut day = day(100);
    let mut raised = Vec::new();
    for n in 1..=100 {
        take(&mut day, &anyone(), at(NOON)).unwrap();
        raised.extend(day.alarm().map(|percent| (n, percent)));
    }
    assert_eq!(raised, [(50, 50), (80, 80), (95, 95)]);
    day.roll(at(MIDNIGHT));
    assert_eq!((day.alarm_reached(), day.alarm()), (0, None));
    // What others spend raises it too, the highest at once.
    let token = take(&mut day, &anyone(), at(MIDNIGHT)).unwrap();
    day.settle(token);
    day.heard(token, &heavy(), 3, at(MIDNIGHT));
    assert_eq!((day.alarm(), day.alarm()), (Some(95), None));
}

#[test]
fn the_upstreams_count_is_followed_when_it_is_lower() {
    let mut day = day(1000);
    assert_eq!(answered(&mut day, 999, at(NOON)), Ok(Heeded::Taken));
    assert_eq!((day.remaining(), day.others()), (999, 0));
    // Others have spent 500.
    assert_eq!(answered(&mut day, 498, at(NOON)), Ok(Heeded::Taken));
    assert_eq!((day.remaining(), day.others(), day.spent()), (498, 500, 2));
    // More than ours is no news: a restart may have forgotten unspent budget.
    let mut day = DayLedger::new(&pool(1000), at(NOON));
    for _ in 0..10 {
        take(&mut day, &anyone(), at(NOON)).unwrap();
    }
    answered(&mut day, 1000, at(NOON)).unwrap();
    assert_eq!((day.remaining(), day.others()), (989, 0));
}

#[test]
fn those_under_way_are_held_ready() {
    let mut day = day(1000);
    let tokens: Vec<_> = (0..4).map(|_| take(&mut day, &anyone(), at(NOON)).unwrap()).collect();
    // The first answer: 2 are left, and whether the other three are counted in is not known.
    day.settle(tokens[0]);
    day.heard(tokens[0], &heavy(), 2, at(NOON));
    assert_eq!(day.remaining(), 0);
    assert_eq!(day.admits(&anyone(), 0, at(NOON)), Err(Denied::Soon), "their answers will tell");
    assert_eq!(day.admits(&anyone(), 3, at(NOON)), Err(Denied::Spent(at(MIDNIGHT))));
    for token in &tokens[1..] {
        day.settle(*token);
        day.settle(*token);
        day.heard(*token, &heavy(), 2, at(NOON));
    }
    assert_eq!((day.remaining(), day.admits(&anyone(), 0, at(NOON))), (2, Ok(())));
}

#[test]
fn nothing_left_at_noon_is_looked_into_and_a_liar_not_believed_again() {
    let mut day = day(30_000);
    let mut wall = at(NOON);
    assert_eq!(answered(&mut day, 0, wall), Ok(Heeded::Taken));
    assert_eq!(day.remaining(), 0);
    assert_eq!(answered(&mut day, 0, wall), Err(Denied::Spent(wall + PROBE_EVERY)));
    wall += PROBE_EVERY;
    // It lets one through: so there was something left.
    assert_eq!(answered(&mut day, 0, wall), Ok(Heeded::Distrusted));
    for _ in 0..100 {
        assert_eq!(answered(&mut day, 0, wall), Ok(Heeded::Distrusted));
    }
    assert_eq!(day.remaining(), 30_000 - 102);
    // Tomorrow it has another chance.
    assert_eq!(answered(&mut day, 29_000, at(MIDNIGHT)), Ok(Heeded::Taken));
    assert_eq!(day.remaining(), 29_000);
}

#[test]
fn nothing_left_that_is_true_closes_the_day() {
    let mut day = day(30_000);
    answered(&mut day, 0, at(NOON)).unwrap();
    let probe = at(NOON) + PROBE_EVERY;
    take(&mut day, &anyone(), probe).unwrap();
    day.close(None, probe);
    assert_eq!(take(&mut day, &anyone(), probe), Err(Denied::Spent(at(MIDNIGHT))));
}

#[test]
fn a_last_token_whose_answer_is_lost_does_not_close_the_day() {
    let mut day = day(30_000);
    assert_eq!(answered(&mut day, 1, at(NOON)), Ok(Heeded::Taken));
    let lost = take(&mut day, &anyone(), at(NOON)).unwrap();
    assert_eq!(take(&mut day, &anyone(), at(NOON)), Err(Denied::Soon));
    day.settle(lost);
    let probe = at(NOON) + PROBE_EVERY;
    assert_eq!(take(&mut day, &anyone(), at(NOON)), Err(Denied::Spent(probe)));
    // It is let through: so there was something left.
    assert_eq!(answered(&mut day, 1, probe), Ok(Heeded::Distrusted));
    assert_eq!(day.remaining(), 30_000 - 3);
}

#[test]
fn nothing_left_that_was_true_is_no_lie_when_the_day_is_open_again() {
    let mut day = day(30_000);
    answered(&mut day, 29_000, at(NOON)).unwrap();
    let refused = take(&mut day, &anyone(), at(NOON)).unwrap();
    day.settle(refused);
    day.heard(refused, &heavy(), 0, at(NOON));
    day.close(Some(at(NOON)), at(NOON));
    let opens = at(NOON + 60);
    assert_eq!(answered(&mut day, 28_000, opens), Ok(Heeded::Contradictory));
    assert_eq!(answered(&mut day, 27_000, opens), Ok(Heeded::Taken));
    assert_eq!(day.remaining(), 27_000);
}

#[test]
fn a_counter_that_does_not_count_is_found_out() {
    let mut day = day(30_000);
    let mut told = Vec::new();
    for _ in 0..200 {
        told.push(answered(&mut day, 50, at(NOON)).unwrap());
    }
    assert_eq!(told.iter().filter(|heeded| **heeded == Heeded::Contradictory).count(), 3);
    assert_eq!(told.last(), Some(&Heeded::Distrusted));
    assert_eq!(day.remaining(), 29_800);
}

#[test]
fn an_answer_that_was_overtaken_is_old_and_not_wrong() {
    let mut day = day(30_000);
    let mut left = 30_000;
    for _ in 0..100 {
        let older = take(&mut day, &anyone(), at(NOON)).unwrap();
        let newer = take(&mut day, &anyone(), at(NOON)).unwrap();
        // The older was counted before others spent 30 at once, the newer after.
        let (before, after) = (left - 1, left - 32);
        for (token, left) in [(newer, after), (older, before)] {
            day.settle(token);
            assert_eq!(day.heard(token, &heavy(), left, at(NOON)), Heeded::Taken);
        }
        left = after;
        assert!(day.remaining() <= left, "{} of {left}", day.remaining());
    }
    // One that left afterwards cannot have been counted before.
    let token = take(&mut day, &anyone(), at(NOON)).unwrap();
    day.settle(token);
    assert_eq!(day.heard(token, &heavy(), left + 30, at(NOON)), Heeded::Contradictory);
}

fn durable(per_day: u32) -> DayLedger {
    DayLedger::kept(&pool(per_day), None, at(NOON))
}

/// Brings what is due to the disk; what stands there then.
fn write(day: &mut DayLedger) -> Option<Record> {
    // Somebody asks.
    let _denied = day.admits(&anyone(), 0, at(NOON));
    let record = day.is_due().then(|| day.to_write())??;
    day.written(&record);
    Some(record)
}

#[test]
fn nothing_is_spent_that_is_not_written_down() {
    let mut day = durable(200_000);
    assert_eq!(day.block(), 100);
    assert_eq!(take(&mut day, &anyone(), at(NOON)), Err(Denied::Soon));
    let record = day.to_write().unwrap();
    assert_eq!((record.claimed, record.spent, record.ends), (100, 0, MIDNIGHT));
    assert_eq!(take(&mut day, &anyone(), at(NOON)), Err(Denied::Soon), "not there yet");
    assert_eq!(day.to_write(), None, "one at a time");
    day.written(&record);
    for n in 0..50 {
        assert!(!day.is_due(), "{n} of a block");
        take(&mut day, &anyone(), at(NOON)).unwrap();
    }
    let record = day.to_write().unwrap();
    assert_eq!((record.claimed, record.spent), (150, 50));
    for _ in 50..100 {
        take(&mut day, &anyone(), at(NOON)).unwrap();
    }
    assert_eq!(take(&mut day, &anyone(), at(NOON)), Err(Denied::Soon), "the disk is slow");
    day.written(&record);
    take(&mut day, &anyone(), at(NOON)).unwrap();
    // At midnight the record is about yesterday.
    assert_eq!(take(&mut day, &anyone(), at(MIDNIGHT)), Err(Denied::Soon));
    let record = day.is_due().then(|| day.to_write().unwrap()).unwrap();
    assert_eq!(record.ends, MIDNIGHT + 86_400);
    day.written(&record);
    take(&mut day, &anyone(), at(MIDNIGHT)).unwrap();
}

#[test]
fn a_record_of_yesterday_allows_nothing_today() {
    let mut day = durable(30_000);
    let record = day.to_write().unwrap();
    day.roll(at(MIDNIGHT));
    day.written(&record);
    assert_eq!(take(&mut day, &anyone(), at(MIDNIGHT)), Err(Denied::Soon));
    // And a restart takes nothing from it either.
    let fresh = DayLedger::kept(&pool(10), Some(&record), at(MIDNIGHT));
    assert_eq!((fresh.spent(), fresh.remaining()), (0, 10));
}

#[test]
fn a_restart_takes_the_claim_for_spent() {
    let (a, b) = (share("a", Priority::Normal, None), share("b", Priority::Normal, Some(500)));
    let mut day = durable(500);
    assert_eq!(day.block(), 5);
    for _ in 0..20 {
        write(&mut day);
        take(&mut day, &a, at(NOON)).unwrap();
        write(&mut day);
        take(&mut day, &b, at(NOON)).unwrap();
    }
    day.close(Some(at(NOON + 500)), at(NOON));
    let record = write(&mut day).expect("closing is worth a write");
    let again = DayLedger::kept(&pool(500), Some(&record), at(NOON + 1));
    assert_eq!((record.spent, again.spent()), (40, 45));
    assert!(again.by_client()[&b.client] >= 20, "no client is given any of it back");
    assert_eq!(again.closed_until(), Some(at(NOON + 500)));
    // A clean stop says it exactly.
    let last = DayLedger::kept(&pool(500), Some(&day.last_record()), at(NOON + 1));
    assert_eq!((last.spent(), last.by_client()), (40, day.by_client()));
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

#[test]
fn a_disk_that_refuses_stops_nobody_and_is_seen() {
    let mut day = durable(500);
    day.to_write().unwrap();
    day.failed();
    assert_eq!(day.keeping(), Keeping::Failing);
    for _ in 0..50 {
        take(&mut day, &anyone(), at(NOON)).unwrap();
    }
    let record = day.to_write().unwrap();
    assert_eq!((record.claimed, day.to_write()), (55, None));
    day.written(&record);
    assert_eq!(day.keeping(), Keeping::Kept);
    take(&mut day, &anyone(), at(NOON)).unwrap();
}

#[test]
fn other_figures_measure_the_same_spend() {
    let mut day = day(1000);
    for _ in 0..300 {
        take(&mut day, &anyone(), at(NOON)).unwrap();
    }
    day.change(&pool(500), at(NOON));
    assert_eq!((day.spent(), day.remaining()), (300, 200));
    day.change(&pool(100), at(NOON));
    assert_eq!(take(&mut day, &anyone(), at(NOON)), Err(Denied::Spent(at(MIDNIGHT))));
    day.change(&pool(2000), at(NOON));
    assert_eq!(day.remaining(), 1700);
    let six = PoolSpec { resets_at: Duration::from_secs(6 * 3600), ..pool(2000) };
    day.change(&six, at(NOON));
    assert_eq!((day.spent(), day.ends()), (300, at(MIDNIGHT + 6 * 3600)));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take,
    GiveBack,
    BeginWrite,
    EndWrite,
    Crash,
}

proptest! {
    /// Whatever the order of spending, giving back, writing and dying: what stands on the disk is
    /// never less than what was sent, and never more than a block above what was taken.
    #[test]
    fn a_crash_forgets_nothing_that_was_spent(
        per_day in 1_u32..60_000,
        steps in prop::collection::vec(
            prop_oneof![
                6 => Just(Step::Take), 1 => Just(Step::GiveBack), 2 => Just(Step::BeginWrite),
                2 => Just(Step::EndWrite), 1 => Just(Step::Crash),
            ],
            1..300,
        ),
    ) {
        let spec = pool(per_day);
        let mut day = DayLedger::kept(&spec, None, at(NOON));
        let (mut disk, mut writing) = (None::<Record>, None::<Record>);
        // What the upstream has seen, and what of it this process holds.
        let (mut sent, mut held) = (0, Vec::new());
        for step in steps {
            match step {
                Step::Take => {
                    if let Ok(token) = take(&mut day, &anyone(), at(NOON)) {
                        sent += 1;
                        held.push(token);
                    }
                }
                Step::GiveBack => {
                    if let Some(token) = held.pop() {
                        sent -= 1;
                        day.give_back(token, &anyone().client);
                    }
                }
                Step::BeginWrite => {
                    if day.is_due() {
                        writing = day.to_write().or(writing);
                    }
                }
                Step::EndWrite => {
                    if let Some(record) = writing.take() {
                        day.written(&record);
                        disk = Some(record);
                    }
                }
                Step::Crash => {
                    // A write under way may have arrived or not.
                    disk = if held.len() % 2 == 0 { writing.take().or(disk) } else { disk };
                    writing = None;
                    let before = day.spent();
                    day = DayLedger::kept(&spec, disk.as_ref(), at(NOON));
                    prop_assert!(day.spent() >= sent, "{} for {sent}", day.spent());
                    let above = day.spent().saturating_sub(before);
                    prop_assert!(above <= 2 * day.block() + 1, "{above} above {before}");
                    held.clear();
                }
            }
            prop_assert!(day.spent() <= per_day);
        }
    }
}

#[test]
fn what_was_taken_before_the_clock_was_set_back_can_be_given_back() {
    let wrong = at(NOON + 10 * 86_400);
    let mut day = DayLedger::new(&pool(10), wrong);
    let token = take(&mut day, &anyone(), wrong).unwrap();
    day.roll(at(NOON));
    day.give_back(token, &anyone().client);
    assert_eq!(day.spent(), 0);
}

#[test]
fn a_clock_that_is_set_back_takes_the_closed_day_with_it() {
    let wrong = at(NOON + 10 * 86_400);
    let mut day = day(10);
    day.roll(wrong);
    day.close(None, wrong);
    assert_eq!(day.admits(&anyone(), 0, at(NOON)), Err(Denied::Spent(at(MIDNIGHT))));
    day.admits(&anyone(), 0, at(MIDNIGHT)).unwrap();
    // And so with one that was finding out.
    let mut day = DayLedger::new(&pool(10), wrong);
    day.close(Some(wrong + Duration::from_secs(1)), wrong);
    let probe = take(&mut day, &anyone(), wrong + Duration::from_secs(1)).unwrap();
    day.settle(probe);
    assert_eq!(day.admits(&anyone(), 0, at(NOON)), Err(Denied::Spent(at(NOON) + PROBE_EVERY)));
}

#[test]
fn a_crash_forgets_nothing_of_a_client_that_no_record_names_yet() {
    let quarter = share("quarter", Priority::Normal, Some(250));
    let mut record = None;
    let mut spent = 0;
    for _ in 0..2 {
        let mut day = DayLedger::kept(&pool(20_000), record.as_ref(), at(NOON));
        let written = day.to_write().unwrap();
        day.written(&written);
        while take(&mut day, &quarter, at(NOON)).is_ok() {
            spent += 1;
        }
        // Dies before anything else is written down.
        record = Some(written);
    }
    assert_eq!(spent, 32, "two blocks");
    let mut day = DayLedger::kept(&pool(20_000), record.as_ref(), at(NOON));
    day.claim = Claim::Off;
    while take(&mut day, &quarter, at(NOON)).is_ok() {
        spent += 1;
    }
    assert_eq!(spent, 5000, "its share, over all");
    day.roll(at(MIDNIGHT));
    assert_eq!(day.last_record().unnamed, 0);
}

#[test]
fn a_clock_that_jumps_over_midnight_and_back_finds_the_day_as_it_was() {
    let mut day = day(10);
    for _ in 0..7 {
        take(&mut day, &anyone(), at(NOON)).unwrap();
    }
    take(&mut day, &anyone(), at(MIDNIGHT + 5)).unwrap();
    assert_eq!(day.spent(), 1);
    day.roll(at(NOON + 10));
    assert_eq!((day.ends(), day.spent()), (at(MIDNIGHT), 8));
    assert_eq!(day.by_client()[&anyone().client], 8);
    for _ in 8..10 {
        take(&mut day, &anyone(), at(NOON + 10)).unwrap();
    }
    assert_eq!(take(&mut day, &anyone(), at(NOON + 10)), Err(Denied::Spent(at(MIDNIGHT))));
    take(&mut day, &anyone(), at(MIDNIGHT)).expect("the real midnight");
}

#[test]
fn who_starts_again_and_again_claims_nothing_away() {
    let mut day = durable(30_000);
    write(&mut day).unwrap();
    take(&mut day, &anyone(), at(NOON)).unwrap();
    let mut record = day.to_write().unwrap();
    for _ in 0..100 {
        let mut day = DayLedger::kept(&pool(30_000), Some(&record), at(NOON));
        assert!(!day.is_due(), "nobody has asked");
        // And if something else is worth a write, it claims no more than the half of a block.
        day.close(Some(at(NOON + 60)), at(NOON));
        record = day.last_record();
    }
    assert_eq!(record.claimed, 17, "what the one crash has cost");
}

#[test]
fn what_the_day_would_pay_for_is_known_before_it_is_spent() {
    let spent = |mut spec: PoolSpec, times: u32, reserve: Reserve| {
        spec.reserve = reserve;
        let mut day = DayLedger::new(&spec, at(NOON));
        for _ in 0..times {
            let token = day.take(&ClientId::new("anyone"), at(NOON));
            day.settle(token);
        }
        day
    };
    let tenth = Percent::from_tenths(100).unwrap();
    let kept = Reserve { high: tenth, normal: Percent::default() };
    for (reserve, who, count, pays) in [
        (Reserve::default(), anyone(), 6, Ok(())),
        (Reserve::default(), anyone(), 7, Err(Denied::Spent(at(MIDNIGHT)))),
        (Reserve::default(), anyone(), u32::MAX, Err(Denied::Spent(at(MIDNIGHT)))),
        (kept, anyone(), 4, Ok(())),
        (kept, anyone(), 5, Err(Denied::Spent(at(MIDNIGHT)))),
        (kept, share("anyone", Priority::High, None), 6, Ok(())),
        (Reserve::default(), share("anyone", Priority::Normal, Some(800)), 2, Ok(())),
        (
            Reserve::default(),
            share("anyone", Priority::Normal, Some(800)),
            3,
            Err(Denied::Share(at(MIDNIGHT))),
        ),
        (Reserve::default(), share("another", Priority::Normal, Some(200)), 4, Ok(())),
    ] {
        let mut day = spent(pool(20), 14, reserve);
        assert_eq!(day.pays(&who, count, at(NOON)), pays, "{count} of {who:?}");
        assert_eq!(day.remaining(), 6, "nothing is taken");
        assert_eq!(day.pays(&who, count, at(MIDNIGHT)).is_ok(), count <= 18, "another day");
    }
    let mut closed = spent(pool(20), 14, Reserve::default());
    closed.close(Some(at(NOON + 60)), at(NOON));
    assert_eq!(closed.pays(&anyone(), 1, at(NOON)), Err(Denied::Spent(at(NOON + 60))));
    // Others have spent four by the upstream's count.
    let mut others = spent(pool(20), 13, Reserve::default());
    assert_eq!(answered(&mut others, 2, at(NOON)), Ok(Heeded::Taken));
    assert_eq!(others.pays(&anyone(), 2, at(NOON)), Ok(()));
    assert_eq!(others.pays(&anyone(), 3, at(NOON)), Err(Denied::Spent(at(MIDNIGHT))));
}
