use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Method;
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_body_util::StreamBody;

use super::*;
use crate::layers::testing::settle;
use crate::layers::testing::{
    Answer, Fake, Rig, SECOND, answer, code, field, label, send, start, text,
};
use crate::policy::credential::{AuthScheme, Grant};
use crate::policy::window::TICK;
use crate::secret::Secret;
use crate::store::credential::AuthError;
use crate::store::limiter::Reason;
use crate::upstream::{Phase, UpstreamError};

mod scenario;

fn limit(rig: &Rig, inner: &Fake<FetchRequest>) -> Limit<Fake<FetchRequest>> {
    LimitLayer::new(rig.clock.clone()).layer(inner.clone())
}

fn always(reply: impl Fn() -> Answer + Send + Sync + 'static) -> Fake<FetchRequest> {
    Fake::new(move |_, _| std::future::ready(reply()))
}

fn refusing(per_second: u32) -> Rig {
    Rig::with(|setup| setup.label = Some(label(per_second, Duration::ZERO)))
}

#[tokio::test(start_paused = true)]
async fn a_token_is_spent_if_the_request_may_have_arrived_and_else_given_back() {
    type Reply = fn() -> Answer;
    let cases: [(Reply, u32); 7] = [
        (|| Ok(answer(200, &[], "")), 1),
        (|| Ok(answer(500, &[], "")), 1),
        (|| Err(UpstreamError::Timeout(Phase::FirstByte).into()), 1),
        (|| Err(UpstreamError::Timeout(Phase::Body).into()), 1),
        (|| Err(UpstreamError::Timeout(Phase::Connect).into()), 0),
        (|| Err(AuthError::NotReady.into()), 0),
        (|| Err(GatewayError::BadPath("too long")), 0),
    ];
    for (reply, spent) in cases {
        let rig = Rig::new();
        let fake = always(reply);
        let outcome = send(&limit(&rig, &fake), rig.fetch(Method::GET)).await;
        assert_eq!(code(&outcome), code(&reply()));
        assert_eq!((fake.calls(), rig.spent()), (1, u64::from(spent)), "{outcome:?}");
        assert_eq!(rig.left(), (10 - spent as usize, 1000 - spent), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_in_the_queue_spends_nothing() {
    let rig = Rig::with(|setup| setup.label = Some(label(1, 5 * SECOND)));
    let fake = always(|| Ok(answer(200, &[], "")));
    let limit = limit(&rig, &fake);
    send(&limit, rig.fetch(Method::GET)).await.unwrap();
    let queued = start(&limit, rig.fetch(Method::GET));
    settle().await;
    queued.abort();
    assert!(queued.await.unwrap_err().is_cancelled());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!((fake.calls(), rig.spent(), rig.left()), (1, 1, (1, 999)));
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_nobody_waits_for_leaves_the_queue_and_one_that_somebody_does_stays() {
    for (hang_up, calls) in [(2, 1), (1, 2)] {
        let rig = Rig::with(|setup| setup.label = Some(label(1, 5 * SECOND)));
        let fake = always(|| Ok(answer(200, &[], "")));
        let cache = rig.cached(limit(&rig, &fake));
        send(&cache, rig.get()).await.unwrap();
        let waiting: Vec<_> = (0..2).map(|_| start(&cache, rig.ask(Method::GET, "b"))).collect();
        settle().await;
        waiting.iter().take(hang_up).for_each(tokio::task::JoinHandle::abort);
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!((fake.calls(), rig.spent()), (calls, calls as u64), "{hang_up} hung up");
    }
}

/// Leaves at once, if told to, and is answered after a second.
fn slow(leaves: bool) -> Fake<FetchRequest> {
    Fake::new(move |_, request: FetchRequest| async move {
        if leaves {
            request.departure.unwrap().now();
        }
        tokio::time::sleep(SECOND).await;
        Ok(answer(200, &[("x-ratelimit-limit", "1000"), ("x-ratelimit-remaining", "700")], ""))
    })
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_before_the_request_has_left_costs_nothing() {
    let rig = Rig::new();
    let fake = slow(false);
    let mut pending = limit(&rig, &fake).call(rig.fetch(Method::GET));
    assert!((&mut pending).now_or_never().is_none());
    assert_eq!((fake.calls(), rig.left()), (1, (9, 999)));
    drop(pending);
    assert_eq!((rig.spent(), rig.left()), (0, (10, 1000)));
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_after_the_request_has_left_has_spent_its_token_and_is_not_needed_any_more() {
    let rig = Rig::new();
    let fake = slow(true);
    let mut pending = limit(&rig, &fake).call(rig.fetch(Method::GET));
    assert!((&mut pending).now_or_never().is_none());
    drop(pending);
    assert_eq!((fake.calls(), rig.spent(), rig.left()), (1, 0, (9, 999)), "still under way");
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!((rig.spent(), rig.left()), (1, (10, 700)), "and its answer was heard");
}

#[tokio::test(start_paused = true)]
async fn so_many_abandoned_requests_go_on_and_one_more_is_broken_off_at_the_price_of_its_token() {
    const ROOM: usize = 2;
    let room = Arc::new(Semaphore::new(ROOM));
    let rig = Rig::new();
    let fake = slow(true);
    let layer = LimitLayer { clock: rig.clock.clone(), abandoned: Arc::clone(&room) };
    let limit = layer.layer(fake.clone());
    for round in 1..=2 {
        let gone = round * (ROOM as u64 + 1);
        let mut pending: Vec<_> =
            (0..=ROOM).map(|_| limit.clone().call(rig.fetch(Method::GET))).collect();
        for one in &mut pending {
            assert!(one.now_or_never().is_none());
        }
        drop(pending);
        assert_eq!((fake.calls() as u64, room.available_permits()), (gone, 0));
        assert_eq!(rig.spent(), gone - ROOM as u64, "one is over, and paid for");
        tokio::time::sleep(3 * SECOND).await;
        assert_eq!(rig.spent(), gone, "exactly one token each");
        assert_eq!(room.available_permits(), ROOM, "those that had room have ended");
    }
    assert_eq!(LimitLayer::new(rig.clock.clone()).abandoned.available_permits(), MAX_ABANDONED);
}

#[tokio::test(start_paused = true)]
async fn a_panic_below_counts_if_the_request_had_left() {
    for leaves in [true, false] {
        let rig = Rig::new();
        let fake = Fake::new(move |_, request: FetchRequest| async move {
            if leaves {
                request.departure.unwrap().now();
            }
            panic!("broken")
        });
        assert!(start(&limit(&rig, &fake), rig.fetch(Method::GET)).await.unwrap_err().is_panic());
        settle().await;
        let (spent, left) = if leaves { (1, (9, 999)) } else { (0, (10, 1000)) };
        assert_eq!((rig.spent(), rig.left()), (spent, left));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_waited_for_and_the_wait_is_told() {
    let rig = Rig::with(|setup| setup.label = Some(label(1, 5 * SECOND)));
    let limit = limit(&rig, &always(|| Ok(answer(200, &[], ""))));
    let start = rig.clock.now();
    for wait in [Duration::ZERO, SECOND + TICK] {
        let request = rig.fetch(Method::GET);
        let record = Arc::clone(&request.record);
        send(&limit, request).await.unwrap();
        let told = record.wait().unwrap();
        assert!(told >= wait && told < wait + Duration::from_millis(5), "{told:?}");
    }
    assert!(rig.clock.now() - start >= SECOND + TICK);
    assert_eq!(rig.spent(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_when_to_come_back_and_what_is_left() {
    let rig = refusing(2);
    let fake = always(|| Ok(answer(200, &[], "")));
    let limit = limit(&rig, &fake);
    for left in [1, 0] {
        let told = send(&limit, rig.fetch(Method::GET)).await.unwrap();
        let policy = "\"heavy\";q=2;w=1, \"daily\";q=1000;w=86400";
        assert_eq!(field(&told, "ratelimit-policy"), policy);
        let current = format!("\"heavy\";r={left};t=1, \"daily\";r={};t=43200", 998 + left);
        assert_eq!(field(&told, "ratelimit"), current);
    }
    let refused = send(&limit, rig.fetch(Method::GET)).await.unwrap_err();
    let GatewayError::Limited { refused, quota } = refused else { panic!("{refused}") };
    assert_eq!((refused.reason, refused.retry_after), (Reason::Rate, SECOND + TICK));
    assert_eq!(quota.policy, "\"heavy\";q=2;w=1, \"daily\";q=1000;w=86400");
    assert_eq!(quota.current, "\"heavy\";r=0;t=1, \"daily\";r=998;t=43200");
    assert_eq!((fake.calls(), rig.spent()), (2, 2));
    let counted = "weir_limit_refused_total{upstream=\"zoom\",label=\"heavy\",client=\"console\",\
                   reason=\"rate-second\"}";
    assert_eq!(rig.counted(counted), 1);
}

const DAY: &str =
    r#"{"code":429,"message":"You have reached the maximum daily rate limit for this API."}"#;
const RATE: &str =
    r#"{"code":429,"message":"You have reached the maximum per-second rate limit for this API."}"#;
const USER: &str = r#"{"code":429,"message":"You have exceeded the daily rate limit (100) of requests permitted for this particular user."}"#;

/// What becomes of a 429, and of the request after it.
async fn after_429(
    fields: &'static [(&'static str, &'static str)],
    body: impl Fn() -> Body + Send + Sync + 'static,
) -> (Response<Body>, &'static str, Rig) {
    let rig = refusing(10);
    let limit = limit(&rig, &always(move || Ok(answer(429, fields, body()))));
    let passed = send(&limit, rig.fetch(Method::GET)).await.unwrap();
    let next = send(&limit, rig.fetch(Method::GET)).await;
    (passed, code(&next), rig)
}

#[tokio::test(start_paused = true)]
async fn a_429_is_heeded_and_passed_on() {
    type Fields = &'static [(&'static str, &'static str)];
    let cases: [(Fields, &str, Throttle, &str); 6] = [
        (&[("x-ratelimit-type", "QPS")], "slow down", Throttle::Rate, "upstream-closed"),
        (&[("x-ratelimit-type", "Daily-limit")], "enough", Throttle::Day, "quota-day"),
        (&[], RATE, Throttle::Rate, "upstream-closed"),
        (&[], DAY, Throttle::Day, "quota-day"),
        (&[], USER, Throttle::Resource, "ok"),
        (&[], "", Throttle::Rate, "upstream-closed"),
    ];
    for (fields, message, throttle, next) in cases {
        let (passed, then, rig) = after_429(fields, move || message.into()).await;
        assert_eq!(passed.extensions().get::<Throttle>(), Some(&throttle));
        assert_eq!((passed.status().as_u16(), then), (429, next), "{fields:?} {message}");
        let counted = format!(
            "weir_upstream_throttled_total{{upstream=\"zoom\",label=\"heavy\",window=\"{}\"}}",
            throttle.as_str()
        );
        // Where nobody is held back, the next one fares no better.
        assert_eq!(rig.counted(&counted), if next == "ok" { 2 } else { 1 });
        assert_eq!(text(passed).await, message);
        if throttle == Throttle::Day {
            assert_eq!(rig.left().1, 0);
        }
    }
}

fn frames(frames: Vec<Result<&'static str, &'static str>>) -> Body {
    let frame = |text: Result<&'static str, _>| text.map(|t| Frame::data(Bytes::from(t)));
    Body::stream(StreamBody::new(futures_util::stream::iter(frames.into_iter().map(frame))))
}

#[tokio::test(start_paused = true)]
async fn a_429_of_unknown_length_is_understood_too() {
    let (begin, end) = DAY.split_at(30);
    let (passed, next, _) = after_429(&[], move || frames(vec![Ok(begin), Ok(end)])).await;
    assert_eq!(next, "quota-day");
    assert_eq!(text(passed).await, DAY);
}

#[tokio::test(start_paused = true)]
async fn a_429_too_long_to_be_a_message_is_passed_on_whole() {
    let long = " ".repeat(20_000);
    for stream in [true, false] {
        let body = long.clone();
        let leaked: &'static str = long.clone().leak();
        let (passed, next, _) = after_429(&[], move || {
            if stream { frames(vec![Ok(leaked), Ok("end")]) } else { body.clone().into() }
        })
        .await;
        assert_eq!(next, "upstream-closed");
        assert_eq!(text(passed).await.trim_end_matches("end"), long);
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_that_breaks_off_is_not_made_to_look_whole() {
    let (passed, next, _) = after_429(&[("x-ratelimit-type", "QPS")], || {
        frames(vec![Ok("{\"code\":"), Err("connection reset")])
    })
    .await;
    assert_eq!(next, "upstream-closed");
    assert!(passed.into_body().collect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_429_whose_body_does_not_end_is_heeded_all_the_same() {
    let typed: &[_] = &[("x-ratelimit-type", "Daily-limit")];
    for (fields, then, patience) in
        [(typed, "quota-day", Duration::ZERO), (&[], "upstream-closed", MESSAGE_PATIENCE)]
    {
        let rig = refusing(10);
        let stuck = move || {
            let begun = futures_util::stream::iter([Ok::<_, &str>(Frame::data(Bytes::from("{")))]);
            let stream = futures_util::StreamExt::chain(begun, futures_util::stream::pending());
            Ok(answer(429, fields, Body::stream(StreamBody::new(stream))))
        };
        let limit = limit(&rig, &always(stuck));
        let start = rig.clock.now();
        let passed = send(&limit, rig.fetch(Method::GET));
        let passed = tokio::time::timeout(10 * SECOND, passed).await.expect("heeded").unwrap();
        assert!(rig.clock.now() - start <= patience + Duration::from_millis(1));
        assert_eq!(code(&send(&limit, rig.fetch(Method::GET)).await), then);
        let first = passed.into_body().frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "{", "nothing is lost");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_closes_the_day_until_then() {
    let fields: &[_] =
        &[("x-ratelimit-type", "Daily-limit"), ("retry-after", "2024-10-04T13:00:00Z")];
    let rig = refusing(10);
    let limit = limit(&rig, &always(move || Ok(answer(429, fields, DAY))));
    send(&limit, rig.fetch(Method::GET)).await.unwrap();
    let refused = send(&limit, rig.fetch(Method::GET)).await.unwrap_err();
    let noon = humantime::parse_rfc3339("2024-10-04T12:00:00Z").unwrap();
    assert_eq!(rig.clock.wall(), noon);
    assert_eq!(refused.row().retry_after, Some(3600 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_a_label_is_not_limited() {
    let rig = Rig::with(|setup| setup.label = None);
    let fake = always(|| Ok(answer(429, &[("ratelimit", "theirs")], "")));
    let limit = limit(&rig, &fake);
    for calls in 1..=50 {
        let passed = send(&limit, rig.fetch(Method::GET)).await.unwrap();
        assert_eq!((passed.status().as_u16(), fake.calls()), (429, calls));
        assert_eq!(field(&passed, "ratelimit"), "theirs");
        assert!(!passed.headers().contains_key("ratelimit-policy"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_authorized_spends_nothing() {
    let rig = Rig::with(|setup| {
        setup.auth = AuthScheme::OAuth2 {
            token_url: http::Uri::from_static("http://tokens.test/"),
            client_id: Secret::new("id"),
            client_secret: Secret::new("secret"),
            grant: Grant::ClientCredentials { scope: None },
        };
    });
    let fake = always(|| Ok(answer(200, &[], "")));
    let outcome = send(&limit(&rig, &fake), rig.fetch(Method::GET)).await;
    assert_eq!(code(&outcome), "credential");
    assert_eq!((fake.calls(), rig.spent(), rig.left()), (0, 0, (10, 1000)));
}
