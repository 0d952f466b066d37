//! Faults on order: what the next answers shall suffer from.
//!
//! A fault strikes requests that were admitted (the account paid for them), so that an injected 500
//! costs a token as a real one would. Missing headers strike refusals as well.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::{Frame, SizeHint};

use crate::http::{Body, BoxError};

/// Faults that wait at a time.
const MAX_FAULTS: usize = 32;
/// How long a request that times out is held before its connection is dropped.
pub(super) const HELD: Duration = Duration::from_mins(10);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// This status, with an error body.
    Status(StatusCode),
    /// No answer for ten minutes, then the connection is dropped.
    Timeout,
    /// The connection is dropped without an answer.
    Reset,
    /// Half of the body, then the connection is dropped.
    Truncate,
    /// No headers but those of HTTP itself.
    MissingHeaders,
    /// 200 and `application/json`, but not JSON and not UTF-8.
    Garbage,
}

/// A fault on order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// How many requests it strikes before it is gone.
    pub count: u32,
    /// Only requests to this operation (`operationId`), or all.
    pub endpoint: Option<String>,
}

impl Fault {
    /// Strikes the next `count` requests, whatever they ask.
    pub fn new(kind: FaultKind, count: u32) -> Self {
        Self { kind, count, endpoint: None }
    }

    /// Strikes only requests to this operation.
    pub fn on(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }
}

/// The faults on order, first come first served.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// False if too many wait already.
    pub(super) fn order(&mut self, fault: Fault) -> bool {
        let room = self.0.len() < MAX_FAULTS;
        if room && fault.count > 0 {
            self.0.push(fault);
        }
        room
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that strikes a request, used up by one.
    pub(super) fn strike(&mut self, endpoint: &str, admitted: bool) -> Option<FaultKind> {
        let fault = self.0.iter_mut().find(|fault| {
            let here = fault.endpoint.as_deref().is_none_or(|only| only == endpoint);
            here && (admitted || fault.kind == FaultKind::MissingHeaders)
        })?;
        let kind = fault.kind;
        fault.count = fault.count.saturating_sub(1);
        self.0.retain(|fault| fault.count > 0);
        Some(kind)
    }
}

/// Spoils the body or the head of an answer.
pub(super) fn spoil(kind: FaultKind, response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    match kind {
        FaultKind::Truncate => {
            // An answer without a body has nothing to tear.
            let Body::Full(whole) = body else { return Response::from_parts(head, body) };
            head.headers.insert(header::CONTENT_LENGTH, whole.len().into());
            Response::from_parts(head, Body::stream(Torn::new(whole)))
        }
        FaultKind::MissingHeaders => {
            head.headers.clear();
            Response::from_parts(head, body)
        }
        FaultKind::Garbage => {
            head.status = StatusCode::OK;
            let garbage =
                Bytes::from_static(b"{\"page_size\":30,\"users\":[{\"id\":\"\xff\xfe<html>");
            Response::from_parts(head, Body::from(garbage))
        }
        FaultKind::Status(_) | FaultKind::Timeout | FaultKind::Reset => {
            Response::from_parts(head, body)
        }
    }
}

/// A body that promises all and ends in an error after half.
#[derive(Debug)]
struct Torn {
    promised: u64,
    half: Option<Bytes>,
    flushed: bool,
}

impl Torn {
    fn new(mut whole: Bytes) -> Self {
        let promised = whole.len() as u64;
        Self { promised, half: Some(whole.split_to(whole.len() / 2)), flushed: false }
    }
}

impl http_body::Body for Torn {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        // The server flushes what it has when a body pauses; without that the half would be lost.
        if !self.flushed {
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err("the sandbox was told to tear this body".into())))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_ordered_and_only_where_ordered() {
        let mut faults = Faults::default();
        assert!(faults.order(Fault::new(FaultKind::Reset, 2).on("sessions")));
        assert!(faults.order(Fault::new(FaultKind::Timeout, 1)));
        assert_eq!(faults.strike("sessionUsers", false), None);
        assert_eq!(faults.strike("sessionUsers", true), Some(FaultKind::Timeout));
        assert_eq!(faults.strike("sessionUsers", true), None);
        assert_eq!(faults.strike("sessions", true), Some(FaultKind::Reset));
        assert_eq!(faults.strike("sessions", true), Some(FaultKind::Reset));
        assert_eq!(faults.strike("sessions", true), None);
    }

    #[test]
    fn missing_headers_strike_refusals_too_and_orders_are_bounded() {
        let mut faults = Faults::default();
        faults.order(Fault::new(FaultKind::MissingHeaders, 1));
        assert_eq!(faults.strike("sessions", false), Some(FaultKind::MissingHeaders));
        for _ in 0..MAX_FAULTS {
            assert!(faults.order(Fault::new(FaultKind::Garbage, 1)));
        }
        assert!(!faults.order(Fault::new(FaultKind::Garbage, 1)));
        faults.clear();
        assert_eq!(faults.strike("sessions", true), None);
    }
}
