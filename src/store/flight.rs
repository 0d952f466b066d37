//! Flights: the one fetch that all identical requests wait for.
//!
//! The fetch runs in a task of its own, so that no client's hang-up can harm it; its result, good
//! or bad, is handed to everybody who waits. A flight leaves the table before its result is told,
//! so whoever comes later starts a new one or finds the entry.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::policy::cache_key::CacheKey;

/// The flights under way, each ending in a `T`: never more than the bound.
#[derive(Debug)]
pub struct Flights<T> {
    table: Arc<Table<T>>,
}

type Table<T> = Mutex<HashMap<Arc<CacheKey>, Flight<T>, RandomState>>;

#[derive(Debug)]
struct Flight<T> {
    told: watch::Receiver<Option<T>>,
    wanted: Wanted,
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
        Self { table: Arc::new(Mutex::new(HashMap::default())) }
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// Joins the flight for a key, or starts one with the fetch that `fetch` makes, unless `most`
    /// are under way.
    ///
    /// `landed` looks once more, with the table locked, for what the caller did not find before:
    /// the flight may have landed in between, and two fetches for one key are one too many.
    pub fn board<F, R>(
        &self,
        key: &Arc<CacheKey>,
        most: usize,
        landed: impl FnOnce() -> Option<R>,
        fetch: impl FnOnce(Wanted) -> F,
    ) -> Boarding<T, R>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut table = self.table.lock();
        if let Some(Flight { told, wanted }) = table.get(key) {
            return Boarding::Joins(Seat { told: told.clone(), _waits: wanted.0.subscribe() });
        }
        if let Some(landed) = landed() {
            return Boarding::Landed(landed);
        }
        if table.len() >= most {
            return Boarding::Full;
        }
        let (tell, told) = watch::channel(None);
        let (wanted, waits) = watch::channel(());
        let wanted = Wanted(Arc::new(wanted));
        table.insert(Arc::clone(key), Flight { told: told.clone(), wanted: wanted.clone() });
        drop(table);
        let fetch = fetch(wanted);
        let landing = Landing { table: Arc::clone(&self.table), key: Arc::clone(key) };
        tokio::spawn(async move {
            let result = fetch.await;
            drop(landing);
            tell.send_replace(Some(result));
        });
        Boarding::Leads(Seat { told, _waits: waits })
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Takes a flight off the table, also when its task panics.
struct Landing<T> {
    table: Arc<Table<T>>,
    key: Arc<CacheKey>,
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        self.table.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::policy::credential::CredentialId;
    use crate::policy::endpoint::{EndpointId, UpstreamId};
    use crate::policy::params::Canonical;

    fn key() -> Arc<CacheKey> {
        Arc::new(CacheKey::new(
            UpstreamId::new("u"),
            CredentialId::new("c"),
            EndpointId::new("e"),
            None,
            Canonical { path: Vec::new(), query: Vec::new() },
        ))
    }

    fn board<F>(flights: &Flights<u32>, fetch: impl FnOnce(Wanted) -> F) -> Boarding<u32, ()>
    where
        F: Future<Output = u32> + Send + 'static,
    {
        flights.board(&key(), 1, || None, fetch)
    }

    #[tokio::test]
    async fn all_who_wait_get_the_one_result_and_the_leaders_hang_up_harms_nobody() {
        let flights = Flights::<u32>::default();
        let (land, landed) = oneshot::channel();
        let Boarding::Leads(leader) = board(&flights, |_| async { landed.await.unwrap() }) else {
            panic!("the first leads")
        };
        let Boarding::Joins(follower) = board(&flights, |_| async { 2 }) else {
            panic!("the second joins")
        };
        drop(leader);
        land.send(1).unwrap();
        assert_eq!(follower.result().await, Some(1));
        assert!(flights.is_empty());
        assert!(matches!(board(&flights, |_| async { 3 }), Boarding::Leads(_)));
    }

    #[tokio::test]
    async fn a_flight_that_dies_is_told_and_leaves_the_table() {
        let flights = Flights::<u32>::default();
        let boarding = board(&flights, |_| async { panic!("the fetch is broken") });
        let Boarding::Leads(leader) = boarding else { panic!("the first leads") };
        assert_eq!(leader.result().await, None);
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn a_flight_learns_that_nobody_waits_any_more() {
        let flights = Flights::<u32>::default();
        let boarding = board(&flights, |wanted| async move {
            wanted.by_nobody().await;
            7
        });
        let (Boarding::Leads(leader), Boarding::Joins(follower)) =
            (boarding, board(&flights, |_| async { 2 }))
        else {
            panic!("one leads, one joins")
        };
        drop(leader);
        tokio::task::yield_now().await;
        assert_eq!(flights.len(), 1, "one still waits");
        drop(follower);
        while !flights.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_has_just_landed_is_not_fetched_again_and_the_table_is_bounded() {
        let flights = Flights::<u32>::default();
        let landed = flights.board(&key(), 1, || Some("entry"), |_| async { 1 });
        assert!(matches!(landed, Boarding::Landed("entry")));
        let full = flights.board(&key(), 0, || None::<()>, |_| async { 1 });
        assert!(matches!(full, Boarding::Full));
        assert!(flights.is_empty());
    }
}
