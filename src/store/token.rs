//! Clients' tokens: whose a JWT is. A signature costs some ten thousand times what a look-up does,
//! so one that was good is remembered until it expires.

use std::collections::HashMap;
use std::fmt;

use moka::sync::Cache;

use crate::clock::Clock;
use crate::policy::identity::MAX_TOKEN;
use crate::policy::token::{TokenFault, TokenRules, seconds};
use crate::secret::Fingerprint;

/// Good tokens that are remembered; of more, some are checked again.
const MOST: u64 = 4096;

/// Judges tokens. What it remembers ends with the rules: a reload makes a new one.
pub struct Tokens {
    rules: TokenRules,
    /// Client numbers by subject.
    subjects: HashMap<String, usize>,
    good: Cache<Fingerprint, Good>,
    clock: Clock,
}

#[derive(Clone, Copy)]
struct Good {
    client: usize,
    /// Seconds since 1970.
    until: f64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Tokens {
    /// `subjects` says whose a subject is, by the client's number.
    pub fn new(rules: TokenRules, subjects: HashMap<String, usize>, clock: Clock) -> Self {
        Self { rules, subjects, good: Cache::new(MOST), clock }
    }

    /// The number of the client whose token this is.
    pub fn client(&self, token: &[u8]) -> Result<usize, TokenFault> {
        if token.len() > MAX_TOKEN {
            return Err(TokenFault::TooLong);
        }
        let print = Fingerprint::of(token);
        let now = self.clock.wall();
        if let Some(good) = self.good.get(&print) {
            return if seconds(now) < good.until {
                Ok(good.client)
            } else {
                self.good.invalidate(&print);
                Err(TokenFault::Expired)
            };
        }
        let claims = self.rules.keys.verify(token, &self.rules.algorithms)?;
        let bearer = self.rules.demands.judge(&claims, now)?;
        let client = *self.subjects.get(bearer.subject).ok_or(TokenFault::Subject)?;
        self.good.insert(print, Good { client, until: bearer.until });
        Ok(client)
    }
}

#[cfg(test)]
mod tests;
