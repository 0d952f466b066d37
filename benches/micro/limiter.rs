//! Asking for a token: what a miss pays for, and what everybody pays who is refused.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use divan::Bencher;
use weir::policy::share::Share;
use weir::store::limiter::{LabelIndex, Limiter, Permit, Refused};

use super::support::{Built, build, generic};

const CLIENTS: usize = 8;
const HOUR: Duration = Duration::from_secs(3600);

/// A label with Zoom's figures, which lets nobody or everybody wait.
fn built(max_wait: &str) -> Built {
    let clients = (0..CLIENTS).map(|number| {
        let weight = number % 3 + 1;
        format!(
            "[[clients]]\nname = \"c{number}\"\nkey = {{ value = \"key-of-client-{number}\" }}\n\
             weight = {weight}\n"
        )
    });
    let label = format!(
        "[upstreams.any.labels.heavy]\nper_second = 10\npool = \"daily\"\nmax_queue = 20000\n\
         max_wait = \"{max_wait}\"\n[upstreams.any.pools.daily]\nper_day = 30000\n\
         [[upstreams.any.endpoints]]\nid = \"x\"\npath = \"/x\"\nlabel = \"heavy\"\n"
    );
    build(&(clients.collect::<String>() + &generic(&label)))
}

/// One label's window, and who asks.
struct Window<'b> {
    limiter: &'b Limiter,
    label: LabelIndex,
    shares: Vec<&'b Share>,
    deadline: Instant,
}

type Asking<'w> = Pin<Box<dyn Future<Output = Result<Permit, Refused>> + 'w>>;

impl<'b> Window<'b> {
    fn of(built: &'b Built) -> Self {
        let upstream = built.world.upstreams().next().unwrap();
        let (limiter, label) = (&upstream.limiter, upstream.labels.first().unwrap().index);
        let share = |number: usize| &built.client(&format!("c{number}")).share;
        let deadline = built.clock.now() + HOUR;
        Self { limiter, label, shares: (0..CLIENTS).map(share).collect(), deadline }
    }

    /// As far as it goes without waiting.
    fn ask(&self, number: usize) -> Poll<Result<Permit, Refused>> {
        let asking = std::pin::pin!(self.acquire(number));
        asking.poll(&mut Context::from_waker(Waker::noop()))
    }

    async fn acquire(&self, number: usize) -> Result<Permit, Refused> {
        let share = self.shares.iter().cycle().nth(number % CLIENTS).unwrap();
        self.limiter.acquire(self.label, share, self.deadline).await
    }

    /// Takes all there is: under way, it does not come back.
    fn spend_all(&self) -> Vec<Permit> {
        let taken = std::iter::from_fn(|| match self.ask(0) {
            Poll::Ready(Ok(permit)) => Some(permit),
            Poll::Ready(Err(_)) | Poll::Pending => None,
        });
        taken.collect()
    }
}

/// There is one: it is taken, and given back. On one thread and on all: they share one lock.
#[divan::bench(threads = [1, 0])]
fn granted(bencher: Bencher<'_, '_>) {
    let built = built("5s");
    let _inside = built.runtime.enter();
    let window = Window::of(&built);
    bencher.bench(|| assert!(matches!(window.ask(0), Poll::Ready(Ok(_)))));
}

/// There is none, and none would come in time.
#[divan::bench]
fn refused(bencher: Bencher<'_, '_>) {
    let built = built("1ms");
    let _inside = built.runtime.enter();
    let window = Window::of(&built);
    let _taken = window.spend_all();
    bencher.bench_local(|| assert!(matches!(window.ask(0), Poll::Ready(Err(_)))));
}

/// There is none, and so many of eight clients wait already: it joins them, and hangs up.
#[divan::bench(args = [0, 100, 10_000])]
fn queued(bencher: Bencher<'_, '_>, waiting: usize) {
    let built = built("50m");
    let _inside = built.runtime.enter();
    let window = Window::of(&built);
    let _taken = window.spend_all();
    let mut others: Vec<Asking<'_>> = Vec::new();
    for number in 0..waiting {
        let mut asking: Asking<'_> = Box::pin(window.acquire(number));
        let asked = asking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(asked.is_pending(), "{asked:?}");
        others.push(asking);
    }
    bencher.bench_local(|| assert!(window.ask(0).is_pending()));
}
