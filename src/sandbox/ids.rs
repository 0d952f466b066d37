//! Session ids: base64 of 16 bytes, 24 characters, `/` and `+` among them.
//!
//! The fixed sessions have ids of a chosen [`IdKind`], so that every spelling trouble of the real
//! API can be provoked at will. The ids of all others fall as they fall, and carry the slot and the
//! generation they belong to under a mask, so that a session is found from its id without a table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::draw::{Draw, mix};

/// What is troublesome about an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdKind {
    /// Letters and digits only.
    Plain,
    /// One `/` (and a `+`) inside.
    Slash,
    /// `//` inside: only the double-encoded spelling reaches the session.
    DoubleSlash,
    /// Begins with `/`: likewise.
    LeadingSlash,
}

/// The id of a fixed session.
pub(super) fn fixed(seed: u64, slot: u64, kind: IdKind) -> String {
    let mut draw = Draw::new(&[seed, slot, 0x1d]);
    let text = encode(draw.next(), draw.next()).replace('/', "7").replace('+', "k");
    let marks: &[(usize, char)] = match kind {
        IdKind::Plain => &[],
        IdKind::Slash => &[(4, '+'), (9, '/')],
        IdKind::DoubleSlash => &[(7, '/'), (8, '/')],
        IdKind::LeadingSlash => &[(0, '/')],
    };
    text.chars()
        .enumerate()
        .map(|(at, char)| marks.iter().find(|mark| mark.0 == at).map_or(char, |mark| mark.1))
        .collect()
}

/// The id of the session that a slot holds in a generation.
pub(super) fn of(seed: u64, slot: u16, generation: u64) -> String {
    let open = mix(&[seed, u64::from(slot), generation]);
    encode(open, place(slot, generation) ^ mix(&[seed, open]))
}

/// The slot and generation of an id made by [`of`] with this seed.
pub(super) fn parse(seed: u64, id: &str) -> Option<(u16, u64)> {
    let bytes: [u8; 16] = STANDARD.decode(id).ok()?.try_into().ok()?;
    let both = u128::from_be_bytes(bytes);
    let (open, masked) =
        (u64::try_from(both >> 64).ok()?, u64::try_from(both & u128::from(u64::MAX)).ok()?);
    let place = masked ^ mix(&[seed, open]);
    let (slot, generation) = (u16::try_from(place >> 48).ok()?, place & ((1 << 48) - 1));
    (mix(&[seed, u64::from(slot), generation]) == open).then_some((slot, generation))
}

/// Whether a text has the form of a session id.
pub(super) fn well_formed(id: &str) -> bool {
    id.len() == 24 && STANDARD.decode(id).is_ok_and(|bytes| bytes.len() == 16)
}

fn place(slot: u16, generation: u64) -> u64 {
    (u64::from(slot) << 48) | (generation & ((1 << 48) - 1))
}

fn encode(high: u64, low: u64) -> String {
    STANDARD.encode(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_ids_are_well_formed_and_of_their_kind() {
        for seed in 0..200 {
            let plain = fixed(seed, 0, IdKind::Plain);
            assert!(
                plain.trim_end_matches('=').chars().all(|c| c.is_ascii_alphanumeric()),
                "{plain}"
            );
            let slash = fixed(seed, 1, IdKind::Slash);
            assert!(
                slash.matches('/').count() == 1 && slash.contains('+') && !slash.starts_with('/')
            );
            let double = fixed(seed, 2, IdKind::DoubleSlash);
            assert!(double.contains("//") && !double.starts_with('/'));
            let leading = fixed(seed, 3, IdKind::LeadingSlash);
            assert!(leading.starts_with('/') && leading.matches('/').count() == 1);
            for id in [plain, slash, double, leading] {
                assert!(well_formed(&id), "{id}");
            }
        }
    }

    #[test]
    fn an_id_leads_back_to_its_place_and_a_foreign_one_nowhere() {
        for (slot, generation) in [(0, 0), (7, 1), (u16::MAX, 1 << 40)] {
            let id = of(9, slot, generation);
            assert!(well_formed(&id));
            assert_eq!(parse(9, &id), Some((slot, generation)));
            assert_eq!(parse(10, &id), None);
        }
        assert_eq!(parse(9, "KkMHZ4y8QhSUWAHi5sWvfg=="), None);
        assert_eq!(parse(9, "?"), None);
    }
}
