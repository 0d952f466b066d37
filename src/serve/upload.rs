//! A request's body that has to keep coming.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::http::{Body, BoxError, TooSlow};
use crate::policy::patience::LeastRate;

/// The same body, which fails with [`TooSlow`] when its client sends it too slowly.
pub fn in_time<B>(body: B, rate: LeastRate, clock: &Clock) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    if body.is_end_stream() {
        return Body::Empty;
    }
    let clock = clock.clone();
    Body::stream(Upload {
        body,
        rate,
        clock,
        came: 0,
        waited: Duration::ZERO,
        waiting: None,
        late: false,
    })
}

pin_project! {
    struct Upload<B> {
        #[pin]
        body: B,
        rate: LeastRate,
        clock: Clock,
        came: u64,
        // Only what we wait for the client counts: it is not to blame for what we do with it.
        waited: Duration,
        waiting: Option<Waiting>,
        late: bool,
    }
}

struct Waiting {
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> http_body::Body for Upload<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.late {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            if let Some(Waiting { since, .. }) = this.waiting.take() {
                *this.waited += this.clock.now().saturating_duration_since(since);
            }
            if let Some(Ok(frame)) = &frame {
                *this.came += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let waiting = this.waiting.get_or_insert_with(|| {
            let allowed = this.rate.allows(*this.came);
            let left = allowed.map(|allowed| allowed.saturating_sub(*this.waited));
            let timer = left.map(|left| Box::pin(tokio::time::sleep(left)));
            Waiting { since: this.clock.now(), timer }
        });
        let Some(timer) = &mut waiting.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        *this.late = true;
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.late || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use futures_util::StreamExt as _;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    const RATE: LeastRate =
        LeastRate { grace: Duration::from_secs(20), per_second: NonZeroU64::new(10) };

    /// So many bytes every so many seconds.
    fn dripping(bytes: usize, seconds: u64, times: usize) -> Body {
        let clock = Clock::system();
        let frames = futures_util::stream::iter(0..times).then(move |_| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, BoxError>(Frame::data(Bytes::from(vec![b'x'; bytes])))
        });
        in_time(StreamBody::new(Box::pin(frames)), RATE, &clock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_grace_and_then_a_least_rate() {
        for (bytes, seconds, times, whole) in [
            (1, 1, 10, true),
            // After 20 s and 2 s more for 20 bytes.
            (1, 1, 22, true),
            (1, 1, 24, false),
            (10, 1, 500, true),
            (1, 19, 1, true),
            (1, 21, 1, false),
            (1000, 60, 1, false),
            (1000, 15, 100, true),
        ] {
            let body = dripping(bytes, seconds, times).collect().await;
            assert_eq!(body.is_ok(), whole, "{bytes} bytes every {seconds} s, {times} times");
            if let Err(error) = body {
                assert!(error.is::<TooSlow>());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_it_may_take_for_ever_and_our_own_time_does_not_count() {
        let clock = Clock::system();
        let slow = futures_util::stream::once(async {
            tokio::time::sleep(Duration::from_secs(9999)).await;
            Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x")))
        });
        let rate = LeastRate { per_second: None, ..RATE };
        let body = in_time(StreamBody::new(Box::pin(slow)), rate, &clock);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "x");

        let mut body = dripping(1, 6, 3);
        for _ in 0..2 {
            body.frame().await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(body.frame().await.unwrap().is_ok(), "only what we waited counts");
    }
}
