//! What goes on besides requests: looking names up again, and asking replicas how they are.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio_util::task::AbortOnDropHandle;

use super::fleet::{Fleet, Going};
use super::names::Names;
use super::replica::Replica;
use super::{Connection, Manner};
use crate::policy::reach::{Health, Place};

/// Looks a name up.
pub(super) type Lookup =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

pub(super) fn system_lookup() -> Lookup {
    Arc::new(|host, port| {
        Box::pin(async move {
            let mut found = Names::system().find(&host).await?;
            for address in &mut found {
                address.set_port(port);
            }
            Ok(found)
        })
    })
}

/// Most of a health answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Starts what this upstream needs; it ends with the handles.
pub(super) fn start(fleet: &Arc<Fleet>, lookup: Lookup) -> Vec<AbortOnDropHandle<()>> {
    let mut tasks = Vec::new();
    if let (Some(every), Some(place)) = (fleet.reach.resolve, fleet.reach.places.first()) {
        let following = follow(Arc::clone(fleet), place.clone(), every, lookup);
        tasks.push(AbortOnDropHandle::new(tokio::spawn(following)));
    }
    if let Some(health) = fleet.reach.health.clone() {
        let asking = ask_how_they_are(Arc::clone(fleet), health);
        tasks.push(AbortOnDropHandle::new(tokio::spawn(asking)));
    }
    tasks
}

/// Longer look-ups have failed.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

async fn follow(fleet: Arc<Fleet>, place: Place, every: Duration, lookup: Lookup) {
    let tls = place.url.scheme_str() == Some("https");
    let port = place.authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let host = place.authority.host().trim_matches(['[', ']']).to_owned();
    let mut failing = false;
    loop {
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup(host.clone(), port)).await;
        let found = found.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        match found {
            Ok(mut addresses) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                if std::mem::take(&mut failing) {
                    tracing::info!(host, "the name of an upstream is found again");
                }
                if let Err(error) = fleet.move_to(&addresses) {
                    tracing::warn!(host, %error, "an upstream's addresses could not be taken");
                }
            }
            // The old set is better than none.
            other => {
                let why = other.err().map_or("no address".to_owned(), |error| error.to_string());
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(host, why, "the name of an upstream is not found");
                }
            }
        }
        tokio::time::sleep(every).await;
    }
}

async fn ask_how_they_are(fleet: Arc<Fleet>, health: Health) {
    loop {
        let replicas = fleet.replicas();
        let asked = replicas.into_iter().map(|replica| async {
            let id = replica.id;
            let answered = tokio::time::timeout(health.timeout, ask(&fleet, replica, &health));
            fleet.asked_how_it_is(id, answered.await.unwrap_or(false));
        });
        join_all(asked).await;
        tokio::time::sleep(health.interval).await;
    }
}

/// Without a credential, and without a token: it is not a request of anybody's.
async fn ask(fleet: &Fleet, replica: Arc<Replica>, health: &Health) -> bool {
    let Some(place) = fleet.reach.places.first() else { return true };
    let mut parts = place.url.clone().into_parts();
    parts.path_and_query = health.path.parse().ok();
    let Ok(uri) = Uri::from_parts(parts) else { return false };
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = uri;
    let agent = HeaderValue::from_static(concat!("weir-health/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(USER_AGENT, agent);
    // One that was kept and is closed just then says nothing about the replica.
    request.extensions_mut().insert(Manner { connection: Connection::Fresh, trail: None });
    let Ok(answer) = replica.send(request, Going::apart(&replica)).await else { return false };
    let is_success = answer.status().is_success();
    is_success && Limited::new(answer.into_body(), MAX_ANSWER).collect().await.is_ok()
}
