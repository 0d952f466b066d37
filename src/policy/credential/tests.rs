use proptest::prelude::*;

use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
fn some_instant() -> Instant {
    Instant::now()
}

fn at(n: u64) -> SystemTime {
    UNIX_EPOCH + secs(n)
}

#[test]
fn claims_are_backdated_and_bounded() {
    let key = Secret::new("the-key");
    for (lifetime, exp) in [(3600, 13_600), (1, 10_060), (1_000_000, 10_000 + 48 * 3600)] {
        let claims = JwtClaims::new(&key, secs(lifetime), at(10_000));
        let json = serde_json::to_value(&claims).unwrap();
        assert_eq!(json, serde_json::json!({"iss": "the-key", "iat": 9_940, "exp": exp}));
        assert!(!format!("{claims:?}").contains("the-key"));
    }
}

#[test]
fn a_token_is_renewed_at_four_fifths_with_a_minute_left_where_it_lives_long_enough() {
    for (lifetime, renew, ends) in [
        (3600, 2880, 3590),
        (300, 240, 290),
        (200, 140, 190),
        (120, 60, 110),
        (100, 50, 90),
        (60, 30, 54),
    ] {
        let life = TokenLife::minted(secs(lifetime), at(1_000));
        for (age, state) in [
            (0, TokenState::Fresh),
            (renew - 1, TokenState::Fresh),
            (renew, TokenState::RenewSoon),
            (ends - 1, TokenState::RenewSoon),
            (ends, TokenState::Expired),
            (lifetime, TokenState::Expired),
        ] {
            assert_eq!(life.state(at(1_000 + age)), state, "{lifetime} s at {age} s");
        }
    }
}

#[test]
fn jitter_moves_the_renewal_around_four_fifths() {
    let renews_by = |jitter, age| {
        TokenLife::fetched(secs(1_000), jitter, at(0)).state(at(age)) == TokenState::RenewSoon
    };
    for (jitter, age) in [(0.0, 750), (0.5, 800), (1.0, 850), (f64::NAN, 750), (7.0, 850)] {
        assert!(!renews_by(jitter, age - 1), "{jitter}");
        assert!(renews_by(jitter, age), "{jitter}");
    }
}

#[test]
fn a_clock_set_back_ends_a_token() {
    let life = TokenLife::minted(secs(3600), at(10_000));
    assert_eq!(life.state(at(9_940)), TokenState::Fresh);
    assert_eq!(life.state(at(9_939)), TokenState::Expired);
}

#[test]
fn pauses_double_up_to_a_bound() {
    let now = some_instant();
    let mut failed = FailedRenewal::after(None, 0.0, now);
    let mut pauses = vec![failed.pause.as_secs()];
    for _ in 0..6 {
        failed = FailedRenewal::after(Some(&failed), 0.0, now);
        pauses.push(failed.pause.as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(FailedRenewal::after(Some(&failed), 1.0, now).pause, secs(15));
}

#[test]
fn what_a_caller_does() {
    let start = some_instant();
    let once = FailedRenewal::after(None, 0.0, start);
    let often = (0..9).fold(once, |failed, _| FailedRenewal::after(Some(&failed), 0.0, start));
    for (token, failed, age, plan) in [
        (TokenState::Fresh, None, 0, TokenPlan::Use),
        (TokenState::Fresh, Some(&often), 0, TokenPlan::Use),
        (TokenState::RenewSoon, None, 0, TokenPlan::UseAndRenew),
        (TokenState::RenewSoon, Some(&once), 999, TokenPlan::Use),
        (TokenState::RenewSoon, Some(&once), 1_000, TokenPlan::UseAndRenew),
        (TokenState::RenewSoon, Some(&often), 29_999, TokenPlan::Use),
        (TokenState::RenewSoon, Some(&often), 30_000, TokenPlan::UseAndRenew),
        (TokenState::Expired, None, 0, TokenPlan::Await),
        (TokenState::Expired, Some(&often), 999, TokenPlan::Refuse),
        (TokenState::Expired, Some(&often), 1_000, TokenPlan::Await),
    ] {
        let now = start + Duration::from_millis(age);
        assert_eq!(TokenPlan::of(token, failed, now), plan, "{token:?} {failed:?} {age}");
    }
}

proptest! {
    #[test]
    fn no_token_is_used_at_its_end_and_each_is_renewed_before(
        millis in 1_u64..=200_000_000,
        jitter in 0.0..=1.0,
        age in 0.0..1.2_f64,
    ) {
        let lifetime = Duration::from_millis(millis);
        let begins = at(1_700_000_000);
        let life = TokenLife::fetched(lifetime, jitter, begins);
        let state = life.state(begins + lifetime.mul_f64(age));
        if age >= 1.0 {
            prop_assert_eq!(state, TokenState::Expired);
        }
        if age < 0.49 {
            prop_assert_eq!(state, TokenState::Fresh);
        }
        if state == TokenState::Fresh && lifetime >= secs(120) {
            prop_assert!(lifetime.mul_f64(age) + secs(59) <= lifetime);
        }
        prop_assert!(life.renew < life.ends && life.begins <= life.renew);
    }

    #[test]
    fn claims_are_always_about_now(lifetime in any::<u32>(), now in 0_u64..4_000_000_000) {
        let key = Secret::new("k");
        let claims = JwtClaims::new(&key, secs(u64::from(lifetime)), at(now));
        prop_assert!(claims.iat <= now && claims.iat + 60 >= now);
        prop_assert!(claims.exp >= now + 60 && claims.exp <= now + 48 * 3600);
        let life = TokenLife::minted(secs(u64::from(lifetime)), at(now));
        prop_assert_eq!(life.state(at(claims.exp)), TokenState::Expired);
        prop_assert_eq!(life.state(at(now)), TokenState::Fresh);
    }
}
