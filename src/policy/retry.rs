//! Whether a failed attempt is worth another.

use http::{Method, StatusCode};

use super::breaker::Company;
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
    /// There was no connection: the request has certainly not left, and asking again may help.
    Unsent(Company),
    /// The same, and whoever was asked would not do better in a moment: its TLS is not to our
    /// liking.
    Unfit(Company),
    /// The same, on a connection that was kept and most likely closed just then: a new one would
    /// have done.
    Stale,
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
    /// Try again at once on a new connection; not charged to the retries, once at most.
    Reconnect,
}

/// What has been tried already.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// What the endpoint's figure still allows.
    pub retries_left: u32,
    /// Renewing the token.
    pub reauthorized: Once,
    /// A new connection.
    pub reconnected: Once,
}

/// Decides.
///
/// RFC 9110, section 9.2.2: only idempotent methods are repeated without knowing that the first
/// request was not acted on. A 401 is such knowledge, whatever the method, and so is that there
/// was no connection.
pub fn judge(attempt: Attempt, method: &Method, tried: &Tried) -> Verdict {
    let again = method.is_idempotent() && tried.retries_left > 0;
    match attempt {
        // RFC 9110, section 9.2.2: that is certainty enough. Whoever is alone and not there is
        // hardly back in a moment: that is tried for what may be repeated anyway.
        Attempt::Unsent(Company::Others) | Attempt::Unfit(Company::Others)
            if tried.retries_left > 0 =>
        {
            Verdict::Retry
        }
        // RFC 9112, section 9.3.1: such a close says nothing about the request.
        Attempt::Stale if method.is_idempotent() && tried.reconnected == Once::NotYet => {
            Verdict::Reconnect
        }
        Attempt::Answered { status: StatusCode::UNAUTHORIZED, .. }
            if tried.reauthorized == Once::NotYet =>
        {
            Verdict::Reauthorize
        }
        Attempt::Answered {
            status: StatusCode::TOO_MANY_REQUESTS,
            throttle: Some(Throttle::Rate),
        }
        | Attempt::Stumbled
        | Attempt::Lost
        | Attempt::Unsent(Company::Alone)
        | Attempt::Stale
            if again =>
        {
            Verdict::Retry
        }
        Attempt::Answered { .. }
        | Attempt::Stumbled
        | Attempt::Lost
        | Attempt::Unsent(_)
        | Attempt::Unfit(_)
        | Attempt::Stale
        | Attempt::Failed => Verdict::Accept,
    }
}

/// Whether something that is done once has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// It may be.
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
            (answered(200, None), Method::GET, 1, Once::NotYet, Accept),
            (answered(500, None), Method::GET, 1, Once::NotYet, Accept),
            (answered(503, None), Method::GET, 1, Once::NotYet, Accept),
            (answered(401, None), Method::POST, 0, Once::NotYet, Reauthorize),
            (answered(401, None), Method::GET, 1, Once::Already, Accept),
            (answered(429, Some(Throttle::Rate)), Method::GET, 1, Once::NotYet, Retry),
            (answered(429, Some(Throttle::Day)), Method::GET, 1, Once::NotYet, Accept),
            (answered(429, Some(Throttle::Resource)), Method::GET, 1, Once::NotYet, Accept),
            (Attempt::Stumbled, Method::GET, 1, Once::NotYet, Retry),
            (Attempt::Stumbled, Method::GET, 0, Once::NotYet, Accept),
            (Attempt::Stumbled, Method::POST, 1, Once::NotYet, Accept),
            (Attempt::Lost, Method::GET, 1, Once::NotYet, Retry),
            (Attempt::Lost, Method::PATCH, 1, Once::NotYet, Accept),
            (Attempt::Unsent(Company::Alone), Method::GET, 1, Once::NotYet, Retry),
            (Attempt::Unsent(Company::Alone), Method::PATCH, 1, Once::NotYet, Accept),
            (Attempt::Unsent(Company::Others), Method::GET, 1, Once::NotYet, Retry),
            (Attempt::Unsent(Company::Others), Method::PATCH, 1, Once::NotYet, Retry),
            (Attempt::Unsent(Company::Others), Method::PATCH, 0, Once::NotYet, Accept),
            (Attempt::Unfit(Company::Alone), Method::GET, 1, Once::NotYet, Accept),
            (Attempt::Unfit(Company::Others), Method::GET, 1, Once::NotYet, Retry),
            (Attempt::Unfit(Company::Others), Method::POST, 1, Once::NotYet, Retry),
            (Attempt::Unfit(Company::Others), Method::POST, 0, Once::NotYet, Accept),
            (Attempt::Failed, Method::GET, 1, Once::NotYet, Accept),
        ] {
            let reconnected = Once::Already;
            let tried = Tried { retries_left: left, reauthorized, reconnected };
            assert_eq!(judge(attempt, &method, &tried), expected, "{attempt:?} {method} {tried:?}");
        }
    }

    #[test]
    fn a_connection_that_was_kept_too_long_is_replaced_once_whatever_the_figure() {
        use Verdict::{Accept, Reconnect, Retry};
        for (method, retries_left, reconnected, expected) in [
            (Method::GET, 0, Once::NotYet, Reconnect),
            (Method::GET, 1, Once::NotYet, Reconnect),
            (Method::GET, 0, Once::Already, Accept),
            (Method::GET, 1, Once::Already, Retry),
            (Method::POST, 1, Once::NotYet, Accept),
        ] {
            let tried = Tried { retries_left, reauthorized: Once::NotYet, reconnected };
            assert_eq!(judge(Attempt::Stale, &method, &tried), expected, "{method} {tried:?}");
        }
    }
}
