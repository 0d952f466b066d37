//! Who may spend how much.

use super::faults::check_with_upstream;
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
    assert_eq!(warned(&loaded), ["weir.toml:20: upstreams.u.labels.m.mode: holds nobody back"]);
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
