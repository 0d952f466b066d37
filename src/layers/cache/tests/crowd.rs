//! Many who ask at once, and an upstream that takes half a second.

use std::time::Duration;

use http::HeaderName;

use super::*;
use crate::layers::testing::{Answer, start};

pub(super) const CROWD: usize = 50;

/// How long the upstream takes.
pub(super) const WHILE: Duration = Duration::from_millis(500);

/// `mode = "respect"`, and nothing else.
pub(super) fn respecting() -> Rig {
    Rig::with(|setup| setup.cache = CacheRule::Respect(Respect::default()))
}

/// With these fields.
pub(super) fn asking(mut request: RoutedRequest, fields: &[(&'static str, &str)]) -> RoutedRequest {
    for (name, value) in fields {
        let name = HeaderName::from_static(name);
        request.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

/// An upstream that is told the number of the call and the question, and takes its time.
pub(super) fn slow(
    reply: impl Fn(usize, &FetchRequest) -> Answer + Send + Sync + 'static,
) -> Fake<FetchRequest> {
    let reply = Arc::new(reply);
    Fake::new(move |n, question| {
        let reply = Arc::clone(&reply);
        async move {
            tokio::time::sleep(WHILE).await;
            reply(n, &question)
        }
    })
}

/// All ask at once. Their answers, and how long the last of them waited.
pub(super) async fn burst<S>(
    rig: &Rig,
    cache: &S,
    request: impl Fn(usize) -> RoutedRequest,
) -> (Vec<Answer>, Duration)
where
    S: Service<RoutedRequest, Response = Response<Body>, Error = GatewayError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let began = rig.clock.now();
    let asked: Vec<_> = (0..CROWD).map(|n| start(cache, request(n))).collect();
    let mut answers = Vec::new();
    for one in asked {
        answers.push(one.await.unwrap());
    }
    (answers, rig.clock.now() - began)
}

/// What they were told, in their order.
pub(super) async fn texts(answers: Vec<Answer>) -> Vec<String> {
    let mut all = Vec::new();
    for answer in answers {
        all.push(text(answer.unwrap()).await);
    }
    all
}
