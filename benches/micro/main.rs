//! What the parts of a request cost, one by one: `cargo bench`, or `cargo bench -- NAME` for those
//! whose name holds NAME. Whole requests are measured elsewhere; a part that becomes dearer is
//! found here.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use mimalloc::MiMalloc;

mod cache;
mod decisions;
mod key;
mod limiter;
mod observe;
mod queue;
mod reader;
mod support;

// The one the binary runs with: what allocates costs what it costs there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Calls between two looks at the clock. Left to itself divan takes few where the first call is
/// slow, and then the clock and what is cold are measured instead. No more than the access log's
/// buffer holds lines.
const CALLS: u32 = 1_000;

fn main() {
    divan::Divan::default().sample_size(CALLS).config_with_args().main();
}
