//! Counts the frames of an HTTP/2 connection as they are read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
    }
}

impl<I> Frames<I> {
    pub(super) fn new(io: I, limits: FrameLimits, found: Found) -> Self {
        Self { io, meter: FrameMeter::new(limits), found }
    }
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
        Poll::Ready(this.meter.feed(came).map_err(|abuse| {
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
