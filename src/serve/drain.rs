//! How a server stops: who is told, who is waited for, and who is cut off.
//!
//! Stopping goes through phases, each announced once and never taken back:
//!
//! 1. *draining*: readiness turns 503 and answers say that this connection ends. Connections are
//!    still accepted, because clients and load balancers have not heard yet.
//! 2. *closing*: listeners close, idle connections end, requests in flight are answered.
//! 3. *killed*: the deadline has passed; whoever is left is dropped and counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// From *draining* to *closing*. A client in mid-conversation reads `Connection: close` on its
/// answer instead of losing a request that was already on the wire when its connection ended.
pub(super) const NOTICE: Duration = Duration::from_millis(100);

/// How long tasks that were cut may take to notice. One that blocks its thread never does.
const KILL_GRACE: Duration = Duration::from_millis(500);

/// Tells connections and background tasks to end, and knows which are left. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The phase as a number, read on every request: the tokens lock a mutex to answer.
    phase: AtomicU8,
    draining: CancellationToken,
    closing: CancellationToken,
    killed: CancellationToken,
    connections: TaskTracker,
    tasks: TaskTracker,
}

/// How far the stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Draining = 1,
    Closing = 2,
    Killed = 3,
}

/// What was left when the deadline passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Connections that were cut off, in the middle of an answer as a rule.
    pub cut: usize,
    /// Other tracked tasks that were dropped.
    pub abandoned: usize,
}

impl Drain {
    /// Nothing is stopping.
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces the stop: readiness turns, and answers close their connections.
    pub fn begin(&self) {
        self.enter(Phase::Draining);
    }

    /// Whether the stop has been announced.
    pub fn is_draining(&self) -> bool {
        self.has_reached(Phase::Draining)
    }

    /// Whether the deadline has passed, and whoever is left is cut off.
    pub fn is_killed(&self) -> bool {
        self.has_reached(Phase::Killed)
    }

    /// Resolves when the stop is announced.
    pub async fn cancelled(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Wraps a task that is no connection (a flight, say), so that [`Drain::finish`] waits for it.
    /// `None` when it was dropped because the deadline had passed.
    pub fn track<F: Future>(&self, task: F) -> impl Future<Output = Option<F::Output>> + use<F> {
        self.shared.tasks.track_future(self.until_killed(task))
    }

    /// [`Drain::track`], spawned.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.track(task))
    }

    /// Goes through the phases and returns when nothing is left, or soon after `deadline`.
    pub async fn finish(&self, deadline: Duration) -> Finished {
        self.finish_after(NOTICE, deadline).await
    }

    /// The same, and whoever comes in the first `notice` of that time is still served: who sends
    /// clients here may need as long to hear that it should not any more.
    pub async fn finish_after(&self, notice: Duration, deadline: Duration) -> Finished {
        let notice = notice.max(NOTICE).min(deadline);
        self.begin();
        tokio::time::sleep(notice).await;
        self.enter(Phase::Closing);
        self.shared.connections.close();
        self.shared.tasks.close();
        if tokio::time::timeout(deadline.saturating_sub(notice), self.ended()).await.is_ok() {
            return Finished::default();
        }
        let left =
            Finished { cut: self.shared.connections.len(), abandoned: self.shared.tasks.len() };
        self.enter(Phase::Killed);
        if tokio::time::timeout(KILL_GRACE, self.ended()).await.is_err() {
            tracing::warn!("a task blocks its thread and could not be stopped");
        }
        left
    }

    /// Connections first: until the last has ended, it may begin another task.
    async fn ended(&self) {
        self.shared.connections.wait().await;
        self.shared.tasks.wait().await;
    }

    pub(super) fn spawn_connection<F>(&self, connection: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connection = self.until_killed(connection);
        self.shared.connections.spawn(connection);
    }

    /// Keeps [`Drain::finish`] waiting while a listener may still bring connections.
    pub(super) fn hold(&self) -> TaskTrackerToken {
        self.shared.connections.token()
    }

    pub(super) fn has_reached(&self, phase: Phase) -> bool {
        self.shared.phase.load(Ordering::Acquire) >= phase as u8
    }

    pub(super) fn reached(&self, phase: Phase) -> Reached {
        let token = match phase {
            Phase::Draining => &self.shared.draining,
            Phase::Closing => &self.shared.closing,
            Phase::Killed => &self.shared.killed,
        };
        Reached {
            drain: self.clone(),
            phase,
            told: token.clone().cancelled_owned(),
            registered: None,
        }
    }

    fn enter(&self, phase: Phase) {
        self.shared.phase.fetch_max(phase as u8, Ordering::AcqRel);
        for (at_least, token) in [
            (Phase::Draining, &self.shared.draining),
            (Phase::Closing, &self.shared.closing),
            (Phase::Killed, &self.shared.killed),
        ] {
            if phase as u8 >= at_least as u8 {
                token.cancel();
            }
        }
    }

    fn until_killed<F>(&self, task: F) -> UntilKilled<F> {
        UntilKilled { task, killed: self.reached(Phase::Killed) }
    }
}

pin_project! {
    /// Resolves when a phase has been reached.
    ///
    /// A connection polls this after every event of its own. A token locks a mutex each time, so
    /// it is polled once to leave a waker; from then on the phase is a number to compare.
    pub(super) struct Reached {
        drain: Drain,
        phase: Phase,
        #[pin]
        told: WaitForCancellationFutureOwned,
        registered: Option<Waker>,
    }
}

impl Future for Reached {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.drain.has_reached(*this.phase) {
            return Poll::Ready(());
        }
        if this.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        *this.registered = Some(cx.waker().clone());
        this.told.poll(cx)
    }
}

pin_project! {
    struct UntilKilled<F> {
        #[pin]
        task: F,
        #[pin]
        killed: Reached,
    }
}

impl<F: Future> Future for UntilKilled<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        if let Poll::Ready(output) = this.task.poll(cx) {
            return Poll::Ready(Some(output));
        }
        this.killed.poll(cx).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn finish_waits_for_tracked_tasks() {
        let drain = Drain::new();
        let task = drain.spawn(async { tokio::time::sleep(Duration::from_secs(5)).await });
        assert_eq!(drain.finish(Duration::from_secs(30)).await, Finished::default());
        assert_eq!(task.await.unwrap(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_never_ends_is_dropped_at_the_deadline_and_counted() {
        let drain = Drain::new();
        let task = drain.spawn(std::future::pending::<()>());
        let left = drain.finish(Duration::from_secs(30)).await;
        assert_eq!(left, Finished { cut: 0, abandoned: 1 });
        assert_eq!(task.await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_that_has_no_time_left_still_returns() {
        let drain = Drain::new();
        let task = drain.spawn(std::future::pending::<()>());
        assert_eq!(drain.finish(Duration::ZERO).await.abandoned, 1);
        assert_eq!(drain.finish(Duration::ZERO).await, Finished::default());
        assert_eq!(task.await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_turns_before_anything_closes() {
        let drain = Drain::new();
        assert!(!drain.is_draining());
        let finish = tokio::spawn({
            let drain = drain.clone();
            async move { drain.finish(Duration::from_secs(1)).await }
        });
        drain.cancelled().await;
        assert!(drain.is_draining());
        assert!(!drain.has_reached(Phase::Closing));
        assert_eq!(finish.await.unwrap(), Finished::default());
        assert!(drain.has_reached(Phase::Closing));
    }

    #[tokio::test]
    async fn a_waiter_that_moves_to_another_task_is_still_woken() {
        let drain = Drain::new();
        let mut reached = Box::pin(drain.reached(Phase::Draining));
        let nobody = &mut Context::from_waker(Waker::noop());
        assert!(reached.as_mut().poll(nobody).is_pending());
        let waiter = tokio::spawn(reached);
        tokio::task::yield_now().await;
        drain.begin();
        tokio::time::timeout(Duration::from_secs(20), waiter).await.expect("woken").unwrap();
    }
}
