//! Looks names up, on few threads: the system's look-up holds one for as long as a name server
//! likes, and the same threads read files for everybody else.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

/// So many look-ups hold a thread at a time, of the 512 that all blocking work shares.
const MOST_BLOCKED: usize = 16;

/// So many names are looked up or wait for it at a time: more than any configuration has.
const MOST_NAMES: usize = 1024;

/// Blocks until it is known where a name leads.
pub(super) type Blocking = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// What a look-up came to, for all who wait for it.
type Found = Result<Arc<[SocketAddr]>, Arc<io::Error>>;

/// Where it is told.
type Tell = Arc<watch::Sender<Option<Found>>>;

/// Look-ups of one kind. Clones share threads and what is under way.
#[derive(Clone)]
pub(super) struct Names(Arc<Shared>);

struct Shared {
    ask: Box<Blocking>,
    threads: Arc<Semaphore>,
    under_way: Mutex<HashMap<Box<str>, Tell>>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    /// The system's, the same for all upstreams: so are the threads.
    pub(super) fn system() -> Self {
        static SYSTEM: OnceLock<Names> = OnceLock::new();
        let ask = |name: &str| Ok((name, 0).to_socket_addrs()?.collect());
        SYSTEM.get_or_init(|| Self::asking(ask)).clone()
    }

    pub(super) fn asking(
        ask: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let threads = Arc::new(Semaphore::new(MOST_BLOCKED));
        Self(Arc::new(Shared { ask: Box::new(ask), threads, under_way: Mutex::default() }))
    }

    /// The addresses of a name, without a port. Waits with all others who ask for the same, as
    /// long as the caller likes: the time limit is the connection's.
    pub(super) async fn find(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let mut found = self.join(name)?;
        let found = match found.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_lost) => None,
        };
        match found {
            Some(Ok(addresses)) => Ok(addresses.to_vec()),
            Some(Err(error)) => Err(io::Error::new(error.kind(), error)),
            None => Err(io::Error::other("the look-up of a name was lost")),
        }
    }

    /// The look-up that is under way for this name, or a new one.
    fn join(&self, name: &str) -> io::Result<watch::Receiver<Option<Found>>> {
        let mut under_way = self.0.under_way.lock();
        let is_full = under_way.len() >= MOST_NAMES;
        let place = match under_way.entry(name.into()) {
            Entry::Occupied(known) => return Ok(known.get().subscribe()),
            Entry::Vacant(_) if is_full => {
                return Err(io::Error::other("too many names are being looked up"));
            }
            Entry::Vacant(place) => place,
        };
        let (tell, found) = watch::channel(None);
        let tell = Arc::clone(place.insert(Arc::new(tell)));
        drop(under_way);
        let search = Search { names: self.clone(), name: name.into(), tell };
        tokio::spawn(search.begin());
        Ok(found)
    }
}

/// A look-up under way. However it ends, it is one no more.
struct Search {
    names: Names,
    name: Box<str>,
    tell: Tell,
}

impl Search {
    async fn begin(self) {
        let threads = Arc::clone(&self.names.0.threads);
        let permit = tokio::select! {
            permit = threads.acquire_owned() => permit,
            () = self.unwanted() => return,
        };
        // The permit goes where the thread is: whoever stops waiting does not free the thread, and
        // whoever asks for this name again waits for this look-up and takes no other thread.
        tokio::task::spawn_blocking(move || {
            let found = (self.names.0.ask)(&self.name);
            self.end(found.map(Arc::from).map_err(Arc::new));
            drop(permit);
        });
    }

    /// Until nobody waits for it any more; nobody can join from then on.
    async fn unwanted(&self) {
        loop {
            self.tell.closed().await;
            let mut under_way = self.names.0.under_way.lock();
            // Somebody may have joined just then.
            if self.tell.receiver_count() == 0 {
                under_way.remove(&self.name);
                return;
            }
        }
    }

    fn end(&self, found: Found) {
        self.names.0.under_way.lock().remove(&self.name);
        self.tell.send_replace(Some(found));
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        let mut under_way = self.names.0.under_way.lock();
        // A panic, or a runtime that is gone; the same name may be looked up anew by now.
        if under_way.get(&self.name).is_some_and(|tell| Arc::ptr_eq(tell, &self.tell)) {
            under_way.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests;
