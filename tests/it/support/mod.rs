//! What the tests stand on: a gateway before a sandbox, an upstream that says what it is told to,
//! clients, and the real binary as a child process.

pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod issuer;
pub(crate) mod metrics;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod scripted;
pub(crate) mod upstream;

use std::time::{Duration, SystemTime};

use weir::clock::Clock;

pub(crate) use child::Child;
pub(crate) use client::{Answer, Client};
pub(crate) use gateway::{Setup, TestGateway};
pub(crate) use metrics::Metrics;
pub(crate) use upstream::Upstream;

/// Longest anything is waited for. Only a failing test gets there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let clock = Clock::system();
    let deadline = clock.now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(clock.now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A Saturday afternoon, far from midnight: the daily budget does not begin anew by accident.
pub(crate) fn afternoon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_759_586_400)
}

/// A clock that reads [`afternoon`] now.
pub(crate) fn clock() -> Clock {
    Clock::starting_at(afternoon())
}

/// One test at a time where the upstream's view of the last second is measured: two such tests on
/// one machine would measure each other.
pub(crate) async fn quiet() -> tokio::sync::MutexGuard<'static, ()> {
    static QUIET: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    QUIET.lock().await
}

/// Waits for all, in the order given.
pub(crate) async fn join_all<T: Send + 'static>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}
