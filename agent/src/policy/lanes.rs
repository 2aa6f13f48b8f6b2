//! Acting: one step of a policy in any number of lanes side by side. Training, evaluation and serving all act here.

use serde::{Deserialize, Serialize};

use crate::memory::State;
use crate::policy::inputs::{InputEncoder, LaneHistory};
use crate::policy::{Acted, Policy};
use crate::seeds::LaneGenerators;
use crate::spaces::actions::Choice;

/// State of an agent's lanes from step to step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lanes {
    /// The memory of every lane.
    pub memory: State,
    /// State of the optional inputs, such as the previous action.
    pub history: LaneHistory,
}

impl Lanes {
    /// Lanes that have taken no step, with this memory.
    pub fn new(memory: State, encoder: &InputEncoder) -> Self {
        Self {
            history: LaneHistory::new(memory.rows(), encoder.heads().components()),
            memory,
        }
    }

    /// Number of lanes.
    pub fn batch(&self) -> usize {
        self.memory.rows()
    }

    /// Approximate size in bytes.
    pub fn bytes(&self) -> usize {
        let memory = self.memory.arrays.iter().map(|array| array.data.len());
        let LaneHistory {
            ages,
            actions,
            rewards,
        } = &self.history;
        // All are four bytes wide.
        4 * (memory.sum::<usize>() + ages.len() + actions.len() + rewards.len())
    }

    /// Moves the memory on by one encoded observation of every lane and returns what the policy makes of it.
    ///
    /// `encoded`: `[batch, observation_size]`, as [`InputEncoder::encode_observation`] writes it. `starts`: lanes in
    /// which it is the first of an episode. The input rows are appended to `inputs`. `rng` draws the memory's noise
    /// while learning; without it the step is deterministic.
    pub fn act(
        &mut self,
        policy: &Policy,
        encoder: &InputEncoder,
        encoded: &[f32],
        starts: &[bool],
        inputs: &mut Vec<f32>,
        rng: Option<&mut LaneGenerators>,
    ) -> Acted {
        let first = inputs.len();
        encoder.append_rows(encoded, &self.history, inputs);
        policy.act(&inputs[first..], starts, &mut self.memory, rng)
    }

    /// Moves the memory on like [`Lanes::act`], where no actions are wanted. Returns the decisions.
    pub fn observe(
        &mut self,
        policy: &Policy,
        encoder: &InputEncoder,
        encoded: &[f32],
        starts: &[bool],
        inputs: &mut Vec<f32>,
        rng: Option<&mut LaneGenerators>,
    ) -> Vec<i32> {
        let first = inputs.len();
        encoder.append_rows(encoded, &self.history, inputs);
        let Policy { core, params, .. } = policy;
        core.observe(params, &inputs[first..], starts, &mut self.memory, rng)
    }

    /// Records what was done in every lane and what came of it: `actions` `[batch, components]`, `rewards` and `ends` of
    /// episodes `[batch]`.
    pub fn record(&mut self, policy: &Policy, actions: &[Choice], rewards: &[f64], ends: &[bool]) {
        let Policy { core, params, .. } = policy;
        core.outcome(params, &mut self.memory, actions, rewards, ends);
        self.history.push(actions, rewards, ends.iter().copied());
    }
}
