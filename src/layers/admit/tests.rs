use http::Request;

use super::*;
use crate::layers::testing::{Fake, Rig, SECOND, answer, code, send, settle, start};

#[tokio::test(start_paused = true)]
async fn more_than_the_figure_are_shed_until_one_is_done() {
    let rig = Rig::new();
    let fake = Fake::new(|_, _: EdgeRequest| async {
        tokio::time::sleep(SECOND).await;
        Ok(answer(200, &[], ""))
    });
    let admit = AdmitLayer::default().layer(fake.clone());
    let request = || rig.edge(rig.world(), Request::new(Body::Empty));
    let inside = [start(&admit, request()), start(&admit, request())];
    settle().await;
    for _ in 0..3 {
        let shed = send(&admit, request()).await;
        assert_eq!(code(&shed), "overloaded");
        assert_eq!(shed.unwrap_err().row().retry_after, Some(SECOND));
    }
    assert_eq!(fake.calls(), 2);
    for one in inside {
        assert_eq!(code(&one.await.unwrap()), "ok");
    }
    let (hung_up, other) = (start(&admit, request()), start(&admit, request()));
    settle().await;
    hung_up.abort();
    settle().await;
    assert_eq!(code(&send(&admit, request()).await), "ok", "a place that was given up");
    other.await.unwrap().unwrap();
    assert_eq!(admit.inside.load(Ordering::Relaxed), 0);
}
