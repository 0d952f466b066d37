//! What a client wants of a stored answer.

use http::Method;
use http::header::{HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};

use crate::http::Room;

/// What a client wants of a stored answer.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'r> {
    pub(super) method: &'r Method,
    pub(super) headers: &'r HeaderMap,
    pub(super) fetched: bool,
    /// Where the fields may be kept ready for the next.
    pub(super) ready: Option<&'r Room>,
}

impl<'r> Asks<'r> {
    /// From a request for the endpoint.
    pub fn of(method: &'r Method, headers: &'r HeaderMap) -> Self {
        Self { method, headers, fetched: false, ready: None }
    }

    /// This request is the one that made the upstream answer.
    pub fn having_fetched(self) -> Self {
        Self { fetched: true, ..self }
    }

    /// What is made for this request may be kept for the next, as long as there is room for it.
    pub fn leaving_ready(self, room: &'r Room) -> Self {
        Self { ready: Some(room), ..self }
    }

    /// Whether it has no condition and wants no part.
    pub fn is_for_the_whole(&self) -> bool {
        // RFC 9110, section 13.1.5: If-Range without Range is ignored.
        let other = [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE];
        !other.iter().any(|name| self.headers.contains_key(name))
    }
}
