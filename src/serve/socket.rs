//! A connection's two ends of bytes, whatever it is made of.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// What HTTP is spoken over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Closing then sends a reset instead of an orderly end, where there is such a thing.
    fn reset(&self);
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire for Socket {
    fn reset(&self) {
        let Self::Tcp(stream) = self else { return };
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(%error, "cannot reset the connection");
        }
    }
}

impl Wire for TlsStream<Socket> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

impl Socket {
    /// Small writes leave at once.
    pub(super) fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// Hands a call on to whichever stream it is.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}

/// Most bytes that are read before it is known what they are.
pub(super) const FIRST_BYTES: usize = 24;

/// A stream whose first bytes have been read already, and are read again.
#[derive(Debug)]
pub(super) struct Rewind<I> {
    inner: I,
    first: [u8; FIRST_BYTES],
    read: usize,
    again: usize,
}

impl<I> Rewind<I> {
    pub(super) fn new(inner: I) -> Self {
        Self { inner, first: [0; FIRST_BYTES], read: 0, again: 0 }
    }

    /// What has been read so far.
    pub(super) fn first(&self) -> &[u8] {
        self.first.get(..self.read).unwrap_or_default()
    }
}

impl<I: AsyncRead + Unpin> Rewind<I> {
    /// Reads more of the first bytes; how many. 0 is the end, of the stream or of the room.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.first.get_mut(self.read..).unwrap_or_default();
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut room))?;
        let more = room.filled().len();
        self.read += more;
        Poll::Ready(Ok(more))
    }
}

impl<I: Wire> Wire for Rewind<I> {
    fn reset(&self) {
        self.inner.reset();
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewind<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let kept = this.first.get(this.again..this.read).unwrap_or_default();
        if kept.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, into);
        }
        let fits = kept.get(..into.remaining()).unwrap_or(kept);
        into.put_slice(fits);
        this.again += fits.len();
        if into.remaining() > 0 {
            // What follows is here already as a rule: together they make one read. An error
            // or an end comes again.
            let _later = Pin::new(&mut this.inner).poll_read(cx, into);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewind<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_was_read_is_read_again_in_order_and_in_pieces() {
        let (mut theirs, ours) = tokio::io::duplex(64);
        theirs.write_all(b"abc").await.unwrap();
        let mut rewind = Rewind::new(ours);
        let read = std::future::poll_fn(|cx| rewind.poll_first(cx)).await.unwrap();
        assert_eq!((read, rewind.first()), (3, &b"abc"[..]));
        let mut two = [0; 2];
        rewind.read_exact(&mut two).await.unwrap();
        theirs.write_all(b"defg").await.unwrap();
        drop(theirs);
        let mut rest = String::new();
        rewind.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&two, &*rest), (b"ab", "cdefg"));
    }
}
