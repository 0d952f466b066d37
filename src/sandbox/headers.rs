//! What the answers say of the limits, should that not be the truth.
//!
//! Unlike a fault this is not used up: it stands until it is set to something else. The limits
//! themselves are not touched, only what is said of them.

use std::fmt;
use std::str::FromStr;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};

use super::answer::{Answer, CATEGORY, KIND, LIMIT, REMAINING};

/// The longest text that stands in for a header's value, in bytes.
const MAX_TEXT: usize = 128;

/// How answers state the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HeaderStyle {
    /// The truth.
    #[default]
    Honest,
    /// No `X-RateLimit-*` and no `Retry-After` on any answer.
    Missing,
    /// The truth but for these.
    Lying(Lies),
}

/// Texts in place of the true ones; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// `X-RateLimit-Remaining` of every answer with a category, Light and Medium included, which
    /// have none by right.
    pub remaining: Option<HeaderText>,
    /// `Retry-After` of every 429, whether it has one by right or not.
    pub retry_after: Option<HeaderText>,
    /// `X-RateLimit-Category` of every answer that has one.
    pub category: Option<HeaderText>,
}

/// A legal value of a header, of 0 to 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(String);

impl FromStr for HeaderText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TEXT || HeaderValue::from_str(text).is_err() {
            return Err("the text must be a legal header value of at most 128 bytes");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HeaderStyle {
    /// Says of the limits what this style says.
    pub(super) fn restate(&self, mut answer: Answer) -> Answer {
        match self {
            Self::Honest => answer,
            Self::Missing => {
                let silent = [CATEGORY, KIND, LIMIT, REMAINING, RETRY_AFTER];
                answer.headers.retain(|(name, _)| !silent.contains(name));
                answer
            }
            Self::Lying(lies) => lies.told(answer),
        }
    }
}

impl Lies {
    fn told(&self, answer: Answer) -> Answer {
        let labelled = answer.headers.iter().any(|(name, _)| *name == CATEGORY);
        let refused = answer.status == StatusCode::TOO_MANY_REQUESTS;
        let answer = instead(answer, labelled, REMAINING, self.remaining.as_ref());
        let answer = instead(answer, labelled, CATEGORY, self.category.as_ref());
        instead(answer, refused, RETRY_AFTER, self.retry_after.as_ref())
    }
}

/// Of two values of one header the last one is sent, so the true one need not be removed.
fn instead(answer: Answer, here: bool, name: HeaderName, text: Option<&HeaderText>) -> Answer {
    match text {
        Some(text) if here => answer.with(name, text),
        _ => answer,
    }
}
