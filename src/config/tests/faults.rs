//! Wrong text, and exactly what is printed about it.

use super::*;

/// Printed faults, one a line, of a text on its own.
pub(super) fn check(text: &str, expected: &str) {
    let expected: Vec<_> = expected.trim().lines().map(str::trim).collect();
    assert_eq!(bad(text), expected, "{text}");
}

/// The same for a text before the smallest configuration, so that lines count from the text.
pub(super) fn check_with_upstream(text: &str, expected: &str) {
    check(&format!("{text}{SMALL}"), expected);
}

#[test]
fn syntax_is_reported_everywhere_at_once() {
    check(
        "[server\nlisten = 1\n[[x]\n",
        "weir.toml:1: unclosed table, expected `]`
         weir.toml:3: unclosed array table, expected `]`",
    );
    check("a = 1\na = 2", "weir.toml:2: duplicate key");
    check(
        "",
        "weir.toml: upstreams: there is none; write [upstreams.NAME] with base_url, auth and \
         endpoints, or with a preset",
    );
}

#[test]
fn a_number_that_nothing_holds_has_its_line_and_is_not_shown() {
    check(
        r#"[server]
workers = 9223372036854775808
max_in_flight = 0xffffffffffffffffff
[upstreams.u]
base_url = "http://h"
[upstreams.u.auth]
kind = "bearer"
token = -99999999999999999999
[[upstreams.u.endpoints]]
id = "x"
parameters = { p = { one_of = [1, 10000000000000000000] } }
[[upstreams.u.endpoints]]
method = 1e999
path = -inf
"#,
        "weir.toml:2: server.workers: is a number beyond 64 bits
         weir.toml:3: server.max_in_flight: is a number beyond 64 bits
         weir.toml:8: upstreams.u.auth.token: is a number beyond 64 bits
         weir.toml:11: upstreams.u.endpoints[x].parameters.p.one_of[1]: is a number beyond 64 bits
         weir.toml:13: upstreams.u.endpoints[1].method: is a number beyond 64 bits",
    );
    check_with_upstream(
        "[server]\nworkers = 9223372036854775807\n",
        "weir.toml:2: server.workers: expected a whole number from 0 to 4294967295, found \
         9223372036854775807",
    );
}

#[test]
fn shape() {
    check(
        r#"[server]
listen = 8080
workers = -1
request_timeout = "10"
allow_anonymous = "yes"
max_body_bytes = "lots"
[server.tls]
certt = "x"
[log]
levle = "info"
format = "jsn"
[upstreams.zoom]
preset = "zoom-video-sdk"
base_ulr = "http://h"
colour = "red"
[upstreams.zoom.auth]
kind = "jtw"
[upstreams.zoom.labels.heavy]
per_secnd = 10
[[upstreams.zoom.endpoints]]
id = "x"
methdo = "GET"
path = 5
key = ["a", 5]
parameters = { p = { one_of = [1.5] } }
"#,
        r#"weir.toml:2: server.listen: expected a string or a list of strings, found 8080
weir.toml:3: server.workers: expected a whole number from 0 to 4294967295, found -1
weir.toml:4: server.request_timeout: expected a duration such as "10s", "5m" or "1h 30m", found "10"
weir.toml:5: server.allow_anonymous: expected true or false, found "yes"
weir.toml:6: server.max_body_bytes: expected a size such as "64KiB" or "256MiB", found "lots"
weir.toml:7: server.tls.key: is required; name a PEM file
weir.toml:8: server.tls.certt: unknown key; did you mean "cert"?
weir.toml:10: log.levle: unknown key; did you mean "level"?
weir.toml:11: log.format: expected one of "auto", "pretty", "json", found "jsn"; did you mean "json"?
weir.toml:14: upstreams.zoom.base_ulr: unknown key; did you mean "base_url"?
weir.toml:15: upstreams.zoom.colour: unknown key; there are "auth", "base_url", "breaker", "connect_timeout", "egress_proxy", "endpoints", "first_byte_timeout", "health", "http2_prior_knowledge", "idle_timeout", "labels", "max_retries", "mount", "plan", "pools", "preset", "resolve", "retry_on", "tls" and "total_timeout"
weir.toml:17: upstreams.zoom.auth.kind: expected one of "jwt", "bearer", "basic", "header", "oauth2", "none", found "jtw"; did you mean "jwt"?
weir.toml:19: upstreams.zoom.labels.heavy.per_secnd: unknown key; did you mean "per_second"?
weir.toml:22: upstreams.zoom.endpoints[x].methdo: unknown key; did you mean "method"?
weir.toml:23: upstreams.zoom.endpoints[x].path: expected a string, found 5
weir.toml:24: upstreams.zoom.endpoints[x].key[1]: expected a string, found 5
weir.toml:25: upstreams.zoom.endpoints[x].parameters.p.one_of[0]: expected a string or a whole number or true or false, found 1.5"#,
    );
}

#[test]
fn server_log_and_cache() {
    check_with_upstream(
        r#"[server]
listen = "0.0.0.0:9090"
max_header_bytes = "1KiB"
workers = 5000
max_in_flight = 0
drain_timeout = "0s"
unix_mode = "0888"
[admin]
listen = "127.0.0.1:9090"
[log]
level = "inof"
[cache]
max_bytes = "1KiB"
"#,
        r#"weir.toml:2: server.listen: anonymous callers on a public address; list [[clients]], or set server.allow_anonymous = true
weir.toml:3: server.max_header_bytes: is less than 8KiB
weir.toml:4: server.workers: is more than 1024
weir.toml:5: server.max_in_flight: is zero
weir.toml:6: server.drain_timeout: is zero
weir.toml:7: server.unix_mode: "0888" is not a file's mode; write "0660": owner and group may connect
weir.toml:9: admin.listen: is the public listener's address too
weir.toml:11: log.level: no such level: "inof"; did you mean "info"?
weir.toml:12: cache.max_entry_bytes: is more than cache.max_bytes (1KiB)"#,
    );
    check_with_upstream(
        r#"[cache]
max_bytes = "8GiB"
max_entry_bytes = "4GiB"
[log]
level = "info,weir=loud"
"#,
        r#"weir.toml:3: cache.max_entry_bytes: is more than 4294967295
weir.toml:5: log.level: no such level: "loud"; write "info", or "info,weir=debug""#,
    );
}

#[test]
fn listeners_that_do_not_meet_are_fine() {
    let two = |public: &str, admin: &str| {
        let text = format!("{SMALL}[server]\nlisten = {public:?}\n[admin]\nlisten = {admin:?}\n");
        from_text("f", &text, &Env::new()).is_ok()
    };
    assert!(two("127.0.0.1:0", "127.0.0.1:0"), "any two free ports");
    assert!(two("127.0.0.1:80", "127.0.0.2:80"));
    assert!(two("[::1]:80", "127.0.0.1:80"));
    assert!(!two("127.0.0.1:80", "0.0.0.0:80"));
    let text = format!("{SMALL}[server]\nlisten = \"0.0.0.0:80\"\nallow_anonymous = true\n");
    let warned: Vec<_> = good(&text).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warned, ["weir.toml:10: server.listen: anyone who reaches this address may call"]);
}

#[test]
fn clients() {
    check_with_upstream(
        r#"[[clients]]
[[clients]]
name = "A b"
key = {}
weight = 0
[[clients]]
name = "x"
key = { value = "" }
burst = 5
[[clients]]
name = "anonymous"
key = { sha256 = "abc" }
per_second = 0
[[clients]]
name = "x"
key = { env = "NONE", value = "s" }
[[clients]]
name = "y"
key = { value = "s" }
[[clients]]
name = "y"
key = { value = "s" }
[[clients]]
name = "z"
key = { env = "NONE" }
[[clients]]
name = "f"
key = { file = "/does/not/exist" }
"#,
        r#"weir.toml:1: clients[0].key: is required; write key = { sha256 = "…" }, keys, certificates or subjects
weir.toml:1: clients[0].name: is required
weir.toml:3: clients[1].name: "A b" is not a name; use up to 64 lower-case letters, digits, '-' and '_'
weir.toml:4: clients[1].key: says nowhere to find the secret; write { env = "NAME" } or { file = "path" }
weir.toml:5: clients[1].weight: is zero
weir.toml:8: clients[2].key.value: is empty
weir.toml:9: clients[2].burst: is for a client with per_second
weir.toml:11: clients[3].name: "anonymous" is what callers without a key are called
weir.toml:12: clients[3].key.sha256: is not 64 hex digits; printf %s "$KEY" | sha256sum prints it
weir.toml:13: clients[3].per_second: is zero
weir.toml:15: clients[4].name: "x" is the name of clients[2] too
weir.toml:16: clients[4].key: names more than one source; keep one of them
weir.toml:21: clients[6].name: "y" is the name of clients[5] too
weir.toml:22: clients[6].key: is that of clients[5].key too
weir.toml:25: clients[7].key.env: the environment variable NONE is not set
weir.toml:28: clients[8].key.file: "/does/not/exist" cannot be read: No such file or directory (os error 2)"#,
    );
}

#[test]
fn upstreams() {
    check(
        r#"[upstreams.U]
plan = "pro"
auth = { kind = "none" }
mount = "x"
max_retries = 11
total_timeout = "0s"
connect_timeout = "2000 days"
"#,
        r#"weir.toml:1: upstreams.U: "U" is not a name; use up to 64 lower-case letters, digits, '-' and '_'
weir.toml:1: upstreams.U.base_url: is required; write "https://host/path"
weir.toml:1: upstreams.U.endpoints: there is none; write [[upstreams.NAME.endpoints]] with id, method and path
weir.toml:2: upstreams.U.plan: is for an upstream with a preset
weir.toml:4: upstreams.U.mount: "x" is not a path prefix; write "/" or "/name"
weir.toml:5: upstreams.U.max_retries: is more than 10
weir.toml:6: upstreams.U.total_timeout: is zero
weir.toml:7: upstreams.U.connect_timeout: expected a duration such as "10s", "5m" or "1h 30m", found "2000 days""#,
    );
    check(
        "[upstreams.zoom]\npreset = \"zoom\"\n",
        r#"weir.toml:2: upstreams.zoom.preset: no such preset: "zoom"; there is "zoom-video-sdk""#,
    );
    for (url, why) in [
        ("ftp://h", r#"is not an http or https address; write "https://host/path""#),
        ("//h", r#"is not an http or https address; write "https://host/path""#),
        ("http://u:hunter2@h/", "holds credentials; put them under auth"),
        ("http://h/?q=1", "has a query"),
        ("http://h/#f", r#"has a fragment; write "https://host/path""#),
    ] {
        let text = SMALL.replace("http://127.0.0.1:1", url);
        check(&text, &format!("weir.toml:3: upstreams.u.base_url: {why}"));
    }
}

#[test]
fn mounts_are_distinct() {
    let other = |mount: &str| {
        let other = SMALL.replace("upstreams.u", "upstreams.v");
        other.replace("base_url", &format!("mount = {mount:?}\nbase_url"))
    };
    check(
        &format!("{SMALL}{}", other("/")),
        r#"weir.toml:11: upstreams.v.mount: "/" is where clients find "u" already"#,
    );
    check(
        &format!("{ZOOM}{}", other("/v2")),
        r#"weir.toml:2: upstreams.zoom.mount: "/v2" is where clients find "v" already"#,
    );
    for mount in ["/x/../y", "/a//b", "/a b", "/{x}", "/a?b", "//"] {
        let expected = format!(
            "weir.toml:11: upstreams.v.mount: {mount:?} is not a path prefix; \
             write \"/\" or \"/name\""
        );
        check(&format!("{SMALL}{}", other(mount)), &expected);
    }
    let loaded = good(&format!("{SMALL}{}", other("/a/b/")));
    assert_eq!(loaded.settings.upstreams[1].mounts, ["/a/b"]);
}

#[test]
fn labels_and_pools() {
    check_with_upstream(
        r#"[upstreams.u.labels.l]
[upstreams.u.labels.m]
per_second = 10
per_minute = 5
burst = 11
pool = "dialy"
[upstreams.u.labels.n]
per_second = 0
burst = 0
max_queue = 5000000
[upstreams.u.labels.o]
pool = "daily"
[upstreams.u.pools.daily]
per_day = 0
resets_at = "midnight"
[upstreams.u.pools.o]
"#,
        r#"weir.toml:1: upstreams.u.labels.l: limits nothing; give it per_second, per_minute or a pool
weir.toml:4: upstreams.u.labels.m.per_minute: is less than per_second (10), which could never be reached
weir.toml:5: upstreams.u.labels.m.burst: is more than the shortest window allows (10)
weir.toml:6: upstreams.u.labels.m.pool: no such pool: "dialy"; did you mean "daily"?
weir.toml:8: upstreams.u.labels.n.per_second: is zero
weir.toml:9: upstreams.u.labels.n.burst: is zero
weir.toml:10: upstreams.u.labels.n.max_queue: is more than 1000000
weir.toml:11: upstreams.u.labels.o: a pool has this name too
weir.toml:14: upstreams.u.pools.daily.per_day: is zero
weir.toml:15: upstreams.u.pools.daily.resets_at: "midnight" is not a time of day in UTC; write "00:00Z"
weir.toml:16: upstreams.u.pools.o: no label spends from it; give a label pool = "o", or take it out
weir.toml:16: upstreams.u.pools.o.per_day: is required"#,
    );
}
