//! Counts the frames of an HTTP/2 connection as they are read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pulse::Pulse;
use crate::metrics::Cut;
use crate::policy::frames::{Abuse, FrameLimits, FrameMeter};

/// What was found, told to whoever reports the end of the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Found(Arc<AtomicU8>);

impl Found {
    pub(super) fn cut(&self) -> Option<Cut> {
        match self.0.load(Relaxed) {
            1 => Some(Cut::Resets),
            2 => Some(Cut::Frames),
            _ => None,
        }
    }
}

pin_project! {
    /// A connection that fails when its frames cost too much.
    pub(super) struct Frames<I> {
        #[pin]
        io: I,
        meter: FrameMeter,
        found: Found,
        pulse: Arc<Pulse>,
        given_up: u64,
    }
}

impl<I> Frames<I> {
    pub(super) fn new(io: I, limits: FrameLimits, found: Found, pulse: Arc<Pulse>) -> Self {
        Self { io, meter: FrameMeter::new(limits), found, pulse, given_up: 0 }
    }
}

/// Counts what has come, and what has been given up since the last time.
fn judge(
    meter: &mut FrameMeter,
    counted: &mut u64,
    given_up: u64,
    came: &[u8],
) -> Result<(), Abuse> {
    while *counted < given_up {
        *counted += 1;
        meter.gave_up()?;
    }
    meter.feed(came)
}

impl<I: AsyncRead> AsyncRead for Frames<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        ready!(this.io.poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        let judged = judge(this.meter, this.given_up, this.pulse.given_up(), came);
        Poll::Ready(judged.map_err(|abuse| {
            let (code, why) = match abuse {
                Abuse::Resets => (1, "too many streams were given up"),
                Abuse::IdleFrames => (2, "too many frames carried nothing"),
            };
            this.found.0.store(code, Relaxed);
            io::Error::other(why)
        }))
    }
}

impl<I: AsyncWrite> AsyncWrite for Frames<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}
