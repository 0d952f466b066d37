//! Who is next, of 10,000 who wait.

use std::time::Instant;

use divan::Bencher;
use weir::clock::Clock;
use weir::policy::endpoint::Priority;
use weir::policy::fair_queue::FairQueue;
use weir::policy::share::{ClientId, Share};

const WAITERS: usize = 10_000;

/// Of three priorities and several weights.
fn shares(clients: usize) -> Vec<Share> {
    let share = |number: usize| {
        let weight = u32::try_from(number % 5 + 1).unwrap().try_into().unwrap();
        let priority = Priority::ALL.into_iter().cycle().nth(number % 3).unwrap();
        let client = ClientId::new(format!("client-{number}"));
        Share { client, weight, priority, daily: None }
    };
    (0..clients).map(share).collect()
}

struct Full {
    shares: Vec<Share>,
    /// Everybody with the place of its share.
    queue: FairQueue<usize>,
    /// All who wait have waited so long that it may be their turn.
    now: Instant,
}

impl Full {
    fn of(clients: usize) -> Self {
        let (shares, now) = (shares(clients), Clock::system().now());
        let mut queue = FairQueue::default();
        for (at, share) in shares.iter().enumerate().cycle().take(WAITERS) {
            queue.push(share, at, now);
        }
        Self { shares, queue, now }
    }
}

const CLIENTS: [usize; 3] = [1, 16, 300];

/// Whoever is next is served, and its client comes again: as many of each wait as before.
#[divan::bench(args = CLIENTS)]
fn serve_and_push(bencher: Bencher<'_, '_>, clients: usize) {
    let Full { shares, mut queue, now } = Full::of(clients);
    bencher.bench_local(|| {
        let next = queue.next(Some(now)).unwrap();
        let at = queue.serve(&next).unwrap();
        queue.push(shares.get(at).unwrap(), at, now)
    });
    assert_eq!(queue.len(), WAITERS);
}

/// One comes and hangs up.
#[divan::bench(args = CLIENTS)]
fn push_and_leave(bencher: Bencher<'_, '_>, clients: usize) {
    let Full { shares, mut queue, now } = Full::of(clients);
    let mut shares = shares.iter().cycle();
    bencher.bench_local(|| {
        let ticket = queue.push(shares.next().unwrap(), 0, now);
        queue.remove(&ticket)
    });
    assert_eq!(queue.len(), WAITERS);
}

/// How many would be served before one who asks: linear in the clients that wait.
#[divan::bench(args = CLIENTS)]
fn ahead(bencher: Bencher<'_, '_>, clients: usize) {
    let Full { shares, queue, .. } = Full::of(clients);
    let mut shares = shares.iter().cycle();
    bencher.bench_local(|| queue.ahead(shares.next().unwrap()));
}
