//! A trained agent that acts when it is asked to, in any number of lanes side by side. The caller
//! plays the environments: evaluation here, a client over HTTP for [`crate::deploy::serve`].

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::memory::State;
use crate::nn;
use crate::policy::inputs::InputEncoder;
use crate::policy::lanes::Lanes;
use crate::policy::{Acted, Policy};
use crate::spaces::actions::Choice;

/// The policy of a checkpoint.
pub struct Actor {
    policy: Policy,
    encoder: InputEncoder,
    trained: State,
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
    pub fn lanes(&self, batch: usize) -> Lanes {
        let core = &self.policy.core;
        let mut memory = core.evaluation_state(&self.trained, batch);
        core.refresh(&self.policy.params, &mut memory);
        Lanes::new(memory, &self.encoder)
    }

    /// Encodes one flat observation of every lane (`[batch, flat_size]`) and moves the memory on. `starts`: lanes in
    /// which it is the first of an episode.
    pub fn act(&self, lanes: &mut Lanes, observations: &[f32], starts: &[bool]) -> Acted {
        let encoded = self.encoded(observations);
        let mut inputs = Vec::new();
        lanes.act(
            &self.policy,
            &self.encoder,
            &encoded,
            starts,
            &mut inputs,
            None,
        )
    }

    /// The input rows of one flat observation of every lane, `[batch, flat_size]`: `[batch, input_size]`.
    pub fn inputs(&self, lanes: &Lanes, observations: &[f32]) -> Vec<f32> {
        let encoded = self.encoded(observations);
        let mut inputs = Vec::new();
        self.encoder
            .append_rows(&encoded, &lanes.history, &mut inputs);
        inputs
    }

    fn encoded(&self, observations: &[f32]) -> Vec<f32> {
        let mut encoded = Vec::new();
        self.encoder.encode_observations(observations, &mut encoded);
        encoded
    }

    /// The likeliest action of each lane: `[batch, components]`.
    pub fn likeliest(&self, acted: &Acted) -> Vec<Choice> {
        self.choose(acted, |logits, actions| {
            self.encoder.heads().likeliest(logits, actions);
        })
    }

    /// An action of each lane, drawn from the policy: `[batch, components]`.
    pub fn sample(&self, acted: &Acted, rng: &mut Xoshiro256PlusPlus) -> Vec<Choice> {
        self.choose(acted, |logits, actions| {
            self.policy.draw(logits, rng, actions);
        })
    }

    /// An action of chance in each lane: `[batch, components]`.
    pub fn random(&self, batch: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<Choice> {
        let heads = self.encoder.heads();
        let mut actions = Vec::with_capacity(batch * heads.components());
        (0..batch).for_each(|_| heads.random(rng, &mut actions));
        actions
    }

    fn choose(
        &self,
        acted: &Acted,
        mut of_lane: impl FnMut(&[f32], &mut Vec<Choice>),
    ) -> Vec<Choice> {
        let logits = nn::values(&acted.logits).chunks_exact(self.encoder.heads().num_logits());
        let mut actions = Vec::with_capacity(logits.len() * self.encoder.heads().components());
        logits.for_each(|logits| of_lane(logits, &mut actions));
        actions
    }

    /// Records what was done in every lane and what came of it: `actions` as [`Actor::likeliest`] has them, `ends` of
    /// episodes.
    pub fn record(&self, lanes: &mut Lanes, actions: &[Choice], rewards: &[f64], ends: &[bool]) {
        lanes.record(&self.policy, actions, rewards, ends);
    }
}
