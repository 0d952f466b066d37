//! A token on its way with a request.

use std::sync::Arc;

use parking_lot::Mutex;

use super::state::Taken;
use super::{LabelIndex, Shared};

/// A token in a request's care. Dropped before [`Permit::spend`], it is given back.
#[derive(Debug)]
pub struct Permit {
    departure: Departure,
    fate: Fate,
}

/// What becomes of a token with its permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    GivenBack,
    Spent,
}

impl Permit {
    pub(super) fn new(shared: Arc<Shared>, label: LabelIndex, taken: Taken) -> Self {
        let taken = Arc::new(Mutex::new(taken));
        Self { departure: Departure { shared, label, taken }, fate: Fate::GivenBack }
    }

    /// The request is being sent: from here on the token is spent, whatever happens.
    pub fn spend(&mut self) -> Departure {
        self.fate = Fate::Spent;
        self.departure.clone()
    }

    /// The request did not reach the upstream after all.
    pub fn never_sent(mut self) {
        self.fate = Fate::GivenBack;
    }

    /// The answer's head is here.
    pub fn answered(&self) {
        let Departure { shared, label, taken } = &self.departure;
        let now = shared.clock.now();
        shared.state.lock().answered(*label, &mut taken.lock(), now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Departure { shared, label, taken } = &self.departure;
        match self.fate {
            Fate::GivenBack => {
                // A copy, because the state is locked before a token, never after.
                let taken = taken.lock().clone();
                shared.give_back(*label, &taken);
            }
            // Cancelled on its way to a connection: it may have left all the same.
            Fate::Spent => self.departure.now(),
        }
    }
}

/// Tells the limiter when a request really leaves. Clones are the same request.
#[derive(Clone, Debug)]
pub struct Departure {
    shared: Arc<Shared>,
    label: LabelIndex,
    taken: Arc<Mutex<Taken>>,
}

impl Departure {
    /// There is a connection, and the request goes out on it. Only the first call counts.
    pub fn now(&self) {
        let now = self.shared.clock.now();
        self.shared.state.lock().left(self.label, &mut self.taken.lock(), now);
    }
}
