//! Whether everybody can be served at all.

use crate::config::fault::Report;
use crate::config::settings::UpstreamSettings;
use crate::policy::quota::{Mode, PoolSpec};
use crate::policy::share::{Percent, Share};

/// Reports every pool of which the client at that path gets nothing.
pub(super) fn check(
    path: &str,
    share: &Share,
    upstreams: &[UpstreamSettings],
    report: &mut Report,
) {
    for (pool_path, pool) in out_of_reach(share, upstreams) {
        let per_day = pool.per_day.get();
        match share.daily.filter(|daily| daily.of(per_day) == 0) {
            // One of no percent at all is reported for what it is.
            Some(daily) if daily == Percent::default() => {}
            Some(daily) => {
                let least = u16::try_from(1000_u32.div_ceil(per_day)).ok();
                let least = least.and_then(Percent::from_tenths).unwrap_or(Percent::WHOLE);
                let why = format!(
                    "{daily} of {per_day} a day ({pool_path}) is less than one: \
                     it could never be served"
                );
                let hint = format!("write at least \"{least}\"");
                report.fault_try(&format!("{path}.daily_share"), why, hint);
            }
            None => {
                let priority = share.priority.as_str();
                let why = format!(
                    "{pool_path} keeps its whole day from {priority} priority: \
                     it could never be served"
                );
                report.fault_try(&format!("{path}.priority"), why, "lower the reserve");
            }
        }
    }
}

/// The same for callers without a key, where everybody is one.
pub(super) fn check_anonymous(upstreams: &[UpstreamSettings], report: &mut Report) {
    for (pool_path, _) in out_of_reach(&Share::anonymous(), upstreams) {
        let why = "keeps the whole day from anonymous callers, whose priority is normal";
        report.fault_try(&format!("{pool_path}.reserve"), why, "lower it, or list [[clients]]");
    }
}

/// The pools that somebody may spend nothing of, and that a label spends from which holds him back.
fn out_of_reach<'a>(
    share: &Share,
    upstreams: &'a [UpstreamSettings],
) -> Vec<(String, &'a PoolSpec)> {
    let mut found = Vec::new();
    for upstream in upstreams {
        let holds = |pool: &PoolSpec| {
            let mut labels = upstream.labels.iter();
            labels.any(|l| l.mode == Mode::Enforce && l.pool.as_ref() == Some(&pool.id))
        };
        let pools = upstream.pools.iter();
        let closed = pools.filter(|pool| pool.most_for(share) == 0 && holds(pool));
        found.extend(closed.map(|p| (format!("upstreams.{}.pools.{}", upstream.id, p.id), p)));
    }
    found
}
