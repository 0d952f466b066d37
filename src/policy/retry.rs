//! Whether a failed attempt is worth another.

use http::{Method, StatusCode};

use super::feedback::Throttle;

/// How an attempt ended, as far as a retry is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The upstream answered.
    Answered {
        /// With this.
        status: StatusCode,
        /// Which limit a 429 was about.
        throttle: Option<Throttle>,
    },
    /// The upstream answered, with what the operator takes for no answer.
    Stumbled,
    /// It did not answer, and asking again may help.
    Lost,
    /// It did not answer, and asking again would not help (or would be too late).
    Failed,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Accept,
    /// Ask for a new token and try again; not charged to the retry budget, once at most.
    Reauthorize,
    /// Try again if the retry budget has something left.
    Retry,
}

/// Decides. `retries_left` is what the endpoint's figure still allows.
///
/// RFC 9110, section 9.2.2: only idempotent methods are repeated without knowing that the first
/// request was not acted on. A 401 is such knowledge, whatever the method.
pub fn judge(
    attempt: Attempt,
    method: &Method,
    retries_left: u32,
    reauthorized: Reauthorized,
) -> Verdict {
    let again = method.is_idempotent() && retries_left > 0;
    match attempt {
        Attempt::Answered { status: StatusCode::UNAUTHORIZED, .. }
            if reauthorized == Reauthorized::NotYet =>
        {
            Verdict::Reauthorize
        }
        Attempt::Answered {
            status: StatusCode::TOO_MANY_REQUESTS,
            throttle: Some(Throttle::Rate),
        }
        | Attempt::Stumbled
        | Attempt::Lost
            if again =>
        {
            Verdict::Retry
        }
        Attempt::Answered { .. } | Attempt::Stumbled | Attempt::Lost | Attempt::Failed => {
            Verdict::Accept
        }
    }
}

/// Whether this request has been through a renewal of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reauthorized {
    /// It may be, once.
    NotYet,
    /// It has.
    Already,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_help_is_repeated() {
        use Verdict::{Accept, Reauthorize, Retry};
        let answered = |status: u16, throttle| Attempt::Answered {
            status: StatusCode::from_u16(status).unwrap(),
            throttle,
        };
        for (attempt, method, left, reauthorized, expected) in [
            (answered(200, None), Method::GET, 1, Reauthorized::NotYet, Accept),
            (answered(500, None), Method::GET, 1, Reauthorized::NotYet, Accept),
            (answered(503, None), Method::GET, 1, Reauthorized::NotYet, Accept),
            (answered(401, None), Method::POST, 0, Reauthorized::NotYet, Reauthorize),
            (answered(401, None), Method::GET, 1, Reauthorized::Already, Accept),
            (answered(429, Some(Throttle::Rate)), Method::GET, 1, Reauthorized::NotYet, Retry),
            (answered(429, Some(Throttle::Day)), Method::GET, 1, Reauthorized::NotYet, Accept),
            (answered(429, Some(Throttle::Resource)), Method::GET, 1, Reauthorized::NotYet, Accept),
            (Attempt::Stumbled, Method::GET, 1, Reauthorized::NotYet, Retry),
            (Attempt::Stumbled, Method::GET, 0, Reauthorized::NotYet, Accept),
            (Attempt::Stumbled, Method::POST, 1, Reauthorized::NotYet, Accept),
            (Attempt::Lost, Method::GET, 1, Reauthorized::NotYet, Retry),
            (Attempt::Lost, Method::PATCH, 1, Reauthorized::NotYet, Accept),
            (Attempt::Failed, Method::GET, 1, Reauthorized::NotYet, Accept),
        ] {
            let verdict = judge(attempt, &method, left, reauthorized);
            assert_eq!(verdict, expected, "{attempt:?} {method} {left} {reauthorized:?}");
        }
    }
}
