//! The lanes of a caller: what the agent carries in them, and what it did there last.

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::wire::ActMode;
use crate::policy::actor::Actor;
use crate::policy::lanes::Lanes;
use crate::seeds::{self, Role};
use crate::spaces::actions::Choice;

/// One request for actions, checked, in one form whatever the encoding it came in: two requests are the same when these
/// are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Flat, `[batch, flat_size]`.
    pub observations: Vec<f32>,
    /// `[batch]`: whether the observation is the first of an episode.
    pub is_first: Vec<bool>,
    /// `[batch, components]`: what was really done before; nothing where the agent's own is meant.
    pub previous_actions: Option<Vec<Choice>>,
    /// `[batch]`: what it was rewarded with.
    pub previous_rewards: Option<Vec<f64>>,
    /// How actions are chosen.
    pub mode: ActMode,
}

/// The lanes of one caller between two requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServedLanes {
    acting: Lanes,
    /// `[batch, components]`; nothing before the first request.
    last_actions: Option<Vec<Choice>>,
    /// Sampled actions are drawn from it, as an evaluation of the same seed draws them.
    rng: Xoshiro256PlusPlus,
}

impl ServedLanes {
    /// Lanes that have seen nothing.
    pub fn new(actor: &Actor, batch: usize, seed: u64) -> Self {
        Self {
            acting: actor.lanes(batch),
            last_actions: None,
            rng: seeds::generator(seed, Role::EvaluationActions),
        }
    }

    /// How many.
    pub fn batch(&self) -> usize {
        self.acting.batch()
    }

    /// Whether they have seen anything.
    pub fn have_acted(&self) -> bool {
        self.last_actions.is_some()
    }

    /// Records the outcome of the last actions, acts on the new observations, and returns the
    /// actions, `[batch, components]`. Rewards that are not said are 0.
    pub fn act(&mut self, actor: &Actor, step: &Step) -> Vec<Choice> {
        let starts = match self.last_actions.take() {
            None => vec![true; step.is_first.len()],
            Some(own) => {
                let done = step.previous_actions.as_ref().unwrap_or(&own);
                let unsaid = || vec![0.0; step.is_first.len()];
                let rewards = step.previous_rewards.clone().unwrap_or_else(unsaid);
                actor.record(&mut self.acting, done, &rewards, &step.is_first);
                step.is_first.clone()
            }
        };
        let acted = actor.act(&mut self.acting, &step.observations, &starts);
        let actions = match step.mode {
            ActMode::Greedy => actor.likeliest(&acted),
            ActMode::Sampled => actor.sample(&acted, &mut self.rng),
        };
        self.last_actions = Some(actions.clone());
        actions
    }
}
