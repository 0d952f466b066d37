//! Purges, from what the operator writes to what entries belong to.

use std::sync::Arc;

use http::{Method, Uri};
use serde_json::{Map, Value, json};

use crate::layers::observe::Witness;
use crate::policy::endpoint::{EndpointId, UpstreamId};
use crate::policy::spelling::innermost;
use crate::serve::admin::{Of, Order, Purge, Refusal};
use crate::store::purges::{Purges, Scope};
use crate::world::locate::Unlocated;
use crate::world::{Route, Upstream, World};

/// The path parameter that names a session.
const SESSION: &str = "sessionId";

/// Carries orders out.
pub(super) fn action(witness: Arc<Witness>, purges: Purges) -> Purge {
    Arc::new(move |order| {
        let Order { of, mode } = order;
        let found = Found::of(of, &witness.world.load(), &purges)?;
        for scope in &found.scopes {
            purges.purge(*scope, *mode);
        }
        let (scope, mode) = (of.as_str(), mode.as_str());
        witness.metrics.cache_purged(scope, mode);
        let upstreams = found.upstreams.join(", ");
        // Neither the path nor the session: ids stay out of the log.
        tracing::info!(scope, mode, upstreams, endpoint = found.endpoint, "purged by the operator");
        let mut answer = found.said;
        answer.insert("purged".to_owned(), json!(scope));
        answer.insert("mode".to_owned(), json!(mode));
        if !found.upstreams.is_empty() {
            answer.insert("upstreams".to_owned(), json!(found.upstreams));
        }
        Ok(Value::Object(answer))
    })
}

/// What an order means here and now.
#[derive(Default)]
struct Found {
    scopes: Vec<Scope>,
    /// Whose; empty = everybody's.
    upstreams: Vec<String>,
    /// If it is of one.
    endpoint: Option<String>,
    /// What the answer says besides.
    said: Map<String, Value>,
}

impl Found {
    fn of(of: &Of, world: &World, purges: &Purges) -> Result<Self, Refusal> {
        match of {
            Of::Url(url) => Self::question(url, world, purges),
            Of::Session { id, upstream } => {
                let what = format!("path parameter {SESSION}");
                let found = Self::in_upstreams(world, upstream.as_deref(), &what, |upstream| {
                    let known = knows_sessions(world, upstream);
                    known.then(|| purges.parameter(&upstream.id, SESSION, id))
                })?;
                Ok(found.saying("session", &String::from_utf8_lossy(&innermost(id))))
            }
            Of::Endpoint { id, upstream } => {
                let what = format!("endpoint {id:?}");
                let found = Self::in_upstreams(world, upstream.as_deref(), &what, |upstream| {
                    let id = endpoint(world, upstream, id)?;
                    Some(purges.endpoint(&upstream.id, &id))
                })?;
                Ok(Self { endpoint: Some(id.clone()), ..found }.saying("endpoint", id))
            }
            Of::Tag { tag, upstream } => {
                let scope = |upstream: &Upstream| Some(purges.tag(&upstream.id, tag));
                let found = Self::in_upstreams(world, upstream.as_deref(), "tags", scope)?;
                Ok(found.saying("tag", tag))
            }
            Of::All => Ok(Self { scopes: vec![purges.everything()], ..Self::default() }),
        }
    }

    /// The scopes of the upstream with that name, or of all that have such a thing.
    fn in_upstreams(
        world: &World,
        name: Option<&str>,
        what: &str,
        scope: impl Fn(&Upstream) -> Option<Scope>,
    ) -> Result<Self, Refusal> {
        let named = |upstream: &&Arc<Upstream>| name.is_none_or(|n| n == upstream.id.as_str());
        let found = world.upstreams().filter(named);
        let found = found.filter_map(|one| Some((scope(one)?, one.id.to_string())));
        let (scopes, upstreams): (Vec<_>, Vec<_>) = found.unzip();
        if scopes.is_empty() {
            return Err(Refusal::Unknown(match name {
                Some(name) if world.upstream(&UpstreamId::new(name)).is_none() => {
                    format!("There is no upstream {name:?}.")
                }
                Some(name) => format!("Upstream {name:?} has no {what}."),
                None => format!("No upstream has {what}."),
            }));
        }
        Ok(Self { scopes, upstreams, ..Self::default() })
    }

    /// A question in whatever spelling, as a client would ask it.
    fn question(url: &str, world: &World, purges: &Purges) -> Result<Self, Refusal> {
        let uri: Uri = url.parse().map_err(|_no_uri| {
            let right = "url is path and query as clients ask for it: /path?name=value.";
            Refusal::Bad(right.to_owned())
        })?;
        let located = world.locate(&Method::GET, uri.path(), uri.query(), |_| {});
        let (route, parameters) = located.map_err(|unlocated| match unlocated {
            Unlocated::UnknownEndpoint => Refusal::Unknown(format!("url: {unlocated}.")),
            Unlocated::MethodNotAllowed { .. } => {
                let why = "url: nothing answers GET there, and other answers are never stored.";
                Refusal::Unknown(why.to_owned())
            }
            Unlocated::BadPath(_) | Unlocated::BadParameter(_) | Unlocated::Defect => {
                Refusal::Bad(format!("url: {unlocated}."))
            }
        })?;
        let target = parameters.target(&route.endpoint.path, route.spelling);
        let scopes = vec![purges.question(&route.key(None, parameters))];
        let endpoint = route.endpoint.id.to_string();
        let upstreams = vec![route.upstream.id.to_string()];
        let found = Self { scopes, upstreams, endpoint: Some(endpoint.clone()), ..Self::default() };
        Ok(found.saying("endpoint", &endpoint).saying("target", &target))
    }

    fn saying(mut self, what: &str, text: &str) -> Self {
        self.said.insert(what.to_owned(), json!(text));
        self
    }
}

/// Whether any of its endpoints is about one session.
fn knows_sessions(world: &World, upstream: &Upstream) -> bool {
    let about_one = |route: &Arc<Route>| {
        let path = &route.endpoint.path;
        path.contains(&format!("{{{SESSION}}}"))
    };
    world.table(&upstream.id).is_some_and(|table| table.endpoints.iter().any(about_one))
}

fn endpoint(world: &World, upstream: &Upstream, id: &str) -> Option<EndpointId> {
    let routes = world.table(&upstream.id)?.endpoints.iter();
    let mut ids = routes.map(|route| &route.endpoint.id);
    ids.find(|own| own.as_str() == id).cloned()
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;

    use super::super::build;
    use super::*;
    use crate::clock::Clock;
    use crate::config::{Env, from_text};
    use crate::layers::observe::CutShort;
    use crate::metrics::Metrics;
    use crate::store::limiter::Budgets;
    use crate::store::purges::{Membership, Mode, Verdict};
    use crate::world::Clients;

    const CONFIG: &str = r#"
        [upstreams.zoom]
        preset = "zoom-video-sdk"
        auth = { kind = "none" }
        [upstreams.own]
        mount = "/own"
        base_url = "http://127.0.0.1:9"
        auth = { kind = "none" }
        endpoints = [
            { id = "notes", path = "/notes/{sessionId}" },
            { id = "mine", path = "/mine/{sessionId}", cache = { mode = "override", fresh = "1s", vary_by_client = true } },
        ]
    "#;

    fn witness() -> Arc<Witness> {
        let settings = from_text("test.toml", CONFIG, &Env::new()).unwrap().settings;
        let (clock, metrics) = (Clock::system(), Arc::new(Metrics::new()));
        let budgets = Budgets::new(clock.clone());
        let world = build::world(&settings, &metrics, &clock, &budgets, None).unwrap();
        let world = Arc::new(ArcSwap::from_pointee(world));
        Arc::new(Witness { clock, metrics, access_log: None, cut: CutShort::default(), world })
    }

    /// An entry for what a client asks, tagged "red".
    fn entry(witness: &Witness, purges: &Purges, url: &str) -> Membership {
        let (world, uri) = (witness.world.load(), url.parse::<Uri>().unwrap());
        let located = world.locate(&Method::GET, uri.path(), uri.query(), |_| {});
        let (route, parameters) = located.unwrap();
        let Clients::Anonymous(client) = &world.clients else { panic!("nobody has a key") };
        let key = route.key(Some(client), parameters);
        Membership::new(purges.scopes(&key, ["red"]), purges.mark())
    }

    #[tokio::test]
    async fn an_order_hits_what_it_means_in_every_spelling_and_nothing_else() {
        let (witness, purges) = (witness(), Purges::default());
        let purge = action(Arc::clone(&witness), purges.clone());
        let asked = [
            "/videosdk/sessions/%2Fx71bJ9TPLLQA4VK537raQ==/users?type=live",
            "/videosdk/sessions/%252Fx71bJ9TPLLQA4VK537raQ%253D%253D/users?type=past",
            "/videosdk/sessions/DRYb7HZy94X7vkEIIn9h8A==/users",
            "/own/notes/%2Fx71bJ9TPLLQA4VK537raQ==",
            "/own/mine/%252Fx71bJ9TPLLQA4VK537raQ==",
        ];
        let id = || "%2Fx71bJ9TPLLQA4VK537raQ%3d=".to_owned();
        let session = |upstream| Of::Session { id: id(), upstream };
        let endpoint = |id: &str| Of::Endpoint { id: id.to_owned(), upstream: None };
        let tag = |tag: &str, upstream| Of::Tag { tag: tag.to_owned(), upstream };
        let url = |url: &str| Of::Url(url.to_owned());
        let own = || Some("own".to_owned());
        for (of, hit) in [
            (Of::All, [true, true, true, true, true]),
            (session(None), [true, true, false, true, true]),
            (session(own()), [false, false, false, true, true]),
            (endpoint("list-session-users"), [true, true, true, false, false]),
            (endpoint("mine"), [false, false, false, false, true]),
            (tag("red", None), [true, true, true, true, true]),
            (tag("red", own()), [false, false, false, true, true]),
            (tag("Red", None), [false, false, false, false, false]),
            (
                url("/v2/videosdk/sessions//x71bJ9TPLLQA4VK537raQ==/users?page_size=30"),
                [true, false, false, false, false],
            ),
            (url("/own/mine/%252Fx71bJ9TPLLQA4VK537raQ%3D="), [false, false, false, false, true]),
        ] {
            for (mode, verdict) in [(Mode::Soft, Verdict::Stale), (Mode::Hard, Verdict::Gone)] {
                let entries = asked.map(|url| entry(&witness, &purges, url));
                purge(&Order { of: of.clone(), mode }).unwrap();
                let verdicts = entries.map(|entry| purges.judge(&entry));
                let now = Verdict::Current { at: purges.mark() };
                let expected = hit.map(|hit| if hit { verdict } else { now });
                assert_eq!(verdicts, expected, "{of:?} {mode:?}");
            }
        }
    }
}
