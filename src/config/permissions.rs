//! What every client may ask: comments below the effective configuration.

use std::fmt::Write as _;

use super::Settings;

/// Clients shown; so many more are only counted.
const MOST_CLIENTS: usize = 100;

/// One line a client. Empty if there are none.
pub(super) fn text(settings: &Settings) -> String {
    let mut out = String::new();
    if settings.clients.is_empty() {
        return out;
    }
    out.push_str("# Endpoints: what a client may ask; all others are answered 403.\n#\n");
    let width = settings.clients.iter().map(|client| client.name.len()).max().unwrap_or_default();
    for client in settings.clients.iter().take(MOST_CLIENTS) {
        let may = match &client.endpoints {
            None => "everything".to_owned(),
            Some(patterns) => {
                let all = settings.upstreams.iter().flat_map(|upstream| {
                    upstream.endpoints.iter().map(|endpoint| (&upstream.id, &endpoint.id))
                });
                let meant = all.filter(|(upstream, endpoint)| {
                    patterns.iter().any(|pattern| pattern.matches(upstream, endpoint))
                });
                let names = meant.map(|(upstream, endpoint)| format!("{upstream}/{endpoint}"));
                names.collect::<Vec<_>>().join(", ")
            }
        };
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "#   {:width$}   {may}", client.name);
    }
    if let Some(more) = settings.clients.len().checked_sub(MOST_CLIENTS).filter(|more| *more > 0) {
        let _infallible = writeln!(out, "#   and {more} more");
    }
    out
}
