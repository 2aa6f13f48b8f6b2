//! RL-MEM: MERLIN's networks and memory, trained by rewards alone.

use super::algorithm::Algorithm;
use super::merlin;
use crate::memory::predictive::Predictive;

/// RL-MEM, the ablation of MERLIN's paper.
pub const ROW: Algorithm = Algorithm {
    id: "rl-mem",
    title: "RL-MEM",
    summary: "MERLIN without its predictive losses: the same memory, trained by rewards alone.",
    defaults: || {
        merlin::defaults(Predictive {
            predictive_losses: false,
            ..Predictive::default()
        })
    },
    ..merlin::ROW
};
