//! A request under way, as its replica's record sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;

use super::Fleet;
use crate::policy::breaker::{Blame, Role};
use crate::upstream::error::UpstreamError;
use crate::upstream::replica::Replica;

#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Good,
    Bad(Blame),
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SoFar {
    /// No answer yet.
    Nothing,
    /// A head, and no more than that is amiss.
    Head,
    Told,
}

/// A request under way. Whatever becomes of it, its replica hears of it once.
pub(in crate::upstream) struct Going {
    fleet: Option<Arc<Fleet>>,
    replica: Arc<Replica>,
    role: Role,
    so_far: SoFar,
}

impl Going {
    pub(super) fn new(fleet: Option<Arc<Fleet>>, replica: &Arc<Replica>, role: Role) -> Self {
        replica.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { fleet, replica: Arc::clone(replica), role, so_far: SoFar::Nothing }
    }

    /// One of nobody's, of which the breaker hears nothing.
    pub(in crate::upstream) fn apart(replica: &Arc<Replica>) -> Self {
        Self::new(None, replica, Role::Regular)
    }

    /// The answer's head is there.
    pub(in crate::upstream) fn answered(&mut self, status: StatusCode) {
        self.so_far = SoFar::Head;
        if self.fleet.as_ref().is_some_and(|fleet| fleet.reach.faults.contains(&status)) {
            self.tell(Outcome::Bad(Blame::Faulty));
        } else if self.role == Role::Probe {
            // Others wait to hear of it, and the rest may take as long as it likes.
            self.tell(Outcome::Good);
        }
    }

    /// There is no answer, or not a whole one.
    pub(in crate::upstream) fn failed(&mut self, error: &UpstreamError) {
        self.tell(error.blame().map_or(Outcome::Unknown, Outcome::Bad));
    }

    fn tell(&mut self, outcome: Outcome) {
        if self.so_far != SoFar::Told {
            self.so_far = SoFar::Told;
            if let Some(fleet) = &self.fleet {
                fleet.tell(self.replica.id, self.role, outcome);
            }
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.replica.in_flight.fetch_sub(1, Ordering::Relaxed);
        match self.so_far {
            SoFar::Head => self.tell(Outcome::Good),
            SoFar::Nothing => self.tell(Outcome::Unknown),
            SoFar::Told => {}
        }
    }
}
