//! PPO over a matrix memory.

use super::algorithm::Algorithm;
use super::defaults::{no_check, recurrent};
use super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::Layers;
use crate::memory::linear::shm::{Matrix, Shm};
use crate::memory::linear::stack::Stack;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

/// PPO over a matrix memory.
pub const ROW: Algorithm = Algorithm {
    id: "shm",
    title: "SHM",
    family: Family::Linear,
    summary: "PPO over layers of stable Hadamard memory, a matrix in which each number has a factor of its own; or GaLiTe or mLSTM.",
    source: "Le et al. 2025, arXiv:2410.10132; Pramanik et al. 2024, arXiv:2310.15719; Beck et al. 2024, arXiv:2405.04517",
    decider: Decider::Network,
    defaults: || recurrent(|hyper| hyper.with(Layers::default()).with(Matrix::default())),
    check: no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Stack::<Shm>::new(context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};
