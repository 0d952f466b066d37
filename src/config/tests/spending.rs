//! Who may spend how much.

use super::faults::{check, check_with_upstream};
use super::*;
use crate::policy::quota::Mode;
use crate::policy::share::{Percent, Reserve};

fn percent(tenths: u16) -> Percent {
    Percent::from_tenths(tenths).unwrap()
}

#[test]
fn nothing_is_kept_or_limited_by_default() {
    let text = format!("{SMALL}{BUDGET}[[clients]]\nname = \"a\"\nkey = {{ env = \"K\" }}\n");
    let loaded = good_with(&text, &[("K", "k")]);
    let upstream = only(&loaded);
    assert_eq!(
        (upstream.labels[0].mode, upstream.pools[0].reserve),
        (Mode::Enforce, Reserve::default())
    );
    assert_eq!(loaded.settings.clients[0].daily_share, None);
    for line in [r#"mode = "enforce""#, r#"reserve = { high = "0%", normal = "0%" }"#] {
        assert!(loaded.effective.lines().any(|found| found == line), "{}", loaded.effective);
    }
    assert!(!loaded.effective.contains("daily_share"), "{}", loaded.effective);
}

#[test]
fn what_is_written_takes_effect_and_loads_again() {
    let text = format!(
        r#"{SMALL}{BUDGET}
        reserve = {{ high = "20%", normal = "2.5%" }}
        [upstreams.u.labels.m]
        per_second = 1
        mode = "observe"
        [[upstreams.u.endpoints]]
        id = "other"
        path = "/other"
        label = "m"
        [server]
        state_dir = "/nowhere/weir"
        [[clients]]
        name = "a"
        key = {{ env = "K" }}
        daily_share = "33.3%"
        "#
    );
    let loaded = good_with(&text, &[("K", "k")]);
    let upstream = only(&loaded);
    assert_eq!(upstream.labels[1].mode, Mode::Observe);
    assert_eq!(upstream.pools[0].reserve, Reserve { high: percent(200), normal: percent(25) });
    assert_eq!(loaded.settings.clients[0].daily_share, Some(percent(333)));
    assert_eq!(
        warned(&loaded),
        [
            "weir.toml:20: upstreams.u.labels.m.mode: holds nobody back",
            "weir.toml:27: clients: \"a\" may also ask endpoints that write: list endpoints",
            "weir.toml:29: clients[0].key: is shorter than 16 bytes: it can be guessed",
        ]
    );
    let again = good_with(&loaded.effective, &[("K", "k")]);
    assert_eq!(again.effective, loaded.effective);
    assert_eq!(only(&again).pools, upstream.pools);
    assert_eq!(only(&again).labels, upstream.labels);
    assert_eq!(again.settings.clients[0].daily_share, Some(percent(333)));
}

#[test]
fn shapes() {
    check_with_upstream(
        r#"[[clients]]
name = "a"
key = { value = "a" }
daily_share = 20
[[clients]]
name = "b"
key = { value = "b" }
daily_share = "hunter2"
[upstreams.u.labels.l]
pool = "p"
mode = "obsrve"
[upstreams.u.pools.p]
per_day = 1000
reserve = { high = "20", normal = 0.1, low = "5%" }
"#,
        r#"weir.toml:4: clients[0].daily_share: expected a percentage such as "20%" or "2.5%", found a number
weir.toml:8: clients[1].daily_share: expected a percentage such as "20%" or "2.5%", found a string
weir.toml:11: upstreams.u.labels.l.mode: expected one of "enforce", "observe", found "obsrve"; did you mean "observe"?
weir.toml:14: upstreams.u.pools.p.reserve.high: expected a percentage such as "20%" or "2.5%", found "20"
weir.toml:14: upstreams.u.pools.p.reserve.low: unknown key; there are "high" and "normal"
weir.toml:14: upstreams.u.pools.p.reserve.normal: expected a percentage such as "20%" or "2.5%", found 0.1"#,
    );
}

#[test]
fn more_than_everything() {
    check_with_upstream(
        r#"[[clients]]
name = "a"
key = { value = "a" }
daily_share = "60%"
[[clients]]
name = "b"
key = { value = "b" }
daily_share = "0%"
[[clients]]
name = "c"
key = { value = "c" }
daily_share = "40.1%"
[[clients]]
name = "d"
key = { value = "d" }
daily_share = "50%"
[upstreams.u.labels.l]
pool = "p"
[upstreams.u.pools.p]
per_day = 1000
reserve = { high = "50%", normal = "50.1%" }
"#,
        r#"weir.toml:8: clients[1].daily_share: is 0%: it could never be served; leave it out for no limit of its own
weir.toml:12: clients[2].daily_share: 40.1% is more than the clients before "c" leave (40%)
weir.toml:21: upstreams.u.pools.p.reserve: 50% and 50.1% are more than the whole day"#,
    );
}

#[test]
fn all_of_it_is_not_too_much() {
    let text = format!(
        r#"{SMALL}{BUDGET}
        reserve = {{ high = "50%", normal = "50%" }}
        [[clients]]
        name = "a"
        key = {{ env = "A" }}
        daily_share = "99.9%"
        [[clients]]
        name = "b"
        key = {{ env = "B" }}
        daily_share = "0.1%"
        "#
    );
    assert_eq!(good_with(&text, &[("A", "a"), ("B", "b")]).settings.clients.len(), 2);
}

#[test]
fn a_client_that_could_never_be_served() {
    check_with_upstream(
        r#"[[clients]]
name = "high"
key = { value = "a" }
priority = "high"
[[clients]]
name = "normal"
key = { value = "b" }
[[clients]]
name = "low"
key = { value = "c" }
priority = "low"
daily_share = "50%"
[[clients]]
name = "little"
key = { value = "d" }
priority = "high"
daily_share = "0.3%"
[[clients]]
name = "none"
key = { value = "e" }
priority = "high"
daily_share = "0%"
[upstreams.u.labels.l]
pool = "p"
[upstreams.u.labels.m]
pool = "p"
[upstreams.u.labels.n]
pool = "q"
[upstreams.u.labels.watched]
pool = "r"
mode = "observe"
[upstreams.u.pools.p]
per_day = 300
reserve = { high = "40%", normal = "60%" }
[upstreams.u.pools.q]
per_day = 1000
reserve = { high = "100%" }
[upstreams.u.pools.r]
per_day = 1
reserve = { high = "100%" }
"#,
        r#"weir.toml:5: clients[1].priority: upstreams.u.pools.q keeps its whole day from normal priority: it could never be served; lower the reserve
weir.toml:11: clients[2].priority: upstreams.u.pools.p keeps its whole day from low priority: it could never be served; lower the reserve
weir.toml:11: clients[2].priority: upstreams.u.pools.q keeps its whole day from low priority: it could never be served; lower the reserve
weir.toml:17: clients[3].daily_share: 0.3% of 300 a day (upstreams.u.pools.p) is less than one: it could never be served; write at least "0.4%"
weir.toml:22: clients[4].daily_share: is 0%: it could never be served; leave it out for no limit of its own"#,
    );
}

#[test]
fn callers_without_a_key_that_could_never_be_served() {
    let reserve = |reserve: &str| format!("{SMALL}{BUDGET}reserve = {{ {reserve} }}\n");
    check(
        &reserve(r#"high = "100%""#),
        "weir.toml:16: upstreams.u.pools.p.reserve: keeps the whole day from anonymous callers, \
         whose priority is normal; lower it, or list [[clients]]",
    );
    for fine in [r#"high = "99.9%""#, r#"normal = "100%""#] {
        assert_eq!(good(&reserve(fine)).settings.upstreams.len(), 1, "{fine}");
    }
    // A client was meant.
    let clients = "clients = [5]\n";
    check(
        &format!("{clients}{}", reserve(r#"high = "100%""#)),
        "weir.toml:1: clients[0]: expected a table, found a number",
    );
}

#[test]
fn a_pool_that_nobody_spends_from() {
    check_with_upstream(
        r#"[upstreams.u.labels.l]
pool = "dayly"
[upstreams.u.labels.m]
per_second = 1
[upstreams.u.pools.daily]
per_day = 1000
[upstreams.u.pools.forgotten]
per_day = 1000
"#,
        r#"weir.toml:2: upstreams.u.labels.l.pool: no such pool: "dayly"; did you mean "daily"?
weir.toml:7: upstreams.u.pools.forgotten: no label spends from it; give a label pool = "forgotten", or take it out"#,
    );
    // What follows from a label that was left out is not news.
    check_with_upstream(
        "[upstreams.u.labels.l]\nper_second = 1\npoool = \"p\"\n\
         [upstreams.u.pools.p]\nper_day = 1\n",
        r#"weir.toml:3: upstreams.u.labels.l.poool: unknown key; did you mean "pool"?"#,
    );
}

#[test]
fn a_pool_of_the_preset_may_be_left_alone() {
    let own = r#"
[upstreams.zoom.labels]
heavy = { pool = "own" }
resource-intensive = { pool = "own" }
[upstreams.zoom.pools]
own = { per_day = 10 }
"#;
    let loaded = good(&format!("{ZOOM}{own}"));
    assert_eq!(only(&loaded).pools.len(), 2);
    assert_eq!(good(&loaded.effective).effective, loaded.effective);
    check(
        &format!("{ZOOM}{own}other = {{ per_day = 10 }}\n"),
        "weir.toml:11: upstreams.zoom.pools.other: no label spends from it; \
         give a label pool = \"other\", or take it out",
    );
}

#[test]
fn a_label_that_no_endpoint_uses_is_a_warning() {
    let spare = "[upstreams.u.labels.spare]\nper_second = 1\n";
    assert_eq!(
        warned(&good(&format!("{SMALL}{spare}"))),
        ["weir.toml:9: upstreams.u.labels.spare: no endpoint spends from it"]
    );
    let zoom = format!("{ZOOM}{}", spare.replace("upstreams.u", "upstreams.zoom"));
    assert!(!warned(&good(&zoom)).iter().any(|warning| warning.contains("spare")));
}
