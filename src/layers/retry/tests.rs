use http::{HeaderMap, Method};
use tower::retry::budget::TpsBudget;

use super::*;
use crate::layers::limit::LimitLayer;
use crate::layers::testing::{Answer, Fake, Rig, SECOND, answer, code, label, send, text};
use crate::policy::credential::AuthScheme;
use crate::secret::Secret;
use crate::upstream::{Detail, Phase, UpstreamError};

/// The first calls fail as told, the others succeed; every answer says by which token.
fn failing(times: usize, reply: impl Fn() -> Answer + Send + Sync + 'static) -> Fake<FetchRequest> {
    Fake::new(move |n, request: FetchRequest| {
        let mut headers = HeaderMap::new();
        let generation = request.route.upstream.credential.apply(&mut headers).unwrap();
        let outcome = if n < times { reply() } else { Ok(answer(200, &[], "well")) };
        std::future::ready(outcome.map(|mut answer| {
            answer.extensions_mut().insert(generation);
            answer
        }))
    })
}

fn lost() -> Answer {
    Err(UpstreamError::Timeout(Phase::Connect).into())
}

fn retries(rig: &Rig) -> u64 {
    rig.counted("weir_retries_total{upstream=\"zoom\"}")
}

#[tokio::test(start_paused = true)]
async fn what_may_have_left_is_repeated_if_it_is_idempotent_and_only_where_it_may_help() {
    type Reply = fn() -> Answer;
    let busy = || Ok(answer(503, &[], "busy"));
    let broken = || Ok(answer(500, &[], "broken"));
    let slow = || Err(UpstreamError::Timeout(Phase::FirstByte).into());
    let distrusted = || Err(UpstreamError::Tls(Detail::of(&std::io::Error::other("who?"))).into());
    let down = || Err(UpstreamError::Down { retry_after: SECOND }.into());
    let cases: [(Reply, Method, usize, bool); 17] = [
        (busy, Method::GET, 1, true),
        (lost, Method::GET, 1, true),
        (busy, Method::DELETE, 1, true),
        (busy, Method::POST, 1, false),
        (lost, Method::PATCH, 1, false),
        (broken, Method::GET, 1, false),
        (slow, Method::GET, 1, false),
        (distrusted, Method::GET, 1, false),
        // What has certainly not left may go elsewhere.
        (lost, Method::GET, 2, true),
        (lost, Method::PATCH, 2, true),
        (lost, Method::POST, 2, true),
        (distrusted, Method::GET, 2, true),
        (distrusted, Method::POST, 2, true),
        (down, Method::POST, 2, false),
        (busy, Method::POST, 2, false),
        (slow, Method::POST, 2, false),
        (broken, Method::POST, 2, false),
    ];
    for (reply, method, replicas, again) in cases {
        let rig = Rig::with(|setup| setup.replicas = replicas);
        let fake = failing(1, reply);
        let outcome = send(&RetryLayer.layer(fake.clone()), rig.fetch(method)).await;
        assert_eq!((fake.calls(), retries(&rig)), (1 + usize::from(again), u64::from(again)));
        match outcome {
            Ok(answer) if again => assert_eq!(text(answer).await, "well"),
            outcome => assert_eq!(code(&outcome), code(&reply())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_figure_bounds_the_attempts_and_the_last_answer_is_passed_on() {
    for max_retries in [0, 1, 3] {
        let rig = Rig::with(|setup| setup.max_retries = max_retries);
        let fake = failing(100, || Ok(answer(503, &[], "busy")));
        let passed = send(&RetryLayer.layer(fake.clone()), rig.fetch(Method::GET)).await.unwrap();
        assert_eq!(fake.calls(), 1 + max_retries as usize);
        assert_eq!((passed.status().as_u16(), text(passed).await.as_str()), (503, "busy"));
    }
}

#[tokio::test(start_paused = true)]
async fn all_retries_together_are_a_share_of_all_requests() {
    let rig = Rig::with(|setup| setup.retry_budget = TpsBudget::new(10 * SECOND, 0, 0.2));
    let fake = failing(1000, || Ok(answer(503, &[], "busy")));
    let retry = RetryLayer.layer(fake.clone());
    for _ in 0..20 {
        let passed = send(&retry, rig.fetch(Method::GET)).await.unwrap();
        assert_eq!(text(passed).await, "busy");
    }
    assert_eq!((fake.calls(), retries(&rig)), (24, 4));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_renewed_once() {
    let jwt = || AuthScheme::Jwt {
        key: Secret::new("key"),
        secret: Secret::new("secret"),
        lifetime: 3600 * SECOND,
    };
    let fixed = || AuthScheme::Bearer { token: Secret::new("token") };
    let unauthorized = || Ok(answer(401, &[], "who are you"));
    let cases: [(AuthScheme, usize, Method, usize, u16); 6] = [
        (jwt(), 1, Method::GET, 2, 200),
        (jwt(), 1, Method::POST, 2, 200),
        (jwt(), 100, Method::GET, 2, 401),
        (fixed(), 100, Method::GET, 1, 401),
        (AuthScheme::None, 100, Method::GET, 1, 401),
        (jwt(), 0, Method::GET, 1, 200),
    ];
    for (auth, times, method, calls, status) in cases {
        let kind = auth.kind();
        // It is not charged to the retries.
        let rig = Rig::with(|setup| (setup.auth, setup.max_retries) = (auth, 0));
        let token = || rig.upstream().credential.apply(&mut HeaderMap::new()).unwrap();
        let before = token();
        let fake = failing(times, unauthorized);
        let passed = send(&RetryLayer.layer(fake.clone()), rig.fetch(method)).await.unwrap();
        assert_eq!((fake.calls(), passed.status().as_u16()), (calls, status), "{kind} {times}");
        let used = *passed.extensions().get::<Generation>().unwrap();
        assert_eq!(used != before, calls == 2, "the second attempt has a token of its own");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_pays() {
    let rig = Rig::new();
    let fake = failing(1, || Ok(answer(503, &[], "busy")));
    let stack = RetryLayer.layer(LimitLayer::new(rig.clock.clone()).layer(fake.clone()));
    assert_eq!(send(&stack, rig.fetch(Method::GET)).await.unwrap().status(), 200);
    assert_eq!((fake.calls(), rig.spent(), rig.left()), (2, 2, (8, 998)));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_deadline() {
    let rig = Rig::with(|setup| {
        (setup.max_retries, setup.label) = (100, Some(label(1, 60 * SECOND)));
        setup.retry_budget = TpsBudget::new(10 * SECOND, 100, 0.2);
    });
    let fake = failing(1000, || Ok(answer(503, &[], "busy")));
    let limit = LimitLayer::new(rig.clock.clone()).layer(fake.clone());
    let cache = rig.cached(RetryLayer.layer(limit));
    let (mut request, start) = (rig.get(), rig.clock.now());
    request.deadline = start + 3 * SECOND;
    let outcome = send(&cache, request).await;
    // The fourth token would come at 3.06 s, and that is known at 2.04 s.
    assert_eq!(code(&outcome), "rate-second");
    assert!(rig.clock.now() < start + 3 * SECOND);
    assert_eq!((fake.calls(), rig.spent()), (3, 3));

    let hanging = Fake::new(|_, _: FetchRequest| async {
        tokio::time::sleep(2 * SECOND).await;
        lost()
    });
    let cache = rig.cached(RetryLayer.layer(hanging.clone()));
    let (mut request, start) = (rig.get(), rig.clock.now());
    request.deadline = start + 5 * SECOND;
    assert_eq!(code(&send(&cache, request).await), "deadline");
    assert_eq!(rig.clock.now(), start + 5 * SECOND);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(hanging.calls(), 3, "and none is made behind its back");
}

#[tokio::test(start_paused = true)]
async fn an_answer_tells_what_all_its_attempts_have_cost() {
    let cost = async |rig: &Rig, reply: fn() -> Answer| {
        let limit = LimitLayer::new(rig.clock.clone()).layer(failing(1, reply));
        let answer = send(&RetryLayer.layer(limit), rig.fetch(Method::GET)).await.unwrap();
        answer.extensions().get::<Spent>().copied()
    };
    let busy = || Ok(answer(503, &[], "busy"));
    let well = || Ok(answer(200, &[], "well"));
    let cases: [(fn() -> Answer, u32); 3] = [(well, 1), (busy, 2), (lost, 1)];
    for (reply, tokens) in cases {
        assert_eq!(cost(&Rig::new(), reply).await, Some(Spent(tokens)));
        let free = Rig::with(|setup| setup.label = None);
        assert_eq!(cost(&free, reply).await, None, "nothing is limited");
    }
}

#[test]
fn a_lost_attempt_has_cost_a_token_if_it_may_have_arrived() {
    for (phase, tokens) in [(Phase::Connect, 0), (Phase::FirstByte, 1), (Phase::Body, 1)] {
        let outcome = Err(UpstreamError::Timeout(phase).into());
        assert_eq!((cost(&outcome, true), cost(&outcome, false)), (tokens, 0));
    }
    assert_eq!(cost(&Err(GatewayError::Abandoned), true), 0);
}
