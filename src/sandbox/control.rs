//! The control surface under `/_sandbox/`: for tests and for people, without authorization.

use std::time::Duration;

use http::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::changes::ChangeError;
use super::faults::{Fault, FaultKind};
use super::headers::{HeaderStyle, Lies};
use super::operations::{Label, OPERATIONS};
use super::query::decode;
use super::{Sandbox, SessionInfo};
use crate::http::Body;

/// Where the control surface begins.
pub(super) const PREFIX: &str = "/_sandbox";

const HELP: &str = "\
The sandbox's control surface. No authorization; only spend and crowd spend a limit.

GET    /_sandbox/                          this text
GET    /_sandbox/counters                  requests by endpoint, status and label; largest sliding counts
GET    /_sandbox/requests                  the last 200 requests: method, target, names of headers
GET    /_sandbox/sessions?hours=3          ids, states and user counts
GET    /_sandbox/users?session=ID          all users of a session in one array
POST   /_sandbox/reset                     set the counters to zero
POST   /_sandbox/revoke                    refuse every OAuth token issued so far
POST   /_sandbox/advance?seconds=840       move the sandbox's clock forward
POST   /_sandbox/latency?ms=200            hold every API answer for so long (at most 60000)
POST   /_sandbox/spend?label=L&count=100   other applications take up to so many (at most 1000000) from the day's pool
POST   /_sandbox/crowd?label=L&count=5     they ask now: takes from the window and the pool what fits
                                           L = light | medium | heavy | resource-intensive
POST   /_sandbox/headers?style=S           S = honest | missing (no X-RateLimit-* and no Retry-After); it stands until set again
POST   /_sandbox/headers?remaining=0       lie in X-RateLimit-Remaining; also retry_after=TEXT (every 429) and
                                           category=TEXT, together or alone, each of at most 128 bytes
POST   /_sandbox/fault?kind=K&count=1      K = status | timeout | reset | truncate | missing-headers | garbage
                                           with status=500 for kind=status, endpoint=sessionUsers for one operation
DELETE /_sandbox/fault                     forget the faults on order
POST   /_sandbox/sessions/start            &session=ID &users=N, both optional
POST   /_sandbox/sessions/end?session=ID
POST   /_sandbox/sessions/join?session=ID  &name=NAME
POST   /_sandbox/sessions/leave?session=ID &user=USER; the last one listed if absent

In these queries + stands for itself: session ids can be pasted as they are.
";

/// Why a control request was not obeyed.
enum Refused {
    Bad(String),
    Missing,
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        Self::Bad(error.to_string())
    }
}

/// The query of a control request.
struct Ask<'a>(&'a str);

impl Ask<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let value =
            pairs.find(|(known, _)| *known == name).map(|(_, value)| decode(value).into_owned());
        value.filter(|value| !value.is_empty())
    }

    fn need(&self, name: &str) -> Result<String, Refused> {
        self.get(name).ok_or_else(|| Refused::Bad(format!("{name} is required")))
    }

    fn number(&self, name: &str, default: Option<u64>, max: u64) -> Result<u64, Refused> {
        let number = match self.get(name) {
            Some(text) => text.parse().ok(),
            None => default,
        };
        let number = number.filter(|number| *number <= max);
        number.ok_or_else(|| Refused::Bad(format!("{name} must be a number up to {max}")))
    }
}

/// Answers a control request.
pub(super) fn answer(
    sandbox: &Sandbox,
    method: &Method,
    path: &str,
    query: &str,
) -> Response<Body> {
    let path = path.strip_prefix(PREFIX).unwrap_or(path).trim_end_matches('/');
    if path.is_empty() && *method == Method::GET {
        return respond(StatusCode::OK, "text/plain; charset=utf-8", HELP.into());
    }
    let ask = Ask(query);
    let obeyed = match (method, path) {
        (&Method::GET, "/users") => users(sandbox, &ask),
        _ => obey(sandbox, method, path, &ask).map(|value| value.to_string()),
    };
    let (status, body) = match obeyed {
        Ok(body) => (StatusCode::OK, body),
        Err(Refused::Bad(error)) => {
            (StatusCode::BAD_REQUEST, json!({ "error": error }).to_string())
        }
        Err(Refused::Missing) => (
            StatusCode::NOT_FOUND,
            json!({ "error": "no such control; GET /_sandbox/ lists them" }).to_string(),
        ),
    };
    respond(status, "application/json", format!("{body}\n").into())
}

fn obey(sandbox: &Sandbox, method: &Method, path: &str, ask: &Ask<'_>) -> Result<Value, Refused> {
    match (method.as_str(), path) {
        ("GET", "/counters") => Ok(sandbox.counters().to_json()),
        ("GET", "/requests") => Ok(requests(sandbox)),
        ("GET", "/sessions") => {
            let hours = ask.number("hours", Some(3), 168)?;
            let sessions = sandbox.sessions(Duration::from_secs(hours * 3_600));
            Ok(sessions.iter().map(SessionInfo::to_json).collect())
        }
        ("POST", "/reset") => {
            sandbox.reset_counters();
            Ok(done())
        }
        ("POST", "/revoke") => {
            sandbox.revoke_tokens();
            Ok(done())
        }
        ("POST", "/advance") => {
            let seconds = ask.number("seconds", None, 366 * 86_400)?;
            sandbox.advance(Duration::from_secs(seconds));
            Ok(json!({ "now": sandbox.now_iso() }))
        }
        ("POST", "/latency") => {
            sandbox.set_latency(Duration::from_millis(ask.number("ms", None, 60_000)?));
            Ok(done())
        }
        ("POST", "/spend") => {
            let (label, count) = admissions(ask)?;
            Ok(json!({ "taken": sandbox.spend(label, count) }))
        }
        ("POST", "/crowd") => {
            let (label, count) = admissions(ask)?;
            Ok(json!({ "taken": sandbox.crowd(label, count) }))
        }
        ("POST", "/headers") => {
            sandbox.set_headers(headers(ask)?);
            Ok(done())
        }
        ("POST", "/fault") if sandbox.inject(fault(ask)?) => Ok(done()),
        ("POST", "/fault") => Err(Refused::Bad("too many faults wait already".to_owned())),
        ("DELETE", "/fault") => {
            sandbox.clear_faults();
            Ok(done())
        }
        ("POST", change) => changed(sandbox, change, ask),
        _ => Err(Refused::Missing),
    }
}

fn changed(sandbox: &Sandbox, change: &str, ask: &Ask<'_>) -> Result<Value, Refused> {
    match change {
        "/sessions/start" => {
            let users = u32::try_from(ask.number("users", Some(1), 5_000)?).unwrap_or(1);
            Ok(json!({ "session": sandbox.start(ask.get("session").as_deref(), users)? }))
        }
        "/sessions/end" => {
            sandbox.end(&ask.need("session")?)?;
            Ok(done())
        }
        "/sessions/join" => {
            let name = ask.get("name").unwrap_or_else(|| "Guest".to_owned());
            Ok(json!({ "user": sandbox.join(&ask.need("session")?, &name)? }))
        }
        "/sessions/leave" => {
            Ok(json!({ "user": sandbox.leave(&ask.need("session")?, ask.get("user").as_deref())? }))
        }
        _ => Err(Refused::Missing),
    }
}

/// Thousands of users: taken as text, for parsing them would cost more than writing them.
fn users(sandbox: &Sandbox, ask: &Ask<'_>) -> Result<String, Refused> {
    let id = ask.need("session")?;
    let unknown = || Refused::Bad("no session has this id".to_owned());
    let users = sandbox.users_json(&id).ok_or_else(unknown)?;
    Ok(format!("{{\"session\":{},\"users\":{users}}}", json!(id)))
}

/// What other applications shall take.
fn admissions(ask: &Ask<'_>) -> Result<(Label, u32), Refused> {
    let label = ask.need("label")?.parse().map_err(|error: &str| Refused::Bad(error.to_owned()))?;
    let count = u32::try_from(ask.number("count", None, 1_000_000)?).unwrap_or_default();
    Ok((label, count))
}

/// Either a style by its name or texts, for both at once contradict each other.
fn headers(ask: &Ask<'_>) -> Result<HeaderStyle, Refused> {
    let text = |name| {
        let text = ask.get(name).map(|text| text.parse()).transpose();
        text.map_err(|error: &str| Refused::Bad(format!("{name}: {error}")))
    };
    let lies = Lies {
        remaining: text("remaining")?,
        retry_after: text("retry_after")?,
        category: text("category")?,
    };
    match (ask.get("style").as_deref(), lies == Lies::default()) {
        (Some("honest"), true) => Ok(HeaderStyle::Honest),
        (Some("missing"), true) => Ok(HeaderStyle::Missing),
        (None, false) => Ok(HeaderStyle::Lying(lies)),
        _ => Err(Refused::Bad(
            "give style=honest, style=missing, or any of remaining, retry_after and category"
                .to_owned(),
        )),
    }
}

fn fault(ask: &Ask<'_>) -> Result<Fault, Refused> {
    let bad = |text: &str| Refused::Bad(text.to_owned());
    let kind = match ask.need("kind")?.as_str() {
        "status" => {
            let status = u16::try_from(ask.number("status", Some(500), 599)?).unwrap_or_default();
            // Below 200 nothing may follow as an answer.
            let status = StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 200);
            FaultKind::Status(status.ok_or_else(|| bad("status must be from 200 to 599"))?)
        }
        "timeout" => FaultKind::Timeout,
        "reset" => FaultKind::Reset,
        "truncate" => FaultKind::Truncate,
        "missing-headers" => FaultKind::MissingHeaders,
        "garbage" => FaultKind::Garbage,
        _ => {
            return Err(bad(
                "kind must be status, timeout, reset, truncate, missing-headers or garbage",
            ));
        }
    };
    let count = u32::try_from(ask.number("count", Some(1), 1_000_000)?).unwrap_or(1);
    let endpoint = ask.get("endpoint");
    let known =
        |id: &String| id == "oauthToken" || OPERATIONS.iter().any(|operation| operation.id == id);
    if endpoint.as_ref().is_some_and(|id| !known(id)) {
        return Err(bad("endpoint must be an operationId or oauthToken"));
    }
    Ok(Fault { kind, count, endpoint })
}

/// Values of headers stay inside: one of them is the credential.
fn requests(sandbox: &Sandbox) -> Value {
    let seen = sandbox.requests();
    let seen = seen.iter().map(|seen| {
        let headers: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
        json!({ "method": seen.method.as_str(), "target": seen.target, "headers": headers })
    });
    seen.collect()
}

fn done() -> Value {
    json!({ "ok": true })
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
