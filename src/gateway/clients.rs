//! From `[[clients]]` to clients that can be recognised.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Settings;
use crate::config::settings::ClientSettings;
use crate::policy::certificate::Holders;
use crate::policy::permission::EndpointSet;
use crate::policy::share::Share;
use crate::store::token::Tokens;
use crate::world::{Client, Clients, Proofs, Roster, World};

/// Everybody who may call. What a client has spent of an unchanged share stays spent.
pub(super) fn all(settings: &Settings, clock: &Clock, previous: Option<&World>) -> Clients {
    if settings.clients.is_empty() {
        return Clients::Anonymous(Arc::new(Client::new(0, Share::anonymous(), None, clock)));
    }
    let client = |(index, client): (usize, &ClientSettings)| {
        let quota = client.quota.map(|quota| (quota.per_second, quota.burst));
        let built = Client::new(index, client.share(), quota, clock);
        let old = previous.and_then(|world| world.clients.named(&client.name));
        Arc::new(built.limited_to(endpoints(client, settings)).continuing(old))
    };
    let all = settings.clients.iter().enumerate().map(client).collect();
    Clients::Keyed(Box::new(Roster::new(all, proofs(settings, clock))))
}

/// Endpoints are numbered through all upstreams, in the order of the configuration.
fn endpoints(client: &ClientSettings, settings: &Settings) -> EndpointSet {
    let Some(patterns) = &client.endpoints else { return EndpointSet::All };
    let all = settings.upstreams.iter().flat_map(|upstream| {
        upstream.endpoints.iter().map(|endpoint| (&upstream.id, &endpoint.id))
    });
    let meant = all.enumerate().filter(|(_, (upstream, endpoint))| {
        patterns.iter().any(|pattern| pattern.matches(upstream, endpoint))
    });
    EndpointSet::only(meant.map(|(number, _)| number))
}

fn proofs(settings: &Settings, clock: &Clock) -> Proofs {
    let (mut keys, mut subjects) = (HashMap::new(), HashMap::new());
    let mut certificates = Holders::default();
    for (number, client) in settings.clients.iter().enumerate() {
        keys.extend(client.keys.iter().map(|key| (*key, number)));
        subjects.extend(client.subjects.iter().map(|subject| (subject.clone(), number)));
        client.certificates.iter().for_each(|rule| certificates.insert(rule.clone(), number));
    }
    let field = settings.server.key_field.clone();
    let rules = settings.server.jwt.clone();
    let tokens = rules.map(|rules| Tokens::new(rules, subjects, clock.clone()));
    Proofs { field, keys, certificates, tokens }
}
