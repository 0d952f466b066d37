//! The replicas of one upstream: which of them is asked next, and which is left alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use http::Method;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use rustls::ClientConfig;
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::Change;

mod choice;
mod going;

use choice::{Changes, Choice, Queue};
pub(super) use going::Going;
use going::Outcome;

use super::Trail;
use super::connect;
use super::error::UpstreamError;
use super::replica::Replica;
use crate::clock::Clock;
use crate::policy::breaker::{Admission, Breaker, Company, Risk, Role, Rules, Turn};
use crate::policy::reach::{MAX_REPLICAS, Reach};

/// What an upstream's replicas count.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// `weir_upstream_ejections_total`
    pub ejections: Counter,
    /// `weir_upstream_health_checks_total` with good answers.
    pub healthy: Counter,
    /// The same with bad ones, or none.
    pub unhealthy: Counter,
}

/// How a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is asked.
    In,
    /// It has failed too often, and is left alone for a while.
    Ejected,
    /// It says that it is not well, or says nothing.
    Down,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::In, Self::Ejected, Self::Down];

    /// A metric label, and a word on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Ejected => "ejected",
            Self::Down => "down",
        }
    }
}

/// A line of the status page.
#[derive(Clone, Debug)]
pub struct ReplicaStatus {
    /// Host, port and, where names are looked up, address.
    pub name: String,
    /// Whether it is asked.
    pub standing: Standing,
    /// Requests whose answers have not ended.
    pub in_flight: usize,
}

/// The replicas.
pub(super) struct Fleet {
    upstream: String,
    pub(super) reach: Reach,
    tls: ClientConfig,
    pub(super) clock: Clock,
    pub(super) counts: Counts,
    state: Mutex<State>,
}

struct State {
    members: Vec<Member>,
    balance: Balance<Changes, ()>,
    changes: Queue,
    next_id: u64,
}

struct Member {
    replica: Arc<Replica>,
    breaker: Breaker,
    health: Health,
    inside: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    /// With so many bad answers in a row.
    Well(u32),
    /// With so many good ones.
    Ill(u32),
}

impl Member {
    fn new(replica: Replica) -> Self {
        let (replica, breaker) = (Arc::new(replica), Breaker::default());
        Self { replica, breaker, health: Health::Well(0), inside: false }
    }

    fn is_well(&self) -> bool {
        matches!(self.health, Health::Well(_))
    }

    fn standing(&self) -> Standing {
        if self.inside {
            Standing::In
        } else if self.breaker.is_closed() {
            Standing::Down
        } else {
            Standing::Ejected
        }
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl Fleet {
    pub(super) fn new(
        upstream: &str,
        reach: Reach,
        clock: Clock,
        counts: Counts,
    ) -> Result<Self, UpstreamError> {
        let tls = connect::tls(&reach.trust)?;
        let mut members = Vec::new();
        if reach.places.is_empty() {
            members.push(Member::new(Replica::new(0, &reach, &tls, None, None)?));
        }
        for (id, place) in (0..).zip(reach.places.iter().take(MAX_REPLICAS)) {
            members.push(Member::new(Replica::new(id, &reach, &tls, Some(place), None)?));
        }
        let changes = Queue::default();
        let balance = Balance::new(Changes(Arc::clone(&changes)));
        let next_id = members.len() as u64;
        let mut state = State { members, balance, changes, next_id };
        state.sort_out();
        let upstream = upstream.to_owned();
        Ok(Self { upstream, reach, tls, clock, counts, state: Mutex::new(state) })
    }

    /// For how long nobody is asked; none = somebody may be.
    pub(super) fn refuses(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.state.lock().refuses(&self.reach.breaker, now)
    }

    /// Whether there may be more than one.
    pub(super) fn is_many(&self) -> bool {
        self.reach.places.len() > 1 || self.reach.resolve.is_some()
    }

    /// Whether another could be asked than the one that was asked last.
    pub(super) fn others(&self, trail: &Trail) -> Company {
        let last = trail.last();
        self.state.lock().company(|replica| Some(replica.id) != last)
    }

    /// The replica that is asked next; another than before, if there is one.
    pub(super) fn pick(
        self: &Arc<Self>,
        trail: Option<&Trail>,
        method: &Method,
    ) -> Result<(Arc<Replica>, Going), UpstreamError> {
        let (rules, now) = (&self.reach.breaker, self.clock.now());
        let mut state = self.state.lock();
        let (replica, role) = if let Some(replica) = state.probe(Risk::of(method), rules, now) {
            (replica, Role::Probe)
        } else {
            let chosen = state.choose(trail.and_then(Trail::last));
            let wait = || state.refuses(rules, now).unwrap_or_default();
            (chosen.ok_or_else(|| UpstreamError::Down { retry_after: wait() })?, Role::Regular)
        };
        if let Some(trail) = trail {
            trail.step(replica.id);
        }
        // Counted before the lock is let go, so that the next choice sees it.
        let going = Going::new(Some(Arc::clone(self)), &replica, role);
        Ok((replica, going))
    }

    fn tell(&self, id: u64, role: Role, outcome: Outcome) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let company = state.company(|replica| replica.id != id);
        let Some(member) = state.members.iter_mut().find(|member| member.replica.id == id) else {
            return;
        };
        let turn = match outcome {
            Outcome::Good => member.breaker.succeeded(),
            Outcome::Bad(blame) => {
                member.breaker.failed(blame, company, role, &self.reach.breaker, now)
            }
            Outcome::Unknown => {
                if role == Role::Probe {
                    member.breaker.released(now);
                }
                Turn::None
            }
        };
        let (upstream, replica) = (&self.upstream, &member.replica.name);
        match turn {
            Turn::None => return,
            Turn::Opened(pause) => {
                self.counts.ejections.inc();
                tracing::warn!(upstream, replica, ?pause, "failing; left alone for a while");
            }
            Turn::Closed => tracing::info!(upstream, replica, "answers again"),
        }
        state.sort_out();
    }

    /// What a replica says of itself.
    pub(super) fn asked_how_it_is(&self, id: u64, is_well: bool) {
        let Some(rules) = &self.reach.health else { return };
        let counter = if is_well { &self.counts.healthy } else { &self.counts.unhealthy };
        counter.inc();
        let mut state = self.state.lock();
        let Some(member) = state.members.iter_mut().find(|member| member.replica.id == id) else {
            return;
        };
        let (upstream, replica) = (&self.upstream, &member.replica.name);
        member.health = match (member.health, is_well) {
            (Health::Well(_), true) => Health::Well(0),
            (Health::Ill(_), false) => Health::Ill(0),
            (Health::Well(bad), false) if bad + 1 < rules.unhealthy => Health::Well(bad + 1),
            (Health::Ill(good), true) if good + 1 < rules.healthy => Health::Ill(good + 1),
            (Health::Well(_), false) => {
                tracing::warn!(upstream, replica, "not well by its own word");
                Health::Ill(0)
            }
            (Health::Ill(_), true) => {
                tracing::info!(upstream, replica, "well again by its own word");
                Health::Well(0)
            }
        };
        state.sort_out();
    }

    pub(super) fn replicas(&self) -> Vec<Arc<Replica>> {
        self.state.lock().members.iter().map(|member| Arc::clone(&member.replica)).collect()
    }

    /// Each of these addresses is a replica from now on. What is under way elsewhere ends there.
    pub(super) fn move_to(&self, addresses: &[SocketAddr]) -> Result<(), UpstreamError> {
        let place = self.reach.places.first();
        let mut state = self.state.lock();
        for address in addresses.iter().take(MAX_REPLICAS) {
            let known = |member: &Member| member.replica.address == Some(*address);
            if !state.members.iter().any(known) {
                let id = state.next_id;
                state.next_id += 1;
                let replica = Replica::new(id, &self.reach, &self.tls, place, Some(*address))?;
                state.members.push(Member::new(replica));
            }
        }
        let wanted = |member: &Member| {
            let address = member.replica.address;
            addresses.iter().take(MAX_REPLICAS).any(|wanted| Some(*wanted) == address)
        };
        let (stay, go): (Vec<_>, _) = state.members.drain(..).partition(wanted);
        state.members = stay;
        let mut changes = state.changes.lock();
        changes.extend(go.iter().filter(|m| m.inside).map(|m| Change::Remove(m.replica.id)));
        drop(changes);
        state.sort_out();
        Ok(())
    }

    pub(super) fn status(&self) -> Vec<ReplicaStatus> {
        let of = |member: &Member| ReplicaStatus {
            name: member.replica.name.clone(),
            standing: member.standing(),
            in_flight: member.replica.load(),
        };
        self.state.lock().members.iter().map(of).collect()
    }
}

/// So many comings and goings are looked at together.
const MOST_CHANGES: usize = 2 * MAX_REPLICAS;

impl State {
    /// Who is in: those that are well and not ejected; if nobody is well, all who are not ejected,
    /// because one that answers badly is better than none.
    fn sort_out(&mut self) {
        let best = |member: &Member| member.breaker.is_closed() && member.is_well();
        let any_well = self.members.iter().any(best);
        let mut changes = self.changes.lock();
        for member in &mut self.members {
            let inside = member.breaker.is_closed() && (member.is_well() || !any_well);
            let id = member.replica.id;
            match (member.inside, inside) {
                (false, true) => {
                    changes.push_back(Change::Insert(id, Choice(Arc::clone(&member.replica))));
                }
                (true, false) => changes.push_back(Change::Remove(id)),
                _ => {}
            }
            member.inside = inside;
        }
        let is_long = changes.len() > MOST_CHANGES;
        drop(changes);
        // Where nobody asks for a replica nobody looks at who comes and goes.
        if is_long {
            drop(self.balance.poll_ready(&mut Context::from_waker(Waker::noop())));
        }
    }

    /// Whether anybody of these is asked without further ado.
    fn company(&self, of: impl Fn(&Replica) -> bool) -> Company {
        let any_in = self.members.iter().any(|member| member.inside && of(&member.replica));
        if any_in { Company::Others } else { Company::Alone }
    }

    fn refuses(&self, rules: &Rules, now: Instant) -> Option<Duration> {
        let company = self.company(|_| true);
        let wait =
            |member: &Member| match member.breaker.admits(company, Risk::Repeatable, rules, now) {
                Admission::Go | Admission::Probe => Duration::ZERO,
                Admission::Not(until) => until.saturating_duration_since(now),
            };
        let least = self.members.iter().map(wait).min().unwrap_or_default();
        (!least.is_zero()).then_some(least)
    }

    /// A replica whose time to be asked again has come.
    fn probe(&mut self, risk: Risk, rules: &Rules, now: Instant) -> Option<Arc<Replica>> {
        let company = self.company(|_| true);
        let member = self.members.iter_mut().find(|member| {
            let may = member.is_well() || company == Company::Alone;
            let admits = || member.breaker.admits(company, risk, rules, now);
            !member.breaker.is_closed() && may && admits() == Admission::Probe
        })?;
        member.breaker.probes(now);
        Some(Arc::clone(&member.replica))
    }

    /// One of those that are in: the less busy of two. Not the one that was asked before, if there
    /// is another.
    fn choose(&mut self, before: Option<u64>) -> Option<Arc<Replica>> {
        if let Some(before) = before {
            let others = self.members.iter().filter(|m| m.inside && m.replica.id != before);
            if let Some(other) = others.min_by_key(|member| member.replica.load()) {
                return Some(Arc::clone(&other.replica));
            }
        }
        let mut inside = self.members.iter().filter(|member| member.inside);
        let first = Arc::clone(&inside.next()?.replica);
        if inside.next().is_none() {
            return Some(first);
        }
        // Nobody waits for it: every replica is always ready, and changes are seen when asked for.
        let mut cx = Context::from_waker(Waker::noop());
        if !matches!(self.balance.poll_ready(&mut cx), Poll::Ready(Ok(()))) {
            return Some(first);
        }
        match self.balance.call(()).now_or_never() {
            Some(Ok(chosen)) => Some(chosen),
            _ => Some(first),
        }
    }
}

#[cfg(test)]
mod tests;
