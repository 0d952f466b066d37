use super::*;

const SECOND: Duration = Duration::from_secs(1);
const RULES: Rules = Rules { failures: 3, open: SECOND, open_max: Duration::from_secs(3) };

/// A row of failures, and whether they open it.
fn opens(row: &[Blame], company: Company) -> bool {
    let (mut breaker, now) = (Breaker::default(), now());
    for blame in row {
        breaker.failed(*blame, company, Role::Regular, &RULES, now);
    }
    !breaker.is_closed()
}

#[expect(clippy::disallowed_methods, reason = "any instant does")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[test]
fn where_there_is_no_other_the_pause_has_a_shorter_end() {
    let rules = Rules { open_max: Duration::from_secs(60), ..RULES };
    for (company, longest) in [(Company::Alone, 10), (Company::Others, 60)] {
        let (mut breaker, mut at) = (Breaker::default(), now());
        let mut last = Duration::ZERO;
        for _ in 0..3 {
            breaker.failed(Blame::Absent, company, Role::Regular, &rules, at);
        }
        for _ in 0..10 {
            breaker.probes(at);
            at += SECOND;
            if let Turn::Opened(span) =
                breaker.failed(Blame::Absent, company, Role::Probe, &rules, at)
            {
                last = span;
            }
        }
        assert_eq!(last, Duration::from_secs(longest), "{company:?}");
    }
}

#[test]
fn alone_it_must_be_absent_and_among_others_any_failure_counts() {
    use Blame::{Absent, Faulty};
    for (row, alone, others) in [
        (&[Absent, Absent][..], false, false),
        (&[Absent, Absent, Absent][..], true, true),
        (&[Faulty, Faulty, Faulty][..], false, true),
        (&[Absent, Absent, Faulty][..], false, true),
        (&[Faulty, Absent, Absent, Absent][..], true, true),
    ] {
        assert_eq!(opens(row, Company::Alone), alone, "{row:?}");
        assert_eq!(opens(row, Company::Others), others, "{row:?}");
    }
}

#[test]
fn one_probe_finds_out_and_waits_double_up_to_the_most() {
    let (mut breaker, mut at) = (Breaker::default(), now());
    let fail = |breaker: &mut Breaker, role, at| {
        breaker.failed(Blame::Absent, Company::Alone, role, &RULES, at)
    };
    fail(&mut breaker, Role::Regular, at);
    fail(&mut breaker, Role::Regular, at);
    assert_eq!(fail(&mut breaker, Role::Regular, at), Turn::Opened(SECOND));
    for span in [1, 2, 3, 3] {
        assert_eq!(fail(&mut breaker, Role::Regular, at), Turn::None, "a straggler");
        let until = at + span * SECOND;
        assert_eq!(
            breaker.admits(Company::Alone, Risk::Once, &RULES, until - SECOND / 2),
            Admission::Not(until)
        );
        assert_eq!(breaker.admits(Company::Alone, Risk::Once, &RULES, until), Admission::Probe);
        breaker.probes(until);
        assert_eq!(
            breaker.admits(Company::Alone, Risk::Once, &RULES, until),
            Admission::Not(until + WHILE_PROBING)
        );
        at = until;
        let longer = (2 * span * SECOND).min(3 * SECOND);
        assert_eq!(fail(&mut breaker, Role::Probe, at), Turn::Opened(longer));
    }
    breaker.probes(at);
    breaker.released(at);
    assert_eq!(
        breaker.admits(Company::Alone, Risk::Once, &RULES, at),
        Admission::Probe,
        "it came to nothing"
    );
    breaker.probes(at);
    assert_eq!(breaker.succeeded(), Turn::Closed);
    assert_eq!(breaker.succeeded(), Turn::None);
    assert_eq!(breaker.admits(Company::Alone, Risk::Once, &RULES, at), Admission::Go);
}

#[test]
fn a_probe_that_takes_long_holds_nobody_up_who_has_nowhere_else_to_go() {
    use Admission::{Not, Probe};
    let (mut breaker, at) = (Breaker::default(), now());
    breaker.probes(at);
    let (soon, later) = (at + WHILE_PROBING / 2, at + WHILE_PROBING);
    for (company, now, expected) in [
        (Company::Alone, soon, Not(later)),
        (Company::Alone, later, Probe),
        (Company::Others, soon, Not(soon + WHILE_PROBING)),
        (Company::Others, later, Not(later + WHILE_PROBING)),
    ] {
        assert_eq!(breaker.admits(company, Risk::Once, &RULES, now), expected, "{company:?}");
    }
    // One a second, however many wait.
    breaker.probes(later);
    assert_eq!(
        breaker.admits(Company::Alone, Risk::Once, &RULES, later),
        Not(later + WHILE_PROBING)
    );
    assert_eq!(breaker.succeeded(), Turn::Closed, "whichever of them has an answer");
}

#[test]
fn among_others_only_what_may_be_repeated_finds_out_unless_nothing_else_comes() {
    use Admission::{Not, Probe};
    let (mut breaker, at) = (Breaker::default(), now());
    for _ in 0..3 {
        breaker.failed(Blame::Absent, Company::Others, Role::Regular, &RULES, at);
    }
    let (due, at_last) = (at + SECOND, at + 4 * SECOND);
    for (company, method, now, expected) in [
        (Company::Others, Method::GET, at, Not(due)),
        (Company::Others, Method::GET, due, Probe),
        (Company::Others, Method::DELETE, due, Probe),
        (Company::Others, Method::POST, due, Not(at_last)),
        (Company::Others, Method::PATCH, at_last - SECOND, Not(at_last)),
        (Company::Others, Method::PATCH, at_last, Probe),
        (Company::Alone, Method::POST, at, Not(due)),
        (Company::Alone, Method::POST, due, Probe),
    ] {
        let admitted = breaker.admits(company, Risk::of(&method), &RULES, now);
        assert_eq!(admitted, expected, "{company:?} {method}");
    }
}

#[test]
fn whoever_is_alone_now_was_not_left_alone_for_longer_than_that_is_done() {
    use Admission::{Not, Probe};
    for (open, open_max, others, alone) in [(40, 60, 40, 40), (8, 60, 60, 10), (1, 4, 4, 4)] {
        let (open, open_max) = (open * SECOND, open_max * SECOND);
        let rules = Rules { failures: 1, open, open_max };
        let (mut breaker, at) = (Breaker::default(), now());
        breaker.failed(Blame::Absent, Company::Others, Role::Regular, &rules, at);
        for _ in 0..if others * SECOND > open { 4 } else { 0 } {
            breaker.probes(at);
            breaker.failed(Blame::Absent, Company::Others, Role::Probe, &rules, at);
        }
        for (company, span) in [(Company::Others, others), (Company::Alone, alone)] {
            let due = at + span * SECOND;
            let admitted = |now| breaker.admits(company, Risk::Repeatable, &rules, now);
            assert_eq!(admitted(due - SECOND / 2), Not(due), "{rules:?} {company:?}");
            assert_eq!(admitted(due), Probe, "{rules:?} {company:?}");
        }
        breaker.probes(at);
        breaker.released(at);
        assert_eq!(breaker.admits(Company::Alone, Risk::Once, &rules, at), Probe);
    }
}

#[test]
fn a_success_begins_the_row_anew() {
    let (mut breaker, at) = (Breaker::default(), now());
    for _ in 0..9 {
        for _ in 0..2 {
            let turn = breaker.failed(Blame::Absent, Company::Alone, Role::Regular, &RULES, at);
            assert_eq!(turn, Turn::None);
        }
        breaker.succeeded();
    }
}
