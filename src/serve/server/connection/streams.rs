//! Spawns, counts and watches the streams of one HTTP/2 connection. hyper pings dead peers; a peer
//! that is alive and asks nothing, or takes nothing of what it has asked for, is for us to notice.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::sent::MOST_KEPT;
use crate::clock::Clock;
use crate::policy::patience::LeastRate;

/// hyper's executor for one connection.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    counts: Arc<Counts>,
    clock: Clock,
    taking: LeastRate,
}

#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    ended: AtomicU64,
}

impl Streams {
    /// Answers have to be taken at this rate.
    pub(super) fn new(clock: &Clock, taking: LeastRate) -> Self {
        Self { counts: Arc::default(), clock: clock.clone(), taking }
    }

    /// How many there have been.
    pub(super) fn started(&self) -> u64 {
        self.counts.started.load(Ordering::Acquire)
    }

    /// How many there have been, if none is open.
    pub(super) fn ended(&self) -> Option<u64> {
        let ended = self.counts.ended.load(Ordering::Acquire);
        (ended == self.started()).then_some(ended)
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.counts.started.fetch_add(1, Ordering::AcqRel);
        let open = Open(Arc::clone(&self.counts));
        let watched = Watched {
            stream,
            clock: self.clock.clone(),
            taking: self.taking,
            blocked: None,
            timer: None,
        };
        // It ends with its connection: hyper gives up a stream whose connection is gone.
        tokio::spawn(async move {
            let _open = open;
            watched.await;
        });
    }
}

struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a stream is doing, as its answer tells while it is polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    /// Waiting for us: for the answer, or for more of it.
    #[default]
    Working,
    /// There is something for the client. So many bytes have been handed over in this poll.
    Sending(u64),
}

thread_local! {
    static DOING: Cell<Doing> = const { Cell::new(Doing::Working) };
}

/// The answer has begun.
pub(super) fn answered() {
    DOING.set(Doing::Sending(0));
}

/// So many bytes more.
pub(super) fn handed_over(bytes: usize) {
    let before = match DOING.get() {
        Doing::Sending(before) => before,
        Doing::Working => 0,
    };
    DOING.set(Doing::Sending(before + bytes as u64));
}

/// There is nothing to hand over yet.
pub(super) fn waits_for_us() {
    DOING.set(Doing::Working);
}

/// Since when a client has not taken what there is for it, and how much it took just then.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    since: Instant,
    taken: u64,
}

impl Blocked {
    /// Of what was handed over just then, all but what is kept has gone, and earns nothing more.
    fn new(since: Instant, handed_over: u64) -> Self {
        Self { since, taken: handed_over.min(MOST_KEPT) }
    }

    /// How long it may go on; none = as long as the client likes.
    fn left(&self, taking: LeastRate, now: Instant) -> Option<Duration> {
        let allowed = taking.allows(self.taken)?;
        Some(allowed.saturating_sub(now.saturating_duration_since(self.since)))
    }
}

pin_project! {
    /// A stream that is given up, and so reset, when its client does not take the answer.
    struct Watched<F> {
        #[pin]
        stream: F,
        clock: Clock,
        taking: LeastRate,
        blocked: Option<Blocked>,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        // A stream that is blocked says nothing when it is polled.
        let before = if this.blocked.is_some() { Doing::Sending(0) } else { Doing::Working };
        DOING.set(before);
        if this.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Doing::Sending(bytes) = DOING.get() else {
            *this.blocked = None;
            *this.timer = None;
            return Poll::Pending;
        };
        if bytes > 0 || this.blocked.is_none() {
            *this.blocked = Some(Blocked::new(this.clock.now(), bytes));
        }
        loop {
            let left = this.blocked.and_then(|at| at.left(*this.taking, this.clock.now()));
            let Some(left) = left else { return Poll::Pending };
            if left.is_zero() {
                tracing::debug!("a client does not take its answer: the stream is reset");
                return Poll::Ready(());
            }
            let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
            ready!(timer.as_mut().poll(cx));
            *this.timer = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn what_has_gone_long_ago_earns_no_time() {
        let now = Clock::system().now();
        let taking =
            LeastRate { grace: Duration::from_secs(20), per_second: NonZeroU64::new(1024) };
        for (handed_over, left) in [(0, 20), (1024, 21), (MOST_KEPT, 100), (64 << 20, 100)] {
            let blocked = Blocked::new(now, handed_over);
            assert_eq!(blocked.left(taking, now), Some(Duration::from_secs(left)));
        }
    }
}
