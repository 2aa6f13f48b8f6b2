//! Episodic control (Blundell et al. 2016, arXiv:1606.04460): for each action a table of histories and the best return
//! that followed. A history is what an untrained LSTM makes of it.

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::algorithms::algorithm::Algorithm;
use crate::algorithms::defaults::{no_check, only_choices};
use crate::algorithms::family::Family;
use crate::experience::Behaviour;
use crate::learner::{Diverged, Experience, Group, Learner, LearnerState, Metrics, StateError};
use crate::memory::feedforward::Feedforward;
use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::lstm::LstmCell;
use crate::nn::{self, Graph};
use crate::policy::Policy;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;
use crate::policy::tables::{Lookup, Reading, TableSettings};

pub const ROW: Algorithm = Algorithm {
    id: "proof-episodic-control",
    title: "Episodic control",
    family: Family::Control,
    summary: "Tables of the best return that followed a history.",
    source: "Blundell et al. 2016, arXiv:1606.04460",
    decider: Decider::Network,
    defaults: || super::short_rollouts(1e-3),
    check: no_check,
    plays: only_choices,
    core: |context| Box::new(Recurrent::new(LstmCell::new, context)),
    outputs: Outputs::Tables(|_| TableSettings {
        lookup: Lookup {
            table_rows: 500,
            optimistic: false,
            ..Lookup::default()
        },
        reading: Reading::Mean,
    }),
    learner: |_| Box::new(EpisodicControl::default()),
};

pub const CONTROL: Algorithm = Algorithm {
    id: "proof-episodic-control-control",
    core: |context| Box::new(Feedforward::new(context)),
    ..ROW
};

const GAMMA: f32 = 0.9;

/// The episodes under way, and the clock of the tables.
#[derive(Default, Serialize, Deserialize)]
struct EpisodicControl {
    open: Vec<Open>,
    episodes: u32,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Open {
    /// Key, action and reward of each step.
    steps: Vec<(Vec<f32>, Vec<u32>, f32)>,
}

impl EpisodicControl {
    /// Writes the discounted return of each step of an episode.
    fn write(&mut self, policy: &mut Policy, episode: Open) {
        self.episodes += 1;
        let now = (self.episodes as f32).min(16_777_216.0);
        let heads = policy.heads().clone();
        let (tables, params) = policy.tables_mut().expect("the row has tables");
        let mut following = 0.0;
        for (key, actions, reward) in episode.steps.iter().rev() {
            following = reward + GAMMA * following;
            for table in heads.chosen(actions) {
                tables.write(params, table, key, following, now);
            }
        }
    }
}

impl Learner for EpisodicControl {
    fn discount(&self) -> f32 {
        GAMMA
    }

    fn behaviour(&self, progress: f64) -> Behaviour {
        Behaviour::EpsilonGreedy((1.0 - 2.0 * progress as f32).max(0.05))
    }

    fn learn(
        &mut self,
        policy: &mut Policy,
        experience: &Experience<'_>,
        _rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Metrics>, Diverged> {
        let Experience {
            rollout, rewards, ..
        } = experience;
        let mut graph = Graph::inference(&policy.params);
        let unrolled = policy.core.unroll(&mut graph, &rollout.segment(rewards));
        let keys = nn::values(&unrolled.features).to_vec();
        let (size, components) = (policy.core.feature_size(), policy.heads().components());
        let before = self.episodes;
        self.open.resize(rollout.batch, Open::default());
        for (row, &reward) in rewards.iter().enumerate() {
            let lane = row % rollout.batch;
            if rollout.starts[row] {
                self.open[lane] = Open::default();
            }
            let key = keys[row * size..][..size].to_vec();
            let actions = rollout.actions[row * components..][..components].to_vec();
            self.open[lane].steps.push((key, actions, reward));
            if rollout.ends[row] {
                let episode = std::mem::take(&mut self.open[lane]);
                self.write(policy, episode);
            }
        }
        let written = f64::from(self.episodes - before);
        let mut metrics = Metrics::default();
        metrics.put(Group::Train, "episodes_written", written);
        Ok((written > 0.0).then_some(metrics))
    }

    fn export(&self) -> LearnerState {
        LearnerState {
            rest: LearnerState::pack(self),
            ..LearnerState::default()
        }
    }

    fn import(&mut self, state: &LearnerState) -> Result<(), StateError> {
        *self = state.unpack()?;
        Ok(())
    }
}
