//! Who is next: strict priorities, and among equals start-time fair queueing by weight.
//!
//! Every request gets a start tag: the queue's virtual time or, if later, where its client's
//! previous request ended. A request "lasts" the inverse of its client's weight. The lowest tag
//! is next, so a client that asks a hundred times as often gets its weight's share and no more,
//! and what nobody else wants is lent to it (Goyal, Vin and Cheng, 1996).

use std::collections::{BTreeMap, HashMap};

use super::endpoint::{Priority, Weight};

/// How long a request of weight 1 lasts, in virtual time.
const UNIT: u64 = 1 << 20;

/// Where a waiter stands; also the ticket with which it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    priority: Priority,
    start: u64,
    sequence: u64,
}

/// Who is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which client.
    pub client: usize,
    /// Its weight.
    pub weight: Weight,
    /// Its priority.
    pub priority: Priority,
}

/// A queue of `T`. Every operation is logarithmic but [`FairQueue::ahead_of`].
#[derive(Debug)]
pub struct FairQueue<T> {
    waiting: BTreeMap<Rank, T>,
    virtual_time: [u64; 3],
    /// Where each client's latest request ends. Emptied with the queue, so it holds no more
    /// clients than have asked since there was last nobody waiting.
    ends: HashMap<usize, u64>,
    sequence: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), virtual_time: [0; 3], ends: HashMap::new(), sequence: 0 }
    }
}

impl<T> FairQueue<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Where a request of this client would stand.
    pub fn rank(&self, share: Share) -> Rank {
        let now = self.virtual_time.get(share.priority as usize).copied().unwrap_or(0);
        let start = self.ends.get(&share.client).copied().unwrap_or(0).max(now);
        Rank { priority: share.priority, start, sequence: self.sequence }
    }

    /// How many are served before this rank. Linear in the answer.
    pub fn ahead_of(&self, rank: Rank) -> usize {
        self.waiting.range(..rank).count()
    }

    /// Enters the queue at the rank that [`FairQueue::rank`] gives.
    pub fn push(&mut self, share: Share, item: T) -> Rank {
        let rank = self.rank(share);
        self.sequence += 1;
        self.ends.insert(share.client, rank.start + UNIT / u64::from(share.weight.get()));
        self.waiting.insert(rank, item);
        rank
    }

    /// Leaves without having been served.
    pub fn remove(&mut self, rank: Rank) -> Option<T> {
        let item = self.waiting.remove(&rank);
        self.forget_if_empty();
        item
    }

    /// Serves the next.
    pub fn pop(&mut self) -> Option<T> {
        let (rank, item) = self.waiting.pop_first()?;
        if let Some(time) = self.virtual_time.get_mut(rank.priority as usize) {
            *time = rank.start;
        }
        self.forget_if_empty();
        Some(item)
    }

    fn forget_if_empty(&mut self) {
        if self.waiting.is_empty() {
            self.ends.clear();
            self.virtual_time = [0; 3];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(client: usize, weight: u32, priority: Priority) -> Share {
        Share { client, weight: Weight::new(weight).unwrap(), priority }
    }

    fn served<T>(queue: &mut FairQueue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn a_greedy_client_does_not_delay_a_modest_one() {
        let mut queue = FairQueue::default();
        for n in 0..100 {
            queue.push(share(0, 1, Priority::Normal), (0, n));
        }
        queue.push(share(1, 1, Priority::Normal), (1, 0));
        let order = served(&mut queue);
        let place = order.iter().position(|&(client, _)| client == 1).unwrap();
        assert!(place <= 1, "served as number {place}");
    }

    #[test]
    fn weights_share_in_proportion() {
        let mut queue = FairQueue::default();
        for n in 0..300 {
            queue.push(share(0, 1, Priority::Normal), (0, n));
            queue.push(share(1, 3, Priority::Normal), (1, n));
        }
        let first: Vec<usize> = (0..100).map(|_| queue.pop().unwrap().0).collect();
        let heavy = first.iter().filter(|&&client| client == 1).count();
        assert!((74..=76).contains(&heavy), "{heavy} of 100 for a weight of 3 against 1");
    }

    #[test]
    fn priority_goes_first_and_leaving_costs_nothing() {
        let mut queue = FairQueue::default();
        let low = queue.push(share(0, 1, Priority::Low), "low");
        queue.push(share(1, 1, Priority::Normal), "normal");
        let high = share(2, 1, Priority::High);
        assert_eq!(queue.ahead_of(queue.rank(high)), 0);
        queue.push(high, "high");
        assert_eq!(queue.ahead_of(low), 2);
        assert_eq!(queue.remove(low), Some("low"));
        assert_eq!(queue.remove(low), None);
        assert_eq!(served(&mut queue), ["high", "normal"]);
    }
}
