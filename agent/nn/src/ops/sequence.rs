//! States along a time-major sequence with resets inside it: what recurrent operations share.

use std::ops::Range;

/// Sizes of a recurrent operation.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Steps times sequences.
    pub rows: usize,
    /// Sequences.
    pub batch: usize,
    /// Numbers of an input row.
    pub inputs: usize,
    /// Numbers of a state.
    pub hidden: usize,
}

impl Sizes {
    pub fn num_steps(self) -> usize {
        self.rows / self.batch
    }

    /// The range of step `t` in a state `[rows, hidden]`.
    pub fn step(self, t: usize) -> Range<usize> {
        let len = self.batch * self.hidden;
        t * len..(t + 1) * len
    }

    /// Checks that starts and an initial state of `[batch, hidden]` numbers fit.
    ///
    /// # Panics
    /// When they do not.
    pub fn check(self, starts: &[bool], initial: &[f32]) {
        let Self {
            rows,
            batch,
            hidden,
            ..
        } = self;
        assert!(
            batch > 0 && rows.is_multiple_of(batch) && starts.len() == rows,
            "{rows} rows and {} starts do not form a sequence of batches of {batch}",
            starts.len()
        );
        assert!(
            initial.len() == batch * hidden,
            "the initial state does not match {batch} sequences with {hidden} hidden units"
        );
    }

    /// Returns the state after the last step of `states` `[rows, hidden]`.
    pub fn last(self, states: &[f32], initial: &[f32]) -> Vec<f32> {
        match states.len().checked_sub(self.batch * self.hidden) {
            Some(last) => states[last..].to_vec(),
            None => initial.to_vec(),
        }
    }
}

/// Returns the state before step `t`: the state after the previous step, with zeros where a sequence starts. It is copied
/// to `scratch` only if a sequence starts.
pub(crate) fn state_before<'a>(
    states: &'a [f32],
    initial: &'a [f32],
    starts: &[bool],
    t: usize,
    sizes: Sizes,
    scratch: &'a mut Vec<f32>,
) -> &'a [f32] {
    let before = match t.checked_sub(1) {
        Some(previous) => &states[sizes.step(previous)],
        None => initial,
    };
    let starts = &starts[t * sizes.batch..(t + 1) * sizes.batch];
    if !starts.contains(&true) {
        return before;
    }
    scratch.clear();
    scratch.extend_from_slice(before);
    zero_started(scratch, starts, sizes.hidden);
    scratch
}

/// Zeroes the rows of a state `[batch, hidden]` whose sequence starts.
pub(crate) fn zero_started(state: &mut [f32], starts: &[bool], hidden: usize) {
    for (row, _) in state
        .chunks_exact_mut(hidden)
        .zip(starts)
        .filter(|(_, start)| **start)
    {
        row.fill(0.0);
    }
}
