//! Numbered operations: each is applied once, and a repeated one gets its stored reply.

use std::collections::VecDeque;

use env_protocol::{ErrorCode, Problem};

/// The decision on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Apply it: it is the next operation.
    Next,
    /// Give the reply to the operation with this number again.
    Again(u64),
}

/// Decides whether a request is the next operation of a session or a repetition.
///
/// `seq` is the number in the request, if it has one, `next` that of the next operation, and
/// `first` that of the earliest operation that is kept. `is_same` says whether the operation kept
/// under a number is that of the request; `None` if none is kept.
///
/// # Errors
/// `seq-reused`, if the last operation was a different one; `seq-conflict`, if an earlier operation
/// was a different one or is not kept, and if the number is still to come.
pub fn turn(
    seq: Option<u64>,
    next: u64,
    first: impl FnOnce() -> u64,
    is_same: impl FnOnce(u64) -> Option<bool>,
) -> Result<Turn, Problem> {
    let Some(seq) = seq.filter(|&seq| seq != next) else {
        return Ok(Turn::Next);
    };
    match is_same(seq) {
        Some(true) => Ok(Turn::Again(seq)),
        Some(false) if seq.checked_add(1) == Some(next) => {
            let detail = format!("seq {seq} has been used for another operation or body");
            Err(Problem::new(ErrorCode::SeqReused, detail).at("/seq"))
        }
        _ => Err(conflict(seq, next, first())),
    }
}

fn conflict(seq: u64, next: u64, first: u64) -> Problem {
    let mut detail = format!("seq is {seq}, but {next} comes next");
    if seq < first {
        detail.push_str(&format!(
            ", and no operation before {first} can be answered again"
        ));
    }
    let mut problem = Problem::new(ErrorCode::SeqConflict, detail).at("/seq");
    problem.expected_seq = Some(next);
    problem
}

/// The last operations of a session with their replies, as many as fit. The last one always does.
#[derive(Debug)]
pub struct Window<O, R> {
    /// Each with its bytes.
    kept: VecDeque<(O, R, usize)>,
    bytes: usize,
    max_operations: usize,
    max_bytes: usize,
}

impl<O: PartialEq, R> Window<O, R> {
    /// Keeps at most so many operations, and bytes of them.
    pub fn new(max_operations: usize, max_bytes: usize) -> Self {
        Window {
            kept: VecDeque::new(),
            bytes: 0,
            max_operations,
            max_bytes,
        }
    }

    /// Keeps the next operation and its reply, which take `bytes`, and drops the earliest ones that
    /// no longer fit.
    pub fn push(&mut self, operation: O, reply: R, bytes: usize) {
        self.bytes += bytes;
        self.kept.push_back((operation, reply, bytes));
        while self.kept.len() > 1
            && (self.kept.len() > self.max_operations || self.bytes > self.max_bytes)
        {
            if let Some((_, _, bytes)) = self.kept.pop_front() {
                self.bytes -= bytes;
            }
        }
    }

    /// Returns the bytes of everything that is kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of the earliest operation that is kept, where `next` is that of the next
    /// one.
    pub fn first(&self, next: u64) -> u64 {
        next - self.kept.len() as u64
    }

    /// Returns an operation that is kept, and its reply.
    pub fn get(&self, seq: u64, next: u64) -> Option<(&O, &R)> {
        let place = usize::try_from(seq.checked_sub(self.first(next))?).ok()?;
        self.kept
            .get(place)
            .map(|(operation, reply, _)| (operation, reply))
    }

    /// Decides on a request, as [`turn`] does.
    ///
    /// # Errors
    /// As there.
    pub fn turn(&self, seq: Option<u64>, next: u64, operation: &O) -> Result<Turn, Problem> {
        let is_same = |seq| self.get(seq, next).map(|(kept, _)| kept == operation);
        turn(seq, next, || self.first(next), is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_known_by_its_number_and_its_operation() {
        let mut window = Window::new(3, 100);
        for (operation, reply) in [("a", 0), ("b", 1), ("c", 2), ("d", 3)] {
            window.push(operation, reply, 10);
        }
        let turn = |seq, operation| window.turn(seq, 4, &operation);
        assert_eq!(turn(None, "x"), Ok(Turn::Next));
        assert_eq!(turn(Some(4), "d"), Ok(Turn::Next));
        assert_eq!(turn(Some(3), "d"), Ok(Turn::Again(3)));
        assert_eq!(turn(Some(1), "b"), Ok(Turn::Again(1)));
        assert_eq!(window.get(1, 4), Some((&"b", &1)));
        for (seq, operation, code, ending) in [
            (3, "x", ErrorCode::SeqReused, "another operation or body"),
            (1, "x", ErrorCode::SeqConflict, "but 4 comes next"),
            (5, "e", ErrorCode::SeqConflict, "but 4 comes next"),
            (u64::MAX, "e", ErrorCode::SeqConflict, "but 4 comes next"),
            (
                0,
                "a",
                ErrorCode::SeqConflict,
                "no operation before 1 can be answered again",
            ),
        ] {
            let problem = turn(Some(seq), operation).unwrap_err();
            assert_eq!(problem.code, code, "{seq}");
            assert!(problem.detail.ends_with(ending), "{}", problem.detail);
            let expected = (code == ErrorCode::SeqConflict).then_some(4);
            assert_eq!(problem.expected_seq, expected);
        }
    }

    #[test]
    fn the_last_operation_is_kept_whatever_its_size() {
        let mut window = Window::new(3, 100);
        for bytes in [10, 40, 60, 300, 20] {
            window.push((), (), bytes);
        }
        assert_eq!((window.bytes(), window.first(5)), (20, 4));
        window.push((), (), 80);
        assert_eq!((window.bytes(), window.first(6)), (100, 4));
        window.push((), (), 101);
        assert_eq!((window.bytes(), window.first(7)), (101, 6));
    }
}
