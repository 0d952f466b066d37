//! Spawns and counts the streams of one HTTP/2 connection. hyper pings dead peers; a peer that is
//! alive and asks nothing is for us to notice.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// hyper's executor for one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    ended: AtomicU64,
}

impl Streams {
    /// How many there have been.
    pub(super) fn started(&self) -> u64 {
        self.0.started.load(Ordering::Acquire)
    }

    /// None is open, and none has been opened since `started` was read.
    pub(super) fn idle_since(&self, started: u64) -> bool {
        self.started() == started && self.0.ended.load(Ordering::Acquire) == started
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.0.started.fetch_add(1, Ordering::AcqRel);
        let open = Open(Arc::clone(&self.0));
        // It ends with its connection: hyper gives up a stream whose connection is gone.
        tokio::spawn(async move {
            let _open = open;
            stream.await;
        });
    }
}

struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}
