//! The table of environments. Routes, help and documents read it.

use std::sync::LazyLock;

use env_protocol::{AutoresetMode, Seed, Spec};

use super::memory_task::MemoryTask;
use super::{Arguments, Environment, KwargsError};
use crate::session::vector::{VectorEnvironment, VectorOf};
use crate::verify::{self, Episode};

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
    /// Plays a recorded episode and compares.
    pub verify: fn(&Episode) -> Result<(), String>,
}

impl Entry {
    const fn of<E: Environment>() -> Self {
        Entry {
            spec: E::spec,
            reference_name: E::REFERENCE_NAME,
            vector: |arguments, num_envs, autoreset_mode, seed| {
                let vector = VectorOf::<E>::new(arguments, num_envs, autoreset_mode, seed)?;
                Ok(Box::new(vector))
            },
            verify: verify::verify_episode::<E>,
        }
    }
}

/// Every environment there is.
pub const ENTRIES: &[Entry] = &[Entry::of::<MemoryTask>()];

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
