//! What `policy` is asked before an entry is served.

use std::time::{Duration, SystemTime};

use divan::{Bencher, black_box};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    RANGE,
};
use http::{HeaderMap, Method};
use weir::clock::Clock;
use weir::policy::coding::{PREFERRED, choose};
use weir::policy::condition::{Validators, Verdict, verdict};
use weir::policy::directives::RequestDirectives;
use weir::policy::endpoint::Lifetimes;
use weir::policy::freshness::{Stale, Times};
use weir::policy::range::range;

const TAG: &str = "\"5d41402abc4b2a76b9719d911017c592\"";

fn request(name: HeaderName, value: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    // What a client sends besides.
    for (name, value) in [("host", "weir.internal"), ("accept", "*/*"), ("user-agent", "curl/8")] {
        fields.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    fields.insert(name, HeaderValue::from_str(value).unwrap());
    fields
}

/// Fresh, stale, and with the wishes of a client that reloads.
#[divan::bench(args = ["fresh", "stale", "wished"])]
fn freshness(bencher: Bencher<'_, '_>, case: &str) {
    let made_at = Clock::system().now();
    let times = Times {
        made_at,
        initial_age: Duration::ZERO,
        lifetimes: Lifetimes {
            fresh: Duration::from_secs(10),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(600),
        },
        oldest_age: Some(Duration::from_secs(780)),
        stale: Stale::Allowed,
        immutable: false,
        keep: Duration::ZERO,
    };
    let now = made_at + Duration::from_secs(if case == "stale" { 20 } else { 5 });
    let fields = request(CACHE_CONTROL, "max-age=0");
    if case == "wished" {
        bencher.bench_local(|| {
            let wishes = RequestDirectives::of(black_box(&fields));
            times.wished(times.freshness(black_box(now)), &wishes, now)
        });
    } else {
        bencher.bench_local(|| black_box(&times).freshness(black_box(now)));
    }
}

/// Whether the client has it: by one tag, by the last of eight, by a date.
#[divan::bench(args = ["none", "tag", "eight tags", "date"])]
fn condition(bencher: Bencher<'_, '_>, case: &str) {
    let etag = HeaderValue::from_static(TAG);
    let stored = Validators {
        etag: Some(&etag),
        last_modified: None,
        date: None,
        received: SystemTime::UNIX_EPOCH,
    };
    let eight = format!("{}{TAG}", "\"0123456789abcdef0123456789abcdef\", ".repeat(7));
    let fields = match case {
        "tag" => request(IF_NONE_MATCH, TAG),
        "eight tags" => request(IF_NONE_MATCH, &eight),
        "date" => request(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT"),
        _ => HeaderMap::new(),
    };
    let expected = if case == "none" { Verdict::Modified } else { Verdict::NotModified };
    assert_eq!(verdict(&Method::GET, &fields, &stored), expected);
    bencher.bench_local(|| verdict(&Method::GET, black_box(&fields), black_box(&stored)));
}

#[divan::bench(args = ["bytes=0-1023", "bytes=-500", "bytes=0-1,5-9"])]
fn ranges(bencher: Bencher<'_, '_>, wanted: &str) {
    let etag = HeaderValue::from_static(TAG);
    let received = SystemTime::UNIX_EPOCH;
    let stored = Validators { etag: Some(&etag), last_modified: None, date: None, received };
    let fields = request(RANGE, wanted);
    bencher.bench_local(|| range(&Method::GET, black_box(&fields), &stored, black_box(65_536)));
}

/// The first is known letter by letter, the second is read.
#[divan::bench(args = ["gzip, deflate, br, zstd", "br;q=0.9, gzip;q=0.8, *;q=0.1"])]
fn coding(bencher: Bencher<'_, '_>, accepted: &str) {
    let fields = request(ACCEPT_ENCODING, accepted);
    bencher.bench_local(|| choose(black_box(&fields), &PREFERRED));
}
