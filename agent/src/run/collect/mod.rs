//! Rollouts that are played in other processes: [`RemoteCollector`] asks the workers of pools for its parts, and [`Worker`]
//! answers. The result is the same to the bit as in one process, whichever worker plays which part, and whichever dies.
//!
//! Lanes are dealt into *groups*, whose number does not depend on that of the workers. A call says where a group is, with
//! which weights it is to be played and how far; the answer is its part of the rollout, and where it is then. The caller
//! keeps all that a call needs, so any worker can answer it. Bytes that a worker still holds are named by their hash
//! and not sent again; the weights, which all groups need, are shared.

mod call;
mod source;
mod worker;

use std::ffi::OsString;
use std::io;
use std::ops::Range;

use workers::Program;

use crate::algorithms;
use crate::env::{EnvError, VectorEnv};
use crate::learner::sequence::Imitation;
use crate::memory::sequence::Goal;
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;
use crate::run::config::TrainConfig;

pub use self::call::NAME;
pub use self::source::{RemoteCollector, Workers};
pub use self::worker::Worker;

/// Groups of a new run, as far as it has lanes: the most workers that a run can use. A choice; which number is fastest was not
/// measured.
const GROUPS: usize = 16;

/// Returns the number of groups of a new run with so many lanes.
pub fn groups(num_envs: usize) -> usize {
    num_envs.clamp(1, GROUPS)
}

/// Returns the lanes of a group.
fn lanes_of(group: usize, groups: usize, num_envs: usize) -> Range<usize> {
    group * num_envs / groups..(group + 1) * num_envs / groups
}

/// Returns why workers cannot play the lanes of a run, if they cannot.
pub(super) fn refusal(config: &TrainConfig) -> Option<&'static str> {
    let imitation = config.hyper.get::<Imitation>();
    let row = algorithms::find(&config.algorithm).ok();
    let refusals = [
        (
            !imitation.dataset.is_empty(),
            "it learns from recorded episodes, and plays nothing",
        ),
        (
            !imitation.behaviour_checkpoint.is_empty(),
            "another agent plays in its place (behaviour_checkpoint), which workers do not know",
        ),
        (
            row.is_some_and(|row| matches!(row.outputs, Outputs::Tables(_))),
            "it learns tables, which are too large to be sent before every rollout",
        ),
        (
            config.hyper.has::<Goal>(),
            "the last bits of its memory go by how many environments are played side by side",
        ),
        (
            row.is_some_and(|row| row.decider == Decider::Oracle),
            "the oracle plays it, and does not learn",
        ),
    ];
    let reason = refusals.into_iter().find(|(refused, _)| *refused);
    reason.map(|(_, reason)| reason)
}

/// Returns the state of environments that workers play.
///
/// # Errors
/// [`EnvError::Worker`]: a server that does not tell it, so that no other worker could play in a lost one's place.
pub(super) fn saved(env: &mut dyn VectorEnv) -> Result<Vec<u8>, EnvError> {
    env.snapshot().map_err(|error| EnvError::Worker {
        detail: format!("they need environments whose state can be saved: {error}"),
    })
}

/// Returns this program, for a pool that starts its workers with these arguments.
///
/// # Errors
/// When the program's file cannot be read.
pub fn program(arguments: Vec<OsString>) -> io::Result<Program> {
    Program::own(arguments, env!("CARGO_PKG_VERSION"), crate::nn::cpu_class())
}
