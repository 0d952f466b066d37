//! An HTTP/1 connection while hyper has nothing to do with it: between requests, and while they
//! are such as can be answered at once.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use bytes::{Buf as _, Bytes};
use futures_util::FutureExt as _;
use tokio::io::AsyncWriteExt as _;

use super::super::Server;
use super::answer::Line;
use super::guard::{Came, Guard};
use super::http1::PARK_AFTER;
use super::last_look;
use super::pulse::{Metered, Pulse};
use crate::metrics::Cut;
use crate::policy::patience::Verdict;
use crate::serve::express::{Bare, Seat};
use crate::serve::socket::Wire;

/// Why the rest is over.
pub(super) enum Rested {
    /// Something came that cannot be answered at once.
    NeedsHyper,
    /// It has been idle for too long, the client is gone, or we are.
    Ends,
    /// The client does not take its answer.
    Stalled,
}

/// What there is to do about what has come.
enum Next {
    /// It has not come yet.
    Nothing,
    /// To send this body, after the head that was prepared.
    Answer(Bytes),
    NeedsHyper,
}

/// See the module.
pub(super) struct Rest<'c, S> {
    server: &'c Server<S>,
    line: &'c Line,
    pulse: &'c Pulse,
    /// Given back when nothing comes for a while, as is the buffer.
    seat: Option<Box<dyn Seat>>,
    head: Vec<u8>,
}

impl<'c, S> Rest<'c, S> {
    pub(super) fn new(server: &'c Server<S>, line: &'c Line, pulse: &'c Pulse) -> Self {
        Self { server, line, pulse, seat: None, head: Vec::new() }
    }

    /// Answers what can be answered at once. One timer serves for all of it: it is set anew when
    /// it has run out, and not with every request.
    pub(super) async fn until<I: Wire>(&mut self, guard: &mut Guard<Metered<I>>) -> Rested {
        let patience = self.server.limits.patience;
        let mut look = pin!(tokio::time::sleep(PARK_AFTER));
        let mut closing = pin!(last_look(&self.server.drain));
        loop {
            tokio::select! {
                biased;
                came = guard.filled() => if !came.unwrap_or(false) { return Rested::Ends },
                () = look.as_mut() => {
                    let idle = self.pulse.signs().idle.unwrap_or_default();
                    if idle >= patience.idle {
                        return Rested::Ends;
                    }
                    let wait = if idle < PARK_AFTER {
                        PARK_AFTER
                    } else {
                        (self.seat, self.head) = (None, Vec::new());
                        guard.gives_back();
                        patience.idle
                    };
                    look.set(tokio::time::sleep(wait.saturating_sub(idle)));
                    continue;
                }
                () = closing.as_mut() => return Rested::Ends,
            }
            loop {
                match self.next(guard) {
                    Next::Nothing => break,
                    Next::NeedsHyper => return Rested::NeedsHyper,
                    Next::Answer(body) => {
                        if let Err(rested) = self.send(guard, body).await {
                            return rested;
                        }
                    }
                }
            }
        }
    }

    fn next<I: Wire>(&mut self, guard: &mut Guard<Metered<I>>) -> Next {
        let body = match guard.next() {
            Came::Nothing => return Next::Nothing,
            Came::Bare(request) => self.answer(request),
            Came::Other => None,
        };
        if let Some(body) = body {
            guard.is_answered();
            return Next::Answer(body);
        }
        guard.hands_on();
        Next::NeedsHyper
    }

    fn answer(&mut self, request: Bare<'_>) -> Option<Bytes> {
        let express = self.server.express.as_ref()?;
        // Who is told to leave is told by the long way.
        if self.server.drain.is_draining() {
            return None;
        }
        let who = self.line.who();
        let seat =
            self.seat.get_or_insert_with(|| express.seat(who.peer, who.certificate.as_ref()));
        self.head.clear();
        let head = &mut self.head;
        let answered = catch_unwind(AssertUnwindSafe(|| seat.answer(request, head)));
        answered.unwrap_or_else(|_panic| {
            // It has been logged. By the long way it is an answer.
            self.seat = None;
            None
        })
    }

    async fn send<I: Wire>(
        &mut self,
        guard: &mut Guard<Metered<I>>,
        body: Bytes,
    ) -> Result<(), Rested> {
        let mut answer = self.head.as_slice().chain(body);
        let mut sending = pin!(async {
            guard.write_all_buf(&mut answer).await?;
            guard.flush().await
        });
        // Nearly every answer fits into the kernel's buffer, and needs no timer.
        if let Some(sent) = sending.as_mut().now_or_never() {
            return self.ended(sent);
        }
        let mut look = pin!(tokio::time::sleep(PARK_AFTER));
        loop {
            tokio::select! {
                biased;
                sent = sending.as_mut() => return self.ended(sent),
                () = look.as_mut() => match self.server.limits.patience.judge(&self.pulse.signs()) {
                    Verdict::LookAgain(time) => look.set(tokio::time::sleep(time)),
                    Verdict::Stalled => {
                        self.server.metrics.cut(Cut::Stalled);
                        return Err(Rested::Stalled);
                    }
                    // No head is waited for, and nobody idles who is being answered.
                    Verdict::Idle | Verdict::HeadLate => look.set(tokio::time::sleep(PARK_AFTER)),
                }
            }
        }
    }

    fn ended(&self, sent: io::Result<()>) -> Result<(), Rested> {
        sent.map_err(|error| {
            tracing::debug!(%error, peer = ?self.line.peer(), "connection ended early");
            Rested::Ends
        })
    }
}
