//! Between hyper and the service: what a request learns from its connection, and what its answer
//! tells the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Service, ServiceExt as _};

use super::kept::Kept;
use super::pulse::{Busy, Pulse};
use super::sent::Sent;
use super::streams;
use crate::http::Body;
use crate::peer::{PeerAddr, PeerCertificate};
use crate::policy::framing::Fault;
use crate::serve::drain::Drain;

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) peer: PeerAddr,
    /// Verified, and read once for all requests.
    pub(super) certificate: Option<PeerCertificate>,
}

/// What differs between the versions.
pub(super) enum Speaks {
    /// It alone says `Connection: close`; HTTP/2 has GOAWAY.
    Http1(Drain),
    /// It alone keeps what the client has not opened a window for.
    Http2(Arc<Kept>),
}

/// What the requests of one connection share.
pub(super) struct Line {
    who: Who,
    speaks: Speaks,
    /// Which request is no request, and why; the first is 1.
    refused: OnceLock<(u64, Fault)>,
    requests: AtomicU64,
    late: AtomicBool,
    reset: AtomicBool,
    /// How many requests have come if nothing else has, as far as the guard knows; else 0.
    heads: AtomicU64,
    way: AtomicU8,
}

/// Why a connection stays with hyper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// What is asked there has been answered at once so far, and still could not go the fast way.
    Long,
    /// Something had to wait.
    Waits,
    /// It does not: since then something was answered at once.
    Fast,
}

impl Line {
    pub(super) fn new(who: Who, speaks: Speaks) -> Self {
        Self {
            who,
            speaks,
            refused: OnceLock::new(),
            requests: AtomicU64::new(0),
            late: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            heads: AtomicU64::new(0),
            way: AtomicU8::new(Way::Long as u8),
        }
    }

    pub(super) fn who(&self) -> &Who {
        &self.who
    }

    pub(super) fn peer(&self) -> PeerAddr {
        self.who.peer
    }

    /// One more request was answered without hyper.
    pub(super) fn answered_at_rest(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// So many requests have come, none with content, and nothing of another.
    pub(super) fn heads_passed(&self, heads: Option<u64>) {
        self.heads.store(heads.unwrap_or_default(), Relaxed);
    }

    /// It is hyper's until [`Line::may_go_the_fast_way`].
    pub(super) fn goes_the_long_way(&self) {
        self.way.store(Way::Long as u8, Relaxed);
    }

    /// Whether hyper has nothing left that it has not asked the service about, and what is asked
    /// now may be such as needs no hyper.
    pub(super) fn may_go_the_fast_way(&self) -> bool {
        self.way.load(Relaxed) == Way::Fast as u8
            && self.heads.load(Relaxed) == self.requests.load(Relaxed)
    }

    fn answered(&self, pace: Pace) {
        match pace {
            Pace::Later => self.way.store(Way::Waits as u8, Relaxed),
            Pace::AtOnce if self.way.load(Relaxed) == Way::Waits as u8 => {
                self.way.store(Way::Fast as u8, Relaxed);
            }
            Pace::AtOnce => {}
        }
    }

    /// Whether the service answered with an error, which means: no answer.
    pub(super) fn is_reset(&self) -> bool {
        self.reset.load(Relaxed)
    }

    /// The request of this number is none.
    pub(super) fn refuse(&self, number: u64, fault: Fault) {
        self.refused.get_or_init(|| (number, fault));
    }

    /// The head that is coming has taken too long; whether that is news.
    pub(super) fn head_is_late(&self) -> bool {
        !self.late.swap(true, Relaxed)
    }

    pub(super) fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    /// One more request; why it is none.
    fn next(&self) -> Option<Fault> {
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        self.refused.get().filter(|(refused, _)| *refused == number).map(|(_, fault)| *fault)
    }
}

/// The service as hyper calls it.
pub(super) struct Requests<S> {
    service: S,
    line: Arc<Line>,
    pulse: Arc<Pulse>,
}

impl<S> Requests<S> {
    pub(super) fn new(service: S, line: Arc<Line>, pulse: Arc<Pulse>) -> Self {
        Self { service, line, pulse }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone,
{
    type Response = Response<Sent>;
    type Error = S::Error;
    type Future = Answer<S>;

    fn call(&self, mut request: Request<Incoming>) -> Answer<S> {
        let extensions = request.extensions_mut();
        extensions.insert(self.line.who.peer);
        if let Some(certificate) = &self.line.who.certificate {
            extensions.insert(certificate.clone());
        }
        if let Some(fault) = self.line.next() {
            extensions.insert(fault);
        }
        Answer {
            coming: self.service.clone().oneshot(request),
            line: Arc::clone(&self.line),
            busy: Some(self.pulse.busy()),
            pace: Pace::AtOnce,
        }
    }
}

pin_project! {
    pub(super) struct Answer<S>
    where
        S: Service<Request<Incoming>>,
    {
        #[pin]
        coming: Oneshot<S, Request<Incoming>>,
        line: Arc<Line>,
        busy: Option<Busy>,
        pace: Pace,
    }
}

/// When an answer was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    AtOnce,
    Later,
}

impl<S> Future for Answer<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
{
    type Output = Result<Response<Sent>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Poll::Ready(mut answer) = this.coming.poll(cx) else {
            *this.pace = Pace::Later;
            return Poll::Pending;
        };
        this.line.answered(*this.pace);
        match &mut answer {
            Ok(response) => {
                if matches!(&this.line.speaks, Speaks::Http1(drain) if drain.is_draining()) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                streams::answered();
            }
            Err(_) => this.line.reset.store(true, Relaxed),
        }
        let mut busy = this.busy.take();
        if let Some(busy) = &mut busy {
            busy.answered();
        }
        let kept = match &this.line.speaks {
            Speaks::Http1(_) => None,
            Speaks::Http2(kept) => Some(Arc::clone(kept)),
        };
        Poll::Ready(answer.map(|answer| answer.map(|body| Sent::new(body, kept, busy))))
    }
}
