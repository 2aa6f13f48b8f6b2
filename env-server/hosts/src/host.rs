//! A host: opened once, and asked for vectors.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use env_protocol::{AutoresetMode, Kwargs, Seed};

use crate::command::HostCommand;
use crate::process::{Fault, lock};
use crate::processes::{Limits, Processes};
use crate::protocol::HostedSpec;
use crate::spaces::check_spaces;
use crate::vector::{CreateError, HostedVector, Making};
use crate::watch;

/// A command that plays environments, and its processes.
#[derive(Clone)]
pub struct Host(Arc<Processes>);

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.0.name).finish()
    }
}

/// The reason why a host cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

impl Host {
    /// Starts a process of a command and asks for its specs.
    ///
    /// # Errors
    /// When the command or the name cannot be used, the process cannot be started, or its specs are
    /// wrong.
    pub fn open(name: &str, line: &str, limits: Limits) -> Result<Self, OpenError> {
        let failed = |reason: String| OpenError(format!("host {name:?}: {reason}"));
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 32 || !name.chars().all(is_name) {
            let reason = "a name has 1 to 32 of the characters A-Z a-z 0-9 . _ -";
            return Err(failed(reason.to_owned()));
        }
        let command = HostCommand::read(line, &limits.variables);
        let command = command.map_err(|e| failed(format!("the command {line:?}: {e}")))?;
        let processes = Arc::new(Processes::new(name, command, limits));
        // A mute process is ended by the watch.
        watch::start(Arc::downgrade(&processes)).map_err(|error| failed(error.to_string()))?;
        let (process, hello) = processes
            .start()
            .map_err(|Fault(reason)| OpenError(reason))?;
        if hello.specs.is_empty() {
            return Err(failed("it has no specs".to_owned()));
        }
        let mut ids = HashSet::new();
        for spec in &hello.specs {
            check_spec(spec).map_err(|reason| failed(format!("spec {:?}: {reason}", spec.id)))?;
            if !ids.insert(&spec.id) {
                return Err(failed(format!("spec {:?} is there twice", spec.id)));
            }
        }
        processes.begin(process, hello.specs);
        Ok(Host(processes))
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns its specs, with ids as in its hello.
    pub fn specs(&self) -> &[Arc<HostedSpec>] {
        self.0.specs()
    }

    /// Returns the ids of its processes, for tests that kill them.
    pub fn process_ids(&self) -> Vec<u32> {
        let slots = self.0.slots.iter();
        let ids = slots.filter_map(|slot| Some(lock(slot).process.as_ref()?.id()));
        ids.collect()
    }

    /// Makes lanes that wait for their first reset. `seed` has a seed for every lane.
    ///
    /// # Errors
    /// When the host refuses an argument or fails.
    pub fn create(
        &self,
        spec: &Arc<HostedSpec>,
        kwargs: &Kwargs,
        num_envs: usize,
        autoreset_mode: AutoresetMode,
        seed: &Seed,
    ) -> Result<HostedVector, CreateError> {
        let slots = self.0.least_loaded(num_envs);
        let count = slots.len();
        let mut making = Making::new(Arc::clone(&self.0), Arc::clone(spec), kwargs.clone());
        for (i, slot) in slots.into_iter().enumerate() {
            let size = (i + 1) * num_envs / count - i * num_envs / count;
            making.add(slot, size, autoreset_mode)?;
        }
        Ok(making.made(autoreset_mode, seed))
    }
}

/// Checks a spec of a hello.
fn check_spec(spec: &HostedSpec) -> Result<(), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if spec.id.is_empty() || spec.id.len() > 96 || !spec.id.chars().all(is_part) {
        return Err("an id has 1 to 96 of the characters A-Z a-z 0-9 . _ - /".to_owned());
    }
    if let Some([low, high]) = spec.reward_range
        && !(low.is_finite() && high.is_finite() && low <= high)
    {
        return Err(format!("the reward range {low} to {high} is none"));
    }
    check_spaces(&spec.observation_space, &spec.action_space)
}
