//! Reads along with the HTTP/1 client, strictly: what breaks the rules ends the connection before
//! anybody takes it for an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower::Service;

use crate::http::BoxError;
use crate::policy::answer_framing::{Asked, Asking, Breach, Framing, Told};

/// Bytes that are read at a time.
const SCRATCH: usize = 16 * 1024;

/// What is known of a connection beyond its life in the pool.
#[derive(Debug)]
pub(super) struct Wire {
    is_http1: bool,
    uses: AtomicU32,
    heard: AtomicBool,
}

impl Wire {
    fn new(is_http1: bool) -> Self {
        Self { is_http1, uses: AtomicU32::new(0), heard: AtomicBool::new(false) }
    }

    /// A request has been given to it. HTTP/1 tells when it is written.
    pub(super) fn taken(&self) {
        if !self.is_http1 {
            self.uses.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It had been kept from an earlier request, and no answer came back for this one: the other
    /// side was most likely closing it just then, or had not kept to the rules before.
    pub(super) fn was_kept_too_long(&self) -> bool {
        self.uses.load(Ordering::Relaxed) > 1 && !self.heard.load(Ordering::Relaxed)
    }
}

/// In a connection's extras.
#[derive(Clone, Debug)]
pub(super) struct WireOf(pub(super) Arc<Wire>);

/// The error of a connection on which the rules were broken.
#[derive(Debug)]
struct Broken(Breach);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl std::error::Error for Broken {}

fn broken(breach: Breach, wire: &Wire) -> io::Error {
    let late = wire.was_kept_too_long();
    let kind = if late { io::ErrorKind::ConnectionAborted } else { io::ErrorKind::InvalidData };
    io::Error::new(kind, Broken(breach))
}

/// Makes guarded connections.
#[derive(Clone, Debug)]
pub(super) struct Guarding<C> {
    pub(super) inner: C,
    /// HTTP/2 is all that is spoken, and it guards itself.
    pub(super) http2_only: bool,
}

impl<C> Service<Uri> for Guarding<C>
where
    C: Service<Uri, Response: Connection, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = Guarded<C::Response>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, http2_only) = (self.inner.call(uri), self.http2_only);
        Box::pin(async move {
            let inner = connecting.await?;
            let is_http1 = !http2_only && !inner.connected().is_negotiated_h2();
            let check = is_http1.then(|| Check {
                asking: Asking::default(),
                framing: Framing::default(),
                scratch: vec![0; SCRATCH].into_boxed_slice(),
            });
            Ok(Guarded { inner, check, wire: Arc::new(Wire::new(is_http1)) })
        })
    }
}

/// A guarded connection.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    inner: T,
    check: Option<Check>,
    wire: Arc<Wire>,
}

#[derive(Debug)]
struct Check {
    asking: Asking,
    framing: Framing,
    scratch: Box<[u8]>,
}

impl<T: Connection> Connection for Guarded<T> {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(WireOf(Arc::clone(&self.wire)))
    }
}

impl<T: Read + Unpin> Read for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(Check { framing, scratch, .. }) = &mut this.check else {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        };
        let most = buf.remaining().min(scratch.len());
        let Some(scratch) = scratch.get_mut(..most) else { return Poll::Ready(Ok(())) };
        let mut read = ReadBuf::new(scratch);
        ready!(Pin::new(&mut this.inner).poll_read(cx, read.unfilled()))?;
        let bytes = read.filled();
        if bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let read = framing.read(bytes);
        // What does not even begin like an answer is none: it may be the rest of an earlier one.
        this.wire.heard.store(read != Err(Breach::StatusLine), Ordering::Relaxed);
        read.map_err(|breach| broken(breach, &this.wire))?;
        buf.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<T> Guarded<T> {
    /// After these bytes have been written.
    fn wrote(&mut self, bytes: &[u8]) {
        let Some(Check { asking, framing, .. }) = &mut self.check else { return };
        let told = asking.wrote(bytes);
        if let Told::Begun | Told::Both(_) = told {
            self.wire.uses.fetch_add(1, Ordering::Relaxed);
            self.wire.heard.store(false, Ordering::Relaxed);
            framing.asked(Asked::ForAll);
        }
        if let Told::Method(asked) | Told::Both(asked) = told {
            framing.asked(asked);
        }
    }
}

impl<T: Write + Unpin> Write for Guarded<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        this.wrote(buf.get(..written).unwrap_or(buf));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let taken = buf.get(..left).unwrap_or(buf);
            left -= taken.len();
            this.wrote(taken);
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
