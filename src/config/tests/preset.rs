//! The preset, and what is written over it.

use super::*;

#[test]
fn the_endpoint_it_is_all_about() {
    let loaded = good(ZOOM);
    let zoom = only(&loaded);
    assert_eq!(zoom.base_url, "https://api.zoom.us/v2");
    assert_eq!(zoom.mounts, ["", "/v2"]);
    assert_eq!(zoom.spelling, Spelling::ZoomSessionId);
    assert_eq!(zoom.endpoints.len(), 39);
    let users = endpoint(zoom, "list-session-users");
    assert_eq!(users.path, "/videosdk/sessions/{sessionId}/users");
    assert_eq!(users.label.as_ref().unwrap().as_str(), "heavy");
    let key = ["sessionId", "type", "page_size", "next_page_token"].map(String::from);
    assert_eq!(users.key, KeyRule::Only(key.to_vec()));
    let CacheRule::Override(Override { lifetimes, vary_by_client: false, .. }) = &users.cache
    else {
        panic!()
    };
    assert_eq!(lifetimes.fresh.as_secs(), 10);
    assert_eq!(lifetimes.stale_while_revalidate.as_secs(), 30);
    assert_eq!(lifetimes.stale_if_error.as_secs(), 600);
    let [past, page] = users.when.as_slice() else { panic!() };
    assert_eq!(past.matches, [("type".into(), WhenValue::Is("past".into()))]);
    assert_eq!(page.matches, [("next_page_token".into(), WhenValue::Present)]);
    assert!(fresh(600)(&past.lifetimes) && fresh(300)(&page.lifetimes));
    assert_eq!(past.lifetimes.stale_if_error.as_secs(), 600, "as those of the rule");
    let token = users.page_token.as_ref().unwrap();
    assert_eq!((token.lifetime.as_secs(), token.margin.as_secs()), (900, 120));
    let size = users.parameters.iter().find(|p| p.name == "page_size").unwrap();
    assert_eq!(size.kind, ParameterKind::Integer { min: 1, max: 300 });
    assert_eq!(size.default.as_deref(), Some("30"));
}

#[test]
fn figures_of_every_plan() {
    let figures = |plan: &str| {
        let loaded = good(&ZOOM.replace("auth", &format!("plan = {plan:?}\nauth")));
        let zoom = only(&loaded);
        let labels = zoom.labels.iter().map(|label| {
            let [window] = label.windows.as_slice() else { panic!() };
            let pool = label.pool.as_ref().map_or("-", |pool| pool.as_str());
            assert_eq!(label.burst, window.limit);
            assert_eq!((label.max_wait.as_secs(), label.max_queue), (5, 1000));
            format!("{} {}/{}s {pool}", label.id, window.limit, window.per.as_secs())
        });
        let pools = zoom.pools.iter().map(|pool| format!("{} {}", pool.id, pool.per_day));
        labels.chain(pools).collect::<Vec<_>>()
    };
    let pro = [
        "heavy 10/1s daily",
        "light 30/1s -",
        "medium 20/1s -",
        "resource-intensive 10/60s daily",
        "daily 30000",
    ];
    assert_eq!(figures("pro"), pro);
    let business = [
        "heavy 40/1s daily",
        "light 80/1s -",
        "medium 60/1s -",
        "resource-intensive 20/60s daily",
        "daily 60000",
    ];
    assert_eq!(figures("business"), business);
    let free = [
        "heavy 1/1s heavy-daily",
        "light 4/1s light-daily",
        "medium 2/1s medium-daily",
        "resource-intensive 10/60s resource-intensive-daily",
        "heavy-daily 1000",
        "light-daily 6000",
        "medium-daily 2000",
        "resource-intensive-daily 30000",
    ];
    assert_eq!(figures("free"), free);
    assert_eq!(
        only(&good(ZOOM)).labels,
        only(&good(&ZOOM.replace("auth", "plan = \"pro\"\nauth"))).labels
    );
}

#[test]
fn what_is_written_goes_over_it() {
    let text = format!(
        r#"{ZOOM}
        [upstreams.zoom.labels.heavy]
        per_second = 5
        [[upstreams.zoom.endpoints]]
        id = "list-session-users"
        cache = {{ fresh = "20s" }}
        [[upstreams.zoom.endpoints]]
        id = "list-session-users-qos"
        cache = {{ mode = "off" }}
        [[upstreams.zoom.endpoints]]
        id = "own"
        path = "/own/{{*rest}}"
        "#
    );
    let loaded = good(&text);
    let zoom = only(&loaded);
    let heavy = zoom.labels.iter().find(|label| label.id.as_str() == "heavy").unwrap();
    assert_eq!((heavy.windows[0].limit.get(), heavy.burst.get()), (5, 5));
    assert_eq!(heavy.pool.as_ref().unwrap().as_str(), "daily");
    assert_eq!(zoom.endpoints.len(), 40);
    let CacheRule::Override(Override { lifetimes, .. }) =
        endpoint(zoom, "list-session-users").cache
    else {
        panic!()
    };
    assert_eq!(lifetimes.fresh.as_secs(), 20);
    assert_eq!(lifetimes.stale_if_error.as_secs(), 600);
    assert_eq!(endpoint(zoom, "list-session-users-qos").cache, CacheRule::Off);
    assert_eq!(endpoint(zoom, "own").methods, Methods::Listed(vec![http::Method::GET]));
}

#[test]
fn a_mount_has_the_alias_below_it() {
    let loaded = good(&ZOOM.replace("auth", "mount = \"/zoom/\"\nauth"));
    assert_eq!(only(&loaded).mounts, ["/zoom", "/zoom/v2"]);
}
