//! One replica's connections: a pooled hyper client with three time limits.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{Extensions, Request, Response, Uri, Version, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pin_project_lite::pin_project;
use rustls::ClientConfig;
use tokio::time::{Instant, Sleep};

use super::connect::{Connector, connector};
use super::error::{Detail, Line, Phase, UpstreamError};
use super::fleet::Going;
use super::guard::{Wire, WireOf};
use super::{Connection, Manner, OnConnected};
use crate::http::{Body, BoxError};
use crate::policy::answer_head::{self, Fit, Misfit, Question};
use crate::policy::reach::{Options, Place, Reach};

/// More idle connections to one host are closed.
const MAX_IDLE_PER_HOST: usize = 64;

/// A busy HTTP/2 connection that answers no ping for this long is given up, or every request would
/// time out on it until TCP does the same.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    /// Unlike every other's, also one's that was there before.
    pub(super) id: u64,
    /// For the log and the status page.
    pub(super) name: String,
    /// If it is not each request's own.
    authority: Option<Authority>,
    pub(super) address: Option<SocketAddr>,
    kept: Client<Connector, Full<Bytes>>,
    /// Without a pool: every connection is a new one.
    fresh: Client<Connector, Full<Bytes>>,
    options: Options,
    /// Requests whose answers have not ended.
    pub(super) in_flight: AtomicUsize,
}

impl Replica {
    pub(super) fn new(
        id: u64,
        reach: &Reach,
        tls: &ClientConfig,
        place: Option<&Place>,
        address: Option<SocketAddr>,
    ) -> Result<Self, UpstreamError> {
        let options = reach.options;
        let connector = connector(reach, tls, place, address)?;
        let client = |idle| {
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(options.idle_timeout)
                .pool_max_idle_per_host(idle)
                .http2_only(options.http2_prior_knowledge)
                .http2_keep_alive_interval(PING_EVERY)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .build(connector.clone())
        };
        let authority = place.map(|place| place.authority.clone());
        let name = match (&authority, address) {
            (Some(authority), Some(address)) => format!("{authority} ({})", address.ip()),
            (Some(authority), None) => authority.to_string(),
            (None, _) => "as asked".to_owned(),
        };
        // One alone is where each request's URI says already.
        let authority = authority.filter(|_| reach.places.len() > 1);
        Ok(Self {
            id,
            name,
            authority,
            address,
            kept: client(MAX_IDLE_PER_HOST),
            fresh: client(0),
            options,
            in_flight: AtomicUsize::new(0),
        })
    }

    pub(super) fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn aim(&self, request: &mut Request<Full<Bytes>>) {
        // What the client spoke is no matter here, and the host is the URI's.
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(header::HOST);
        if let Some(authority) = &self.authority {
            let mut parts = request.uri().clone().into_parts();
            parts.authority = Some(authority.clone());
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }

    /// Sends a request and tells what came of it, now or when the answer ends.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        mut going: Going,
    ) -> Result<Response<Body>, UpstreamError> {
        self.aim(&mut request);
        let mut total = Box::pin(tokio::time::sleep(self.options.total_timeout));
        let (head, body) = match self.head(request, total.as_mut()).await {
            Ok(answer) => answer.into_parts(),
            Err(error) => {
                going.failed(&error);
                return Err(error);
            }
        };
        going.answered(head.status);
        let is_http2 = head.version == Version::HTTP_2;
        let (gap, ends) = (self.options.first_byte_timeout, total.deadline());
        // The same timer watches for silence from now on.
        let mut timer = total;
        timer.as_mut().reset(tokio::time::sleep(gap).deadline().min(ends));
        let body = Timed { body, timer, ends, gap, moved: false, going, is_http2 };
        Ok(Response::from_parts(head, Body::stream(body)))
    }

    async fn head(
        &self,
        mut request: Request<Full<Bytes>>,
        mut total: Pin<&mut Sleep>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let mut connection = capture_connection(&mut request);
        let extensions = request.extensions_mut();
        let on_connected = extensions.remove::<OnConnected>();
        let client = match extensions.remove::<Manner>().unwrap_or_default().connection {
            Connection::Any => &self.kept,
            Connection::Fresh => &self.fresh,
        };
        let question = Question::of(request.method(), request.headers());
        let captured = connection.clone();
        let failed = |error| UpstreamError::of(&error, line(&captured));
        let mut answer = client.request(request);
        let connected = connection.wait_for_connection_metadata();
        let early = tokio::select! {
            biased;
            answer = &mut answer => Some(answer),
            connected = tokio::time::timeout(self.options.connect_timeout, connected) => {
                drop(connected.map_err(|_elapsed| UpstreamError::Timeout(Phase::Connect))?);
                wire(&captured).inspect(|wire| wire.taken());
                if let Some(OnConnected(tell)) = on_connected {
                    tell();
                }
                None
            }
            () = total.as_mut() => return Err(UpstreamError::Timeout(Phase::Connect)),
        };
        let answer = async {
            let answer = match early {
                Some(answer) => answer,
                None => answer.await,
            };
            fitting(question, answer.map_err(failed)?, &captured).await
        };
        tokio::select! {
            biased;
            answer = tokio::time::timeout(self.options.first_byte_timeout, answer) => answer
                .map_err(|_elapsed| UpstreamError::Timeout(Phase::FirstByte))?,
            () = total => Err(UpstreamError::Timeout(Phase::FirstByte)),
        }
    }
}

/// The answer, if it is one to this request.
async fn fitting(
    question: Question,
    mut answer: Response<Incoming>,
    connection: &CaptureConnection,
) -> Result<Response<Incoming>, UpstreamError> {
    let status = answer.status();
    let misfit = match answer_head::fit(question, status, answer.headers_mut()) {
        Ok(Fit::Good) => return Ok(answer),
        Ok(Fit::IfEmpty) => {
            if is_empty(answer.body_mut()).await? {
                return Ok(answer);
            }
            Misfit::Content
        }
        Err(misfit) => misfit,
    };
    // It may be the answer to another request, and the next would be the answer to this one.
    if let Some(connected) = connection.connection_metadata().as_ref() {
        connected.poison();
    }
    Err(UpstreamError::misfit(misfit))
}

async fn is_empty(body: &mut Incoming) -> Result<bool, UpstreamError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| UpstreamError::Body(Detail::of(&error)))?;
        if frame.data_ref().is_some_and(|data| !data.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn wire(connection: &CaptureConnection) -> Option<Arc<Wire>> {
    let mut extensions = Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut extensions);
    extensions.remove::<WireOf>().map(|WireOf(wire)| wire)
}

fn line(connection: &CaptureConnection) -> Line {
    let kept = wire(connection).is_some_and(|wire| wire.was_kept_too_long());
    if kept { Line::Kept } else { Line::Fresh }
}

pin_project! {
    /// An answer's body that ends, one way or another, when its time is up, or when nothing has
    /// come for so long.
    struct Timed {
        #[pin]
        body: Incoming,
        timer: Pin<Box<Sleep>>,
        ends: Instant,
        gap: Duration,
        // Whether anything has come since the timer was set.
        moved: bool,
        going: Going,
        is_http2: bool,
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let failed = |going: &mut Going, error: UpstreamError| {
            going.failed(&error);
            Poll::Ready(Some(Err(error.into())))
        };
        let rang = this.timer.as_mut().poll(cx).is_ready();
        if rang && this.timer.deadline() >= *this.ends {
            return failed(this.going, UpstreamError::Timeout(Phase::Body));
        }
        let polled = this.body.as_mut().poll_frame(cx);
        // What is there is no silence, however late it is looked at.
        *this.moved |= polled.is_ready();
        if rang {
            if !std::mem::take(this.moved) {
                return failed(this.going, UpstreamError::Timeout(Phase::Body));
            }
            this.timer.as_mut().reset(tokio::time::sleep(*this.gap).deadline().min(*this.ends));
            if this.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        match ready!(polled) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => failed(this.going, UpstreamError::Body(Detail::of(&error))),
            // RFC 9113, section 8.1: a stream that was reset without an error is no whole answer
            // if it was not ended before.
            None if *this.is_http2 && !this.body.is_end_stream() => {
                let error = std::io::Error::other("the stream was reset before it ended");
                failed(this.going, UpstreamError::Body(Detail::of(&error)))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
