//! Who is next: strict priorities with a bound on how long they starve the others, and among
//! equals start-time fair queueing by weight.
//!
//! Every client's first waiter has a start tag: the class's virtual time or, if later, where the
//! client's last served request ended. A request "lasts" the inverse of its client's weight. The
//! lowest tag is next, so a client that asks a hundred times as often gets its weight's share and
//! no more, and what nobody else wants is lent to it (Goyal, Vin and Cheng, 1996). Only who is
//! served moves a client's tag: waiters who hang up cost their client nothing.
//!
//! Of every [`AGED_EVERY`] grants one goes to the longest waiting of the lower classes, if it has
//! waited longer than the caller's bound.
//!
//! Costs are logarithmic in waiters and clients, but for [`FairQueue::ahead`] and
//! [`FairQueue::displaced_by`], which are linear in the clients that wait, of which the
//! configuration has so many, and take no account of how many requests they wait with.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::endpoint::Priority;
use super::share::{ClientId, Share};

/// How long a request of weight 1 lasts, in virtual time.
const UNIT: u64 = 1 << 32;

/// One of so many grants may go to somebody who has aged.
pub const AGED_EVERY: usize = 4;

/// Where a waiter stands, to find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    priority: Priority,
    client: ClientId,
    sequence: u64,
}

/// How many are served before somebody who comes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// By priority and weight.
    pub strict: usize,
    /// Among those who age, if this one can age at all.
    pub aged: Option<usize>,
}

/// A queue of `T`.
#[derive(Debug)]
pub struct FairQueue<T> {
    /// By [`Priority`], the highest first.
    classes: [Class<T>; 3],
    waiting: usize,
    sequence: u64,
    /// Grants in a row for which lower classes were passed over.
    passed_over: usize,
}

#[derive(Debug)]
struct Class<T> {
    time: u64,
    /// Everybody who has waited since there was last nobody: no more than there are clients.
    flows: HashMap<ClientId, Flow<T>>,
    /// The clients that wait, by their start tag and their first waiter's sequence.
    heads: BTreeMap<(u64, u64), ClientId>,
    /// Everybody who waits, in the order in which they came.
    arrivals: BTreeMap<u64, (Instant, ClientId)>,
}

#[derive(Debug)]
struct Flow<T> {
    /// The start tag of the next to be served.
    start: u64,
    /// How long each lasts.
    step: u64,
    waiting: BTreeMap<u64, T>,
}

impl<T> Flow<T> {
    fn head(&self) -> Option<(u64, u64)> {
        self.waiting.first_key_value().map(|(&sequence, _)| (self.start, sequence))
    }

    /// The start tag of the last to be served.
    fn last(&self) -> u64 {
        let before = (self.waiting.len() as u64).saturating_sub(1);
        self.start.saturating_add(self.step.saturating_mul(before))
    }
}

impl<T> Default for Class<T> {
    fn default() -> Self {
        let (flows, heads, arrivals) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { time: 0, flows, heads, arrivals }
    }
}

impl<T> Class<T> {
    fn push(&mut self, share: &Share, sequence: u64, item: T, now: Instant) {
        let time = self.time;
        let flow = self.flows.entry(share.client.clone()).or_insert_with(|| Flow {
            start: time,
            step: 1,
            waiting: BTreeMap::new(),
        });
        flow.step = step(share);
        if flow.waiting.is_empty() {
            flow.start = flow.start.max(time);
            self.heads.insert((flow.start, sequence), share.client.clone());
        }
        flow.waiting.insert(sequence, item);
        self.arrivals.insert(sequence, (now, share.client.clone()));
    }

    fn take(&mut self, client: &ClientId, sequence: u64, fate: Fate) -> Option<T> {
        let flow = self.flows.get_mut(client)?;
        let head = flow.head()?;
        let item = flow.waiting.remove(&sequence)?;
        self.arrivals.remove(&sequence);
        self.heads.remove(&head);
        if fate == Fate::Served {
            self.time = self.time.max(flow.start);
            flow.start = flow.start.saturating_add(flow.step);
        }
        if let Some(head) = flow.head() {
            self.heads.insert(head, client.clone());
        }
        if self.arrivals.is_empty() {
            *self = Self::default();
        }
        Some(item)
    }

    /// The start tag of one more request of this client.
    fn start_of(&self, share: &Share) -> u64 {
        let own = self.flows.get(&share.client);
        let waiting = own.map_or(0, |flow| flow.waiting.len() as u64);
        let ended = own.map_or(0, |flow| flow.start).max(self.time);
        ended.saturating_add(step(share).saturating_mul(waiting))
    }

    /// How many are served before one more request of this client.
    fn ahead(&self, share: &Share) -> usize {
        let own = self.flows.get(&share.client);
        let waiting = own.map_or(0, |flow| flow.waiting.len());
        let start = self.start_of(share);
        let others = self.heads.values().filter(|client| **client != share.client);
        let before = others.filter_map(|client| self.flows.get(client)).map(|flow| {
            let before = start.checked_sub(flow.start).map_or(0, |lead| lead / flow.step + 1);
            flow.waiting.len().min(usize::try_from(before).unwrap_or(usize::MAX))
        });
        waiting + before.sum::<usize>()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Served,
    Left,
}

fn step(share: &Share) -> u64 {
    (UNIT / u64::from(share.weight.get())).max(1)
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        let classes = std::array::from_fn(|_| Class::default());
        Self { classes, waiting: 0, sequence: 0, passed_over: 0 }
    }
}

impl<T> FairQueue<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether more than one client waits, `newcomer` counted in.
    pub fn is_contended(&self, newcomer: Option<&ClientId>) -> bool {
        let mut waiting = self.classes.iter().flat_map(|class| class.heads.values());
        let Some(first) = newcomer.or_else(|| waiting.next()) else { return false };
        waiting.any(|client| client != first)
    }

    /// How many wait, by client.
    pub fn by_client(&self) -> BTreeMap<ClientId, usize> {
        let flows = self.classes.iter().flat_map(|class| &class.flows);
        let waiting = flows.filter(|(_, flow)| !flow.waiting.is_empty());
        let mut sum = BTreeMap::new();
        for (client, flow) in waiting {
            *sum.entry(client.clone()).or_default() += flow.waiting.len();
        }
        sum
    }

    /// How many would be served before a request that came now.
    pub fn ahead(&self, share: &Share) -> Ahead {
        let own = share.priority as usize;
        let higher = self.classes.iter().take(own).map(|class| class.arrivals.len());
        let strict = higher.sum::<usize>();
        let strict = strict + self.classes.get(own).map_or(0, |class| class.ahead(share));
        let lower = self.classes.iter().skip(1).map(|class| class.arrivals.len());
        Ahead { strict, aged: (own > 0).then(|| lower.sum()) }
    }

    /// Who is served last, if a request that came now would be served before: whoever gives up its
    /// place in a full queue, so that it is not full for those with priority or a share unused.
    pub fn displaced_by(&self, share: &Share) -> Option<Ticket> {
        let own = share.priority as usize;
        let mut classes = self.classes.iter().zip(Priority::ALL).enumerate().rev();
        let (at, (class, priority)) = classes.find(|(_, (class, _))| !class.arrivals.is_empty())?;
        let waiting = class.flows.iter().filter(|(_, flow)| !flow.waiting.is_empty());
        let (client, flow) = waiting.max_by_key(|(_, flow)| (flow.last(), flow.head()))?;
        let before = at > own || (at == own && class.start_of(share) < flow.last());
        let (&sequence, _) = flow.waiting.last_key_value().filter(|_| before)?;
        Some(Ticket { priority, client: client.clone(), sequence })
    }

    /// Enters the queue.
    pub fn push(&mut self, share: &Share, item: T, now: Instant) -> Ticket {
        self.sequence += 1;
        self.waiting += 1;
        let sequence = self.sequence;
        if let Some(class) = self.classes.get_mut(share.priority as usize) {
            class.push(share, sequence, item, now);
        }
        Ticket { priority: share.priority, client: share.client.clone(), sequence }
    }

    /// Who is next. Whoever has come before `aged` and is of a lower class has aged.
    pub fn next(&self, aged: Option<Instant>) -> Option<Ticket> {
        self.next_aged(aged).or_else(|| {
            let mut classes = self.classes.iter().zip(Priority::ALL);
            classes.find_map(|(class, priority)| {
                let (&(_, sequence), client) = class.heads.first_key_value()?;
                Some(Ticket { priority, client: client.clone(), sequence })
            })
        })
    }

    fn next_aged(&self, aged: Option<Instant>) -> Option<Ticket> {
        if self.passed_over + 1 < AGED_EVERY {
            return None;
        }
        // Below the class whose turn it is; within that, weights decide.
        let busy = self.classes.iter().position(|class| !class.arrivals.is_empty())?;
        let lower = self.classes.iter().zip(Priority::ALL).skip(busy + 1);
        let oldest = lower.filter_map(|(class, priority)| {
            let (&sequence, (came, client)) = class.arrivals.first_key_value()?;
            Some((sequence, came, Ticket { priority, client: client.clone(), sequence }))
        });
        let (_, came, ticket) = oldest.min_by_key(|(sequence, ..)| *sequence)?;
        aged.is_some_and(|aged| *came <= aged).then_some(ticket)
    }

    /// Somebody who waits.
    pub fn get(&self, ticket: &Ticket) -> Option<&T> {
        let class = self.classes.get(ticket.priority as usize)?;
        class.flows.get(&ticket.client)?.waiting.get(&ticket.sequence)
    }

    /// Serves somebody, whom [`FairQueue::next`] has named.
    pub fn serve(&mut self, ticket: &Ticket) -> Option<T> {
        let item = self.take(ticket, Fate::Served)?;
        let waits = |class: &Class<T>| !class.arrivals.is_empty();
        let (higher, lower) = self.classes.split_at(ticket.priority as usize);
        let strict = !higher.iter().any(waits);
        let passes = strict && lower.iter().skip(1).any(waits);
        self.passed_over = if passes { self.passed_over + 1 } else { 0 };
        Some(item)
    }

    /// Leaves without having been served.
    pub fn remove(&mut self, ticket: &Ticket) -> Option<T> {
        self.take(ticket, Fate::Left)
    }

    /// Takes everybody out whom `gone` names, unserved.
    pub fn remove_where(&mut self, gone: impl Fn(&T) -> bool) -> Vec<T> {
        let classes = self.classes.iter().zip(Priority::ALL);
        let tickets = classes.flat_map(|(class, priority)| {
            let waiters = class.flows.iter().flat_map(|(client, flow)| {
                flow.waiting.iter().map(move |(sequence, item)| (client, *sequence, item))
            });
            let named = waiters.filter(|(.., item)| gone(item));
            named.map(move |(client, sequence, _)| Ticket {
                priority,
                client: client.clone(),
                sequence,
            })
        });
        let tickets: Vec<Ticket> = tickets.collect();
        tickets.iter().filter_map(|ticket| self.remove(ticket)).collect()
    }

    fn take(&mut self, ticket: &Ticket, fate: Fate) -> Option<T> {
        let class = self.classes.get_mut(ticket.priority as usize)?;
        let item = class.take(&ticket.client, ticket.sequence, fate)?;
        self.waiting -= 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests;
