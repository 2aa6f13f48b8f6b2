//! Defaults and checks that rows share.

use super::sections::Overrides;
use crate::experience::Collection;
use crate::hyper::{ConfigError, Hyperparameters};
use crate::learner::auxiliary::AuxiliaryLosses;
use crate::learner::exploration::ExplorationBonuses;
use crate::learner::ppo::PpoUpdate;
use crate::learner::q_learning::{Hindsight, QUpdate};
use crate::learner::sequence::Imitation;
use crate::learner::settings::{Discount, Optimiser, Replaying};
use crate::learner::stopping::Stopping;
use crate::memory::attention::Width;
use crate::memory::attention::gtrxl::Heads;
use crate::memory::attention::window::Context;
use crate::memory::episodic::history::Keys;
use crate::memory::sequence::Goal;
use crate::memory::{Layers, Network, Slots};
use crate::policy::greediness::Greediness;
use crate::policy::inputs::{InputEncoder, Inputs};
use crate::policy::outputs::Deviations;
use crate::policy::tables::Lookup;

/// The sections of an algorithm that learns, in the order of the list. `memory` adds those of
/// its memory: [`identity`](std::convert::identity) for none.
pub fn learner(memory: fn(Hyperparameters) -> Hyperparameters) -> Hyperparameters {
    let hyper = Hyperparameters::new()
        .with(Inputs::default())
        .with(Collection::default())
        .with(Optimiser::default())
        .with(Discount::default())
        .with(PpoUpdate::default())
        .with(Deviations::default())
        .with(Stopping::default())
        .with(Network::default());
    memory(hyper)
        .with(AuxiliaryLosses::default())
        .with(ExplorationBonuses::default())
}

/// The sections of an algorithm that learns from whole sequences, with the values of recurrent PPO (`learner` tells of
/// `memory`).
pub fn recurrent(memory: fn(Hyperparameters) -> Hyperparameters) -> Hyperparameters {
    learner(memory)
        .with(Collection {
            num_envs: 64,
            num_steps: 512,
            whole_episodes: true,
        })
        .edited(|optimiser: &mut Optimiser| {
            (optimiser.learning_rate, optimiser.anneal_lr) = (3e-3, true);
        })
        .with(PpoUpdate {
            update_epochs: 5,
            num_minibatches: 4,
            gae_lambda: 0.3,
            ..PpoUpdate::default()
        })
}

/// The sections of an algorithm that learns action values from replayed sequences (`learner` tells of `memory`).
pub fn q_learner(memory: fn(Hyperparameters) -> Hyperparameters) -> Hyperparameters {
    let hyper = Hyperparameters::new()
        .with(Inputs::default())
        .with(Collection {
            num_envs: 64,
            num_steps: 512,
            whole_episodes: true,
        })
        .with(Optimiser {
            learning_rate: 2e-3,
            max_grad_norm: 10.0,
            ..Optimiser::default()
        })
        .with(Discount::default())
        .with(Greediness::default())
        .with(Replaying {
            batch_size: 16,
            ..Replaying::default()
        })
        .with(QUpdate::default())
        .with(Hindsight::default())
        .with(Stopping::default())
        .with(Network::default());
    memory(hyper).with(ExplorationBonuses::default())
}

/// A burn-in comes before a sequence, and whole episodes need none.
pub fn check_replay(hyper: &mut Hyperparameters, _: &Overrides) -> Result<(), ConfigError> {
    let update: QUpdate = hyper.get();
    if update.burn_in > 0 && update.replay_length == 0 {
        return Err(ConfigError::BurnIn);
    }
    Ok(())
}

/// The sections of an algorithm that learns actions from stored episodes over a window of tokens.
pub fn sequences() -> Hyperparameters {
    Hyperparameters::new()
        .with(Inputs::default())
        .with(Collection {
            num_envs: 64,
            num_steps: 32,
            whole_episodes: false,
        })
        .with(Optimiser {
            learning_rate: 3e-3,
            anneal_lr: true,
            max_grad_norm: 1.0,
        })
        .with(Replaying {
            train_every: 160,
            batch_size: 32,
            ..Replaying::default()
        })
        .with(Imitation::default())
        .with(Stopping::default())
        .with(Goal::default())
        .with(Context::default())
        .with(Width::default())
        .with(Layers::default())
        .with(Heads::default())
}

/// The sections of an algorithm with tables of the returns that followed histories; `further` adds its own.
pub fn episodic(further: fn(Hyperparameters) -> Hyperparameters) -> Hyperparameters {
    let hyper = Hyperparameters::new()
        .with(Inputs::default())
        .with(Collection {
            num_envs: 16,
            num_steps: 512,
            whole_episodes: true,
        })
        .with(Discount::default())
        .with(Greediness::default())
        .with(Stopping::default())
        .with(Context::default())
        .with(Keys::default())
        .with(Lookup::default());
    further(hyper).with(ExplorationBonuses::default())
}

pub fn no_check(_: &mut Hyperparameters, _: &Overrides) -> Result<(), ConfigError> {
    Ok(())
}

/// What learns a value for each choice, or predicts one among choices, has none for numbers.
pub fn only_choices(encoder: &InputEncoder) -> Result<(), &'static str> {
    match encoder.heads().are_choices() {
        true => Ok(()),
        false => Err(
            "it chooses among given actions, and some here are numbers (a Box). Rows that learn by PPO play them, such as \
             ppo, recurrent-ppo and tracerl",
        ),
    }
}

/// The heads of an attention share the numbers of an entry evenly.
pub fn check_heads(hyper: &Hyperparameters, heads: usize) -> Result<(), ConfigError> {
    check_width("mem_dim", hyper.get::<Slots>().mem_dim, heads)
}

/// The heads of an attention share a width evenly.
pub fn check_width(name: &'static str, width: usize, heads: usize) -> Result<(), ConfigError> {
    if width.is_multiple_of(heads) {
        return Ok(());
    }
    Err(ConfigError::Heads { name, width, heads })
}
