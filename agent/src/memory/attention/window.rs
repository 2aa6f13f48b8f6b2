//! A memory of the last inputs of an episode from one read of them.

use std::ops::RangeInclusive;

use crate::hyper::section::section;
use crate::memory::{
    Array, CoreContext, CoreStep, MemoryContents, MemoryCore, NO_ONNX, Segment, State, Unrolled,
};
use crate::nn::{Graph, Params, Tensor};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;

section! {
    /// How far a window looks back.
    pub struct Context, overridden by ContextOverrides {
        /// Steps that a window over the last steps reaches back; of a frame stack the number of frames, with the current one.
        memory_window: usize = 32, |&v| (1..=4_096).contains(&v), "1 to 4096";
    }
}

/// Index of a place without an entry.
const EMPTY: i32 = -1;

/// Where rows find the steps before them: in a table of entries that were carried, then one for each row.
pub struct Places<'a> {
    /// `[T * B]`: rows that begin an episode.
    pub starts: &'a [bool],
    /// Lanes B.
    pub batch: usize,
    /// Entries before those of the rows.
    pub carried: usize,
}

impl Places<'_> {
    /// Returns the entries at these distances back in time, `[T * B, distances]`, and -1 for those before the episode's
    /// beginning; at distance 0 is the row itself. `before` gives the entry of a lane at a distance from its first row, 1
    /// for the last one carried, if that belongs to the lane's episode.
    pub fn index(
        &self,
        distances: RangeInclusive<usize>,
        before: impl Fn(usize, usize) -> Option<usize>,
    ) -> Vec<i32> {
        let (first, batch) = (self.carried, self.batch);
        let mut begun = vec![None; batch];
        let mut index = Vec::with_capacity(self.starts.len() * distances.clone().count());
        for (row, &start) in self.starts.iter().enumerate() {
            let (t, lane) = (row / batch, row % batch);
            if start {
                begun[lane] = Some(t);
            }
            let played = t - begun[lane].unwrap_or(0);
            let is_carried = begun[lane].is_none();
            let within = played.min(*distances.end());
            let own = *distances.start()..=within;
            index.extend(own.map(|back| (first + row - back * batch) as i32));
            let beyond = (within + 1).max(*distances.start())..=*distances.end();
            if is_carried {
                index.extend(
                    beyond.map(|back| {
                        before(lane, back - played).map_or(EMPTY, |entry| entry as i32)
                    }),
                );
            } else {
                index.extend(beyond.map(|_| EMPTY));
            }
        }
        index
    }
}

/// The rows of a read: T steps of B lanes, time-major.
pub struct Rows<'a> {
    /// The current inputs, `[T*B, input_size]`.
    pub x: &'a Tensor,
    /// Every remembered input once, `[E, input_size]`.
    pub entries: &'a Tensor,
    /// `[T*B, K]`: which entries a row remembers, the latest first, with -1 for places before the episode's beginning.
    pub index: &'a [i32],
    /// `[T*B]`: whether a row begins an episode.
    pub starts: &'a [bool],
    /// Matrices of [`Reader::carried_widths`] before the first step: `[B, width]` each.
    pub carried: &'a [Array],
}

impl Rows<'_> {
    /// Returns the number of lanes, B, where anything is carried.
    pub fn batch(&self) -> usize {
        let first = &self.carried[0];
        first.data.len() / first.width
    }
}

/// The result of a read.
pub struct Read {
    /// `[rows, feature_size]`.
    pub features: Tensor,
    /// What [`Reader::attention`] names: `[rows, K]` each, the latest step first. May be empty if the graph records.
    pub attention: Vec<Vec<f32>>,
    /// The same matrices after the last step: `[B, width]` each.
    pub carried: Vec<Vec<f32>>,
}

/// A read of the last inputs. [`Window`] makes a memory of it.
pub trait Reader: Send + Sync {
    /// Returns the width of the features.
    fn feature_size(&self) -> usize;

    /// Returns the number of inputs that are remembered, K.
    fn length(&self) -> usize;

    /// Returns the names of the attentions that a read has, for inspection.
    fn attention(&self) -> &[&'static str] {
        &[]
    }

    /// Returns the widths of the matrices that it carries from step to step besides the inputs. They begin with zeros.
    fn carried_widths(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Computes features `[rows, feature_size]` from the current inputs and the K inputs before each.
    fn read(&self, graph: &mut Graph<'_>, rows: &Rows<'_>) -> Read;

    /// Adds a step to an ONNX graph, as [`MemoryCore::onnx`] does.
    ///
    /// # Errors
    /// The reason why the reader has no such form.
    fn onnx(
        &self,
        _step: &mut StepGraph<'_>,
        _inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        Err(NO_ONNX)
    }
}

/// Indices of the state's arrays.
mod array {
    /// Steps so far in the episode, at most K.
    pub const LENGTH: usize = 0;
    /// The last K inputs, the latest first.
    pub const INPUTS: usize = 1;
    /// The attentions of the last step, K numbers each.
    pub const ATTENTION: usize = 2;
    /// The first of those that the reader carries.
    pub const CARRIED: usize = 3;
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

    /// Reads for every row. The entries are the state's, K for each lane, then the inputs of the rows.
    fn run(&self, graph: &mut Graph<'_>, inputs: &[f32], starts: &[bool], state: &State) -> Read {
        let (batch, length) = (state.rows(), self.reader.length());
        let places = Places {
            starts,
            batch,
            carried: batch * length,
        };
        let index = places.index(1..=length, |lane, back| {
            let kept = state.arrays[array::LENGTH].row(lane)[0] as usize;
            (back <= kept).then(|| lane * length + back - 1)
        });
        let entries = [&state.arrays[array::INPUTS].data[..], inputs].concat();
        let entries = graph.constant(entries, (places.carried + starts.len(), self.input_size));
        let x = graph.constant(inputs.to_vec(), (starts.len(), self.input_size));
        self.reader.read(
            graph,
            &Rows {
                x: &x,
                entries: &entries,
                index: &index,
                starts,
                carried: &state.arrays[array::CARRIED..],
            },
        )
    }

    /// Makes the inputs of a step the latest that are remembered.
    fn remember(&self, state: &mut State, inputs: &[f32]) {
        let length = self.reader.length();
        for (lane, input) in inputs.chunks_exact(self.input_size).enumerate() {
            let kept = state.arrays[array::INPUTS].row_mut(lane);
            if let Some(older) = kept.len().checked_sub(input.len()) {
                kept.copy_within(..older, input.len());
                kept[..input.len()].copy_from_slice(input);
            }
            let steps = &mut state.arrays[array::LENGTH].row_mut(lane)[0];
            *steps = (*steps + 1.0).min(length as f32);
        }
    }
}

impl<R: Reader> MemoryCore for Window<R> {
    fn feature_size(&self) -> usize {
        self.reader.feature_size()
    }

    fn initial_state(&self, batch: usize) -> State {
        let length = self.reader.length();
        let attention = length * self.reader.attention().len();
        let mut widths = vec![1, length * self.input_size, attention];
        widths.extend(self.reader.carried_widths());
        let zeros = widths
            .into_iter()
            .map(|width| Array::filled(batch, width, 0.0));
        State::new(batch, zeros.collect())
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        for lane in (0..starts.len()).filter(|&lane| starts[lane]) {
            for array in &mut state.arrays {
                array.row_mut(lane).fill(0.0);
            }
        }
        let read = self.run(&mut Graph::inference(params), inputs, starts, state);
        self.remember(state, inputs);
        let carried = state.arrays[array::CARRIED..].iter_mut();
        for (array, after) in carried.zip(read.carried) {
            array.data = after;
        }
        let length = self.reader.length();
        for (which, weights) in read.attention.iter().enumerate() {
            for (lane, weights) in weights.chunks_exact(length).enumerate() {
                state.arrays[array::ATTENTION].row_mut(lane)[which * length..][..length]
                    .copy_from_slice(weights);
            }
        }
        CoreStep {
            features: read.features,
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let read = self.run(graph, segment.inputs, segment.starts, segment.initial_state);
        Unrolled {
            features: read.features,
            critic_features: None,
            losses: Vec::new(),
        }
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let names = self.reader.attention();
        if names.is_empty() {
            return MemoryContents::Nothing;
        }
        let weights = state.arrays[array::ATTENTION].row(lane);
        let parts = weights
            .chunks_exact(self.reader.length())
            .map(<[f32]>::to_vec);
        MemoryContents::Vectors(names.iter().copied().zip(parts).collect())
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        self.reader.onnx(step, inputs)
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

        fn read(&self, graph: &mut Graph<'_>, rows: &Rows<'_>) -> Read {
            let Rows {
                x, entries, index, ..
            } = *rows;
            let entry = |place: i32| usize::try_from(place).map_or(0.0, |at| values(entries)[at]);
            let rows = index.chunks_exact(2).zip(values(x));
            let answers = rows.flat_map(|(places, &x)| [entry(places[1]), entry(places[0]), x]);
            Read {
                features: graph.constant(answers.collect(), (index.len() / 2, 3)),
                attention: Vec::new(),
                carried: Vec::new(),
            }
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

    /// Two lanes and three rows each; the second lane begins an episode at its second row. Lane 0 carries entries 0 and 1,
    /// lane 1 entry 2.
    #[test]
    fn places_reach_back_to_the_beginning_of_the_episode() {
        let places = Places {
            starts: &[false, false, false, true, false, false],
            batch: 2,
            carried: 4,
        };
        let index = places.index(0..=3, |lane, back| {
            (back + lane <= 2).then(|| 2 * lane + back - 1)
        });
        let expected = [
            [4, 0, 1, -1],
            [5, 2, -1, -1],
            [6, 4, 0, 1],
            [7, -1, -1, -1],
            [8, 6, 4, 0],
            [9, 7, -1, -1],
        ];
        assert_eq!(index, expected.concat());
    }
}
