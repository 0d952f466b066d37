//! Instants as they are written down, and when a day ends.

use std::time::{Duration, SystemTime};

use super::DAY;

pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Far instants are as good as the end of the calendar.
pub(super) fn instant(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX)))
}

pub(super) fn next_reset(resets_at: Duration, wall: SystemTime) -> SystemTime {
    let since_epoch = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = since_epoch.saturating_sub(resets_at).as_secs() / DAY.as_secs();
    let candidate = SystemTime::UNIX_EPOCH + resets_at + DAY * u32::try_from(days).unwrap_or(0);
    if candidate > wall { candidate } else { candidate + DAY }
}
