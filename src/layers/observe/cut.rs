//! Who was cut off when a stop came to its deadline.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;

use super::Witness;
use crate::http::{Body, BoxError};
use crate::request::Record;

/// Most that are remembered; the rest is counted.
const MOST: usize = 16;

/// A request that was not answered, or not to its end.
#[derive(Clone, PartialEq, Eq)]
pub struct Cut {
    /// Whose.
    pub client: Option<Arc<str>>,
    /// What for.
    pub endpoint: Option<String>,
    /// Where from.
    pub peer: Option<SocketAddr>,
    /// For how long it had been there.
    pub age: Duration,
}

/// Everything but what a client has written: no path, no query.
impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, endpoint, peer, age } = self;
        write!(f, "client {} ", client.as_deref().unwrap_or("-"))?;
        write!(f, "endpoint {} ", endpoint.as_deref().unwrap_or("-"))?;
        match peer {
            Some(peer) => write!(f, "peer {peer} ")?,
            None => f.write_str("peer - ")?,
        }
        write!(f, "age {:.1}s", age.as_secs_f64())
    }
}

/// Remembers them. Nothing is done for a request that comes to its end by itself.
pub struct CutShort {
    killed: Box<dyn Fn() -> bool + Send + Sync>,
    seen: Mutex<(Vec<Cut>, usize)>,
}

impl fmt::Debug for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CutShort").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Default for CutShort {
    fn default() -> Self {
        Self::new(|| false)
    }
}

impl CutShort {
    /// `killed` tells whether whoever hangs up now was made to.
    pub fn new(killed: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { killed: Box::new(killed), seen: Mutex::default() }
    }

    /// The first sixteen, and how many more.
    pub fn seen(&self) -> (Vec<Cut>, usize) {
        self.seen.lock().clone()
    }

    /// A request that has not come to its end is given up.
    pub(super) fn given_up(
        &self,
        record: &Record,
        peer: Option<SocketAddr>,
        age: impl FnOnce() -> Duration,
    ) {
        if !(self.killed)() {
            return;
        }
        let mut seen = self.seen.lock();
        let (cut, more) = &mut *seen;
        if cut.len() == MOST {
            *more += 1;
            return;
        }
        cut.push(Cut {
            client: record.client().map(|client| Arc::clone(&client.name)),
            endpoint: record.route().map(|route| route.endpoint.id.as_str().to_owned()),
            peer,
            age: age(),
        });
    }
}

/// An answer's content that is still on its way.
pub(super) struct Watched {
    pub(super) inner: Body,
    pub(super) witness: Arc<Witness>,
    pub(super) record: Arc<Record>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) arrived: Instant,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.inner = Body::Empty;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.inner.is_end_stream() {
            let age = || self.witness.clock.now().saturating_duration_since(self.arrived);
            self.witness.cut.given_up(&self.record, self.peer, age);
        }
    }
}
