//! What an admitted request is answered.

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::Value;

use super::answer::{Answer, ApiError};
use super::canned::Canned;
use super::changes::{Account, AsOf};
use super::ids;
use super::json::{Object, array};
use super::operations::{Reply, UserList};
use super::pages::{Pager, Position};
use super::paths::Route;
use super::query::{self, Query};
use super::render;
use super::users::User;
use super::world::{Millis, Session, SessionState};

/// A request as the operations see it.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) route: &'a Route,
    pub(super) query: &'a str,
    pub(super) body: &'a Bytes,
    pub(super) now: Millis,
}

/// One question, with its parameters checked and its page found.
struct Question<'a> {
    asked: &'a Asked<'a>,
    account: &'a Mutex<Account>,
    pager: &'a Pager,
    query: Query,
    scope: String,
    position: Position,
}

/// Answers a request.
pub(super) fn answer(
    account: &Mutex<Account>,
    pager: &Pager,
    asked: &Asked<'_>,
) -> Result<Answer, ApiError> {
    let operation = asked.route.operation;
    let query = query::read(operation.paging, operation.query, asked.query, asked.now)?;
    let session = asked.route.session.as_deref().unwrap_or_default();
    let scope = format!("{}/{}:{session}/{}", operation.id, session.len(), query.fingerprint());
    let position = match &query.token {
        Some(token) => pager.open(token, &scope, asked.now).ok_or_else(ApiError::page_token)?,
        None => Position { as_of: account.lock().as_of(asked.now), offset: 0 },
    };
    let question = Question { asked, account, pager, query, scope, position };
    let status = StatusCode::from_u16(operation.success).unwrap_or(StatusCode::OK);
    Ok(match question.body(operation.reply)? {
        Some(body) => Answer::json(status, body),
        None => Answer::empty(status),
    })
}

impl Question<'_> {
    fn body(&self, reply: Reply) -> Result<Option<String>, ApiError> {
        Ok(Some(match reply {
            Reply::Users(list) => self.users(list)?,
            Reply::UserQos => self.user_qos()?,
            Reply::Sessions => self.sessions(),
            Reply::SessionDetail => self.session_detail()?,
            Reply::Canned(make) => self.canned(|canned| make(canned).to_string())?,
            Reply::CannedList(name, make) => {
                let rows = self.canned(make)?;
                self.page(name, &rows, |out, row| out.push_str(&row.to_string()))
            }
            Reply::EndSession => {
                self.end_session()?;
                return Ok(None);
            }
            Reply::Nothing => {
                self.canned(|_| ())?;
                return Ok(None);
            }
        }))
    }

    fn as_of(&self) -> AsOf {
        self.position.as_of
    }

    /// The session of the path; none in the path is none needed.
    fn session(&self) -> Result<Option<Session>, ApiError> {
        let Some(id) = &self.asked.route.session else { return Ok(None) };
        match self.account.lock().session(id, self.as_of()) {
            Some(session) => Ok(Some(session)),
            None if ids::well_formed(id) => Err(ApiError::session()),
            None => Err(ApiError::no_such_id(id)),
        }
    }

    /// The session of the path, in the state that `type` asks for, and its users.
    fn people(&self) -> Result<(Session, Vec<User>), ApiError> {
        let session = self.session()?.ok_or_else(ApiError::session)?;
        if self.query.get("type") != Some(session.state(self.as_of().at).as_str()) {
            return Err(ApiError::session());
        }
        let users = self.account.lock().users(&session, self.as_of());
        Ok((session, users))
    }

    fn users(&self, list: UserList) -> Result<String, ApiError> {
        let (_, users) = self.people()?;
        let at = self.as_of().at;
        Ok(self.page("users", &users, |out, user| match list {
            UserList::Plain => render::user(out, user),
            UserList::Qos => render::user_qos(out, user, at),
            UserList::Sharing => render::user_sharing(out, user, at),
        }))
    }

    fn user_qos(&self) -> Result<String, ApiError> {
        let (_, users) = self.people()?;
        let asked = self.asked.route.item.as_deref().and_then(|id| id.parse().ok());
        let user =
            users.iter().find(|user| Some(user.id) == asked).ok_or_else(ApiError::no_such_user)?;
        let mut out = String::new();
        render::user_qos(&mut out, user, self.as_of().at);
        Ok(out)
    }

    fn sessions(&self) -> String {
        let (from, to) = self.query.range.unwrap_or_default();
        let at = self.as_of().at;
        let account = self.account.lock();
        let mut found = account.between(from, to, self.as_of());
        let wanted =
            |name: &str, value: &str| self.query.get(name).is_none_or(|only| only == value);
        found.retain(|session| {
            wanted("type", session.state(at).as_str())
                && wanted("session_name", &session.name)
                && wanted("session_key", &render::session_key(session))
        });
        self.page("sessions", &found, |out, session| {
            let users = account.users(session, self.as_of()).len();
            render::session(out, session, users, at);
        })
    }

    fn session_detail(&self) -> Result<String, ApiError> {
        let (session, users) = self.people()?;
        let mut out = String::new();
        render::session_detail(&mut out, &session, users.len(), self.as_of().at);
        Ok(out)
    }

    fn end_session(&self) -> Result<(), ApiError> {
        let session =
            self.session()?.filter(|session| session.state(self.asked.now) == SessionState::Live);
        let session = session.ok_or_else(ApiError::session)?;
        self.account
            .lock()
            .end(&session.id, self.asked.now)
            .map_err(|_not_live| ApiError::session())
    }

    fn canned<T>(&self, make: impl FnOnce(&Canned<'_>) -> T) -> Result<T, ApiError> {
        let body = match self.asked.body {
            nothing if nothing.is_empty() => Value::Null,
            json => serde_json::from_slice(json)
                .ok()
                .filter(Value::is_object)
                .ok_or_else(ApiError::unreadable_body)?,
        };
        let session = self.session()?;
        Ok(make(&Canned {
            seed: self.account.lock().world.seed,
            now: self.as_of().at,
            session: session.as_ref(),
            item: self.asked.route.item.as_deref(),
            query: &self.query,
            body: &body,
        }))
    }

    /// One page of a list, in the envelope that all lists share.
    fn page<T>(&self, name: &str, items: &[T], each: impl FnMut(&mut String, &T)) -> String {
        let size = self.query.page_size.unwrap_or(u32::MAX);
        let (from, to) = (self.position.offset, self.position.offset.saturating_add(size));
        let rest = items.get(from as usize..).unwrap_or_default();
        let page = rest.get(..size as usize).unwrap_or(rest);
        let next = if page.len() < rest.len() {
            self.pager.issue(Position { offset: to, ..self.position }, &self.scope, self.asked.now)
        } else {
            String::new()
        };
        let mut out = String::with_capacity(64 + page.len() * 900);
        let mut envelope = Object::open(&mut out);
        for bound in ["from", "to"] {
            if let Some(date) = self.query.get(bound) {
                envelope.text(bound, date);
            }
        }
        envelope.number("page_size", size);
        envelope.text("next_page_token", &next);
        // The one list of the API that tells how long it is.
        if self.asked.route.operation.id == "recordingsList" {
            envelope.number("total_records", i64::try_from(items.len()).unwrap_or(i64::MAX));
        }
        array(envelope.value(name), page, each);
        envelope.close();
        out
    }
}
