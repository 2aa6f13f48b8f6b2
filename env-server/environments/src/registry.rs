//! The table of environments. Routes, help and documents read it.

use std::sync::LazyLock;

use env_protocol::{AutoresetMode, Kwargs, Returns, Seed, Space, Spec};

use crate::recorded::{self, Differences, Episode};
use crate::tasks::bsuite::discounting_chain::BsuiteDiscountingChain;
use crate::tasks::bsuite::memory::{BsuiteMemoryLen, BsuiteMemorySize};
use crate::tasks::bsuite::umbrella_chain::BsuiteUmbrellaChain;
use crate::tasks::memory_task::MemoryTask;
use crate::tasks::persistent_recall::PersistentRecall;
use crate::tasks::popgym::autoencode::Autoencode;
use crate::tasks::popgym::battleship::Battleship;
use crate::tasks::popgym::concentration::Concentration;
use crate::tasks::popgym::count_recall::CountRecall;
use crate::tasks::popgym::higher_lower::HigherLower;
use crate::tasks::popgym::minesweeper::MineSweeper;
use crate::tasks::popgym::multiarmed_bandit::MultiarmedBandit;
use crate::tasks::popgym::repeat_first::RepeatFirst;
use crate::tasks::popgym::repeat_previous::RepeatPrevious;
use crate::tasks::popgym::stateless_cartpole::StatelessCartPole;
use crate::tasks::tmaze::corridor::{TMazeActive, TMazePassive};
use crate::tasks::tmaze::distractors::TMazeDistractors;
use crate::tasks::tmaze::endless::EndlessTMaze;
use crate::vector::{VectorEnvironment, VectorOf};
use crate::{Arguments, Environment, KwargsError, Wrapped, Wrappers};

/// What follows from an environment's arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// What an observation looks like.
    pub observation_space: Space,
    /// What an action looks like.
    pub action_space: Space,
    /// Least and greatest reward of one step.
    pub reward_range: [f64; 2],
    /// What players score.
    pub returns: Returns,
    /// Whether remembering earns anything.
    pub needs_memory: bool,
    /// Mean return from which the task counts as solved, where that is known.
    pub solved_threshold: Option<f64>,
}

impl Instance {
    fn of<E: Environment>(arguments: &Arguments) -> Result<Self, KwargsError> {
        let environment = E::new(arguments)?;
        Ok(Instance {
            observation_space: environment.observation_space(),
            action_space: environment.action_space(),
            reward_range: environment.reward_range(),
            returns: environment.returns(),
            needs_memory: environment.needs_memory(),
            solved_threshold: environment.solved_threshold(),
        })
    }
}

/// Whether these arguments switch a wrapper on.
fn is_wrapped<E: Environment>(arguments: &Arguments) -> Result<bool, KwargsError> {
    Ok(Wrappers::of(arguments, &E::profile().parameters)?.any())
}

/// One kind of environment, with its type erased.
pub struct Entry {
    /// Its description.
    pub spec: fn() -> Spec,
    /// Name in files of recorded episodes.
    pub reference_name: &'static str,
    /// Makes a vector of `num_envs` lanes.
    #[expect(clippy::type_complexity, reason = "the signature of one function")]
    pub vector: fn(
        &Arguments,
        num_envs: usize,
        AutoresetMode,
        &Seed,
    ) -> Result<Box<dyn VectorEnvironment>, KwargsError>,
    /// Spaces, rewards and returns with these arguments.
    pub instance: fn(&Arguments) -> Result<Instance, KwargsError>,
    /// Plays a recorded episode and compares.
    pub verify: fn(&Episode, &mut Differences) -> Result<(), String>,
}

impl Entry {
    const fn of<E: Environment>() -> Self {
        Entry {
            spec: E::spec,
            reference_name: E::REFERENCE_NAME,
            vector: |arguments, num_envs, mode, seed| {
                if is_wrapped::<E>(arguments)? {
                    let vector = VectorOf::<Wrapped<E>>::new(arguments, num_envs, mode, seed)?;
                    return Ok(Box::new(vector));
                }
                let vector = VectorOf::<E>::new(arguments, num_envs, mode, seed)?;
                Ok(Box::new(vector))
            },
            instance: |arguments| match is_wrapped::<E>(arguments)? {
                true => Instance::of::<Wrapped<E>>(arguments),
                false => Instance::of::<E>(arguments),
            },
            verify: recorded::verify_episode::<E>,
        }
    }
}

/// Every environment there is.
pub const ENTRIES: &[Entry] = &[
    Entry::of::<MemoryTask>(),
    Entry::of::<BsuiteMemoryLen>(),
    Entry::of::<BsuiteMemorySize>(),
    Entry::of::<BsuiteUmbrellaChain>(),
    Entry::of::<BsuiteDiscountingChain>(),
    Entry::of::<TMazePassive>(),
    Entry::of::<TMazeActive>(),
    Entry::of::<RepeatFirst>(),
    Entry::of::<RepeatPrevious>(),
    Entry::of::<Autoencode>(),
    Entry::of::<CountRecall>(),
    Entry::of::<Concentration>(),
    Entry::of::<HigherLower>(),
    Entry::of::<MultiarmedBandit>(),
    Entry::of::<Battleship>(),
    Entry::of::<MineSweeper>(),
    Entry::of::<StatelessCartPole>(),
    Entry::of::<EndlessTMaze>(),
    Entry::of::<PersistentRecall>(),
    Entry::of::<TMazeDistractors>(),
];

/// Every spec, in the order of [`ENTRIES`].
pub fn specs() -> &'static [Spec] {
    static SPECS: LazyLock<Vec<Spec>> =
        LazyLock::new(|| ENTRIES.iter().map(|entry| (entry.spec)()).collect());
    &SPECS
}

/// Looks a spec up by its id.
pub fn find(spec_id: &str) -> Option<(&'static Entry, &'static Spec)> {
    let mut entries = ENTRIES.iter().zip(specs());
    entries.find(|(_, spec)| spec.id == spec_id)
}

/// The entry of the catalogue with what follows from these arguments in place of what follows from
/// the default ones; `None` when there is no such spec.
///
/// # Errors
/// When the arguments are not good.
pub fn spec_with(spec_id: &str, kwargs: &Kwargs) -> Option<Result<Spec, KwargsError>> {
    let (_, spec) = find(spec_id)?;
    let instance = instance(spec_id, kwargs)?;
    Some(instance.map(|instance| Spec {
        observation_space: instance.observation_space,
        action_space: instance.action_space,
        reward_range: instance.reward_range,
        solved_threshold: instance.solved_threshold,
        returns: instance.returns,
        ..spec.clone()
    }))
}

/// What follows from these arguments of a spec; `None` when there is no such spec.
///
/// # Errors
/// When the arguments are not good.
pub fn instance(spec_id: &str, kwargs: &Kwargs) -> Option<Result<Instance, KwargsError>> {
    let (entry, spec) = find(spec_id)?;
    let arguments = Arguments::resolve(&spec.parameters, kwargs);
    Some(arguments.and_then(|arguments| (entry.instance)(&arguments)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needs_memory(spec_id: &str, kwargs: serde_json::Value) -> bool {
        let kwargs = serde_json::from_value(kwargs).expect("an object");
        let instance = instance(spec_id, &kwargs).expect("it is in the table");
        instance.expect("good arguments").needs_memory
    }

    #[test]
    fn tasks_say_whether_remembering_earns_anything() {
        let without: Vec<&str> = specs()
            .iter()
            .filter(|spec| !spec.needs_memory)
            .map(|spec| spec.id.as_str())
            .collect();
        assert_eq!(
            without,
            ["BsuiteUmbrellaChain-v0", "BsuiteDiscountingChain-v0"]
        );
        assert!(!needs_memory("MemoryTask-v0", json!({"delay": 1})));
        assert!(needs_memory("MemoryTask-v0", json!({"delay": 2})));
        // A wrapper hides what is known of a player, not what a task asks for.
        let noisy = json!({"observation_noise": 0.1});
        assert!(!needs_memory("BsuiteUmbrellaChain-v0", noisy.clone()));
        assert!(needs_memory("MemoryTask-v0", noisy));
        assert!(!needs_memory(
            "MultiarmedBandit-v0",
            json!({"num_bandits": 1})
        ));
    }
}
