//! What HTTP/2 has taken of the answers of one connection, and keeps until the client opens its
//! windows. Nobody else watches it: the stream that was answered is over when it has handed over
//! its last piece.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::{Buf, Bytes};

use crate::policy::rounds::ROUNDS;

/// How many pieces are kept, by the round in which they were handed over.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pieces: [AtomicUsize; ROUNDS],
    current: AtomicUsize,
}

impl Kept {
    pub(super) fn pieces(&self) -> [usize; ROUNDS] {
        self.pieces.each_ref().map(|pieces| pieces.load(Relaxed))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces() == [0; ROUNDS]
    }

    /// From now on pieces belong to this round.
    pub(super) fn goes_on_with(&self, round: usize) {
        self.current.store(round, Relaxed);
    }

    fn add(self: &Arc<Self>) -> Keeping {
        let keeping = Keeping { kept: Arc::clone(self), round: self.current.load(Relaxed) };
        if let Some(pieces) = keeping.pieces() {
            pieces.fetch_add(1, Relaxed);
        }
        keeping
    }
}

#[derive(Debug)]
struct Keeping {
    kept: Arc<Kept>,
    round: usize,
}

impl Keeping {
    fn pieces(&self) -> Option<&AtomicUsize> {
        self.kept.pieces.get(self.round)
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if let Some(pieces) = self.pieces() {
            pieces.fetch_sub(1, Relaxed);
        }
    }
}

/// Of an answer, what is handed over at once. It is kept until it is written or given up.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    keeping: Option<Keeping>,
}

impl Piece {
    /// Kept by nobody.
    pub(super) fn free(bytes: Bytes) -> Self {
        Self { bytes, keeping: None }
    }

    pub(super) fn kept(bytes: Bytes, kept: &Arc<Kept>) -> Self {
        let keeping = (!bytes.is_empty()).then(|| kept.add());
        Self { bytes, keeping }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, written: usize) {
        self.bytes.advance(written);
        // A piece of which all is written may lie about until there is something else to do.
        if self.bytes.is_empty() {
            self.keeping = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_kept_until_it_is_written_or_given_up() {
        let kept = Arc::new(Kept::default());
        let piece = |bytes: &'static str| Piece::kept(Bytes::from_static(bytes.as_bytes()), &kept);
        let nothing = piece("");
        assert!(kept.is_empty());
        let mut written = piece("abc");
        kept.goes_on_with(3);
        let given_up = piece("abc");
        assert_eq!(kept.pieces(), [1, 0, 0, 1, 0, 0, 0, 0]);
        written.advance(2);
        assert_eq!((written.chunk(), kept.pieces()[0]), (&b"c"[..], 1));
        written.advance(1);
        assert_eq!((written.remaining(), kept.pieces()[0]), (0, 0));
        drop(given_up);
        assert!(kept.is_empty());
        drop((nothing, written));
        assert!(kept.is_empty());
        drop(Piece::free(Bytes::from_static(b"abc")));
        assert!(kept.is_empty());
    }
}
