//! Memory of its own, that gives its room back when nobody reads it any more.

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;

use super::{Content, head};
use crate::http::Held;

struct Block {
    bytes: Box<[u8]>,
    _held: Held,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that hold their room as long as anybody holds a slice of them: the entry, its successor,
/// or the connection of a client that reads slowly, when both are long forgotten.
pub(super) fn block(bytes: Vec<u8>, held: Held) -> Bytes {
    Bytes::from_owner(Block { bytes: bytes.into_boxed_slice(), _held: held })
}

/// What an allocator takes for so many bytes: it has four sizes between one power of two and the
/// next.
pub(super) const fn occupied(bytes: usize) -> usize {
    match bytes.checked_ilog2() {
        Some(log) if log > 4 => bytes.next_multiple_of(1 << (log - 2)),
        _ => bytes.next_multiple_of(8),
    }
}

/// Head and body, and the bytes that they occupy together.
pub(super) fn joined(
    status: StatusCode,
    headers: &HeaderMap,
    content: Content,
) -> (Bytes, Bytes, usize) {
    match content {
        // One block: what came from the wire shares the connection's read buffer, and has to be
        // copied once in any case.
        Content::Arrived(body, held) => {
            let mut text = head::write(status, headers, body.len());
            let end_of_head = text.len();
            text.extend_from_slice(&body);
            let occupied = occupied(text.len());
            let block = block(text, held);
            (block.slice(..end_of_head), block.slice(end_of_head..), occupied)
        }
        // The head that the body stands behind is held with it.
        Content::Confirmed(body) => {
            let head = Bytes::from(head::write(status, headers, 0));
            let occupied = occupied(head.len()) + occupied(head.len() + body.len());
            (head, body, occupied)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Grown, Room};

    #[test]
    fn room_is_held_by_the_last_slice() {
        let room = Room::new(4);
        let mut held = room.part();
        assert_eq!(held.grow(4), Grown::Yes);
        let bytes = block(b"text".to_vec(), held);
        let slice = bytes.slice(1..2);
        drop(bytes);
        assert_eq!((slice.as_ref(), room.part().grow(1)), (&b"e"[..], Grown::No));
        drop(slice);
        assert_eq!(room.part().grow(4), Grown::Yes);
    }

    #[test]
    fn what_an_allocator_takes() {
        for (bytes, expected) in [(0, 0), (1, 8), (31, 32), (33, 40), (64, 64), (65, 80)] {
            assert_eq!(occupied(bytes), expected, "{bytes}");
        }
        assert_eq!((occupied(1_025), occupied(10_240), occupied(10_241)), (1_280, 10_240, 12_288));
    }
}
