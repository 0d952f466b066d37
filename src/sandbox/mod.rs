#![doc = include_str!("README.md")]

mod answer;
mod api;
mod auth;
mod canned;
mod changes;
mod control;
mod counters;
mod draw;
mod faults;
mod headers;
mod ids;
mod json;
mod limits;
mod operations;
mod pages;
mod paths;
mod query;
mod render;
mod service;
#[cfg(test)]
mod tests;
mod users;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use self::auth::Gatekeeper;
use self::changes::Account;
use self::counters::Tally;
use self::faults::Faults;
use self::limits::Limits;
use self::pages::Pager;
use self::query::millis;
use self::users::User;
use self::world::{FIXED, HOUR, Millis, World};
use crate::clock::Clock;
use crate::secret::Secret;

pub use self::changes::ChangeError;
pub use self::counters::{Counters, LabelCount, RequestCount, Seen};
pub use self::faults::{Fault, FaultKind};
pub use self::headers::{HeaderStyle, HeaderText, Lies};
pub use self::ids::IdKind;
pub use self::limits::{DailyPool, Figures, Plan};
pub use self::operations::Label;
pub use self::service::SandboxError;
pub use self::world::SessionState;

/// The latest instant that the clock can be advanced to (the year 2200), in seconds since 1970.
const LATEST: u64 = 7_258_118_400;

/// What kind of account is simulated.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides the figures of the limits.
    pub plan: Plan,
    /// Other figures than the plan's.
    pub figures: Option<Figures>,
    /// Decides ids, names, and who comes and goes.
    pub seed: u64,
    /// How many sessions there are at a time: 5 fixed ones and the changing rest, at most 200.
    pub sessions: usize,
    /// `iss` of the JWTs.
    pub api_key: String,
    /// Signs the JWTs.
    pub api_secret: Secret,
    /// User id at the OAuth endpoint.
    pub client_id: String,
    /// Password at the OAuth endpoint.
    pub client_secret: Secret,
    /// For the `account_credentials` grant.
    pub account_id: String,
}

impl Default for Options {
    /// The documented demo account.
    fn default() -> Self {
        Self {
            plan: Plan::Pro,
            figures: None,
            seed: 1,
            sessions: 12,
            api_key: "sandbox-key".to_owned(),
            api_secret: Secret::new("sandbox-secret"),
            client_id: "sandbox-client".to_owned(),
            client_secret: Secret::new("sandbox-client-secret"),
            account_id: "sandbox-account".to_owned(),
        }
    }
}

/// The simulated API. Clones are the same account.
#[derive(Clone, Debug)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    clock: Clock,
    account: Mutex<Account>,
    limits: Mutex<Limits>,
    tally: Mutex<Tally>,
    faults: Mutex<Faults>,
    headers: Mutex<HeaderStyle>,
    gatekeeper: Gatekeeper,
    pager: Pager,
    latency_ms: AtomicU64,
    answers: AtomicU64,
}

/// One session as the control surface shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id, undecorated.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: SessionState,
    /// How many entries its list of users has.
    pub listed: usize,
    /// How many of them are in the session now.
    pub present: usize,
}

impl SessionInfo {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "state": self.state.as_str(),
            "listed": self.listed,
            "present": self.present,
        })
    }
}

impl Sandbox {
    /// A fresh account whose time is `clock`.
    pub fn new(options: Options, clock: Clock) -> Self {
        let now = millis(clock.wall()).unwrap_or_default();
        let world = World::new(options.seed, options.sessions, now);
        let figures = options.figures.unwrap_or_else(|| options.plan.figures());
        let inner = Inner {
            account: Mutex::new(Account::new(world)),
            limits: Mutex::new(Limits::new(figures)),
            tally: Mutex::default(),
            faults: Mutex::default(),
            headers: Mutex::default(),
            gatekeeper: Gatekeeper::new(&options),
            pager: Pager::new(options.api_secret.expose()),
            latency_ms: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            options,
            clock,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What it was made with.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Its time.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Moves its time forward (and that of everybody who shares the clock), to 2200 at most.
    pub fn advance(&self, by: Duration) {
        let room = LATEST.saturating_sub(self.now_ms() / 1_000);
        self.inner.clock.advance(by.min(Duration::from_secs(room)));
    }

    /// All counts since the start or the last reset.
    pub fn counters(&self) -> Counters {
        let mut limits = self.inner.limits.lock();
        let today = limits.today(self.now_ms());
        self.inner.tally.lock().read(limits.figures(), today)
    }

    /// Sets the counts to zero; what the limits have spent stays spent.
    pub fn reset_counters(&self) {
        *self.inner.tally.lock() = Tally::default();
    }

    /// Other applications of the account have asked `count` times today, too thinly to be felt in
    /// any window: takes so many admissions from the day's pool, or what is left of it. The answer
    /// is how many it took, 0 for a label without a pool. They are not counted as requests.
    pub fn spend(&self, label: Label, count: u32) -> u32 {
        self.inner.limits.lock().spend(label, count, self.now_ms())
    }

    /// Other applications of the account ask `count` times now: takes so many admissions from the
    /// label's window and the day's pool, as requests would, but no more than fit. The answer is
    /// how many fitted, the label's figure at most. They are not counted as requests.
    pub fn crowd(&self, label: Label, count: u32) -> u32 {
        // The clock is read under the lock, as it is for requests.
        let mut limits = self.inner.limits.lock();
        limits.crowd(label, count, self.inner.clock.now(), self.now_ms())
    }

    /// The heads of the last 200 requests, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.inner.tally.lock().seen()
    }

    /// Holds every API answer for so long.
    pub fn set_latency(&self, latency: Duration) {
        let ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.inner.latency_ms.store(ms, Ordering::Relaxed);
    }

    /// Orders a fault; false if too many wait already.
    pub fn inject(&self, fault: Fault) -> bool {
        self.inner.faults.lock().order(fault)
    }

    /// Forgets the faults on order.
    pub fn clear_faults(&self) {
        self.inner.faults.lock().clear();
    }

    /// What the answers say of the limits from now on, until it is set again.
    pub fn set_headers(&self, style: HeaderStyle) {
        *self.inner.headers.lock() = style;
    }

    /// Refuses every OAuth token issued so far.
    pub fn revoke_tokens(&self) {
        self.inner.gatekeeper.revoke();
    }

    /// A JWT that the account accepts for the next hour.
    pub fn jwt(&self) -> Option<Secret> {
        self.inner.gatekeeper.mint(self.now_ms() / 1_000).map(Secret::new)
    }

    /// A user joins a live session; the answer is the user's `id`.
    pub fn join(&self, session: &str, name: &str) -> Result<String, ChangeError> {
        let now = self.now_ms();
        self.inner.account.lock().join(session, name, now).map(|id| id.to_string())
    }

    /// A user leaves a live session; without an id the last one listed.
    pub fn leave(&self, session: &str, user: Option<&str>) -> Result<String, ChangeError> {
        let user =
            user.map(|id| id.parse().map_err(|_no_id| ChangeError::NoSuchUser)).transpose()?;
        let now = self.now_ms();
        self.inner.account.lock().leave(session, user, now).map(|id| id.to_string())
    }

    /// A session begins, under this id or one of its own making, with so many users.
    pub fn start(&self, id: Option<&str>, users: u32) -> Result<String, ChangeError> {
        let now = self.now_ms();
        self.inner.account.lock().start(id, users, now)
    }

    /// A live session ends.
    pub fn end(&self, session: &str) -> Result<(), ChangeError> {
        let now = self.now_ms();
        self.inner.account.lock().end(session, now)
    }

    /// Everybody in a session, as the API lists them but in one array; none if it is unknown.
    pub fn users(&self, session: &str) -> Option<Vec<Value>> {
        serde_json::from_str(&self.users_json(session)?).ok()
    }

    /// The same as text.
    pub fn users_json(&self, session: &str) -> Option<String> {
        let account = self.inner.account.lock();
        let as_of = account.as_of(self.now_ms());
        let users = account.users(&account.session(session, as_of)?, as_of);
        let mut out = String::new();
        json::array(&mut out, &users, render::user);
        Some(out)
    }

    /// The fixed sessions, and all that are live, scheduled, or ended no longer ago than `past`.
    pub fn sessions(&self, past: Duration) -> Vec<SessionInfo> {
        let past = Millis::try_from(past.as_millis()).unwrap_or(Millis::MAX);
        let account = self.inner.account.lock();
        let as_of = account.as_of(self.now_ms());
        let mut found = account.between(as_of.at.saturating_sub(past), as_of.at + HOUR, as_of);
        for slot in 0..FIXED {
            let id = account.world.fixed(slot).id;
            if found.iter().all(|session| session.id != id) {
                found.extend(account.session(&id, as_of));
            }
        }
        let info = found.into_iter().map(|session| {
            let users = account.users(&session, as_of);
            SessionInfo {
                state: session.state(as_of.at),
                listed: users.len(),
                present: users.iter().filter(|user| User::present(user)).count(),
                id: session.id,
                name: session.name,
            }
        });
        info.collect()
    }

    /// The id of the session of more than a thousand users.
    pub fn biggest_session_id(&self) -> String {
        self.session_id(IdKind::Plain)
    }

    /// The id of the fixed live session of a kind.
    pub fn session_id(&self, kind: IdKind) -> String {
        self.inner.account.lock().world.fixed_id(kind)
    }

    /// The id of the fixed session that is over.
    pub fn past_session_id(&self) -> String {
        self.inner.account.lock().world.fixed(FIXED - 1).id
    }

    fn now_ms(&self) -> Millis {
        millis(self.inner.clock.wall()).unwrap_or_default()
    }

    fn now_iso(&self) -> String {
        json::iso(self.now_ms())
    }

    fn latency(&self) -> Duration {
        Duration::from_millis(self.inner.latency_ms.load(Ordering::Relaxed))
    }

    fn next_number(&self) -> u64 {
        self.inner.answers.fetch_add(1, Ordering::Relaxed)
    }
}
