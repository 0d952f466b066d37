//! What the control surface changed, on top of the base population.
//!
//! Every change has a revision and an instant. A view of the account as of an instant and a
//! revision never changes again, which is what makes the pages of one listing a snapshot even when
//! somebody joins between two of them in the same millisecond.

use std::collections::HashMap;

use super::draw::mix;
use super::ids;
use super::users::{self, JOINED_IDS, User};
use super::world::{DAY, MINUTE, Millis, Session, SessionState, World};

/// Changes that are kept; further ones are refused.
const MAX_CHANGES: u32 = 20_000;
/// Users that one session holds, as in the real product.
const MAX_USERS: usize = 5_000;
const MAX_ID: usize = 128;

/// Why a change was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The session is unknown or not live.
    #[error("no live session has this id")]
    NotLive,
    /// The user is not there.
    #[error("no such user is present in this session")]
    NoSuchUser,
    /// A session of this id exists.
    #[error("a session of this id exists")]
    Exists,
    /// Empty, too long, or with control characters.
    #[error("not usable as a session id or name")]
    BadName,
    /// Full.
    #[error("the sandbox keeps no more changes or users")]
    Full,
}

/// An instant and a revision: what a view is as of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AsOf {
    pub(super) at: Millis,
    pub(super) revision: u32,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Millis,
    revision: u32,
}

#[derive(Debug)]
struct Joined {
    mark: Mark,
    user: User,
}

#[derive(Debug, Default)]
struct Overlay {
    started: Option<(Mark, Session)>,
    ended: Option<Mark>,
    joined: Vec<Joined>,
    left: HashMap<u64, Mark>,
}

/// The account: base population and changes.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) world: World,
    revision: u32,
    overlays: HashMap<String, Overlay>,
}

impl Account {
    pub(super) fn new(world: World) -> Self {
        Self { world, revision: 0, overlays: HashMap::new() }
    }

    /// Now, with all changes so far.
    pub(super) fn as_of(&self, at: Millis) -> AsOf {
        AsOf { at, revision: self.revision }
    }

    /// The session with this id.
    pub(super) fn session(&self, id: &str, as_of: AsOf) -> Option<Session> {
        let overlay = self.overlays.get(id);
        let started = overlay.and_then(|overlay| overlay.started.as_ref());
        let mut session = match started.filter(|(mark, _)| mark.revision <= as_of.revision) {
            Some((_, session)) => session.clone(),
            None => self.world.find(id, as_of.at)?,
        };
        let ended = overlay.and_then(|overlay| overlay.ended);
        if let Some(mark) = ended.filter(|mark| mark.revision <= as_of.revision) {
            session.end = session.end.min(mark.at);
        }
        Some(session)
    }

    /// All sessions whose life touches `from..to`, newest first.
    pub(super) fn between(&self, from: Millis, to: Millis, as_of: AsOf) -> Vec<Session> {
        let base = self.world.between(from, to, as_of.at).into_iter();
        let base = base.filter_map(|session| match self.overlays.get(&session.id) {
            Some(_) => self.session(&session.id, as_of),
            None => Some(session),
        });
        let started = self.overlays.iter().filter(|(_, overlay)| overlay.started.is_some());
        let started = started.filter_map(|(id, _)| self.session(id, as_of));
        let touches = |session: &Session| session.start < to && session.end > from;
        let mut all: Vec<_> = base.chain(started).filter(touches).collect();
        all.sort_by(|a, b| b.start.cmp(&a.start).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Everybody who is or was in a session, with the leave times known by then.
    pub(super) fn users(&self, session: &Session, as_of: AsOf) -> Vec<User> {
        let at = as_of.at.min(session.end);
        let mut all = users::listed(session, at);
        let Some(overlay) = self.overlays.get(&session.id) else { return all };
        let joined = overlay.joined.iter().filter(|joined| joined.mark.revision <= as_of.revision);
        all.extend(joined.map(|joined| joined.user.clone()));
        for user in &mut all {
            let left = overlay.left.get(&user.id).filter(|mark| mark.revision <= as_of.revision);
            let left = left.map(|mark| mark.at.max(user.join));
            let over = (as_of.at >= session.end).then_some(session.end);
            user.leave = [user.leave, left, over].into_iter().flatten().min();
        }
        all
    }

    /// A user joins a live session; the answer is the new `id`.
    pub(super) fn join(&mut self, id: &str, name: &str, now: Millis) -> Result<u64, ChangeError> {
        named(name)?;
        let session = self.live(id, now)?;
        if self.users(&session, self.as_of(now)).len() >= MAX_USERS {
            return Err(ChangeError::Full);
        }
        let mark = self.mark(now)?;
        let user = User {
            id: JOINED_IDS + u64::from(mark.revision),
            person: mix(&[session.key, u64::from(mark.revision), 0x10]),
            join: now,
            leave: None,
            host: false,
            name: Some(name.to_owned()),
        };
        let joined = user.id;
        self.overlay(id).joined.push(Joined { mark, user });
        Ok(joined)
    }

    /// A user leaves; without an id the one who is listed last.
    pub(super) fn leave(
        &mut self,
        id: &str,
        user: Option<u64>,
        now: Millis,
    ) -> Result<u64, ChangeError> {
        let session = self.live(id, now)?;
        let users = self.users(&session, self.as_of(now));
        let leaver =
            users.iter().rev().find(|one| one.present() && user.is_none_or(|user| user == one.id));
        let leaver = leaver.ok_or(ChangeError::NoSuchUser)?.id;
        let mark = self.mark(now)?;
        self.overlay(id).left.insert(leaver, mark);
        Ok(leaver)
    }

    /// A live session ends.
    pub(super) fn end(&mut self, id: &str, now: Millis) -> Result<(), ChangeError> {
        self.live(id, now)?;
        let mark = self.mark(now)?;
        self.overlay(id).ended = Some(mark);
        Ok(())
    }

    /// A session begins with so many users, under this id or one of our making.
    pub(super) fn start(
        &mut self,
        id: Option<&str>,
        seats: u32,
        now: Millis,
    ) -> Result<String, ChangeError> {
        let made = || ids::of(self.world.seed, u16::MAX, u64::from(self.revision) + 1);
        let id = id.map_or_else(made, str::to_owned);
        named(&id)?;
        if self.session(&id, self.as_of(now)).is_some() {
            return Err(ChangeError::Exists);
        }
        let mark = self.mark(now)?;
        let key = mix(&[self.world.seed, u64::from(mark.revision), 0x57]);
        let session = Session {
            id: id.clone(),
            key,
            name: format!("started-{}", mark.revision),
            // The users of the base population take two minutes to arrive; here they are asked for at once.
            start: now.saturating_sub(2 * MINUTE),
            end: now + 30 * DAY,
            seats: seats.min(u32::try_from(MAX_USERS).unwrap_or(u32::MAX)),
            churn: u64::MAX,
        };
        self.overlay(&id).started = Some((mark, session));
        Ok(id)
    }

    fn live(&self, id: &str, now: Millis) -> Result<Session, ChangeError> {
        self.session(id, self.as_of(now))
            .filter(|session| session.state(now) == SessionState::Live)
            .ok_or(ChangeError::NotLive)
    }

    fn mark(&mut self, at: Millis) -> Result<Mark, ChangeError> {
        if self.revision >= MAX_CHANGES {
            return Err(ChangeError::Full);
        }
        self.revision += 1;
        Ok(Mark { at, revision: self.revision })
    }

    fn overlay(&mut self, id: &str) -> &mut Overlay {
        self.overlays.entry(id.to_owned()).or_default()
    }
}

fn named(name: &str) -> Result<(), ChangeError> {
    let usable = (1..=MAX_ID).contains(&name.len()) && !name.chars().any(char::is_control);
    usable.then_some(()).ok_or(ChangeError::BadName)
}

#[cfg(test)]
mod tests {
    use super::super::ids::IdKind;
    use super::super::world::HOUR;
    use super::*;

    const NOW: Millis = 20_000 * DAY + 13 * HOUR;

    fn account() -> (Account, String) {
        let world = World::new(1, 12, NOW);
        (Account::new(world), world.fixed_id(IdKind::Slash))
    }

    fn present(account: &Account, id: &str, as_of: AsOf) -> Vec<u64> {
        let session = account.session(id, as_of).unwrap();
        let users = account.users(&session, as_of).into_iter();
        users.filter(User::present).map(|user| user.id).collect()
    }

    #[test]
    fn a_view_taken_before_a_change_never_sees_it_even_at_the_same_instant() {
        let (mut account, id) = account();
        let before = account.as_of(NOW);
        let was = present(&account, &id, before);
        let joined = account.join(&id, "Ada", NOW).unwrap();
        account.leave(&id, was.first().copied(), NOW).unwrap();
        account.end(&id, NOW + MINUTE).unwrap();
        assert_eq!(present(&account, &id, before), was);
        let now = AsOf { at: NOW, revision: 2 };
        let is = present(&account, &id, now);
        assert!(
            is.contains(&joined) && !is.contains(was.first().unwrap()) && is.len() == was.len()
        );
    }

    #[test]
    fn who_ends_a_session_sends_everybody_home() {
        let (mut account, id) = account();
        account.join(&id, "Ada", NOW).unwrap();
        account.end(&id, NOW + MINUTE).unwrap();
        let as_of = account.as_of(NOW + HOUR);
        let session = account.session(&id, as_of).unwrap();
        assert_eq!((session.state(NOW + HOUR), session.end), (SessionState::Past, NOW + MINUTE));
        assert!(
            account
                .users(&session, as_of)
                .iter()
                .all(|user| user.leave <= Some(session.end) && !user.present())
        );
        assert_eq!(account.join(&id, "Bob", NOW + HOUR), Err(ChangeError::NotLive));
        assert_eq!(account.end(&id, NOW + HOUR), Err(ChangeError::NotLive));
    }

    #[test]
    fn a_started_session_is_live_with_all_its_users_and_listed() {
        let (mut account, _) = account();
        let id = account.start(None, 50, NOW).unwrap();
        let named = account.start(Some("//odd id"), 0, NOW).unwrap();
        let as_of = account.as_of(NOW);
        assert_eq!(present(&account, &id, as_of).len(), 50);
        assert!(ids::well_formed(&id));
        assert_eq!(account.start(Some(&named), 1, NOW), Err(ChangeError::Exists));
        let listed = account.between(NOW, NOW + 1, as_of);
        assert!([&id, &named].iter().all(|id| listed.iter().any(|session| session.id == **id)));
        assert_eq!(account.leave(&named, None, NOW), Err(ChangeError::NoSuchUser));
    }

    #[test]
    fn bad_names_and_unknown_sessions_are_refused_and_changes_are_bounded() {
        let (mut account, id) = account();
        assert_eq!(account.join(&id, "", NOW), Err(ChangeError::BadName));
        assert_eq!(account.join(&id, "a\nb", NOW), Err(ChangeError::BadName));
        assert_eq!(account.start(Some(&"x".repeat(129)), 0, NOW), Err(ChangeError::BadName));
        assert_eq!(account.join("nowhere", "Ada", NOW), Err(ChangeError::NotLive));
        account.revision = MAX_CHANGES;
        assert_eq!(account.join(&id, "Ada", NOW), Err(ChangeError::Full));
    }
}
