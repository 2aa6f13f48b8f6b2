//! The entry of a task in the catalogue.

use env_protocol::{Kwargs, Parameter, Returns, Space, Spec};

use crate::environment::Environment;
use crate::kit::arguments::{Arguments, KwargsError};
use crate::wrappers::parameters::Wrappers;

/// The part of a catalogue entry that does not depend on arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Name with version, as in `MemoryTask-v0`.
    pub id: &'static str,
    /// Description of the task, and the demands on a memory.
    pub description: &'static str,
    /// Arguments of the task itself, without those of wrappers.
    pub parameters: Vec<Parameter>,
    /// Content to remember, and for how long.
    pub remember: &'static str,
    /// Paper or program that the task comes from.
    pub source: &'static str,
}

/// A task with an entry in the catalogue: its name, its arguments, and what players score.
pub trait Catalogued: Environment {
    /// Returns the part of the entry that does not depend on arguments.
    fn profile() -> Profile;

    /// Least and greatest reward of one step.
    fn reward_range(&self) -> [f64; 2];

    /// Expected returns of four players: random, memoryless, best known and clairvoyant.
    fn returns(&self) -> Returns;

    /// Mean return from which the task counts as solved: by default, 95 % of the way from random
    /// to the best known, or to the oracle's where no best is known. `None` where that is not
    /// known.
    fn solved_threshold(&self) -> Option<f64> {
        self.returns().solved_threshold()
    }

    /// Whether remembering earns anything with these arguments: by default, unless the best known
    /// player scores no more than a memoryless player, which sees the last observation only.
    fn needs_memory(&self) -> bool {
        let returns = self.returns();
        let without = returns.memoryless.or(returns.random);
        let with = returns.best.or(returns.oracle);
        without
            .zip(with)
            .is_none_or(|(without, with)| without < with)
    }
}

/// Arguments that an environment is created with: its own, and those of the wrappers that it does
/// not define itself.
pub fn parameters<E: Catalogued>() -> Vec<Parameter> {
    let mut parameters = E::profile().parameters;
    for wrapper in Wrappers::parameters() {
        if parameters.iter().all(|own| own.name != wrapper.name) {
            parameters.push(wrapper);
        }
    }
    parameters
}

/// Returns the entry in the catalogue: the profile, with all that follows from the default
/// arguments.
///
/// # Panics
/// When the default arguments are refused.
pub fn spec<E: Catalogued>() -> Spec {
    let profile = E::profile();
    let parameters = parameters::<E>();
    let instance = Arguments::resolve(&parameters, &Kwargs::new())
        .and_then(|arguments| Instance::new::<E>(&arguments))
        .expect("the default arguments are good");
    Spec {
        id: profile.id.to_owned(),
        description: profile.description.to_owned(),
        parameters,
        observation_space: instance.observation_space,
        action_space: instance.action_space,
        reward_range: instance.reward_range,
        solved_threshold: instance.solved_threshold,
        remember: profile.remember.to_owned(),
        needs_memory: instance.needs_memory,
        returns: instance.returns,
        source: profile.source.to_owned(),
    }
}

/// The part of a catalogue entry that follows from an environment's arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Space of an observation.
    pub observation_space: Space,
    /// Space of an action.
    pub action_space: Space,
    /// Least and greatest reward of one step.
    pub reward_range: [f64; 2],
    /// Expected returns of players.
    pub returns: Returns,
    /// Whether remembering earns anything.
    pub needs_memory: bool,
    /// Mean return from which the task counts as solved, where that is known.
    pub solved_threshold: Option<f64>,
}

impl Instance {
    /// Describes an environment with these arguments.
    ///
    /// # Errors
    /// When they do not fit together.
    pub fn new<E: Catalogued>(arguments: &Arguments) -> Result<Self, KwargsError> {
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
