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

/// The flights under way, each ending in a `T`. Holds no more than there are requests being
/// answered or refreshed, and each of those ends by its deadline.
#[derive(Debug)]
pub struct Flights<T> {
    table: Arc<Table<T>>,
}

type Table<T> = Mutex<HashMap<Arc<CacheKey>, watch::Receiver<Option<T>>, RandomState>>;

/// A seat in a flight.
#[derive(Debug)]
pub enum Boarding<T> {
    /// There was none: this request pays for it.
    Leads(Seat<T>),
    /// Somebody else pays.
    Joins(Seat<T>),
}

/// Where a flight's result will arrive.
#[derive(Debug)]
pub struct Seat<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Seat<T> {
    /// The result; `None` if the flight's task died.
    pub async fn result(mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|result| result.clone())
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
    /// Joins the flight for a key, or starts one with the fetch that `fetch` makes.
    pub fn board<F>(&self, key: &Arc<CacheKey>, fetch: impl FnOnce() -> F) -> Boarding<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut table = self.table.lock();
        if let Some(flight) = table.get(key) {
            return Boarding::Joins(Seat(flight.clone()));
        }
        let (tell, told) = watch::channel(None);
        table.insert(Arc::clone(key), told.clone());
        drop(table);
        let fetch = fetch();
        let landing = Landing { table: Arc::clone(&self.table), key: Arc::clone(key) };
        tokio::spawn(async move {
            let result = fetch.await;
            drop(landing);
            tell.send_replace(Some(result));
        });
        Boarding::Leads(Seat(told))
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

    #[tokio::test]
    async fn all_who_wait_get_the_one_result_and_the_leaders_hang_up_harms_nobody() {
        let flights = Flights::<u32>::default();
        let (land, landed) = oneshot::channel();
        let Boarding::Leads(leader) = flights.board(&key(), || async { landed.await.unwrap() })
        else {
            panic!("the first leads")
        };
        let Boarding::Joins(follower) = flights.board(&key(), || async { 2 }) else {
            panic!("the second joins")
        };
        drop(leader);
        land.send(1).unwrap();
        assert_eq!(follower.result().await, Some(1));
        assert!(flights.is_empty());
        assert!(matches!(flights.board(&key(), || async { 3 }), Boarding::Leads(_)));
    }

    #[tokio::test]
    async fn a_flight_that_dies_is_told_and_leaves_the_table() {
        let flights = Flights::<u32>::default();
        let boarding = flights.board(&key(), || async { panic!("the fetch is broken") });
        let Boarding::Leads(leader) = boarding else { panic!("the first leads") };
        assert_eq!(leader.result().await, None);
        assert!(flights.is_empty());
    }
}
