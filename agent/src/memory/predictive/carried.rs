//! What MERLIN carries from step to step: in a state between steps, on a graph within them.

use super::rows::Rows;
use super::settings::Predictive;
use crate::memory::{Array, State};
use crate::nn::{Graph, Tensor, values};

/// Places of the arrays of a state.
pub(super) mod array {
    pub const Z: usize = 0;
    pub const MEMORY: usize = 1;
    /// h, c and reads of the predictor.
    pub const PREDICTOR: usize = 2;
    /// h, c and the read of the policy.
    pub const POLICY: usize = 5;
    pub const WRITTEN: usize = 8;
    pub const USAGE: usize = 9;
    pub const LATER: usize = 10;
    pub const ATTENTION: usize = 11;
}

/// The state of a controller: h and c of its LSTM, and what it has read.
pub(super) struct Recurrence {
    pub h: Tensor,
    pub c: Tensor,
    pub reads: Tensor,
}

/// A state on a graph, and what is beside it.
pub(super) struct Carried {
    /// z of the step before, which the predictor has not taken in yet.
    pub z: Tensor,
    pub predictor: Recurrence,
    pub policy: Recurrence,
    /// `[batch, N * 2 * latent_size]`.
    pub memory: Tensor,
    pub rows: Rows,
    /// Weights of the policy's last read, `[batch, N]`.
    pub attention: Vec<f32>,
}

impl Carried {
    /// Returns the state of `batch` lanes that have seen nothing, with LSTMs of `hidden` units.
    pub fn nothing(batch: usize, hyper: &Predictive, hidden: usize) -> State {
        let (size, rows) = (hyper.latent_size, hyper.memory_rows);
        let width = 2 * size;
        let predictor = [hidden, hidden, hyper.predictor_reads * width];
        let policy = [hidden, hidden, width];
        let widths = [&[size, rows * width][..], &predictor, &policy].concat();
        let zeros = |width: usize| Array::filled(batch, width, 0.0);
        let mut arrays: Vec<Array> = widths.into_iter().map(zeros).collect();
        arrays.extend(Rows::arrays(batch, rows));
        arrays.push(zeros(rows));
        State::new(batch, arrays)
    }

    /// Puts a state on a graph, as constants.
    pub fn new(graph: &Graph<'_>, state: &State, hyper: &Predictive) -> Self {
        let tensor = |at: usize| {
            let Array { width, data } = &state.arrays[at];
            graph.constant(data.clone(), (state.rows(), *width))
        };
        let recurrence = |first: usize| Recurrence {
            h: tensor(first),
            c: tensor(first + 1),
            reads: tensor(first + 2),
        };
        let rows = [array::WRITTEN, array::USAGE, array::LATER].map(|at| &state.arrays[at]);
        let reads = hyper.predictor_reads + 1;
        Self {
            z: tensor(array::Z),
            predictor: recurrence(array::PREDICTOR),
            policy: recurrence(array::POLICY),
            memory: tensor(array::MEMORY),
            rows: Rows::new((hyper.retroactive_decay, reads), rows),
            attention: state.arrays[array::ATTENTION].data.clone(),
        }
    }

    /// Empties the lanes that start an episode.
    pub fn reset(&mut self, graph: &mut Graph<'_>, starts: &[bool]) {
        let kept = starts.iter().map(|&start| f32::from(u8::from(!start)));
        let kept = graph.constant(kept.collect(), (starts.len(), 1));
        let recurrences = [&mut self.predictor, &mut self.policy];
        let states = recurrences.map(|Recurrence { h, c, reads }| [h, c, reads]);
        for state in states.into_iter().flatten().chain([&mut self.memory]) {
            *state = graph.scale_rows(state, &kept);
        }
        self.rows.clear(starts);
    }

    /// Writes everything into a state.
    pub fn store(self, state: &mut State) {
        let recurrences = [&self.predictor, &self.policy];
        let states = recurrences.map(|Recurrence { h, c, reads }| [h, c, reads]);
        let tensors = [&self.z, &self.memory]
            .into_iter()
            .chain(states.into_iter().flatten());
        let numbers = tensors.map(|tensor| values(tensor).to_vec());
        let rows = [
            self.rows.written,
            self.rows.usage,
            self.rows.later,
            self.attention,
        ];
        for (array, data) in state.arrays.iter_mut().zip(numbers.chain(rows)) {
            array.data = data;
        }
    }
}
