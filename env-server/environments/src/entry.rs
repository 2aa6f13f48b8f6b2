//! A row of the table of environments: a task with its type erased.

use env_protocol::{AutoresetMode, Seed, Spec};

use crate::catalogue::{self, Catalogued, Instance};
use crate::kit::arguments::{Arguments, KwargsError};
use crate::recorded::{self, Differences, Episode, Recorded};
use crate::render::Pictured;
use crate::vector::{VectorEnvironment, VectorOf};
use crate::wrappers::Wrapped;
use crate::wrappers::parameters::Wrappers;

/// A task with its type erased.
pub struct Entry {
    /// Returns its entry in the catalogue.
    pub spec: fn() -> Spec,
    /// Makes a vector of `num_envs` lanes.
    #[expect(clippy::type_complexity, reason = "the signature of one function")]
    pub vector: fn(
        &Arguments,
        num_envs: usize,
        AutoresetMode,
        &Seed,
    ) -> Result<Box<dyn VectorEnvironment>, KwargsError>,
    /// Returns spaces, rewards and returns with these arguments.
    pub instance: fn(&Arguments) -> Result<Instance, KwargsError>,
    /// The original that it repeats, if there is one.
    pub reference: Option<Reference>,
    /// Checks the contract, without wrappers and through them.
    #[cfg(test)]
    pub(crate) check: fn(&serde_json::Value),
}

/// How recorded episodes of an original are compared.
pub struct Reference {
    /// Name in files of recorded episodes.
    pub name: &'static str,
    /// Plays a recorded episode and compares.
    pub verify: fn(&Episode, &mut Differences) -> Result<(), String>,
}

impl Entry {
    /// The row of a task without an original.
    pub(crate) const fn new<E: Catalogued + Pictured>() -> Self {
        Entry {
            spec: catalogue::spec::<E>,
            vector: |arguments, num_envs, mode, seed| {
                if is_wrapped::<E>(arguments)? {
                    let vector = VectorOf::<Wrapped<E>>::new(arguments, num_envs, mode, seed)?;
                    return Ok(Box::new(vector));
                }
                let vector = VectorOf::<E>::new(arguments, num_envs, mode, seed)?;
                Ok(Box::new(vector))
            },
            instance: |arguments| match is_wrapped::<E>(arguments)? {
                true => Instance::new::<Wrapped<E>>(arguments),
                false => Instance::new::<E>(arguments),
            },
            reference: None,
            #[cfg(test)]
            check: crate::wrappers::tests::keeps_the_contract::<E>,
        }
    }

    /// The row of a task that repeats the recorded episodes of an original.
    pub(crate) const fn recorded<E: Catalogued + Pictured + Recorded>() -> Self {
        Entry {
            reference: Some(Reference {
                name: E::REFERENCE_NAME,
                verify: recorded::verify_episode::<E>,
            }),
            ..Entry::new::<E>()
        }
    }
}

/// Whether these arguments switch a wrapper on.
fn is_wrapped<E: Catalogued>(arguments: &Arguments) -> Result<bool, KwargsError> {
    Ok(Wrappers::from_arguments(arguments, &E::profile().parameters)?.any())
}
