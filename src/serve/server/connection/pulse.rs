//! Signs of life of one connection, written as bytes move and read when somebody looks.
//!
//! Nobody sets a timer for a request: one timer a connection looks every few seconds, and finds
//! here how long what is going on has been going on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::MAX_BUFFER;
use crate::clock::Clock;
use crate::policy::patience::Signs;

/// See the module. Times are milliseconds since the beginning.
#[derive(Debug)]
pub(super) struct Pulse {
    clock: Clock,
    began: Instant,
    /// The last byte that was written.
    last: AtomicU64,
    /// When the head that we wait for began to be waited for, plus 1.
    head: AtomicU64,
    /// Which head that is.
    which: AtomicU64,
    /// Whether the client is who keeps us waiting for it.
    waiting: AtomicBool,
    /// Since when it has taken nothing of what we have for it, plus 1; 0 = there is nothing.
    blocked: AtomicU64,
    /// What it took last.
    taken: AtomicU64,
    /// Requests that are being answered.
    busy: AtomicUsize,
    /// Requests that nobody waited for any more.
    given_up: AtomicU64,
}

impl Pulse {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            began: clock.now(),
            last: AtomicU64::new(0),
            head: AtomicU64::new(0),
            which: AtomicU64::new(u64::MAX),
            waiting: AtomicBool::new(false),
            blocked: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            given_up: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        let passed = self.clock.now().saturating_duration_since(self.began);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// What can be said now.
    pub(super) fn signs(&self) -> Signs {
        let now = self.now();
        let since = |then: u64| Duration::from_millis(now.saturating_sub(then));
        let marked = |mark: &AtomicU64| mark.load(Relaxed).checked_sub(1).map(since);
        let head = marked(&self.head).filter(|_| self.waiting.load(Relaxed));
        let blocked = marked(&self.blocked);
        Signs {
            idle: self.is_idle().then(|| since(self.last.load(Relaxed))),
            head,
            blocked: blocked.map(|since| (since, self.taken.load(Relaxed))),
        }
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        let waits = self.waiting.load(Relaxed) && self.head.load(Relaxed) > 0;
        !waits && self.blocked.load(Relaxed) == 0 && self.busy.load(Relaxed) == 0
    }

    /// The client has sent some of a head, of this number, and keeps us waiting for the rest.
    pub(super) fn waits_for_head(&self, number: u64) {
        if self.which.swap(number, Relaxed) != number {
            self.head.store(self.now() + 1, Relaxed);
        }
        self.waiting.store(true, Relaxed);
    }

    /// We wait for no head, or not for the client.
    pub(super) fn waits_for_no_head(&self) {
        self.waiting.store(false, Relaxed);
    }

    /// A request is being answered until what this returns is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Relaxed);
        Busy { pulse: Arc::clone(self), is_answered: false }
    }

    /// How many requests have been given up before there was an answer.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Relaxed)
    }

    /// `taken` of `offered` bytes have been written.
    fn wrote(&self, taken: usize, offered: usize) {
        self.last.store(self.now(), Relaxed);
        if taken >= offered {
            self.blocked.store(0, Relaxed);
        } else {
            // The kernel takes more when a good part of what it has is gone: that much earns time.
            // What its buffer took at first was taken by nobody yet, however much it was.
            self.taken.store(taken.min(MAX_BUFFER) as u64, Relaxed);
            self.blocked.store(self.now() + 1, Relaxed);
        }
    }

    /// All that was written is on its way.
    fn flushed(&self) {
        if self.blocked.swap(0, Relaxed) != 0 {
            self.last.store(self.now(), Relaxed);
        }
    }

    fn is_blocked(&self) {
        if self.blocked.load(Relaxed) == 0 {
            self.taken.store(0, Relaxed);
            self.blocked.store(self.now() + 1, Relaxed);
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy {
    pulse: Arc<Pulse>,
    is_answered: bool,
}

impl Busy {
    /// There is an answer, and whoever gives it up now costs nobody anything.
    pub(super) fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.pulse.busy.fetch_sub(1, Relaxed);
        if !self.is_answered {
            self.pulse.given_up.fetch_add(1, Relaxed);
        }
    }
}

pin_project! {
    /// A connection whose writes are signs of life.
    pub(super) struct Metered<I> {
        #[pin]
        io: I,
        pulse: Arc<Pulse>,
    }
}

impl<I> Metered<I> {
    pub(super) fn new(io: I, pulse: Arc<Pulse>) -> Self {
        Self { io, pulse }
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }
}

impl<I: AsyncRead> AsyncRead for Metered<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buf)
    }
}

/// Notes what a write came to.
fn note(pulse: &Pulse, offered: usize, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    match &wrote {
        Poll::Ready(Ok(taken)) => pulse.wrote(*taken, offered),
        Poll::Ready(Err(_)) => {}
        Poll::Pending => pulse.is_blocked(),
    }
    wrote
}

impl<I: AsyncWrite> AsyncWrite for Metered<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        note(this.pulse, bytes.len(), this.io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let offered = slices.iter().map(|slice| slice.len()).sum();
        note(this.pulse, offered, this.io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let flushed = this.io.poll_flush(cx);
        // TLS keeps what it has encrypted until the socket takes it.
        match &flushed {
            Poll::Pending => this.pulse.is_blocked(),
            Poll::Ready(_) => this.pulse.flushed(),
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let shut = this.io.poll_shutdown(cx);
        if shut.is_pending() {
            this.pulse.is_blocked();
        }
        ready!(shut)?;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_large_kernel_buffer_takes_earns_no_more_than_ours_would() {
        let clock = Clock::system();
        let pulse = Pulse::new(&clock);
        pulse.wrote(3 << 20, 8 << 20);
        clock.advance(Duration::from_secs(5));
        let (since, taken) = pulse.signs().blocked.unwrap();
        assert!(since >= Duration::from_secs(5));
        assert_eq!(taken, MAX_BUFFER as u64);
        pulse.wrote(100, 100);
        assert_eq!(pulse.signs().blocked, None);
        pulse.is_blocked();
        pulse.flushed();
        assert_eq!(pulse.signs().blocked, None, "what TLS held back has gone");
        assert!(pulse.signs().idle.unwrap() < Duration::from_secs(1));
    }

    #[test]
    fn at_rest_is_who_has_neither_a_head_nor_an_answer_coming() {
        let clock = Clock::system();
        let pulse = Arc::new(Pulse::new(&clock));
        assert!(pulse.signs().idle.is_some());
        pulse.waits_for_head(0);
        clock.advance(Duration::from_secs(2));
        pulse.waits_for_head(0);
        assert!(pulse.signs().head.unwrap() >= Duration::from_secs(2));
        assert!(pulse.signs().idle.is_none());
        pulse.waits_for_no_head();
        assert_eq!(pulse.signs().head, None);
        // Another head is not charged for the one before it.
        pulse.waits_for_head(1);
        assert!(pulse.signs().head.unwrap() < Duration::from_secs(1));
        pulse.waits_for_no_head();
        let busy = pulse.busy();
        assert!(pulse.signs().idle.is_none());
        drop(busy);
        assert!(pulse.signs().idle.is_some());
        assert_eq!(pulse.given_up(), 1);
        let mut busy = pulse.busy();
        busy.answered();
        drop(busy);
        assert_eq!(pulse.given_up(), 1);
    }

    #[tokio::test]
    async fn a_flush_that_ends_leaves_nothing_blocked() {
        use tokio::io::AsyncWriteExt as _;
        let pulse = Arc::new(Pulse::new(&Clock::system()));
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut metered = Metered::new(ours, Arc::clone(&pulse));
        pulse.is_blocked();
        metered.flush().await.unwrap();
        assert_eq!(pulse.signs().blocked, None);
    }
}
