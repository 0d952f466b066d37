//! What systemd is told, where it asked to be (NOTIFY_SOCKET). Elsewhere nothing happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use sd_notify::{NotifyState, notify};

/// Longer than any supervisor takes to read. One that does not read at all stops nothing here.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// Whether somebody still waits to be heard.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Every listener accepts, and the configuration in force is the one that is loaded.
pub(super) fn ready() {
    tell(vec![NotifyState::Ready]);
}

/// Followed by [`ready`], whatever comes of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(vec![NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no time to tell the supervisor"),
    }
}

pub(super) fn stopping() {
    tell(vec![NotifyState::Stopping]);
}

/// Sending blocks where the socket's queue is full: a thread of its own takes that risk.
fn tell(states: Vec<NotifyState<'static>>) {
    if WAITING.swap(true, Ordering::AcqRel) {
        tracing::warn!("the supervisor does not listen");
        return;
    }
    let (done, heard) = sync_channel(1);
    let spawned = std::thread::Builder::new().name("supervisor".into()).spawn(move || {
        let told = notify(&states);
        WAITING.store(false, Ordering::Release);
        // Whoever waited may have gone on.
        drop(done.send(told));
    });
    if let Err(error) = spawned {
        WAITING.store(false, Ordering::Release);
        tracing::warn!(%error, "the supervisor cannot be told");
        return;
    }
    match heard.recv_timeout(HEARD_WITHIN) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the supervisor cannot be told"),
        Err(_) => tracing::warn!("the supervisor does not listen"),
    }
}
