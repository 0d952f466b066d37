//! One stored answer, prepared so that a hit has nothing left to build.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName};

use crate::http::Held;
use crate::policy::coding::NoTransform;
use crate::policy::endpoint::SetCookie;
use crate::policy::freshness::Times;
use crate::policy::vary::Selector;
use crate::store::chains::Chain;
use crate::store::purges::Membership;

mod asks;
mod block;
mod codings;
mod head;
mod prepare;
mod replay;
mod shape;
mod times;

pub use asks::Asks;
use block::{joined, occupied};
use codings::Codings;
use prepare::{Added, By, Encode, prepare};
use times::{Packed, Span};

/// A stored answer. There are very many: a test holds how large it is.
#[derive(Debug)]
pub struct Entry {
    head: Bytes,
    body: Bytes,
    times: Packed,
    /// Since 1970.
    received: Span,
    selector: Option<Box<Selector>>,
    chain: Option<Chain>,
    membership: Membership,
    /// Made when it is first asked for in one.
    codings: OnceLock<Box<Codings>>,
    ready: OnceLock<Box<Ready>>,
    /// Nanoseconds after it was made.
    rests_until: AtomicU64,
    hits: AtomicU32,
    size: u32,
    status: StatusCode,
    set_cookie: SetCookie,
    tagged: By,
    dated: By,
    encode: Encode,
    ahead: AtomicBool,
}

/// The fields one by one, kept for those who want them so: who asks once will ask again.
#[derive(Debug)]
struct Ready {
    headers: HeaderMap,
    _held: Held,
}

/// The whole answer as it leaves over HTTP/1.1, less the fields that differ from one time to the
/// next and the empty line.
#[derive(Clone, Copy, Debug)]
pub struct Prepared<'e> {
    /// Status line and field lines, each with its line break.
    pub head: &'e [u8],
    /// The content, of the length that the head says.
    pub body: &'e Bytes,
}

/// By what rule an answer is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// When it was made and how long it lasts.
    pub times: Times,
    /// The requests it answers; none = all that ask its question.
    pub selector: Option<Selector>,
    /// Fields that are not served without asking.
    pub without: Vec<HeaderName>,
    /// The listing that it is a page of.
    pub chain: Option<Chain>,
    /// What becomes of its cookies, if it may be stored with any.
    pub set_cookie: SetCookie,
    /// Whether it may be sent in another coding; none = it will not be sent often enough.
    pub transform: Option<NoTransform>,
}

/// The content of an answer that is to be an entry.
#[derive(Debug)]
pub enum Content {
    /// It has just arrived, and holds so much room.
    Arrived(Bytes, Held),
    /// An older entry's, which the upstream has confirmed; the two share it.
    Confirmed(Bytes),
}

impl Content {
    /// The content itself.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Arrived(bytes, _) | Self::Confirmed(bytes) => bytes,
        }
    }
}

/// What an entry and its place in the cache cost beyond key, head and body, the allocator's share
/// included. Measured: a process whose cache was full of 1 KiB answers that were never asked for
/// twice took 731 to 778 bytes more for each than these say; moka's part of that is 315.
const OVERHEAD: usize = 768;

impl Entry {
    /// Prepares an answer for replay.
    pub fn new(
        status: StatusCode,
        mut headers: HeaderMap,
        content: Content,
        received: SystemTime,
        kept: Kept,
        membership: Membership,
    ) -> Self {
        let Added { tagged, dated, encode } =
            prepare(status, &mut headers, content.bytes(), received, &kept);
        let (head, body, block) = joined(status, &headers, content);
        let selector = kept.selector.map(Box::new);
        let selects = selector.as_ref().map_or(0, |selector| selector.size());
        let size = OVERHEAD + block + selects + membership.size();
        Self {
            head,
            body,
            times: Packed::from(&kept.times),
            received: received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().into(),
            selector,
            chain: kept.chain,
            membership,
            codings: OnceLock::new(),
            ready: OnceLock::new(),
            rests_until: AtomicU64::new(0),
            hits: AtomicU32::new(0),
            size: u32::try_from(size).unwrap_or(u32::MAX),
            status,
            set_cookie: kept.set_cookie,
            tagged,
            dated,
            encode,
            ahead: AtomicBool::new(false),
        }
    }

    /// Bytes that an entry of so much content with these fields takes besides it.
    pub fn beside(headers: &HeaderMap, content: usize) -> usize {
        OVERHEAD + occupied(head::length(headers) + content) - content
    }

    /// Bytes it occupies, its key apart.
    pub fn size(&self) -> usize {
        self.size as usize + self.codings.get().map_or(0, |codings| codings.size())
    }

    /// The status it answers with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its fields as the upstream has told them: without the tag, the date and the `Vary` that are
    /// only weir's, so that whoever prepares it anew adds them once.
    pub fn told(&self) -> HeaderMap {
        let mut told = head::read(&self.head);
        if self.tagged == By::Here {
            told.remove(header::ETAG);
        }
        if self.dated == By::Here {
            told.remove(header::DATE);
        }
        if self.encode == Encode::AsAsked {
            let mut vary: Vec<_> = told.get_all(header::VARY).iter().cloned().collect();
            // Ours is the last.
            vary.pop();
            told.remove(header::VARY);
            for value in vary {
                told.append(header::VARY, value);
            }
        }
        told
    }

    /// Its content.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// When it was made and how long it lasts.
    pub fn times(&self) -> Times {
        Times::from(&self.times)
    }

    /// What was to become of cookies when it was stored.
    pub fn set_cookie(&self) -> SetCookie {
        self.set_cookie
    }

    /// The listing that it is a page of.
    pub fn chain(&self) -> Option<Chain> {
        self.chain
    }

    /// The requests it answers; none = all that ask its question.
    pub fn selector(&self) -> Option<&Selector> {
        self.selector.as_deref()
    }

    /// Whether it answers this request's form of its question.
    pub fn answers(&self, request: &HeaderMap) -> bool {
        self.selector().is_none_or(|selector| selector.selects(request))
    }

    /// What a purge may hit it by.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// RFC 9111, section 4.3.1: the conditions by which the upstream can confirm it. A tag that was
    /// made here says nothing to the upstream.
    pub fn ask(&self, question: &mut HeaderMap) {
        // Confirmed, it would be no younger: the token in it is as old as it was.
        if self.times().oldest_age.is_some() {
            return;
        }
        let told = |name| head::field(&self.head, &name);
        if let Some(etag) = told(header::ETAG).filter(|_| self.tagged == By::Upstream) {
            question.insert(header::IF_NONE_MATCH, etag);
        }
        if let Some(date) = told(header::LAST_MODIFIED) {
            question.insert(header::IF_MODIFIED_SINCE, date);
        }
    }

    /// Whether this is the first time that it is to be refreshed before it is stale: if that fails,
    /// it becomes stale like any other.
    pub fn begins_ahead(&self) -> bool {
        !self.ahead.swap(true, Ordering::Relaxed)
    }

    /// It could not begin: the next who asks may try again.
    pub fn has_not_begun(&self) {
        self.ahead.store(false, Ordering::Relaxed);
    }

    /// Refreshing it has failed, and is not tried again before.
    pub fn rest_until(&self, until: Instant) {
        let after = until.saturating_duration_since(self.times.made_at).as_nanos();
        self.rests_until.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether it is not to be refreshed yet.
    pub fn rests(&self, now: Instant) -> bool {
        let after = now.saturating_duration_since(self.times.made_at).as_nanos();
        after < u128::from(self.rests_until.load(Ordering::Relaxed))
    }

    /// Counts one more who asked for it; how often somebody has, this one included.
    pub fn asked(&self) -> u32 {
        self.hits.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

#[cfg(test)]
mod tests;
