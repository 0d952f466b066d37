//! One HTTP/2 connection: hyper serves it, and here stands what ends it.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tower::Service;

use super::answer::{Line, Requests, Speaks, Who};
use super::frames::{Found, Frames};
use super::kept::Kept;
use super::pulse::{Metered, Pulse};
use super::sent::MOST_KEPT;
use super::streams::Streams;
use super::{LINGER, MAX_BUFFER};
use crate::http::{Body, BoxError};
use crate::metrics::Cut;
use crate::policy::patience::{Patience, Quiet, Signs, Verdict};
use crate::policy::rounds::Rounds;
use crate::serve::drain::Phase;
use crate::serve::server::{Limits, Server};
use crate::serve::socket::Wire;

const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams of one HTTP/2 connection that we reset because of what the client did; a client that
/// provokes more is made to leave.
const MAX_PROVOKED_RESETS: usize = 64;

/// Whether the client has been told to leave, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Stays,
    WeDrain,
    AsksNothing,
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    pub(super) async fn http2<I: Wire>(self: Arc<Self>, stream: I, who: Who) {
        let Server { service, limits, drain, metrics, clock, .. } = &*self;
        let (peer, patience) = (who.peer, limits.patience);
        let (pulse, kept) = (Arc::new(Pulse::new(clock)), Arc::new(Kept::default()));
        let streams = Streams::new(clock, patience.taking);
        let line = Arc::new(Line::new(who, Speaks::Http2(Arc::clone(&kept))));
        let requests = Requests::new(service.clone(), line, Arc::clone(&pulse));
        let found = Found::default();
        let metered = Metered::new(stream, Arc::clone(&pulse));
        let frames = Frames::new(metered, limits.frames, found.clone(), Arc::clone(&pulse));
        let builder = builder(limits, streams.clone());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(frames), requests));
        let mut watch = Watch::new(patience, &streams, &kept, &pulse, clock.now());
        let mut draining = pin!(drain.reached(Phase::Draining));
        let mut closing = pin!(drain.reached(Phase::Closing));
        let mut look = pin!(tokio::time::sleep(Duration::ZERO));
        let mut hurry = pin!(tokio::time::sleep(LINGER));
        let mut leaving = Leaving::Stays;
        let ended = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                // Who comes while we drain is served before told to leave: told at once, a client
                // that connects ahead of its requests would come again, and again.
                () = poll_fn(|cx| match draining.as_mut().poll(cx) {
                    Poll::Ready(()) if streams.started() > 0 => Poll::Ready(()),
                    Poll::Ready(()) => closing.as_mut().poll(cx),
                    Poll::Pending => Poll::Pending,
                }), if leaving == Leaving::Stays => {
                    leaving = Leaving::WeDrain;
                    connection.as_mut().graceful_shutdown();
                    hurry.set(tokio::time::sleep(LINGER));
                }
                // hyper waits until the peer has acknowledged that we leave; a stop does not. Nor
                // do we wait for who asked nothing: a peer that is alive leaves at once.
                () = hurry.as_mut(), if leaving != Leaving::Stays => {
                    let hurries =
                        leaving == Leaving::AsksNothing || drain.has_reached(Phase::Closing);
                    if hurries && watch.at_rest().is_some() {
                        return;
                    }
                    hurry.set(tokio::time::sleep(LINGER));
                }
                () = look.as_mut() => {
                    let again = match watch.look(clock.now()) {
                        Verdict::LookAgain(time) => time,
                        Verdict::Idle | Verdict::HeadLate => {
                            if leaving != Leaving::AsksNothing {
                                leaving = Leaving::AsksNothing;
                                connection.as_mut().graceful_shutdown();
                                hurry.set(tokio::time::sleep(LINGER));
                            }
                            LINGER
                        }
                        Verdict::Stalled => {
                            metrics.cut(Cut::Stalled);
                            return;
                        }
                    };
                    look.set(tokio::time::sleep(again));
                }
            }
        };
        if let Some(why) = found.cut() {
            metrics.cut(why);
        }
        if let Err(error) = ended {
            tracing::debug!(%error, ?peer, "connection ended early");
        }
    }
}

/// Looks after what neither hyper nor a stream notices.
struct Watch<'a> {
    patience: Patience,
    streams: &'a Streams,
    kept: &'a Kept,
    pulse: &'a Pulse,
    quiet: Quiet,
    rounds: Rounds,
}

impl<'a> Watch<'a> {
    fn new(
        patience: Patience,
        streams: &'a Streams,
        kept: &'a Kept,
        pulse: &'a Pulse,
        now: Instant,
    ) -> Self {
        let (quiet, rounds) = (Quiet::new(now), Rounds::new(now));
        Self { patience, streams, kept, pulse, quiet, rounds }
    }

    /// How many streams there have been, if none is open and none has left anything behind.
    fn at_rest(&self) -> Option<u64> {
        self.streams.ended().filter(|_| self.kept.is_empty())
    }

    fn look(&mut self, now: Instant) -> Verdict {
        let blocked = Signs { blocked: self.pulse.signs().blocked, ..Signs::default() };
        let verdicts = [
            self.patience.judge(&blocked),
            self.kept(now),
            self.quiet.look(self.at_rest(), self.patience.idle, now),
        ];
        let mut again = self.patience.idle;
        for verdict in verdicts {
            match verdict {
                Verdict::LookAgain(time) => again = again.min(time),
                other => return other,
            }
        }
        Verdict::LookAgain(again)
    }

    /// A stream that still has something to hand over is reset alone, and not later than this.
    fn kept(&mut self, now: Instant) -> Verdict {
        let Some(allowed) = self.patience.taking.allows(MOST_KEPT) else {
            return Verdict::LookAgain(self.patience.idle);
        };
        let verdict = self.rounds.look(self.kept.pieces(), allowed, now);
        self.kept.goes_on_with(self.rounds.current());
        verdict
    }
}

fn builder(limits: &Limits, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_local_error_reset_streams(MAX_PROVOKED_RESETS)
        .max_header_list_size(u32::try_from(limits.head.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_BUFFER)
        .keep_alive_interval(limits.patience.head);
    builder
}
