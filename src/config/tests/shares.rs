//! What every client gets, as printed.

use std::fmt::Write as _;

use super::*;

const CLIENTS: &str = r#"
[[clients]]
name = "console"
key = { env = "A" }
weight = 2
[[clients]]
name = "billing"
key = { env = "B" }
daily_share = "33.3%"
[[clients]]
name = "alarm"
key = { env = "C" }
priority = "high"
[[clients]]
name = "nightly-report"
key = { env = "D" }
priority = "low"
"#;

const KEYS: [(&str, &str); 4] = [("A", "a"), ("B", "b"), ("C", "c"), ("D", "d")];

#[test]
fn every_client_of_every_label() {
    let text = format!(
        r#"{SMALL}{BUDGET}
        reserve = {{ high = "20%", normal = "2.5%" }}
        [upstreams.u.labels.m]
        per_second = 5
        per_minute = 100
        [upstreams.u.labels.n]
        pool = "p"
        mode = "observe"
        {CLIENTS}"#
    );
    let loaded = good_with(&text, &KEYS);
    let expected = "\
# Shares: what a client gets of a label while all of its priority want more than there is and
# those above it want nothing, and the most that it may spend of the day.
#
# upstreams.u.labels.l: 10 a second, 1000 a day (p), reserve high 20%, reserve normal 2.5%
#   console          normal   6.7 a second    at most 800 a day
#   billing          normal   3.3 a second    at most 333 a day
#   alarm            high      10 a second   at most 1000 a day
#   nightly-report   low       10 a second    at most 775 a day
#
# upstreams.u.labels.m: 5 a second, 100 a minute
#   console          normal   3.3 a second   66.7 a minute
#   billing          normal   1.7 a second   33.3 a minute
#   alarm            high       5 a second    100 a minute
#   nightly-report   low        5 a second    100 a minute
#
# upstreams.u.labels.n: 1000 a day (p), reserve high 20%, reserve normal 2.5%, holds nobody back (observe)
#   console          normal    at most 800 a day
#   billing          normal    at most 333 a day
#   alarm            high     at most 1000 a day
#   nightly-report   low       at most 775 a day
";
    assert_eq!(loaded.shares, expected);
}

#[test]
fn callers_without_a_key_are_one() {
    let shares = good(ZOOM).shares;
    let heavy = "\
#
# upstreams.zoom.labels.heavy: 10 a second, 30000 a day (daily)
#   anonymous   normal   10 a second   at most 30000 a day
#
";
    assert!(shares.contains(heavy), "{shares}");
    assert_eq!(shares.matches("anonymous").count(), 4, "{shares}");
    assert_eq!(good(SMALL).shares, "", "nothing is limited");
}

#[test]
fn a_configuration_with_its_shares_loads_again() {
    let once = good_with(&format!("{SMALL}{BUDGET}{CLIENTS}"), &KEYS);
    let printed = format!("{}\n{}", once.effective, once.shares);
    let twice = good_with(&printed, &KEYS);
    assert_eq!((&twice.effective, &twice.shares), (&once.effective, &once.shares));
    assert_eq!(twice.settings.digest, once.settings.digest);
    let of_the_text_alone = validate::sha256_hex(once.effective.as_bytes());
    assert_eq!(once.settings.digest, of_the_text_alone);
}

#[test]
fn the_list_is_bounded() {
    let mut text = format!("{SMALL}{BUDGET}");
    for index in 0..104 {
        write!(text, "[[clients]]\nname = \"c{index}\"\nkey = {{ value = \"{index}\" }}\n")
            .unwrap();
    }
    let shares = good(&text).shares;
    assert_eq!(shares.lines().count(), 2 + 2 + 100 + 1);
    assert!(shares.contains("#   c99   normal   0.1 a second   at most 1000 a day\n"), "{shares}");
    assert!(shares.ends_with("#   and 4 more\n"), "{shares}");
}
