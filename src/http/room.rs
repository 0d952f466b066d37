//! A bound on what many bodies together may hold in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes, for all who share it.
#[derive(Clone, Debug)]
pub struct Room {
    left: Arc<AtomicUsize>,
}

impl Room {
    /// Of this size.
    pub fn new(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// For those that have a bound of their own.
    pub fn unbounded() -> Self {
        Self::new(usize::MAX)
    }

    /// A part of it, of nothing yet.
    pub fn part(&self) -> Held {
        Held { room: self.clone(), bytes: 0 }
    }
}

/// What one body holds of the room. Dropped, it is given back.
#[derive(Debug)]
pub struct Held {
    room: Room,
    bytes: usize,
}

impl Held {
    /// Takes so much more, or nothing if there is not so much left.
    pub fn grow(&mut self, bytes: usize) -> Grown {
        let take = |left: usize| left.checked_sub(bytes);
        let taken = self.room.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if taken.is_err() {
            return Grown::No;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Grown::Yes
    }
}

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grown {
    /// There was.
    Yes,
    /// There was not.
    No,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_hold_no_more_than_there_is_and_give_it_back() {
        let room = Room::new(10);
        let (mut one, mut other) = (room.part(), room.part());
        assert_eq!(
            (one.grow(6), other.grow(5), other.grow(4)),
            (Grown::Yes, Grown::No, Grown::Yes)
        );
        assert_eq!(other.grow(1), Grown::No);
        drop(one);
        assert_eq!((other.grow(7), other.grow(6)), (Grown::No, Grown::Yes));
    }
}
