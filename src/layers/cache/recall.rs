//! Hits for who cannot wait: what is found here is what `call` would have answered with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::status::Status;
use super::{CacheLayer, Sought, State, bypass, wishes};
use crate::policy::endpoint::SetCookie;
use crate::policy::freshness::Freshness;
use crate::store::entry::Entry;

/// What is stored, to be asked without a service. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    state: Arc<State>,
}

/// A fresh answer that is there.
#[derive(Clone, Debug)]
pub struct Hit {
    /// It.
    pub entry: Arc<Entry>,
    ttl: Duration,
}

impl Hit {
    /// Appends the value of `Cache-Status`.
    pub fn write_status(&self, text: &mut Vec<u8>) {
        Status::Hit { ttl: self.ttl }.write(text);
    }
}

impl CacheLayer {
    /// What this layer answers from.
    pub fn memory(&self) -> Memory {
        Memory { state: Arc::clone(&self.state) }
    }
}

impl Memory {
    /// A hit that needs nothing but to be sent: nothing is to be fetched, refreshed, encoded or
    /// left out.
    pub fn hit(&self, sought: Sought<'_>, now: Instant) -> Option<Hit> {
        let wishes = wishes(sought);
        if bypass(sought, &wishes).is_some() {
            return None;
        }
        let entry = self.state.stored(sought)?;
        let Freshness::Fresh { ttl } = self.state.freshness(&entry, &wishes, now) else {
            return None;
        };
        let rule = &sought.route.endpoint.cache;
        // Whoever refreshes it counts this request once more: that is one early.
        let is_due = rule.refresh_ahead().is_some_and(|ahead| {
            entry.asked() >= ahead.hits && entry.times().is_due(ahead.after, now)
        });
        let loses_cookie =
            entry.set_cookie() == SetCookie::Store && rule.set_cookie() != SetCookie::Store;
        let needs_more = is_due || loses_cookie || entry.lacks(sought.headers).is_some();
        (!needs_more).then_some(Hit { entry, ttl })
    }
}
