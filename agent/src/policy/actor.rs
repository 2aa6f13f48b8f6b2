//! A trained agent that acts when it is asked to, in any number of lanes side by side. Who asks plays the environments:
//! evaluation here, a caller over HTTP for [`crate::deploy::serve`].

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::memory::State;
use crate::nn;
use crate::policy::inputs::{InputEncoder, LaneHistory};
use crate::policy::{Acted, Policy};

/// The policy of a checkpoint.
pub struct Actor {
    policy: Policy,
    encoder: InputEncoder,
    trained: State,
}

/// What an agent carries from step to step in its lanes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActingLanes {
    /// The memory of every lane.
    pub memory: State,
    history: LaneHistory,
}

impl Actor {
    /// An actor with a policy's weights. `trained` is its memory at the end of training.
    pub fn new(policy: Policy, encoder: InputEncoder, trained: State) -> Self {
        Self {
            policy,
            encoder,
            trained,
        }
    }

    /// The network.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How observations become inputs, and what actions are made of.
    pub fn encoder(&self) -> &InputEncoder {
        &self.encoder
    }

    /// Lanes that begin: they hold what an evaluation begins with.
    pub fn lanes(&self, batch: usize) -> ActingLanes {
        let core = &self.policy.core;
        let mut memory = core.evaluation_state(&self.trained, batch);
        core.refresh(&self.policy.params, &mut memory);
        ActingLanes {
            memory,
            history: LaneHistory::new(batch, self.encoder.heads().components()),
        }
    }

    /// Takes in one flat observation of every lane (`[batch, flat_size]`) and moves the memory on. `starts`: lanes in
    /// which it is the first of an episode.
    pub fn act(&self, lanes: &mut ActingLanes, observations: &[f32], starts: &[bool]) -> Acted {
        let mut inputs = Vec::with_capacity(starts.len() * self.encoder.input_size());
        self.encoder
            .encode(observations, &lanes.history, &mut inputs);
        self.policy.act(&inputs, starts, &mut lanes.memory, None)
    }

    /// The likeliest action of each lane: `[batch, components]`, counted from 0.
    pub fn likeliest(&self, acted: &Acted) -> Vec<i64> {
        self.choose(acted, |logits, actions| {
            self.encoder.heads().likeliest(logits, actions);
        })
    }

    /// An action of each lane, drawn from the policy: `[batch, components]`, counted from 0.
    pub fn sample(&self, acted: &Acted, rng: &mut Xoshiro256PlusPlus) -> Vec<i64> {
        self.choose(acted, |logits, actions| {
            self.encoder.heads().sample(logits, rng, actions);
        })
    }

    /// Any action, all of them as likely: `[batch, components]`, counted from 0.
    pub fn random(&self, batch: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<i64> {
        let heads = self.encoder.heads();
        let mut actions = Vec::with_capacity(batch * heads.components());
        (0..batch).for_each(|_| heads.random(rng, &mut actions));
        actions
    }

    fn choose(&self, acted: &Acted, mut of_lane: impl FnMut(&[f32], &mut Vec<i64>)) -> Vec<i64> {
        let logits = nn::values(&acted.logits).chunks_exact(self.encoder.heads().num_logits());
        let mut actions = Vec::with_capacity(logits.len() * self.encoder.heads().components());
        logits.for_each(|logits| of_lane(logits, &mut actions));
        actions
    }

    /// Tells every lane what was done and what came of it: `actions` as [`Actor::likeliest`] has them, `ends` of episodes.
    pub fn outcome(
        &self,
        lanes: &mut ActingLanes,
        actions: &[i64],
        rewards: &[f64],
        ends: &[bool],
    ) {
        let Policy { core, params, .. } = &self.policy;
        core.outcome(params, &mut lanes.memory, actions, rewards, ends);
        lanes.history.push(actions, rewards, ends.iter().copied());
    }
}

impl ActingLanes {
    /// How many.
    pub fn batch(&self) -> usize {
        self.memory.rows()
    }

    /// Bytes they take, about.
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
}
