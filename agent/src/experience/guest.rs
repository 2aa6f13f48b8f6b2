//! A trained agent that plays in the learner's place. It has a memory of its own, and inputs of its own: it may be of
//! another algorithm.

use serde::{Deserialize, Serialize};

use crate::nn;
use crate::policy::actor::Actor;
use crate::policy::lanes::Lanes;
use crate::seeds::LaneGenerators;
use crate::spaces::actions::Choice;

/// An agent, and the identity of its checkpoint.
pub struct Guest {
    /// The agent.
    pub actor: Actor,
    /// Hash of its checkpoint, by which a resumed run knows it again.
    pub id: String,
}

/// State of a guest between two rollouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestState {
    /// Identity of the agent.
    pub id: String,
    /// Its lanes.
    pub(super) lanes: Lanes,
}

impl Guest {
    /// Returns the state of lanes that begin.
    pub(super) fn state(&self, batch: usize) -> GuestState {
        GuestState {
            id: self.id.clone(),
            lanes: self.actor.lanes(batch),
        }
    }

    /// Draws an action of every lane from its policy; returns their log-probabilities. `observations`: flat,
    /// `[batch, flat_size]`.
    pub(super) fn play(
        &self,
        state: &mut GuestState,
        observations: &[f32],
        starts: &[bool],
        generators: &mut LaneGenerators,
        actions: &mut Vec<Choice>,
    ) -> Vec<f32> {
        let acted = self.actor.act(&mut state.lanes, observations, starts);
        let width = self.actor.encoder().heads().num_logits();
        let rows = nn::values(&acted.logits).chunks_exact(width);
        let policy = self.actor.policy();
        rows.enumerate()
            .map(|(lane, logits)| policy.draw(logits, generators.of(lane), actions))
            .collect()
    }

    /// Records what came of its actions.
    pub(super) fn record(
        &self,
        state: &mut GuestState,
        actions: &[Choice],
        rewards: &[f64],
        ends: &[bool],
    ) {
        self.actor.record(&mut state.lanes, actions, rewards, ends);
    }
}
