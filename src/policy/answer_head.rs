//! Whether an answer's head answers the request that was sent, and says one thing.

use http::header::{
    CONTENT_TYPE, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, RANGE,
};
use http::{Method, StatusCode};

/// What of a request decides which answers it can have.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    for_part: bool,
    on_condition: bool,
    for_content: bool,
}

impl Question {
    /// As it is sent.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        Self {
            for_part: headers.contains_key(RANGE),
            on_condition: headers.contains_key(IF_NONE_MATCH)
                || headers.contains_key(IF_MODIFIED_SINCE),
            for_content: method != Method::HEAD,
        }
    }
}

/// Why an answer is none to this request. The text goes into log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// A part, and the whole was asked for.
    Part,
    /// A confirmation of what was not named.
    Confirmation,
    /// Two media types, or two places.
    Contradiction,
    /// A body where there cannot be one.
    Content,
}

impl Misfit {
    /// In a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Part => "206 to a request without a range",
            Self::Confirmation => "304 to a request without a condition",
            Self::Contradiction => "Content-Type or Location twice, and not the same",
            Self::Content => "205 with a body",
        }
    }
}

/// What is still to be found out about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Nothing.
    Good,
    /// It is good if nothing follows.
    IfEmpty,
}

/// Decides, and leaves one of fields that say the same twice.
pub fn fit(question: Question, status: StatusCode, headers: &mut HeaderMap) -> Result<Fit, Misfit> {
    for name in [CONTENT_TYPE, LOCATION] {
        // RFC 9110, section 5.3: neither is a list, and readers differ in which one they believe.
        say_once(headers, &name)?;
    }
    match status {
        // RFC 9110, section 15.3.7: it answers a range.
        StatusCode::PARTIAL_CONTENT if !question.for_part => Err(Misfit::Part),
        // RFC 9110, section 15.4.5: it answers a condition.
        StatusCode::NOT_MODIFIED if !question.on_condition => Err(Misfit::Confirmation),
        // RFC 9110, section 15.3.6: nothing follows, however that is said.
        StatusCode::RESET_CONTENT if question.for_content => Ok(Fit::IfEmpty),
        _ => Ok(Fit::Good),
    }
}

fn say_once(headers: &mut HeaderMap, name: &HeaderName) -> Result<(), Misfit> {
    let mut all = headers.get_all(name).iter();
    let Some(first) = all.next() else { return Ok(()) };
    let mut others = all.peekable();
    if others.peek().is_none() {
        return Ok(());
    }
    if others.any(|other| other != first) {
        return Err(Misfit::Contradiction);
    }
    let first = first.clone();
    headers.insert(name, first);
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn an_answer_is_one_to_what_was_asked() {
        use Fit::{Good, IfEmpty};
        let range = ("range", "bytes=0-1");
        let tag = ("if-none-match", "\"a\"");
        let date = ("if-modified-since", "x");
        for (method, fields, status, expected) in [
            (Method::GET, &[][..], 200, Ok(Good)),
            (Method::GET, &[], 206, Err(Misfit::Part)),
            (Method::GET, &[tag], 206, Err(Misfit::Part)),
            (Method::GET, &[range], 206, Ok(Good)),
            (Method::GET, &[], 304, Err(Misfit::Confirmation)),
            (Method::GET, &[range], 304, Err(Misfit::Confirmation)),
            (Method::GET, &[tag], 304, Ok(Good)),
            (Method::HEAD, &[date], 304, Ok(Good)),
            (Method::POST, &[], 205, Ok(IfEmpty)),
            (Method::HEAD, &[], 205, Ok(Good)),
        ] {
            let question = Question::of(&method, &headers(fields));
            let status = StatusCode::from_u16(status).unwrap();
            let told = fit(question, status, &mut HeaderMap::new());
            assert_eq!(told, expected, "{method} {fields:?} {status}");
        }
    }

    #[test]
    fn what_is_said_twice_is_the_same_and_left_once() {
        let question = Question::of(&Method::GET, &HeaderMap::new());
        for name in ["content-type", "location"] {
            let mut same = headers(&[(name, "a"), ("x", "1"), (name, "a"), ("x", "2")]);
            assert_eq!(fit(question, StatusCode::OK, &mut same), Ok(Fit::Good));
            assert_eq!(same, headers(&[(name, "a"), ("x", "1"), ("x", "2")]));
            let mut other = headers(&[(name, "a"), (name, "a"), (name, "b")]);
            assert_eq!(fit(question, StatusCode::OK, &mut other), Err(Misfit::Contradiction));
        }
    }
}
