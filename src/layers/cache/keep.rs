//! Whether an answer is kept, by the rule of its endpoint.

use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{self, HeaderMap};

use super::State;
use super::fly::Departing;
use super::land::{Arrived, Failure};
use crate::policy::coding::NoTransform;
use crate::policy::endpoint::{CacheRule, Lifetimes, SetCookie};
use crate::policy::freshness::{self, Stale, Times};
use crate::policy::respect::{self, Arrival, Authorized};
use crate::policy::vary::{Selector, Vary};
use crate::store::entry::Kept;

/// Whether an answer is kept, and may be shared at all.
pub(super) enum Keep {
    /// Stored.
    Store(Kept),
    /// Handed to all who wait, and then forgotten but for what is remembered of a failure.
    Share(Kept, Failure),
    /// One client's own.
    Private,
}

/// How long an answer is kept after it can be served no more, if the upstream may confirm it.
const KEPT_TO_BE_CONFIRMED: Duration = Duration::from_hours(1);

impl State {
    pub(super) fn keep(
        &self,
        departing: &Departing,
        arrived: &Arrived<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        sent_at: Instant,
    ) -> Keep {
        let endpoint = &arrived.route.endpoint;
        match &endpoint.cache {
            CacheRule::Off => Keep::Private,
            CacheRule::Override(rule) => {
                // An error's cookie is nobody's: it is not sent on, and the error is everybody's.
                let is_private = rule.set_cookie == SetCookie::Private
                    && headers.contains_key(header::SET_COOKIE)
                    && !freshness::is_error(status);
                if is_private {
                    return Keep::Private;
                }
                let parameters = departing.asked.key.parameters();
                let Some(lifetimes) = freshness::by_rule(rule, &endpoint.when, status, parameters)
                else {
                    // Nobody's own: the question that was asked is the same for all who wait.
                    let kept = kept(times(sent_at, Lifetimes::NONE), rule.set_cookie);
                    let lasts = freshness::is_error(status);
                    return Keep::Share(kept, if lasts { Failure::Lasting } else { Failure::No });
                };
                let times = Times { keep: keep_for(headers), ..times(sent_at, lifetimes) };
                let transform = Some(NoTransform::Ignored);
                Keep::Store(Kept { transform, ..kept(times, rule.set_cookie) })
            }
            CacheRule::Respect(rule) => {
                self.keep_as_told(arrived, rule.set_cookie, status, headers, sent_at)
            }
        }
    }

    /// As the upstream says (RFC 9111).
    fn keep_as_told(
        &self,
        arrived: &Arrived<'_>,
        set_cookie: SetCookie,
        status: StatusCode,
        headers: &HeaderMap,
        sent_at: Instant,
    ) -> Keep {
        let authorized = arrived.route.upstream.authorized || arrived.authorized;
        let authorized = if authorized { Authorized::Yes } else { Authorized::No };
        let delay = self.clock.now().saturating_duration_since(sent_at);
        let arrival = Arrival { authorized, set_cookie, wall: self.clock.wall(), delay };
        let Some(storable) = respect::storable(status, headers, &arrival) else {
            return if !arrived.authorized && respect::is_everybodys_failure(status, headers) {
                // RFC 9111, section 3: what says anything about being kept is not kept otherwise.
                let lasts = !respect::is_deliberate(headers);
                let failure = if lasts { Failure::Lasting } else { Failure::No };
                Keep::Share(kept(times(sent_at, Lifetimes::NONE), SetCookie::Private), failure)
            } else {
                Keep::Private
            };
        };
        let times = Times {
            initial_age: storable.initial_age,
            stale: storable.stale,
            immutable: storable.immutable,
            keep: keep_for(headers),
            ..times(sent_at, storable.lifetimes)
        };
        let selector = match &storable.vary {
            Vary::On(names) => Some(Selector::of(names, arrived.asks)),
            Vary::Nothing | Vary::Everything => None,
        };
        let (without, transform) = (storable.without, Some(NoTransform::Heeded));
        Keep::Store(Kept { selector, without, transform, ..kept(times, set_cookie) })
    }
}

fn times(made_at: Instant, lifetimes: Lifetimes) -> Times {
    Times {
        made_at,
        initial_age: Duration::ZERO,
        lifetimes,
        oldest_age: None,
        stale: Stale::Allowed,
        immutable: false,
        keep: Duration::ZERO,
    }
}

fn kept(times: Times, set_cookie: SetCookie) -> Kept {
    let transform = None;
    Kept { times, selector: None, without: Vec::new(), chain: None, set_cookie, transform }
}

fn keep_for(headers: &HeaderMap) -> Duration {
    let confirmable =
        headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    if confirmable { KEPT_TO_BE_CONFIRMED } else { Duration::ZERO }
}
