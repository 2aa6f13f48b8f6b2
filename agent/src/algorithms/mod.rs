//! The table of algorithms, a file per row. The command line, the documents and the benchmark read it.

mod algorithm;
#[cfg(test)]
pub(crate) mod check;
mod defaults;
mod dnc;
mod dqn;
mod drqn;
mod dt;
mod family;
mod frame_stack;
mod frmqn;
mod gru;
mod gtrxl;
mod lru;
mod memn2n;
mod merlin;
mod mfec;
mod mingru;
mod mqn;
mod mvprop;
mod nec;
mod neural_map;
mod ntm;
mod odt;
mod players;
mod ppo;
#[cfg(test)]
pub(crate) mod proofs;
mod recurrent_ppo;
mod rims;
mod rl_mem;
mod rmqn;
pub mod sections;
mod shm;
mod tracerl;
mod tracerl_notebook;

use std::sync::{PoisonError, RwLock};

#[cfg(test)]
use crate::env::{VectorEnv, test_task::TestTask};
use crate::hyper::ConfigError;

pub use self::algorithm::Algorithm;
pub use self::family::Family;

/// All algorithms, in the order in which lists and documents show them.
pub const ALGORITHMS: &[Algorithm] = &[
    ppo::ROW,
    dqn::ROW,
    recurrent_ppo::ROW,
    gru::ROW,
    drqn::ROW,
    rims::ROW,
    mingru::ROW,
    lru::ROW,
    shm::ROW,
    frame_stack::ROW,
    memn2n::ROW,
    gtrxl::ROW,
    mqn::ROW,
    rmqn::ROW,
    frmqn::ROW,
    dnc::ROW,
    ntm::ROW,
    neural_map::ROW,
    mvprop::ROW,
    merlin::ROW,
    rl_mem::ROW,
    mfec::ROW,
    nec::ROW,
    dt::ROW,
    odt::ROW,
    tracerl::ROW,
    tracerl_notebook::ROW,
    players::RANDOM,
    players::ORACLE,
];

/// Rows that this program has added to the table.
static ADDED: RwLock<Vec<&'static Algorithm>> = RwLock::new(Vec::new());

/// Adds a row to the table until the program ends: training, checkpoints and evaluation find it by its id. Lists and
/// documents show [`ALGORITHMS`] only.
///
/// # Panics
/// When another row has this id.
pub fn add(row: &'static Algorithm) {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if added.iter().any(|known| std::ptr::eq(*known, row)) {
        return;
    }
    let mut known = ALGORITHMS.iter().chain(added.iter().copied());
    let is_free = known.all(|known| known.id != row.id);
    assert!(is_free, "there is an algorithm `{}` already", row.id);
    added.push(row);
}

/// Returns the rows that learn.
pub fn learners() -> impl Iterator<Item = &'static Algorithm> {
    ALGORITHMS.iter().filter(|row| row.learns())
}

/// Returns the rows that learn, and learners of other kinds, to test what must hold for all.
#[cfg(test)]
pub(crate) fn every_learner() -> impl Iterator<Item = &'static Algorithm> {
    learners().chain(proofs::learners())
}

/// Returns whether a row plays the tests' task as it is; if not, it needs its [rasters](TestTask::of_rasters).
#[cfg(test)]
pub(crate) fn plays_without_raster(row: &Algorithm) -> bool {
    let task = TestTask::new(1, 1);
    let spaces = task.spaces();
    row.refusal(&spaces, &(row.defaults)()).is_none()
}

/// Returns the tests' task in a form that a row plays.
#[cfg(test)]
pub(crate) fn test_task(row: &Algorithm, num_envs: usize, delay: u64) -> TestTask {
    match plays_without_raster(row) {
        true => TestTask::new(num_envs, delay),
        false => TestTask::of_rasters(num_envs, delay),
    }
}

/// Returns the tests' tasks that a row plays, with actions of every kind.
#[cfg(test)]
pub(crate) fn test_tasks(row: &Algorithm, num_envs: usize, delay: u64) -> Vec<TestTask> {
    let mut tasks = vec![test_task(row, num_envs, delay)];
    let others = [
        TestTask::of_pairs,
        TestTask::of_numbers,
        TestTask::of_mixtures,
    ];
    let hyper = (row.defaults)();
    let others = others.map(|new| new(num_envs, delay)).into_iter();
    tasks.extend(others.filter(|task| row.refusal(&task.spaces(), &hyper).is_none()));
    tasks
}

/// Returns the row with this id.
///
/// # Errors
/// An unknown id; the error names the known ones.
pub fn find(id: &str) -> Result<&'static Algorithm, ConfigError> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    let mut rows = ALGORITHMS.iter().chain(added.iter().copied());
    rows.find(|row| row.id == id)
        .ok_or_else(|| ConfigError::UnknownAlgorithm {
            name: id.into(),
            meant: env_protocol::hint(id, ALGORITHMS.iter().map(|row| row.id)),
            known: ids(),
        })
}

/// Returns the ids of all rows, for messages.
pub fn ids() -> String {
    ALGORITHMS
        .iter()
        .map(|row| row.id)
        .collect::<Vec<_>>()
        .join(", ")
}
