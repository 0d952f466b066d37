//! Replicas as the balance sees them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use parking_lot::Mutex;
use tower::Service;
use tower::discover::Change;
use tower::load::Load;

use crate::upstream::replica::Replica;

/// Who came and went since it was last looked at.
pub(super) type Queue = Arc<Mutex<VecDeque<Change<u64, Choice>>>>;

/// The same, for the balance. It is asked whenever somebody chooses, and wakes nobody.
pub(super) struct Changes(pub(super) Queue);

impl Stream for Changes {
    type Item = Result<Change<u64, Choice>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.lock().pop_front().map_or(Poll::Pending, |change| Poll::Ready(Some(Ok(change))))
    }
}

/// A replica as the balance sees it: always ready, and answers with itself.
pub(super) struct Choice(pub(super) Arc<Replica>);

impl Load for Choice {
    type Metric = usize;

    fn load(&self) -> usize {
        self.0.load()
    }
}

impl Service<()> for Choice {
    type Response = Arc<Replica>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Arc<Replica>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        std::future::ready(Ok(Arc::clone(&self.0)))
    }
}
