//! What telling of a request costs: a line of the access log, and its counts.

use std::io::sink;
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use prometheus_client::metrics::counter::Counter;
use weir::clock::Clock;
use weir::metrics::{CacheResult, Metrics};
use weir::telemetry::{AccessLine, AccessLog, Format};

#[divan::bench(args = [Format::Json, Format::Pretty])]
fn access_line(bencher: Bencher<'_, '_>, format: Format) {
    let (clock, dropped) = (Clock::system(), Counter::default());
    let log = AccessLog::new(Box::new(sink()), format, dropped.clone()).unwrap();
    let line = AccessLine {
        time: clock.wall(),
        request_id: "4f9a5f52-8a2e-4a1e-9d0f-6f1f6a1f2b3c",
        method: "GET",
        template: Some("/videosdk/sessions/{sessionId}/users"),
        endpoint: Some("list-session-users"),
        client: Some("support-console"),
        status: 200,
        cache: Some("hit"),
        label: Some("heavy"),
        wait: None,
        upstream: None,
        duration: Duration::from_micros(98),
        bytes: Some(1_234),
    };
    // Between samples the buffer is emptied: a line that is dropped would cost less.
    bencher.with_inputs(|| log.flush()).bench_local_values(|()| log.write(&line));
    assert_eq!(dropped.get(), 0, "every line was taken");
}

/// A hit: a duration, a request, a look-up.
#[divan::bench]
fn counts(bencher: Bencher<'_, '_>) {
    let clients: Vec<Arc<str>> = vec!["console".into(), "unknown".into()];
    let endpoint = Metrics::new().endpoint("zoom", "list-session-users", &clients);
    bencher.bench_local(|| {
        endpoint.request(0, 200, Some(CacheResult::Hit), 0.000_098);
        endpoint.cache(CacheResult::Hit);
    });
}
