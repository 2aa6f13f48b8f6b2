//! Temporary memory: replies being built or sent, environments being built.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts temporary memory, in addition to that of the server's sessions.
#[derive(Debug)]
pub struct Rooms {
    taken: AtomicUsize,
    /// Most bytes of both together.
    max: usize,
}

impl Rooms {
    /// Creates a count at zero.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Rooms {
            taken: AtomicUsize::new(0),
            max,
        })
    }

    /// Returns the bytes of temporary memory.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Reserves `bytes` in addition to `held` bytes of sessions, if they fit. A reservation always
    /// succeeds if there is no other: however full the server is, existing environments can be
    /// played and read, one at a time.
    pub fn take(self: &Arc<Self>, bytes: usize, held: usize) -> Option<Room> {
        let mut room = Room {
            rooms: Arc::clone(self),
            held,
            bytes: 0,
        };
        room.grow(bytes).then_some(room)
    }
}

/// A reservation of bytes, until it is dropped.
#[derive(Debug)]
pub struct Room {
    rooms: Arc<Rooms>,
    /// Bytes held by sessions when it was made.
    held: usize,
    bytes: usize,
}

impl Room {
    /// Grows the reservation to `bytes`, if they fit.
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

    /// Sets the reservation to `bytes`, which are already allocated.
    pub fn resize(&mut self, bytes: usize) {
        // Wraps around for a smaller size.
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
