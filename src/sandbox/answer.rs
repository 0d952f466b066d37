//! What the API answers with: bodies of errors, and the headers that stand on everything.

use std::borrow::Cow;

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use super::draw::Draw;
use crate::http::Body;

pub(super) const CATEGORY: HeaderName = HeaderName::from_static("x-ratelimit-category");
pub(super) const KIND: HeaderName = HeaderName::from_static("x-ratelimit-type");
pub(super) const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
pub(super) const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const TRACKING_ID: HeaderName = HeaderName::from_static("x-zm-trackingid");

/// An error in the API's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    code: u32,
    message: Cow<'static, str>,
    errors: Vec<(String, String)>,
}

impl ApiError {
    fn new(status: StatusCode, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), errors: Vec::new() }
    }

    pub(super) fn validation(field: &str, message: &str) -> Self {
        let errors = vec![(field.to_owned(), message.to_owned())];
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, 300, "Validation Failed.") }
    }

    pub(super) fn page_token() -> Self {
        Self::new(StatusCode::BAD_REQUEST, 300, "The next page token is invalid or expired.")
    }

    pub(super) fn body_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, 413, "Request Entity Too Large.")
    }

    pub(super) fn unreadable_body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, 300, "Request Body should be a valid JSON object.")
    }

    pub(super) fn invalid_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 124, "Invalid access token.")
    }

    pub(super) fn expired_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 124, "Access token is expired.")
    }

    pub(super) fn unknown_endpoint() -> Self {
        Self::new(StatusCode::NOT_FOUND, 2300, "This API endpoint is not recognized.")
    }

    /// The session is unknown, or in another state than the question assumes.
    pub(super) fn session() -> Self {
        Self::new(StatusCode::NOT_FOUND, 3001, "Session ID is invalid or has not ended.")
    }

    /// The id has not the form of a session id; most often because a slash was lost on the way.
    pub(super) fn no_such_id(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, 3001, format!("Meeting does not exist: {id}."))
    }

    pub(super) fn no_such_user() -> Self {
        Self::new(StatusCode::NOT_FOUND, 1001, "User does not exist.")
    }

    pub(super) fn per_second() -> Self {
        const MESSAGE: &str =
            "You have reached the maximum per-second rate limit for this API. Try again later.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, 429, MESSAGE)
    }

    pub(super) fn daily() -> Self {
        const MESSAGE: &str = "You have reached the maximum daily rate limit for this API. Refer to the response header for details on when you can make another request.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, 429, MESSAGE)
    }

    /// Whatever status a fault asks for.
    pub(super) fn fault(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::invalid_token(),
            StatusCode::TOO_MANY_REQUESTS => Self::per_second(),
            _ => {
                let reason = status.canonical_reason().unwrap_or("Unknown");
                Self::new(status, u32::from(status.as_u16()), reason)
            }
        }
    }

    #[cfg(test)]
    pub(super) fn field(&self) -> &str {
        self.errors.first().map_or(&self.message, |(field, _)| field)
    }
}

/// An answer before the headers that all answers share.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Option<String>,
    pub(super) headers: Vec<(HeaderName, String)>,
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: String) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, body: None, headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The whole answer. `number` tells this answer from every other of its sandbox.
    pub(super) fn into_response(self, seed: u64, number: u64) -> Response<Body> {
        let json = self.body.is_some();
        let mut response = Response::new(self.body.map_or(Body::Empty, Body::from));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in STANDING {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if json {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let own = self.headers.into_iter().chain([(TRACKING_ID, tracking_id(seed, number))]);
        for (name, value) in own {
            // Our own values are visible ASCII; one that is not is left out rather than sent broken.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        let mut body = json!({ "code": error.code, "message": error.message });
        if let (false, Some(fields)) = (error.errors.is_empty(), body.as_object_mut()) {
            let errors = error
                .errors
                .iter()
                .map(|(field, message)| json!({ "field": field, "message": message }));
            fields.insert("errors".to_owned(), errors.collect());
        }
        Self::json(error.status, body.to_string())
    }
}

const STANDING: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate, no-transform"),
    (header::PRAGMA, "no-cache"),
    (header::EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT"),
    (
        header::SET_COOKIE,
        "zm_aid=\"\"; Domain=.zoom.us; Expires=Thu, 01-Jan-1970 00:00:10 GMT; Path=/; Secure; HttpOnly",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_DISPOSITION, "inline;filename=f.txt"),
];

fn tracking_id(seed: u64, number: u64) -> String {
    let mut draw = Draw::new(&[seed, number, 0x7d]);
    format!("v=2.0;clid=us06;rid=WEB_{:016x}{:016x}", draw.next(), draw.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_api_s_form() {
        for (error, status, body) in [
            (ApiError::invalid_token(), 401, r#"{"code":124,"message":"Invalid access token."}"#),
            (
                ApiError::validation("type", "is bad"),
                400,
                r#"{"code":300,"errors":[{"field":"type","message":"is bad"}],"message":"Validation Failed."}"#,
            ),
            (
                ApiError::no_such_id("ab/c=="),
                404,
                r#"{"code":3001,"message":"Meeting does not exist: ab/c==."}"#,
            ),
            (
                ApiError::fault(StatusCode::BAD_GATEWAY),
                502,
                r#"{"code":502,"message":"Bad Gateway"}"#,
            ),
        ] {
            let answer = Answer::from(error);
            assert_eq!((answer.status.as_u16(), answer.body.as_deref()), (status, Some(body)));
        }
    }

    #[test]
    fn every_answer_forbids_storing_sets_a_cookie_and_has_its_own_tracking_id() {
        let answer = |number| Answer::empty(StatusCode::NO_CONTENT).into_response(1, number);
        let (one, two) = (answer(1), answer(2));
        assert!(one.headers()["cache-control"].to_str().unwrap().contains("no-store"));
        assert!(one.headers()["set-cookie"].to_str().unwrap().starts_with("zm_aid="));
        assert!(!one.headers().contains_key("content-type"));
        assert_ne!(one.headers()[TRACKING_ID], two.headers()[TRACKING_ID]);
    }
}
