use std::time::Duration;

use super::*;
use crate::layers::testing::{Fake, Rig, SECOND, answer, code, send};
use crate::request::FetchRequest;

#[tokio::test(start_paused = true)]
async fn hits_count_and_who_comes_back_as_told_is_let_in() {
    let rig = Rig::with(|setup| setup.quota = Some((2, 3)));
    let fake = Fake::new(|_, _: FetchRequest| async { Ok(answer(200, &[], "")) });
    let quota = ClientQuotaLayer.layer(rig.cached(fake.clone()));
    for _ in 0..3 {
        assert_eq!(code(&send(&quota, rig.get()).await), "ok");
    }
    let refused = send(&quota, rig.get()).await;
    assert_eq!((code(&refused), fake.calls()), ("client-share", 1));
    let retry_after = refused.unwrap_err().row().retry_after.unwrap();
    assert_eq!(retry_after, SECOND / 2);
    let series = "weir_limit_refused_total{upstream=\"zoom\",label=\"heavy\",client=\"console\",\
                  reason=\"client-share\"}";
    assert_eq!(rig.counted(series), 1);

    rig.clock.advance(retry_after - Duration::from_nanos(1));
    assert_eq!(code(&send(&quota, rig.get()).await), "client-share", "just before");
    rig.clock.advance(Duration::from_nanos(1));
    assert_eq!(code(&send(&quota, rig.get()).await), "ok", "just after");
    assert_eq!(code(&send(&quota, rig.get()).await), "client-share", "one, and no more");
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_share_is_not_counted() {
    let rig = Rig::new();
    let fake = Fake::new(|_, _: RoutedRequest| async { Ok(answer(200, &[], "")) });
    let quota = ClientQuotaLayer.layer(fake.clone());
    for _ in 0..100 {
        assert_eq!(code(&send(&quota, rig.get()).await), "ok");
    }
    assert_eq!(fake.calls(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_for_another_reason_costs_nothing_of_it() {
    let rig = Rig::with(|setup| setup.quota = Some((1, 2)));
    let refused = || {
        let refused = Refused { reason: Reason::Day, retry_after: SECOND };
        Err(GatewayError::Limited { refused, quota: Arc::default() })
    };
    let answers = move |n: usize| if n < 50 { refused() } else { Ok(answer(200, &[], "")) };
    let fake = Fake::new(move |n, _: RoutedRequest| std::future::ready(answers(n)));
    let quota = ClientQuotaLayer.layer(fake);
    for _ in 0..50 {
        assert_eq!(code(&send(&quota, rig.get()).await), "quota-day");
    }
    for expected in ["ok", "ok", "client-share"] {
        assert_eq!(code(&send(&quota, rig.get()).await), expected);
    }
}
