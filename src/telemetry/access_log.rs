//! Where access lines go: a bounded buffer that a thread of its own empties.
//!
//! A request formats its line into a buffer of its thread and copies it under a short lock. Only
//! the log's thread touches the sink, so that a pipe nobody reads from stops that thread and no
//! request; lines that find the buffer full are dropped and counted.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;

use super::{AccessLine, Format};

/// Bytes that wait for the sink; as many again may be on their way into it.
const MAX_PENDING: usize = 1024 * 1024;
/// A batch of this size is written at once,
const BATCH: usize = 256 * 1024;
/// a smaller one after this long.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Longest [`AccessLog::flush`] waits for a sink that does not take its bytes.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// The access log. Dropping it flushes.
pub struct AccessLog {
    shared: Arc<Shared>,
    json: bool,
    dropped: Counter,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("json", &self.json).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// The thread waits for bytes.
    filled: Condvar,
    /// [`AccessLog::flush`] waits for the thread.
    written: Condvar,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    lines: u64,
    /// Bytes ever taken in, and of these the ones the sink has.
    accepted: u64,
    written: u64,
    hurry: bool,
    closed: bool,
}

impl AccessLog {
    /// Starts the thread. `Auto` looks whether stdout is a terminal. `dropped` counts lost lines.
    pub fn new(sink: Box<dyn Write + Send>, format: Format, dropped: Counter) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Writer { sink, shared: Arc::clone(&shared), lost: dropped.clone() };
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared, json: format.is_json(io::stdout().is_terminal()), dropped })
    }

    /// Takes one line. Never blocks on the sink.
    pub fn write(&self, line: &AccessLine<'_>) {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            if self.json {
                line.write_json(scratch);
            } else {
                line.write_pretty(scratch);
            }
            self.append(scratch);
        });
    }

    /// Waits until the sink has every line taken so far, or two seconds. Blocks its thread.
    pub fn flush(&self) {
        let mut pending = self.shared.pending.lock();
        pending.hurry = true;
        self.shared.filled.notify_one();
        let target = pending.accepted;
        let unwritten = |pending: &mut Pending| pending.written < target;
        let wait = self.shared.written.wait_while_for(&mut pending, unwritten, FLUSH_PATIENCE);
        drop(pending);
        if wait.timed_out() {
            tracing::warn!("the access log is not being read");
        }
    }

    fn append(&self, line: &[u8]) {
        let mut pending = self.shared.pending.lock();
        let before = pending.bytes.len();
        let after = before + line.len();
        if after > MAX_PENDING {
            drop(pending);
            self.dropped.inc();
            return;
        }
        pending.bytes.extend_from_slice(line);
        pending.lines += 1;
        pending.accepted += line.len() as u64;
        drop(pending);
        // The thread sleeps while there is nothing, and again until a batch is full.
        if before == 0 || (before < BATCH && after >= BATCH) {
            self.shared.filled.notify_one();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
        self.shared.pending.lock().closed = true;
        self.shared.filled.notify_one();
    }
}

struct Writer {
    sink: Box<dyn Write + Send>,
    shared: Arc<Shared>,
    lost: Counter,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(lines) = self.next(&mut batch) {
            let taken = batch.len() as u64;
            if self.sink.write_all(&batch).and_then(|()| self.sink.flush()).is_err() {
                self.lost.inc_by(lines);
            }
            batch.clear();
            batch.shrink_to(2 * BATCH);
            self.shared.pending.lock().written += taken;
            self.shared.written.notify_all();
        }
    }

    /// Waits for lines and swaps them out; says how many. `None` when the log is gone.
    fn next(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut pending = self.shared.pending.lock();
        self.shared
            .filled
            .wait_while(&mut pending, |pending| pending.bytes.is_empty() && !pending.closed);
        let small = |pending: &mut Pending| {
            pending.bytes.len() < BATCH && !pending.hurry && !pending.closed
        };
        self.shared.filled.wait_while_for(&mut pending, small, FLUSH_EVERY);
        if pending.bytes.is_empty() {
            return None;
        }
        pending.hurry = false;
        std::mem::swap(&mut pending.bytes, batch);
        Some(std::mem::take(&mut pending.lines))
    }
}

#[cfg(test)]
mod tests;
