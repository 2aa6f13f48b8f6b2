//! The observations of an episode as one key (Blundell et al. 2016, arXiv:1606.04460, section 3.1, on histories in place of
//! frames).

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::hyper::section::section;
use crate::memory::attention::window::Context;
use crate::memory::{
    Array, CoreContext, CoreStep, MemoryContents, MemoryCore, Segment, State, Unrolled,
};
use crate::nn::{Graph, Init, ParamId, Params};
use crate::seeds::LaneGenerators;

/// The content of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EpisodicKey {
    /// The last observations of the episode, and the time.
    History,
    /// The current observation.
    Observation,
}

section! {
    /// Keys of tables of past returns.
    pub struct Keys, overridden by KeysOverrides {
        /// Content of a key: `history` (the last `memory_window` observations and the time) or `observation` (the
        /// control, which remembers nothing).
        #[arg(value_name = "KEY")]
        episodic_key: EpisodicKey = EpisodicKey::History, |_| true, "history or observation";
        /// Distance between the keys of two histories that differ by one step in length alone.
        time_weight: f32 = 3.0, |&v| (0.0..=1_000.0).contains(&v), "0 to 1000";
        /// Numbers to which a fixed random projection brings the observations of a key; 0 leaves them as they are.
        key_projection: usize = 0, |&v| v <= 4_096, "0 to 4096";
    }
}

/// Indices of the state's arrays.
mod array {
    /// Steps before in the episode.
    pub const AGE: usize = 0;
    /// `length` observations, the oldest first, then zeros.
    pub const HISTORY: usize = 1;
}

/// A history of observations. Nothing of it is trained.
///
/// A key is the time t times a weight, then the last observations from the left, the oldest first, then zeros: histories of
/// equal length are compared step by step. Past actions are no part of it: where they change nothing, they would multiply
/// the keys of a history by the number of actions, once for each step.
pub struct History {
    key: EpisodicKey,
    /// Observations in a key.
    length: usize,
    time_weight: f32,
    /// `[length * observation, projection]`.
    projection: Option<ParamId>,
    /// Numbers of a key after the time.
    width: usize,
    input_size: usize,
    /// Columns of an input row that are left out: the previous action.
    excluded: std::ops::Range<usize>,
}

impl History {
    /// Adds its projection to the context's parameters, if there is one.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let Keys {
            episodic_key,
            time_weight,
            key_projection,
        } = context.hyper.get();
        let length = match episodic_key {
            EpisodicKey::History => context.hyper.get::<Context>().memory_window,
            EpisodicKey::Observation => 1,
        };
        let excluded = context.previous.action.clone();
        let observation = context.input_size - excluded.len();
        let projection = (key_projection > 0).then(|| {
            // Distances are kept on average.
            let std = (key_projection as f32).sqrt().recip();
            let shape = (length * observation, key_projection);
            let CoreContext { params, rng, .. } = context;
            params.add_untrained("core.projection", shape, Init::Normal { std }, rng)
        });
        Self {
            key: episodic_key,
            length,
            time_weight,
            projection,
            width: match projection {
                Some(_) => key_projection,
                None => length * observation,
            },
            input_size: context.input_size,
            excluded,
        }
    }

    fn observation_size(&self) -> usize {
        self.input_size - self.excluded.len()
    }

    /// Takes one input row of a lane into its history and appends the key.
    fn advance(
        &self,
        params: &Params,
        input: &[f32],
        lane: (&mut [f32], &mut [f32]),
        keys: &mut Vec<f32>,
    ) {
        let (age, history) = lane;
        let size = self.observation_size();
        let steps = age[0] as usize;
        if steps >= self.length {
            history.copy_within(size.., 0);
        }
        let place = steps.min(self.length - 1) * size;
        let (before, after) = (&input[..self.excluded.start], &input[self.excluded.end..]);
        history[place..][..before.len()].copy_from_slice(before);
        history[place + before.len()..][..after.len()].copy_from_slice(after);
        keys.push(match self.key {
            EpisodicKey::History => self.time_weight * age[0],
            EpisodicKey::Observation => 0.0,
        });
        match self.projection {
            Some(id) => project(history, params.data(id), self.width, keys),
            None => keys.extend_from_slice(history),
        }
        age[0] += 1.0;
    }

    /// Takes steps of all lanes and returns the keys `[rows, feature_size]`.
    fn run(&self, params: &Params, inputs: &[f32], starts: &[bool], state: &mut State) -> Vec<f32> {
        let batch = state.rows();
        let mut keys = Vec::with_capacity(starts.len() * self.feature_size());
        for (row, input) in inputs.chunks_exact(self.input_size).enumerate() {
            let lane = row % batch;
            if starts[row] {
                state
                    .arrays
                    .iter_mut()
                    .for_each(|array| array.row_mut(lane).fill(0.0));
            }
            let [age, history] = &mut state.arrays[..] else {
                unreachable!("a state of two arrays");
            };
            self.advance(
                params,
                input,
                (age.row_mut(lane), history.row_mut(lane)),
                &mut keys,
            );
        }
        keys
    }
}

/// Appends `history · projection`, row by row, so that a key does not depend on what is computed next to it.
fn project(history: &[f32], projection: &[f32], width: usize, keys: &mut Vec<f32>) {
    let first = keys.len();
    keys.resize(first + width, 0.0);
    let used = history.iter().zip(projection.chunks_exact(width));
    for (x, row) in used.filter(|(x, _)| **x != 0.0) {
        for (key, weight) in keys[first..].iter_mut().zip(row) {
            *key += x * weight;
        }
    }
}

impl MemoryCore for History {
    fn feature_size(&self) -> usize {
        1 + self.width
    }

    fn initial_state(&self, batch: usize) -> State {
        let widths = [1, self.length * self.observation_size()];
        let zeros = widths.map(|width| Array::filled(batch, width, 0.0));
        State::new(batch, zeros.into())
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        let keys = self.run(params, inputs, starts, state);
        let shape = (starts.len(), self.feature_size());
        CoreStep {
            features: Graph::inference(params).constant(keys, shape),
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let mut state = segment.initial_state.clone();
        let keys = self.run(graph.params(), segment.inputs, segment.starts, &mut state);
        Unrolled {
            features: graph.constant(keys, (segment.starts.len(), self.feature_size())),
            critic_features: None,
            losses: Vec::new(),
        }
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        let history = state.arrays[array::HISTORY].row(lane);
        debug_assert_eq!(state.arrays[array::AGE].row(lane).len(), 1);
        MemoryContents::Units(history.to_vec())
    }
}
