//! A bound on what many bodies together may hold in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes, for all who share it.
#[derive(Clone, Debug)]
pub struct Room {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    left: AtomicUsize,
    /// The one that this is a part of.
    outer: Option<Room>,
}

impl Room {
    /// Of this size.
    pub fn new(bytes: usize) -> Self {
        Self { inner: Arc::new(Inner { left: AtomicUsize::new(bytes), outer: None }) }
    }

    /// For those that have a bound of their own.
    pub fn unbounded() -> Self {
        Self::new(usize::MAX)
    }

    /// A smaller one within: what is held of it is held of both.
    pub fn within(&self, bytes: usize) -> Self {
        let outer = Some(self.clone());
        Self { inner: Arc::new(Inner { left: AtomicUsize::new(bytes), outer }) }
    }

    /// A part of it, of nothing yet.
    pub fn part(&self) -> Held {
        Held { room: self.clone(), bytes: 0 }
    }

    /// Bytes that are left of it.
    pub fn left(&self) -> usize {
        self.inner.left.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Grown {
        let take = |left: usize| left.checked_sub(bytes);
        let left = &self.inner.left;
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Grown::No;
        }
        let grown = self.inner.outer.as_ref().map_or(Grown::Yes, |outer| outer.take(bytes));
        if grown == Grown::No {
            left.fetch_add(bytes, Ordering::Relaxed);
        }
        grown
    }

    fn give_back(&self, bytes: usize) {
        self.inner.left.fetch_add(bytes, Ordering::Relaxed);
        if let Some(outer) = &self.inner.outer {
            outer.give_back(bytes);
        }
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
        let grown = self.room.take(bytes);
        if grown == Grown::Yes {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        grown
    }

    /// Gives back what is more than that.
    pub fn shrink_to(&mut self, bytes: usize) {
        let spare = self.bytes.saturating_sub(bytes);
        self.bytes -= spare;
        self.room.give_back(spare);
    }

    /// Leaves the smaller room for the one around it, in which it takes as much as before.
    pub fn moved_out(mut self) -> Self {
        if let Some(outer) = self.room.inner.outer.clone() {
            self.room.inner.left.fetch_add(self.bytes, Ordering::Relaxed);
            self.room = outer;
        }
        self
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
        self.room.give_back(self.bytes);
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
        other.shrink_to(3);
        assert_eq!(room.left(), 7);
    }

    #[test]
    fn a_room_within_another_is_bounded_by_both_and_can_be_left() {
        let house = Room::new(10);
        let room = house.within(6);
        let (mut one, mut other, mut outside) = (room.part(), room.part(), house.part());
        assert_eq!((one.grow(5), other.grow(2)), (Grown::Yes, Grown::No), "the room is full");
        assert_eq!((room.left(), house.left()), (1, 5), "who got nothing has taken nothing");
        let mut one = one.moved_out();
        assert_eq!((room.left(), house.left()), (6, 5));
        assert_eq!((outside.grow(2), other.grow(4)), (Grown::Yes, Grown::No), "the house is full");
        assert_eq!((room.left(), house.left()), (6, 3));
        assert_eq!((other.grow(3), one.grow(1)), (Grown::Yes, Grown::No));
        drop((one, other, outside));
        assert_eq!((room.left(), house.left()), (6, 10));
    }
}
