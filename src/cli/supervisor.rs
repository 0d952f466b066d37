//! What systemd is told, where it asked to be (NOTIFY_SOCKET). Elsewhere nothing happens.

use sd_notify::{NotifyState, notify};

/// Every listener accepts, and the configuration in force is the one that is loaded.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Followed by [`ready`], whatever comes of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no time to tell the supervisor"),
    }
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!(%error, "the supervisor cannot be told");
    }
}
