//! Stands between the socket and hyper's HTTP/1 parser, and lets nothing through that could be
//! read in two ways.
//!
//! hyper sees whole heads and whole chunk sizes that [`Framing`] has found good. In place of a bad
//! head it sees a request of our own, which the service knows and refuses in its turn, so that
//! whoever sent good requests before it gets their answers; in place of bad content it sees what
//! it will not take for content. After either it sees nothing more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::Line;
use super::pulse::Pulse;
use crate::policy::framing::{Fault, Framing, HeadLimits, Verdict};
use crate::serve::express::Bare;

/// Stands for a head that is refused. No method is known, and `-` is none.
const REFUSED_HEAD: &[u8] = b"- / HTTP/1.1\r\nhost: -\r\nconnection: close\r\n\r\n";
/// Stands for content that is refused: no chunk size, no end of a chunk and no trailer.
const REFUSED_CONTENT: &[u8] = b"\0\r\n\r\n";

/// Of bytes that wait, so many are read at once.
const PIECE: usize = 2048;

/// What has come.
pub(super) enum Came<'g> {
    Nothing,
    /// A request that might be answered at once.
    Bare(Bare<'g>),
    /// Another request, a part of one, or none.
    Other,
}

pub(super) struct Guard<I> {
    io: I,
    framing: Framing,
    line: Arc<Line>,
    pulse: Arc<Pulse>,
    /// What came and has not gone on, of which the first `good` bytes may.
    held: Vec<u8>,
    good: usize,
    /// What is left of what stands for the rest; after it there is nothing.
    last: Option<&'static [u8]>,
}

impl<I> Guard<I> {
    pub(super) fn new(io: I, limits: HeadLimits, line: Arc<Line>, pulse: Arc<Pulse>) -> Self {
        let framing = Framing::new(limits);
        Self { io, framing, line, pulse, held: Vec::new(), good: 0, last: None }
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }

    /// No request has begun, and none will be refused.
    pub(super) fn is_at_rest(&self) -> bool {
        self.good == 0 && self.last.is_none() && self.framing.is_between_requests()
    }

    /// What has come, up to the end of a head, and has not gone on. To be asked at rest.
    pub(super) fn next(&mut self) -> Came<'_> {
        let verdict = self.framing.next(&mut self.held);
        self.good = self.judged(verdict);
        let head = self.held.get(..self.good).unwrap_or_default();
        if self.good > 0 && self.framing.is_without_content() {
            return Bare::read(head).map_or(Came::Other, Came::Bare);
        }
        if self.held.is_empty() { Came::Nothing } else { Came::Other }
    }

    /// What [`Guard::next`] told of is done with, and goes nowhere.
    pub(super) fn is_answered(&mut self) {
        self.line.answered_at_rest();
        if self.good == self.held.len() {
            self.held.clear();
        } else {
            self.held.drain(..self.good);
        }
        self.good = 0;
    }

    /// What [`Guard::next`] told of goes on, and what is good behind it.
    pub(super) fn hands_on(&mut self) {
        self.judge_held();
    }

    /// Gives back what it needs for nothing.
    pub(super) fn gives_back(&mut self) {
        self.held.shrink_to_fit();
        self.framing.give_back();
    }

    fn judge_held(&mut self) {
        let unjudged = self.held.get_mut(self.good..).unwrap_or_default();
        let verdict = self.framing.feed(unjudged);
        self.good += self.judged(verdict);
    }

    fn judged(&mut self, Verdict { pass, fault }: Verdict) -> usize {
        if let Some(fault) = fault {
            self.refuse(fault);
        }
        pass
    }

    /// How things stand, for those who cannot ask.
    fn tell(&self) {
        let quiet = self.is_at_rest() && !self.framing.had_content();
        self.line.heads_passed(quiet.then(|| self.framing.heads()));
    }

    fn refuse(&mut self, fault: Fault) {
        if self.last.is_some() {
            return;
        }
        self.pulse.waits_for_no_head();
        self.last = Some(if let Fault::Content(_) = fault {
            REFUSED_CONTENT
        } else {
            self.line.refuse(self.framing.heads() + 1, fault);
            REFUSED_HEAD
        });
    }

    /// What is held and may go on, or what stands for what may not.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let good = self.held.get(..self.good.min(buf.remaining())).unwrap_or_default();
        if !good.is_empty() {
            let passed = good.len();
            buf.put_slice(good);
            self.good -= passed;
            if passed == self.held.len() {
                self.held = Vec::new();
            } else {
                self.held.drain(..passed);
            }
            return true;
        }
        let Some(last) = &mut self.last else { return false };
        let (now, later) = last.split_at(last.len().min(buf.remaining()));
        buf.put_slice(now);
        *last = later;
        !now.is_empty()
    }
}

impl<I: AsyncRead + Unpin> Guard<I> {
    /// Reads without judging: `false` at the end.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE];
        let mut buf = ReadBuf::new(&mut piece);
        ready!(self.poll_io(cx, &mut buf))?;
        if buf.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.held.extend_from_slice(buf.filled());
        Poll::Ready(Ok(true))
    }

    /// Reads, and tells whether a head is what we wait for.
    fn poll_io(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_pending() && self.framing.is_in_head() {
            self.pulse.waits_for_head(self.framing.heads());
        } else {
            self.pulse.waits_for_no_head();
        }
        read
    }

    /// Resolves when something has come, for [`Guard::next`]; `false` at the end.
    pub(super) async fn filled(&mut self) -> io::Result<bool> {
        std::future::poll_fn(|cx| self.poll_hold(cx)).await
    }

    /// Straight into the reader's buffer, as nearly everything goes; `false` at the end.
    fn poll_direct(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(self.poll_io(cx, buf))?;
        let came = buf.filled_mut().get_mut(before..).unwrap_or_default();
        if came.is_empty() {
            return Poll::Ready(Ok(false));
        }
        let verdict = self.framing.feed(came);
        let pass = verdict.pass;
        if verdict.fault.is_none() {
            self.held.extend_from_slice(came.get(pass..).unwrap_or_default());
        }
        buf.set_filled(before + pass);
        self.judged(verdict);
        Poll::Ready(Ok(true))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guard<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        loop {
            if this.line.is_late() {
                this.framing.refuse(Fault::HeadTimeout);
                this.refuse(Fault::HeadTimeout);
            }
            if this.hand_on(buf) {
                this.tell();
                return Poll::Ready(Ok(()));
            }
            if this.last.is_some() {
                // hyper answers and closes; what else the client sends is read by nobody.
                return Poll::Pending;
            }
            let more = if this.held.is_empty() {
                ready!(this.poll_direct(cx, buf))?
            } else {
                let more = ready!(this.poll_hold(cx))?;
                this.judge_held();
                more
            };
            if !more || buf.filled().len() > before {
                this.tell();
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guard<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
