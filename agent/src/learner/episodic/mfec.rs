//! Model-free episodic control (Blundell et al. 2016, arXiv:1606.04460): for each action a table of keys and the best
//! return that ever followed them. Nothing is trained.

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::episodes::{Episode, Episodes, by_time, returns};
use super::index::{Index, hash};
use super::written;
use crate::experience::Behaviour;
use crate::learner::settings::Discount;
use crate::learner::{
    Diverged, Experience, Learner, LearnerContext, LearnerState, Metrics, StateError,
};
use crate::nn::{self, Graph};
use crate::policy::Policy;
use crate::policy::greediness::Greediness;

/// Writes `Q(s, a) ← max(Q(s, a), R)` for each step of an episode that has ended (eq. 1).
pub struct Mfec {
    gamma: f32,
    greediness: Greediness,
    memory: Memory,
}

/// All that it remembers besides the tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Memory {
    episodes: Episodes,
    /// Rows by their keys.
    index: Index,
    /// The tables' time.
    now: f32,
}

impl Mfec {
    /// Builds a learner that has seen nothing.
    ///
    /// # Panics
    /// When the policy has no tables.
    pub fn new(context: &mut LearnerContext<'_>) -> Self {
        let (tables, _) = context.policy.tables_mut().expect("a row with tables");
        Self {
            gamma: context.hyper.get::<Discount>().gamma,
            greediness: context.hyper.get(),
            memory: Memory {
                episodes: Episodes::default(),
                index: Index::new(tables.len()),
                now: 1.0,
            },
        }
    }
}

impl Memory {
    /// Writes a return; the row that held it last keeps the best.
    fn write(&mut self, policy: &mut Policy, table: usize, key: &[f32], value: f32) {
        let (tables, params) = policy.tables_mut().expect("a row with tables");
        self.now = tables.renumber(params, self.now + 1.0);
        let hash = hash(key);
        let known = self.index.find(table, hash);
        let known = known.filter(|&row| tables.key(params, table, row) == key);
        let row = known.unwrap_or_else(|| tables.place(params, table));
        let value = match known {
            Some(_) => tables.value(params, table, row).max(value),
            None => value,
        };
        tables.set(params, (table, row), key, value, self.now);
        self.index.set(table, row, hash);
    }

    fn write_all(&mut self, policy: &mut Policy, ended: &[Episode], returns: &[Vec<f32>]) {
        let heads = policy.heads().clone();
        let key_size = policy.core.feature_size();
        for (episode, t) in by_time(ended) {
            let (episode, value) = (&ended[episode], returns[episode][t]);
            let key = &episode.rows[t * key_size..][..key_size];
            for table in heads.chosen(&episode.actions[t * heads.components()..]) {
                self.write(policy, table, key, value);
            }
        }
    }
}

impl Learner for Mfec {
    fn discount(&self) -> f32 {
        self.gamma
    }

    fn behaviour(&self, progress: f64) -> Behaviour {
        Behaviour::EpsilonGreedy(self.greediness.at(progress))
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
        let before = self.memory.episodes.clone();
        let ended = self.memory.episodes.record(rollout, rewards, &keys)?;
        let returns = match returns(&ended, self.gamma, usize::MAX) {
            Ok(returns) => returns,
            Err(diverged) => {
                self.memory.episodes = before;
                return Err(diverged);
            }
        };
        let (tables, params) = policy.tables_mut().expect("a row with tables");
        tables.record_reads(params, &keys, self.memory.now);
        self.memory.write_all(policy, &ended, &returns);
        if ended.is_empty() {
            return Ok(None);
        }
        Ok(Some(written(policy, ended.len())))
    }

    fn export(&self) -> LearnerState {
        LearnerState {
            rest: LearnerState::pack(&self.memory),
            ..LearnerState::default()
        }
    }

    fn import(&mut self, state: &LearnerState) -> Result<(), StateError> {
        self.memory = state.unpack()?;
        Ok(())
    }
}
