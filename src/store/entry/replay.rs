//! An entry as answers: prepared for HTTP/1.1, and field by field for everything else.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::codings::{self, Coded};
use super::prepare::{By, Encode, STORED_TRACKING, TRACKING};
use super::shape::{not_modified, part, whole};
use super::{Asks, Entry, Prepared, Ready, head};
use crate::http::{Body, Grown, Room};
use crate::policy::coding::{self, Coding};
use crate::policy::condition::{self, Validators, Verdict, http_date};
use crate::policy::range::{Ranged, range};

/// What a field that is kept ready costs beyond its text.
const FIELD: usize = 160;

impl Entry {
    /// The coding in which it would be sent, if it has not been made yet.
    pub fn lacks(&self, request: &HeaderMap) -> Option<Coding> {
        if self.encode == Encode::Never {
            return None;
        }
        let coding = coding::choose(request, &coding::PREFERRED);
        self.codings.get().map_or_else(|| codings::is_one(coding), |codings| codings.lacks(coding))
    }

    /// Makes it in this coding, once, whoever and how many ask; a thread is kept busy by it.
    ///
    /// Whoever asked for it may hang up: it goes on, and is not begun again. It takes what it needs
    /// of the room, or is not made.
    pub async fn encode(self: &Arc<Self>, coding: Coding, room: &Room) {
        let (entry, held) = (Arc::clone(self), room.part());
        let made = tokio::spawn(async move {
            if entry.encode == Encode::AsAsked {
                let codings = entry.codings.get_or_init(Box::default);
                codings.make(coding, &entry.head, &entry.body, held).await;
            }
        });
        // If it died, the answer is sent as it is.
        drop(made.await);
    }

    /// What has been made in the coding that this request gets.
    fn coded(&self, request: &HeaderMap) -> Option<&Coded> {
        self.codings.get()?.made(coding::choose(request, &coding::PREFERRED))
    }

    /// The whole, for HTTP/1.1, in the coding that [`Self::answer`] would choose.
    pub fn prepared(&self, request: &HeaderMap) -> Prepared<'_> {
        let plain = Prepared { head: &self.head, body: &self.body };
        self.coded(request).map_or(plain, Coded::prepared)
    }

    /// The fields one by one; kept for the next who want them, if there is room for that.
    fn fields(&self, room: Option<&Room>) -> HeaderMap {
        if let Some(ready) = self.ready.get() {
            return ready.headers.clone();
        }
        let headers = head::read(&self.head);
        if let Some(mut held) = room.map(Room::part)
            && held.grow(self.head.len() + headers.len() * FIELD) == Grown::Yes
        {
            // Of two at a time, one is kept.
            drop(self.ready.set(Box::new(Ready { headers: headers.clone(), _held: held })));
        }
        headers
    }

    /// The answer to a client: the whole, a part, or 304 if the client has it already.
    pub fn answer(&self, asks: &Asks<'_>, now: Instant) -> Response<Body> {
        let mut answer = Response::new(Body::Empty);
        *answer.headers_mut() = self.fields(asks.ready);
        *answer.status_mut() = self.status;
        if asks.fetched
            && let Some(tracking) = answer.headers_mut().remove(STORED_TRACKING)
        {
            answer.headers_mut().insert(TRACKING, tracking);
        }
        let age = HeaderValue::from(self.times().age(now).as_secs());
        answer.headers_mut().insert(header::AGE, age);
        let coded = self.coded(asks.headers);
        if let Some(coded) = coded {
            coded.onto(answer.headers_mut());
        }
        let body = coded.map_or(&self.body, Coded::body);
        // RFC 9110, section 13.2.1: conditions matter only to what would succeed without them.
        if !self.status.is_success() || asks.is_for_the_whole() {
            return whole(answer, asks.method, body);
        }
        let (verdict, ranged) = self.judged(asks, answer.headers(), body.len() as u64);
        if verdict == Verdict::NotModified {
            not_modified(answer)
        } else if ranged == Ranged::Whole {
            whole(answer, asks.method, body)
        } else {
            part(answer, ranged, body)
        }
    }

    /// By the conditions of a request, in the coding that the client gets.
    fn judged(&self, asks: &Asks<'_>, headers: &HeaderMap, len: u64) -> (Verdict, Ranged) {
        let date = |name| headers.get(name).and_then(http_date);
        let stored = Validators {
            etag: headers.get(header::ETAG),
            last_modified: date(header::LAST_MODIFIED),
            date: Some(header::DATE).filter(|_| self.dated == By::Upstream).and_then(date),
            received: SystemTime::UNIX_EPOCH + Duration::from(self.received),
        };
        let verdict = condition::verdict(asks.method, asks.headers, &stored);
        let ranged = match self.status {
            StatusCode::OK => range(asks.method, asks.headers, &stored, len),
            _ => Ranged::Whole,
        };
        (verdict, ranged)
    }
}
