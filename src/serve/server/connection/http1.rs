//! HTTP/1: at rest without hyper, and with hyper while something needs it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tower::Service;

use super::super::Server;
use super::answer::{Line, Requests, Speaks, Who};
use super::guard::Guard;
use super::pulse::{Metered, Pulse};
use super::rest::{Rest, Rested};
use super::{MAX_BUFFER, linger};
use crate::http::{Body, BoxError};
use crate::metrics::Cut;
use crate::policy::patience::Verdict;
use crate::serve::drain::Phase;
use crate::serve::socket::Wire;

/// Field lines that hyper reads without an allocation of its own.
const HYPER_FIELDS: usize = 100;

/// After so long with nothing to do, a connection gives back all that is held for it.
pub(super) const PARK_AFTER: Duration = Duration::from_millis(300);

/// What becomes of a connection that hyper had.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is returned")]
enum Next<I> {
    /// It needs hyper no longer.
    Rests(Guard<Metered<I>>),
    Closes(I),
    IsReset(I),
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    pub(super) async fn http1<I: Wire>(self: Arc<Self>, stream: I, who: Who) {
        let pulse = Arc::new(Pulse::new(&self.clock));
        let line = Arc::new(Line::new(who, Speaks::Http1(self.drain.clone())));
        let metered = Metered::new(stream, Arc::clone(&pulse));
        let mut guard =
            Guard::new(metered, self.limits.head, Arc::clone(&line), Arc::clone(&pulse));
        let mut rest = Rest::new(&self, &line, &pulse);
        loop {
            match rest.until(&mut guard).await {
                Rested::NeedsHyper => {}
                Rested::Ends => return linger(guard.into_inner().into_inner(), &self.drain).await,
                Rested::Stalled => return guard.into_inner().into_inner().reset(),
            }
            // Boxed, so that a connection at rest is not charged for hyper's buffers.
            match Box::pin(Arc::clone(&self).active(guard, &line, &pulse)).await {
                Next::Rests(at_rest) => guard = at_rest,
                Next::Closes(stream) => return linger(stream, &self.drain).await,
                Next::IsReset(stream) => return stream.reset(),
            }
        }
    }

    /// As long as it has something to do, and a moment longer.
    async fn active<I: Wire>(
        self: Arc<Self>,
        guard: Guard<Metered<I>>,
        line: &Arc<Line>,
        pulse: &Arc<Pulse>,
    ) -> Next<I> {
        let mut builder = http1::Builder::new();
        builder
            .max_header_size(self.limits.head.head_bytes)
            .max_buf_size(MAX_BUFFER.max(self.limits.head.head_bytes))
            .keep_alive(true)
            .half_close(false);
        if self.limits.head.fields > HYPER_FIELDS {
            builder.max_headers(self.limits.head.fields);
        }
        line.goes_the_long_way();
        let requests = Requests::new(self.service.clone(), Arc::clone(line), Arc::clone(pulse));
        let mut connection = builder.serve_connection(TokioIo::new(guard), requests);
        let mut closing = pin!(self.drain.reached(Phase::Closing));
        let mut look = pin!(tokio::time::sleep(PARK_AFTER));
        let mut leaving = false;
        loop {
            let may_leave = !leaving;
            tokio::select! {
                biased;
                ended = poll_fn(|cx| match connection.poll_unpin(cx) {
                    Poll::Ready(ended) => Poll::Ready(Some(ended)),
                    // With nothing to do, all that was answered has been written.
                    Poll::Pending if may_leave && line.may_go_the_fast_way() && pulse.is_idle() => {
                        Poll::Ready(None)
                    }
                    Poll::Pending => Poll::Pending,
                }) => {
                    let Some(ended) = ended else { return at_rest(connection.into_parts()) };
                    if let Err(error) = ended {
                        tracing::debug!(%error, peer = ?line.peer(), "connection ended early");
                    }
                    break;
                }
                () = closing.as_mut(), if !leaving => {
                    leaving = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                () = look.as_mut() => {
                    let signs = pulse.signs();
                    if !leaving && signs.idle.is_some_and(|idle| idle >= PARK_AFTER) {
                        return at_rest(connection.into_parts());
                    }
                    let again = match self.limits.patience.judge(&signs) {
                        Verdict::LookAgain(time) => time.min(PARK_AFTER),
                        Verdict::Idle => {
                            leaving = true;
                            Pin::new(&mut connection).graceful_shutdown();
                            PARK_AFTER
                        }
                        Verdict::HeadLate => {
                            if line.head_is_late() {
                                self.metrics.cut(Cut::Head);
                            }
                            PARK_AFTER
                        }
                        Verdict::Stalled => {
                            self.metrics.cut(Cut::Stalled);
                            let stream = connection.into_parts().io.into_inner();
                            return Next::IsReset(stream.into_inner().into_inner());
                        }
                    };
                    look.set(tokio::time::sleep(again));
                }
            }
        }
        let stream = connection.into_parts().io.into_inner().into_inner().into_inner();
        if line.is_reset() { Next::IsReset(stream) } else { Next::Closes(stream) }
    }
}

/// What hyper held is given back. It holds no bytes of a request: it was shown none.
fn at_rest<I, S>(parts: http1::Parts<TokioIo<Guard<Metered<I>>>, S>) -> Next<I> {
    let guard = parts.io.into_inner();
    if parts.read_buf.is_empty() && guard.is_at_rest() {
        return Next::Rests(guard);
    }
    Next::Closes(guard.into_inner().into_inner())
}
