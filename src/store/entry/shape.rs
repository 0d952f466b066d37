//! The forms in which a stored answer is sent.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::http::Body;
use crate::policy::range::Ranged;

pub(super) fn whole(mut answer: Response<Body>, method: &Method, body: &Bytes) -> Response<Body> {
    if method != Method::HEAD {
        *answer.body_mut() = Body::from(body.clone());
    }
    answer
}

/// RFC 9110, section 15.4.5: no content, and nothing that describes it.
pub(super) fn not_modified(mut answer: Response<Body>) -> Response<Body> {
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING] {
        answer.headers_mut().remove(name);
    }
    answer
}

/// RFC 9110, sections 15.3.7 and 15.5.17.
pub(super) fn part(mut answer: Response<Body>, ranged: Ranged, body: &Bytes) -> Response<Body> {
    let (status, part) = match ranged {
        Ranged::Part { first, last } => {
            let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(body.len());
            let (first, end) = (within(first), within(last.saturating_add(1)));
            (StatusCode::PARTIAL_CONTENT, body.slice(first.min(end)..end))
        }
        Ranged::Whole | Ranged::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new()),
    };
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        headers.remove(header::CONTENT_TYPE);
        headers.remove(header::CONTENT_ENCODING);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.len()));
    if let Some(range) = ranged.content_range(body.len() as u64) {
        headers.insert(header::CONTENT_RANGE, range);
    }
    *answer.body_mut() = Body::from(part);
    answer
}
