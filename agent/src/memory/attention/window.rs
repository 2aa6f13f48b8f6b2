//! A memory of the last inputs of an episode from one read of them.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::memory::{Array, CoreContext, CoreStep, MemoryCore, Segment, State, Unrolled};
use crate::nn::{Graph, Params, Tensor};

/// Index of a place without an entry.
const EMPTY: i32 = -1;

/// A read of the last inputs. [`Window`] makes a memory of it.
pub trait Reader: Send + Sync {
    /// Returns the width of the features.
    fn feature_size(&self) -> usize;

    /// Returns the number of inputs that are remembered, K.
    fn length(&self) -> usize;

    /// Computes features `[rows, feature_size]` from the current inputs `[rows, input_size]` and the K inputs before
    /// each. `entries` `[E, input_size]` holds every remembered input once; `index` `[rows * K]` says which of them a
    /// row remembers, the latest first, with -1 for places before the episode's beginning.
    fn read(&self, graph: &mut Graph<'_>, x: &Tensor, entries: &Tensor, index: &[i32]) -> Tensor;
}

/// Indices of the state's arrays.
mod array {
    /// Steps so far in the episode, at most K.
    pub const LENGTH: usize = 0;
    /// The last K inputs, the latest first.
    pub const INPUTS: usize = 1;
}

/// A memory that reads the last K inputs of the episode. Inputs are kept raw, so nothing is stale and no gradient flows
/// through time.
pub struct Window<R> {
    reader: R,
    input_size: usize,
}

impl<R: Reader> Window<R> {
    /// Builds the reader, which adds its parameters to the context's.
    pub fn new(reader: fn(&mut CoreContext<'_>) -> R, context: &mut CoreContext<'_>) -> Self {
        Self {
            reader: reader(context),
            input_size: context.input_size,
        }
    }

    /// Returns the entry of each place of each row, `[(T + 1) * B, K]`: of every step, and of a step after the last.
    /// The carried entries of a lane come first, K for each lane, then the inputs of the steps.
    fn index(&self, starts: &[bool], state: &State) -> Vec<i32> {
        let (batch, length) = (state.rows(), self.reader.length());
        let steps = starts.len() / batch;
        let mut begun = vec![None; batch];
        let mut index = Vec::with_capacity((steps + 1) * batch * length);
        for t in 0..=steps {
            for (lane, begun) in begun.iter_mut().enumerate() {
                if t < steps && starts[t * batch + lane] {
                    *begun = Some(t);
                }
                let carried = match begun {
                    Some(_) => 0,
                    None => state.arrays[array::LENGTH].row(lane)[0] as usize,
                };
                let played = t - begun.unwrap_or(0);
                index.extend((0..length).map(|back| {
                    if back < played {
                        (length * batch + (t - 1 - back) * batch + lane) as i32
                    } else if back - played < carried {
                        (length * lane + back - played) as i32
                    } else {
                        EMPTY
                    }
                }));
            }
        }
        index
    }

    /// Returns the features of the steps, all entries, and the places of the step after the last.
    fn run(
        &self,
        graph: &mut Graph<'_>,
        inputs: &[f32],
        starts: &[bool],
        state: &State,
    ) -> (Tensor, Vec<f32>, Vec<i32>) {
        let entries = [&state.arrays[array::INPUTS].data[..], inputs].concat();
        let mut index = self.index(starts, state);
        let after = index.split_off(starts.len() * self.reader.length());
        let table = (entries.len() / self.input_size, self.input_size);
        let table = graph.constant(entries.clone(), table);
        let x = graph.constant(inputs.to_vec(), (starts.len(), self.input_size));
        let features = self.reader.read(graph, &x, &table, &index);
        (features, entries, after)
    }
}

impl<R: Reader> MemoryCore for Window<R> {
    fn feature_size(&self) -> usize {
        self.reader.feature_size()
    }

    fn initial_state(&self, batch: usize) -> State {
        let widths = [1, self.reader.length() * self.input_size];
        let zeros = widths.map(|width| Array::filled(batch, width, 0.0));
        State::new(batch, zeros.into())
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut Xoshiro256PlusPlus>,
    ) -> CoreStep {
        let mut graph = Graph::inference(params);
        let (features, entries, after) = self.run(&mut graph, inputs, starts, state);
        let length = self.reader.length();
        for (lane, places) in after.chunks_exact(length).enumerate() {
            let filled = places.iter().filter(|&&place| place != EMPTY).count();
            state.arrays[array::LENGTH].row_mut(lane)[0] = filled as f32;
            let kept = state.arrays[array::INPUTS].row_mut(lane);
            for (kept, &place) in kept.chunks_exact_mut(self.input_size).zip(places) {
                match usize::try_from(place) {
                    Ok(entry) => {
                        kept.copy_from_slice(&entries[entry * self.input_size..][..kept.len()]);
                    }
                    Err(_) => kept.fill(0.0),
                }
            }
        }
        CoreStep {
            features,
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let (features, ..) = self.run(graph, segment.inputs, segment.starts, segment.initial_state);
        Unrolled {
            features,
            critic_features: None,
            losses: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::values;

    /// Answers with the inputs two, one and no steps ago, 0 where there is none.
    struct Last;

    impl Reader for Last {
        fn feature_size(&self) -> usize {
            3
        }

        fn length(&self) -> usize {
            2
        }

        fn read(
            &self,
            graph: &mut Graph<'_>,
            x: &Tensor,
            entries: &Tensor,
            index: &[i32],
        ) -> Tensor {
            let entry = |place: i32| usize::try_from(place).map_or(0.0, |at| values(entries)[at]);
            let rows = index.chunks_exact(2).zip(values(x));
            let answers = rows.flat_map(|(places, &x)| [entry(places[1]), entry(places[0]), x]);
            graph.constant(answers.collect(), (index.len() / 2, 3))
        }
    }

    /// Two lanes; the second begins an episode at step 2.
    #[test]
    fn a_row_remembers_the_last_inputs_of_its_episode() {
        let core = Window {
            reader: Last,
            input_size: 1,
        };
        let params = Params::new();
        let mut state = core.initial_state(2);
        let mut seen = Vec::new();
        let inputs = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0];
        let starts = [true, true, false, false, false, true, false, false];
        for (inputs, starts) in inputs.chunks(2).zip(starts.chunks(2)) {
            let step = core.step(&params, inputs, starts, &mut state, None);
            seen.extend_from_slice(values(&step.features));
        }
        let expected = [
            [0., 0., 1.],
            [0., 0., 10.],
            [0., 1., 2.],
            [0., 10., 20.],
            [1., 2., 3.],
            [0., 0., 30.],
            [2., 3., 4.],
            [0., 30., 40.],
        ];
        assert_eq!(seen, expected.concat());
        assert_eq!(state.arrays[array::INPUTS].data, [4., 3., 40., 30.]);
    }
}
