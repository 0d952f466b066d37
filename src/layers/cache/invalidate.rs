//! What is in memory is no answer any more once somebody has changed what it is about.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::State;
use crate::policy::invalidate::changed;
use crate::store::flight::{Asked, Asker};
use crate::world::{Route, World};

impl State {
    /// RFC 9111, section 4.4: forgets what a change was made to, and what its answer names, and
    /// keeps flights that have left from bringing it back.
    pub(super) fn invalidate(
        &self,
        world: &World,
        route: &Route,
        target: &str,
        answer: &HeaderMap,
    ) {
        let upstream = &route.upstream;
        let Some(table) = world.table(&upstream.id) else { return };
        for path in changed(&upstream.base_url, target, answer) {
            let (path, query) = match path.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (path.as_str(), None),
            };
            // What nothing answers to is not stored either.
            let Ok((found, parameters)) = table.locate(&Method::GET, path, query) else { continue };
            let forget = |client| {
                let key = Arc::new(found.key(client, parameters.clone()));
                // In this order: what has left is not stored after it has been forgotten.
                self.flights.void(&key);
                self.entries.remove(&key);
                let forget = |asker| {
                    let asked = Asked { key: Arc::clone(&key), selector: None, asker };
                    self.moments.forget(&asked);
                };
                [Asker::Anybody, Asker::Authorized].into_iter().for_each(forget);
            };
            if found.endpoint.cache.varies_by_client() {
                world.clients.all().iter().for_each(|client| forget(Some(&**client)));
            } else {
                forget(None);
            }
        }
    }
}
