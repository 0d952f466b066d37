//! What can go wrong on the way, and whether another try could help.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy;

use crate::policy::answer_head::Misfit;
use crate::policy::breaker::Blame;

/// Why there is no answer, or no whole one.
///
/// Cheap to clone, because everybody who waits for the same answer gets the same failure.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection came about.
    #[error("cannot connect to the upstream: {0}")]
    Connect(Detail),
    /// The upstream did not prove who it is, or does not speak our TLS.
    #[error("no secure connection to the upstream: {0}")]
    Tls(Detail),
    /// Time ran out.
    #[error("the upstream was too slow ({0})")]
    Timeout(Phase),
    /// The connection ended before an answer began.
    #[error("the upstream closed the connection before it answered: {0}")]
    Closed(Detail, Line),
    /// What came back is not HTTP, or HTTP that breaks the rules.
    #[error("the upstream's answer cannot be understood: {0}")]
    Protocol(Detail),
    /// The answer broke off.
    #[error("the upstream's answer broke off: {0}")]
    Body(Detail),
    /// It has failed so often that it is left alone for a while; nothing was sent.
    #[error("the upstream is down, and is asked again in a while")]
    Down {
        /// Until it is asked again.
        retry_after: Duration,
    },
}

/// On what kind of connection a request went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Made for it, or one on which an answer had begun.
    Fresh,
    /// Kept from an earlier request: the upstream was most likely closing it just then.
    Kept,
}

/// What was being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A connection.
    Connect,
    /// The answer's head.
    FirstByte,
    /// The rest of the answer.
    Body,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection in time",
            Self::FirstByte => "no answer in time",
            Self::Body => "the answer did not end in time",
        })
    }
}

/// The causes of a failure in words, bounded, for log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail(Arc<str>);

impl Detail {
    const MAX_CHARS: usize = 200;

    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut text = String::new();
        let mut last = String::new();
        for cause in causes(error) {
            let cause = cause.to_string();
            // An io::Error repeats what it wraps.
            if cause != last {
                let separator = if text.is_empty() { "" } else { ": " };
                // writing to a String cannot fail
                if write!(text, "{separator}{cause}").is_err() {
                    break;
                }
                last = cause;
            }
        }
        let shown = text.chars().take(Self::MAX_CHARS);
        let shown: String = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self(shown.into())
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl UpstreamError {
    /// The request certainly did not reach the upstream: it cost nothing there.
    pub fn never_sent(&self) -> bool {
        matches!(
            self,
            Self::Connect(_) | Self::Tls(_) | Self::Timeout(Phase::Connect) | Self::Down { .. }
        )
    }

    /// Another try of an idempotent request may fare better. Not after a timeout of ours once the
    /// upstream is at work: asking again would double the load on one that is too slow already.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout(Phase::Connect) | Self::Closed(..) => true,
            // A body breaks off after its head has been passed on.
            Self::Tls(_)
            | Self::Timeout(Phase::FirstByte | Phase::Body)
            | Self::Protocol(_)
            | Self::Body(_)
            | Self::Down { .. } => false,
        }
    }

    /// A new connection would most likely fare better.
    pub fn was_kept_too_long(&self) -> bool {
        matches!(self, Self::Closed(_, Line::Kept))
    }

    /// Whoever was asked is not there, or not who it should be; another may be.
    pub fn is_unfit(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What it says about the replica; none = nothing.
    pub(super) fn blame(&self) -> Option<Blame> {
        match self {
            Self::Connect(_) | Self::Tls(_) | Self::Timeout(Phase::Connect) => Some(Blame::Absent),
            Self::Closed(_, Line::Kept) | Self::Down { .. } => None,
            Self::Closed(_, Line::Fresh)
            // It takes connections: one slow resource, or a few, are no reason to ask for no other.
            // Of a host that is gone this is said once a kept connection, until there is none.
            | Self::Timeout(Phase::FirstByte | Phase::Body)
            | Self::Protocol(_)
            | Self::Body(_) => Some(Blame::Faulty),
        }
    }

    /// Our own patience ended, not the upstream's: a 504 rather than a 502.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// For metric and log labels.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout(Phase::Connect) => "connect_timeout",
            Self::Timeout(Phase::FirstByte) => "first_byte_timeout",
            Self::Timeout(Phase::Body) => "body_timeout",
            Self::Closed(..) => "closed",
            Self::Protocol(_) => "protocol",
            Self::Body(_) => "body",
            Self::Down { .. } => "down",
        }
    }

    /// A head was understood, and is no answer to what was asked.
    pub(super) fn misfit(misfit: Misfit) -> Self {
        Self::Protocol(Detail(misfit.as_str().into()))
    }

    /// Sorts what the client reports when there is no answer's head.
    pub(super) fn of(error: &legacy::Error, line: Line) -> Self {
        let detail = Detail::of(error);
        if !error.is_connect() {
            let closed = causes(error).any(means_closed);
            return if closed { Self::Closed(detail, line) } else { Self::Protocol(detail) };
        }
        if causes(error).any(means_timeout) {
            Self::Timeout(Phase::Connect)
        } else if causes(error).any(<dyn Error>::is::<rustls::Error>) {
            Self::Tls(detail)
        } else {
            Self::Connect(detail)
        }
    }
}

/// An error, its cause, the cause of that, and so on; what an io::Error wraps is one of them,
/// although its `source()` steps over it.
fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn means_timeout(cause: &(dyn Error + 'static)) -> bool {
    cause.is::<tokio::time::error::Elapsed>()
        || cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::TimedOut)
}

fn means_closed(cause: &(dyn Error + 'static)) -> bool {
    if let Some(io) = cause.downcast_ref::<io::Error>() {
        return matches!(
            io.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
                | ErrorKind::UnexpectedEof
        );
    }
    if let Some(h2) = cause.downcast_ref::<h2::Error>() {
        // Both say that the request was not looked at.
        let goodbye = h2.is_go_away() && h2.reason() == Some(h2::Reason::NO_ERROR);
        return goodbye || h2.reason() == Some(h2::Reason::REFUSED_STREAM);
    }
    cause.downcast_ref::<hyper::Error>().is_some_and(|hyper| {
        hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed()
    })
}
