//! Page tokens: signed, so that nothing has to be remembered about them.
//!
//! A token carries what its listing is as of, the offset of the page, and when it was made. Its
//! signature covers the scope too (operation, session, parameters), so a token that is replayed
//! with anything else is worth nothing, and after 15 minutes it is worth nothing anyway.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::changes::AsOf;
use super::world::{MINUTE, Millis};

/// How long a token lives.
pub(super) const LIFETIME: Millis = 15 * MINUTE;

const PAYLOAD: usize = 24;
const SIGNATURE: usize = 16;

/// Where a page begins, and in which snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) as_of: AsOf,
    pub(super) offset: u32,
}

/// Makes and reads page tokens.
#[derive(Debug)]
pub(super) struct Pager {
    key: hmac::Key,
}

impl Pager {
    pub(super) fn new(secret: &str) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, format!("page token/{secret}").as_bytes()) }
    }

    pub(super) fn issue(&self, position: Position, scope: &str, now: Millis) -> String {
        let mut bytes = Vec::with_capacity(PAYLOAD + SIGNATURE);
        bytes.extend(position.as_of.at.to_be_bytes());
        bytes.extend(now.to_be_bytes());
        bytes.extend(position.as_of.revision.to_be_bytes());
        bytes.extend(position.offset.to_be_bytes());
        let signature = self.sign(&bytes, scope);
        bytes.extend(signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn open(&self, token: &str, scope: &str, now: Millis) -> Option<Position> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (payload, signature) = bytes.split_at_checked(PAYLOAD)?;
        if self.sign(payload, scope) != signature {
            return None;
        }
        let (at, rest) = payload.split_first_chunk()?;
        let (made, rest) = rest.split_first_chunk()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        let age = now.checked_sub(Millis::from_be_bytes(*made))?;
        (age < LIFETIME).then_some(Position {
            as_of: AsOf { at: Millis::from_be_bytes(*at), revision: u32::from_be_bytes(*revision) },
            offset: u32::from_be_bytes(*offset),
        })
    }

    fn sign(&self, payload: &[u8], scope: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(payload);
        context.update(scope.as_bytes());
        context.sign().as_ref().iter().copied().take(SIGNATURE).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Position = Position { as_of: AsOf { at: 7_000, revision: 3 }, offset: 30 };

    #[test]
    fn a_token_opens_its_page_until_it_is_fifteen_minutes_old() {
        let pager = Pager::new("s");
        let token = pager.issue(HERE, "users", 10_000);
        assert_eq!(pager.open(&token, "users", 10_000), Some(HERE));
        assert_eq!(pager.open(&token, "users", 10_000 + LIFETIME - 1), Some(HERE));
        assert_eq!(pager.open(&token, "users", 10_000 + LIFETIME), None);
        assert_eq!(pager.open(&token, "users", 9_999), None);
    }

    #[test]
    fn a_token_is_worth_nothing_elsewhere_or_changed() {
        let pager = Pager::new("s");
        let token = pager.issue(HERE, "users", 0);
        assert_eq!(pager.open(&token, "sharing", 0), None);
        assert_eq!(Pager::new("t").open(&token, "users", 0), None);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                pager.open(&String::from_utf8(changed).unwrap(), "users", 0),
                None,
                "byte {at}"
            );
        }
        for garbage in ["", "x", "Usse957pzxvmYwlmCZ50a6CNXFrhztxuj82", "ä"] {
            assert_eq!(pager.open(garbage, "users", 0), None);
        }
    }
}
