//! From the request line to the cache key: every request that is answered pays for it.

use divan::{Bencher, black_box};
use http::Method;
use weir::world::World;

use super::support::{build, generic, others};

/// Method, path and query to endpoint, parameters and key.
fn derive(bencher: Bencher<'_, '_>, world: &World, path: &str, query: Option<&str>) {
    assert!(world.locate(&Method::GET, path, query, |_| {}).is_ok(), "{path}");
    bencher.bench_local(|| {
        let found = world.locate(&Method::GET, black_box(path), black_box(query), |_| {});
        found.map(|(route, parameters)| route.key(None, parameters))
    });
}

/// An endpoint for everything, among so many.
#[divan::bench(args = [1, 300])]
fn catch_all(bencher: Bencher<'_, '_>, endpoints: usize) {
    let everything =
        "[[upstreams.any.endpoints]]\nid = \"all\"\nmethod = \"*\"\npath = \"/{*rest}\"\n";
    let config = generic(everything) + &others("any", endpoints - 1);
    let query = Some("page=2&per_page=100");
    derive(bencher, &build(&config).world, "/orders/2026/11/4711/lines", query);
}

const PRESET: &str = "[upstreams.zoom]\npreset = \"zoom-video-sdk\"\n\
     [upstreams.zoom.auth]\nkind = \"jwt\"\nkey = { value = \"k\" }\nsecret = { value = \"s\" }\n";
/// Of the preset, less the one that takes in the rest.
const PRESET_ENDPOINTS: usize = 39;

fn session_users(bencher: Bencher<'_, '_>, endpoints: usize, id: &str) {
    let more = endpoints.saturating_sub(PRESET_ENDPOINTS);
    let world = build(&(PRESET.to_owned() + &others("zoom", more))).world;
    let path = format!("/videosdk/sessions/{id}/users");
    let located = world.locate(&Method::GET, &path, None, |_| {});
    let (route, parameters) = located.unwrap_or_else(|why| panic!("{path}: {why}"));
    assert_eq!(route.endpoint.id.as_str(), "list-session-users");
    assert_eq!(parameters.value("sessionId"), Some("4gPp/abCDefGHijKLmnO+Q=="));
    derive(bencher, &world, &path, Some("type=live&page_size=30"));
}

/// The preset's own endpoints, and further ones.
#[divan::bench(args = [PRESET_ENDPOINTS, 300])]
fn session_id_raw(bencher: Bencher<'_, '_>, endpoints: usize) {
    session_users(bencher, endpoints, "4gPp/abCDefGHijKLmnO+Q==");
}

#[divan::bench(args = [PRESET_ENDPOINTS, 300])]
fn session_id_encoded_once(bencher: Bencher<'_, '_>, endpoints: usize) {
    session_users(bencher, endpoints, "4gPp%2FabCDefGHijKLmnO%2BQ%3D%3D");
}

/// As Zoom's documentation asks for.
#[divan::bench(args = [PRESET_ENDPOINTS, 300])]
fn session_id_encoded_twice(bencher: Bencher<'_, '_>, endpoints: usize) {
    session_users(bencher, endpoints, "4gPp%252FabCDefGHijKLmnO%252BQ%253D%253D");
}
