//! Memory that is taken for a while: replies that are being made or sent, environments that are being built.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what is taken for a while, beside what the sessions of a server hold.
#[derive(Debug)]
pub struct Rooms {
    taken: AtomicUsize,
    /// Most bytes of both together.
    max: usize,
}

impl Rooms {
    /// Nothing is taken yet.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Rooms {
            taken: AtomicUsize::new(0),
            max,
        })
    }

    /// Bytes that are taken for a while.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes room beside `held` bytes of sessions, if there is some. Where nothing else is taken there always is: what
    /// is there can be played and asked for, however full the server is, one at a time.
    pub fn take(self: &Arc<Self>, bytes: usize, held: usize) -> Option<Room> {
        let mut room = Room {
            rooms: Arc::clone(self),
            held,
            bytes: 0,
        };
        room.grow(bytes).then_some(room)
    }
}

/// Bytes that are taken until this is dropped.
#[derive(Debug)]
pub struct Room {
    rooms: Arc<Rooms>,
    /// What sessions held when it was taken.
    held: usize,
    bytes: usize,
}

impl Room {
    /// Takes more, up to so many bytes, if there is room.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let more = match bytes.checked_sub(self.bytes) {
            None | Some(0) => return true,
            Some(more) => more,
        };
        let (own, held, max) = (self.bytes, self.held, self.rooms.max);
        let fits = |taken: usize| {
            let sum = taken.checked_add(more)?;
            let is_within = sum.checked_add(held).is_some_and(|all| all <= max);
            (taken == own || is_within).then_some(sum)
        };
        let (order, taken) = (Ordering::Relaxed, &self.rooms.taken);
        let has_grown = taken.fetch_update(order, order, fits).is_ok();
        if has_grown {
            self.bytes = bytes;
        }
        has_grown
    }

    /// From now on it is so many bytes, which are there already.
    pub fn resize(&mut self, bytes: usize) {
        // Wraps around for less.
        let difference = bytes.wrapping_sub(self.bytes);
        self.rooms.taken.fetch_add(difference, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_and_given_back() {
        let rooms = Rooms::new(100);
        let mut first = rooms.take(40, 30).unwrap();
        assert!(rooms.take(31, 30).is_none());
        let second = rooms.take(30, 30).unwrap();
        assert!(!first.grow(41) && first.grow(40) && first.grow(3));
        first.resize(10);
        assert_eq!(rooms.taken(), 40);
        assert!(first.grow(40) && !first.grow(41));
        drop((first, second));
        assert_eq!(rooms.taken(), 0);
    }

    #[test]
    fn one_alone_is_never_refused() {
        let rooms = Rooms::new(100);
        let mut alone = rooms.take(1_000, 200).unwrap();
        assert!(alone.grow(2_000));
        assert!(rooms.take(1, 0).is_none());
        assert!(rooms.take(usize::MAX, usize::MAX).is_none());
        drop(alone);
        assert_eq!(rooms.taken(), 0);
        assert!(rooms.take(1, 200).is_some());
    }
}
