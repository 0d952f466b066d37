//! Flights: the one fetch that all identical requests wait for.
//!
//! The fetch runs in a task of its own, so that no client's hang-up can harm it; its result, good
//! or bad, is handed to everybody who waits. A flight leaves the table before its result is told,
//! so whoever comes later starts a new one or finds the entry.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::policy::cache_key::CacheKey;
use crate::policy::endpoint::Priority;
use crate::policy::vary::Selector;
use crate::store::purges::Mark;

/// The flights under way, each ending in a `T`: never more than the bound.
#[derive(Debug)]
pub struct Flights<T> {
    table: Arc<Mutex<Table<T>>>,
}

#[derive(Debug)]
struct Table<T> {
    /// By question: one for each form of it.
    flights: HashMap<Arc<CacheKey>, Vec<Flight<T>>, RandomState>,
    under_way: usize,
}

#[derive(Debug)]
struct Flight<T> {
    selector: Option<Selector>,
    asker: Asker,
    /// The priority of whoever asked first; none = nobody has, yet.
    leaves_for: Option<Priority>,
    /// Where others may join; none = nobody may.
    open: Option<(watch::Receiver<Option<T>>, Wanted)>,
    ticket: Ticket,
}

/// Knows whether anybody still waits for a flight.
#[derive(Clone, Debug)]
pub struct Wanted(Arc<watch::Sender<()>>);

impl Wanted {
    /// Resolves when everybody has hung up. Somebody may still come in that moment.
    pub async fn by_nobody(&self) {
        self.0.closed().await;
    }
}

/// A flight's own: tells it from others, and whether its answer may still be kept.
#[derive(Clone, Debug)]
pub struct Ticket {
    void: Arc<AtomicBool>,
    joined: Joined,
    mark: Mark,
}

/// Tells a flight that somebody has joined who goes before whoever it left for.
#[derive(Clone, Debug, Default)]
pub struct Joined(Arc<(CancellationToken, OnceLock<Priority>)>);

impl Joined {
    fn tell(&self, priority: Priority) {
        let (token, first) = &*self.0;
        if first.set(priority).is_ok() {
            token.cancel();
        }
    }

    /// Resolves when somebody has: the priority of the first.
    pub async fn by_somebody(&self) -> Priority {
        let (token, first) = &*self.0;
        token.cancelled().await;
        first.get().copied().unwrap_or(Priority::Normal)
    }
}

impl Ticket {
    fn new(mark: Mark) -> Self {
        Self { void: Arc::default(), joined: Joined::default(), mark }
    }

    /// Whether what it asks for has changed since it left.
    pub fn is_void(&self) -> bool {
        self.void.load(Ordering::Acquire)
    }

    /// Tells when somebody joins.
    pub fn joined(&self) -> &Joined {
        &self.joined
    }

    /// How many purges there had been when it left.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    fn void(&self) {
        self.void.store(true, Ordering::Release);
    }
}

/// What became of an attempt to board.
#[derive(Debug)]
pub enum Boarding<T, R> {
    /// There was no flight: this request pays for it.
    Leads(Seat<T>),
    /// Somebody else pays.
    Joins(Seat<T>),
    /// It has just landed: here is what it brought.
    Landed(R),
    /// There are as many flights as there may be.
    Full,
}

/// Where a flight's result will arrive.
#[derive(Debug)]
pub struct Seat<T> {
    told: watch::Receiver<Option<T>>,
    _waits: watch::Receiver<()>,
}

impl<T: Clone> Seat<T> {
    /// The result; `None` if the flight's task died.
    pub async fn result(mut self) -> Option<T> {
        self.told.wait_for(Option::is_some).await.ok().and_then(|result| result.clone())
    }
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        let table = Table { flights: HashMap::default(), under_way: 0 };
        Self { table: Arc::new(Mutex::new(table)) }
    }
}

/// What is asked for: a question, in one of its forms where it has several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The question.
    pub key: Arc<CacheKey>,
    /// Its form; none = not known to have any.
    pub selector: Option<Selector>,
    /// On whose behalf.
    pub asker: Asker,
}

/// On whose behalf a question is asked. What becomes of the one says nothing of the other (RFC
/// 9111, section 3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Asker {
    /// Nobody in particular.
    #[default]
    Anybody,
    /// A client that has sent a credential of its own.
    Authorized,
}

/// What has been purged until now, and since a flight left.
#[derive(Clone, Copy)]
pub struct Since<'p> {
    /// How many purges there have been.
    pub mark: Mark,
    /// Whether none since that mark hits what is asked for.
    pub is_current: &'p dyn Fn(Mark) -> bool,
}

impl std::fmt::Debug for Since<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Since").field("mark", &self.mark).finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// Joins the flight for a question, or starts one with the fetch that `fetch` makes, unless
    /// `most` are under way.
    ///
    /// `landed` looks once more, with the table locked, for what the caller did not find before:
    /// the flight may have landed in between, and two fetches for one key are one too many. A
    /// flight that left before a purge that hits what it asks for, by `since`, is not joined. With
    /// no `priority` nobody waits for it.
    pub fn board<F, R>(
        &self,
        asked: &Asked,
        most: usize,
        since: Since<'_>,
        priority: Option<Priority>,
        landed: impl FnOnce() -> Option<R>,
        fetch: impl FnOnce(Wanted, Ticket) -> F,
    ) -> Boarding<T, R>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut table = self.table.lock();
        let same = |flight: &Flight<T>| {
            let fits = flight.selector == asked.selector
                && flight.asker == asked.asker
                && (since.is_current)(flight.ticket.mark);
            let (told, wanted) = flight.open.clone().filter(|_| fits)?;
            if let Some(priority) = priority
                && flight.leaves_for.is_none_or(|first| priority.goes_before(first))
            {
                flight.ticket.joined.tell(priority);
            }
            Some((told, wanted))
        };
        let flights = table.flights.get(&asked.key);
        if let Some((told, wanted)) = flights.and_then(|flights| flights.iter().find_map(same)) {
            return Boarding::Joins(Seat { told, _waits: wanted.0.subscribe() });
        }
        if let Some(landed) = landed() {
            return Boarding::Landed(landed);
        }
        if table.under_way >= most {
            return Boarding::Full;
        }
        let (tell, told) = watch::channel(None);
        let (wanted, waits) = watch::channel(());
        let (wanted, ticket) = (Wanted(Arc::new(wanted)), Ticket::new(since.mark));
        let flight = Flight {
            selector: asked.selector.clone(),
            asker: asked.asker,
            leaves_for: priority,
            open: Some((told.clone(), wanted.clone())),
            ticket: ticket.clone(),
        };
        table.add(&asked.key, flight);
        drop(table);
        let landing = self.landing(&asked.key, &ticket);
        let fetch = fetch(wanted, ticket);
        tokio::spawn(async move {
            let result = fetch.await;
            drop(landing);
            tell.send_replace(Some(result));
        });
        Boarding::Leads(Seat { told, _waits: waits })
    }

    /// A flight that nobody joins: it hears of changes like all others, until it is dropped.
    pub fn alone(&self, asked: &Asked, mark: Mark) -> Alone<T> {
        let (selector, ticket) = (asked.selector.clone(), Ticket::new(mark));
        let flight = Flight {
            selector,
            asker: asked.asker,
            leaves_for: None,
            open: None,
            ticket: ticket.clone(),
        };
        self.table.lock().add(&asked.key, flight);
        Alone { _landing: self.landing(&asked.key, &ticket), ticket }
    }

    fn landing(&self, key: &Arc<CacheKey>, ticket: &Ticket) -> Landing<T> {
        let (table, key) = (Arc::clone(&self.table), Arc::clone(key));
        Landing { table, key, ticket: ticket.clone() }
    }

    /// What a question's answer would be has changed: flights that have left bring theirs to those
    /// who wait already, and to nobody else.
    pub fn void(&self, key: &Arc<CacheKey>) {
        for flight in self.table.lock().flights.remove(key).unwrap_or_default() {
            flight.ticket.void();
        }
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.table.lock().under_way
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Table<T> {
    fn add(&mut self, key: &Arc<CacheKey>, flight: Flight<T>) {
        self.flights.entry(Arc::clone(key)).or_default().push(flight);
        self.under_way += 1;
    }
}

/// See [`Flights::alone`].
#[derive(Debug)]
pub struct Alone<T> {
    /// Whether what it asks for has changed.
    pub ticket: Ticket,
    _landing: Landing<T>,
}

/// Takes a flight off the table, also when its task panics.
#[derive(Debug)]
struct Landing<T> {
    table: Arc<Mutex<Table<T>>>,
    key: Arc<CacheKey>,
    ticket: Ticket,
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        table.under_way -= 1;
        // A void one is off the table, and another may have its place.
        let Some(flights) = table.flights.get_mut(&self.key) else { return };
        flights.retain(|flight| !Arc::ptr_eq(&flight.ticket.void, &self.ticket.void));
        if flights.is_empty() {
            table.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
