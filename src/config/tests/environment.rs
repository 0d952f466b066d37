//! The environment over the file.

use super::*;
use crate::policy::quota::Mode;

#[test]
fn reaches_keys_of_every_depth_and_type() {
    let loaded = good_with(
        ZOOM,
        &[
            ("WEIR_SERVER__LISTEN", "127.0.0.1:7000"),
            ("WEIR_SERVER__WORKERS", "3"),
            ("WEIR_SERVER__ALLOW_ANONYMOUS", "true"),
            ("WEIR_SERVER__MAX_BODY_BYTES", "2048"),
            ("WEIR_SERVER__STATE_DIR", "/nowhere/weir"),
            ("WEIR_CACHE__MAX_BYTES", "1GiB"),
            ("WEIR_LOG__FORMAT", "json"),
            ("WEIR_UPSTREAMS__ZOOM__PLAN", "business"),
            ("WEIR_UPSTREAMS__ZOOM__LABELS__RESOURCE_INTENSIVE__PER_MINUTE", "7"),
            ("WEIR_UPSTREAMS__ZOOM__LABELS__HEAVY__MODE", "observe"),
            ("WEIR_UPSTREAMS__ZOOM__POOLS__DAILY__RESERVE__HIGH", "2.5%"),
            ("WEIR_UPSTREAMS__ZOOM__AUTH__SECRET__VALUE", "12"),
            ("WEIR_CONFIG", "ignored.toml"),
            ("WEIR_LOG", "debug"),
            ("WEIRD", "not ours"),
            // What Kubernetes says about a service called "weir" and one called "weir-admin".
            ("WEIR_SERVICE_HOST", "10.0.0.1"),
            ("WEIR_SERVICE_PORT", "8080"),
            ("WEIR_SERVICE_PORT_HTTP", "8080"),
            ("WEIR_PORT", "tcp://10.0.0.1:8080"),
            ("WEIR_ADMIN_PORT_9090_TCP", "tcp://10.0.0.2:9090"),
            ("WEIR_ADMIN_PORT_9090_TCP_PROTO", "tcp"),
        ],
    );
    let server = &loaded.settings.server;
    assert_eq!(server.listen, [tcp("127.0.0.1:7000")]);
    assert_eq!((server.workers, server.max_body_bytes), (3, 2048));
    assert!(server.allow_anonymous);
    assert_eq!(server.state_dir.as_deref(), Some("/nowhere/weir".as_ref()));
    assert_eq!(loaded.settings.cache.max_bytes, 1 << 30);
    assert_eq!(loaded.settings.log.format, settings::LogFormat::Json);
    let zoom = only(&loaded);
    let label = |id: &str| zoom.labels.iter().find(|label| label.id.as_str() == id).unwrap();
    assert_eq!(label("heavy").windows[0].limit.get(), 40, "the plan's, not the default's");
    assert_eq!(label("heavy").mode, Mode::Observe);
    assert_eq!(zoom.pools[0].reserve.high.tenths(), 25);
    assert_eq!(label("resource-intensive").windows[0].limit.get(), 7);
    let AuthScheme::Jwt { secret, .. } = &zoom.auth else { panic!() };
    assert_eq!(secret.expose(), "12", "a secret stays text");
}

#[test]
fn a_source_of_a_secret_replaces_another() {
    let text = ZOOM.replace(r#"{ value = "s" }"#, r#"{ env = "NOT_SET" }"#);
    let variables = [("WEIR_UPSTREAMS__ZOOM__AUTH__SECRET__VALUE", "from-env")];
    let loaded = good_with(&text, &variables);
    let AuthScheme::Jwt { secret, .. } = &only(&loaded).auth else { panic!() };
    assert_eq!(secret.expose(), "from-env");
    let warned: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "weir.toml: server.state_dir: is not set: a restart forgets what was spent today",
        "weir.toml:4: upstreams.zoom.auth.key.value: a secret stands in the file itself",
    ];
    assert_eq!(warned, expected);
}

#[test]
fn a_whole_upstream_can_come_from_it() {
    let loaded = good_with(
        "",
        &[
            ("WEIR_UPSTREAMS__ZOOM__PRESET", "zoom-video-sdk"),
            ("WEIR_UPSTREAMS__ZOOM__AUTH__KIND", "bearer"),
            ("WEIR_UPSTREAMS__ZOOM__AUTH__TOKEN__ENV", "WEIR_TOKEN"),
            ("WEIR_TOKEN", "t"),
        ],
    );
    assert_eq!(only(&loaded).endpoints.len(), 39);
}

#[test]
fn misspelt_variables_are_faults() {
    let faults = bad_with(
        ZOOM,
        &[
            ("WEIR_SERVR__LISTEN", "127.0.0.1:7000"),
            ("WEIR_SERVER__LISTN", "127.0.0.1:7000"),
            ("WEIR_SERVER__WORKERS", "many"),
            ("WEIR_SERVER__REQUEST_TIMEOUT", "10"),
            ("WEIR_LOG__FORMAT", "jsn"),
            ("WEIR_CLIENTS__0__NAME", "x"),
            ("WEIR_SERVER_WORKERS", "2"),
            ("WEIR_ADMIN__LISTEN", "9090"),
            ("WEIR_UPSTREAMS__ZOOM__AUTH__SECRET", "hunter2"),
            ("WEIR_UPSTREAMS__ZOOM__LABELS__HEAVY__MODE", "observ"),
            ("WEIR_UPSTREAMS__ZOOM__POOLS__DAILY__RESERVE__NORMAL", "10"),
            ("WEIR_UPSTREAMS__ZOOM__PLAN", "bussiness"),
        ],
    );
    let expected = [
        r#"WEIR_ADMIN__LISTEN: admin.listen: "9090" is not an address and port, a socket file or systemd's; write "127.0.0.1:8080", "[::]:8080", "unix:/run/weir/weir.sock" or "systemd""#,
        "WEIR_CLIENTS__0__NAME: clients.0.name: lists cannot be changed from the environment",
        r#"WEIR_LOG__FORMAT: log.format: expected one of "auto", "pretty", "json", found "jsn"; did you mean "json"?"#,
        r#"WEIR_SERVER_WORKERS: server_workers: unknown key; put "__" between levels"#,
        r#"WEIR_SERVER__LISTN: server.listn: unknown key; did you mean "listen"?"#,
        r#"WEIR_SERVER__REQUEST_TIMEOUT: server.request_timeout: expected a duration such as "10s", "5m" or "1h 30m", found "10""#,
        r#"WEIR_SERVER__WORKERS: server.workers: expected a whole number from 0 to 4294967295, found "many""#,
        r#"WEIR_SERVR__LISTEN: servr.listen: unknown key; did you mean "server"?"#,
        r#"WEIR_UPSTREAMS__ZOOM__AUTH__SECRET: upstreams.zoom.auth.secret: expected { env = "NAME" } or { file = "path" }, found a string"#,
        r#"WEIR_UPSTREAMS__ZOOM__LABELS__HEAVY__MODE: upstreams.zoom.labels.heavy.mode: expected one of "enforce", "observe", found "observ"; did you mean "observe"?"#,
        r#"WEIR_UPSTREAMS__ZOOM__PLAN: upstreams.zoom.plan: no such plan: "bussiness"; did you mean "business"?"#,
        r#"WEIR_UPSTREAMS__ZOOM__POOLS__DAILY__RESERVE__NORMAL: upstreams.zoom.pools.daily.reserve.normal: expected a percentage such as "20%" or "2.5%", found "10""#,
    ];
    assert_eq!(faults, expected);
}
