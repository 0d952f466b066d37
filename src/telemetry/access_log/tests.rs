use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::SystemTime;

use super::*;
use crate::telemetry::testing::Sink;

/// A sink that reports every batch it is given, and takes none before it is allowed to.
struct Gate {
    batches: SyncSender<Vec<u8>>,
    allowed: Receiver<()>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.batches.send(bytes.to_vec()).map_err(io::Error::other)?;
        self.allowed.recv().map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gated() -> (AccessLog, Receiver<Vec<u8>>, SyncSender<()>) {
    let (batches, seen) = sync_channel(1_000);
    let (allow, allowed) = sync_channel(1_000);
    let sink = Box::new(Gate { batches, allowed });
    (AccessLog::new(sink, Format::Json, Counter::default()).unwrap(), seen, allow)
}

fn line(request_id: &str) -> AccessLine<'_> {
    AccessLine {
        time: SystemTime::UNIX_EPOCH,
        request_id,
        method: "GET",
        template: None,
        endpoint: None,
        client: None,
        status: 404,
        cache: None,
        label: None,
        wait: None,
        upstream: None,
        duration: Duration::ZERO,
        bytes: None,
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_line_reaches_the_sink_without_a_flush() {
    let (log, seen, allow) = gated();
    allow.send(()).unwrap();
    log.write(&line("one"));
    let batch = seen.recv_timeout(PATIENCE).unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(&batch).unwrap();
    assert_eq!(parsed["request_id"], "one");
}

#[test]
fn a_sink_nobody_reads_from_blocks_no_request_and_costs_bounded_memory() {
    let (log, seen, allow) = gated();
    log.write(&line("first"));
    let mut expected = seen.recv_timeout(PATIENCE).unwrap().len();
    let one = expected as u64;
    let sent = 2 * MAX_PENDING as u64 / one;
    for _ in 0..sent {
        log.write(&line("first"));
    }
    let kept = MAX_PENDING as u64 / one;
    assert_eq!(log.dropped.get(), sent - kept);
    assert!(log.shared.pending.lock().bytes.len() <= MAX_PENDING);

    for _ in 0..2 {
        allow.send(()).unwrap();
    }
    log.flush();
    expected += seen.recv_timeout(PATIENCE).unwrap().len();
    assert_eq!(expected as u64, one * (kept + 1));
    allow.send(()).unwrap();
    log.write(&line("again"));
    let after = seen.recv_timeout(PATIENCE).unwrap();
    assert!(String::from_utf8(after).unwrap().contains("again"));
}

#[test]
fn dropping_the_log_writes_what_is_left() {
    let (log, seen, allow) = gated();
    allow.send(()).unwrap();
    log.write(&line("last words"));
    drop(log);
    assert!(String::from_utf8(seen.try_recv().unwrap()).unwrap().contains("last words"));
}

#[test]
fn lines_a_broken_sink_refuses_are_counted() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dropped = Counter::default();
    let log = AccessLog::new(Box::new(Broken), Format::Json, dropped.clone()).unwrap();
    log.write(&line("a"));
    log.write(&line("b"));
    log.flush();
    assert_eq!(dropped.get(), 2);
}

#[test]
fn lines_of_many_threads_are_never_mixed() {
    let sink = Sink::default();
    let log = AccessLog::new(Box::new(sink.clone()), Format::Json, Counter::default());
    let log = log.unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    log.write(&line("x"));
                }
            });
        }
    });
    log.flush();
    let written = sink.text();
    assert_eq!(written.lines().count(), 2_000);
    for line in written.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}
