//! A host: one command, its specs, and the processes that are running.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use env_protocol::{AutoresetMode, Kwargs, Seed, Space};
use environments::actions::check_actions;

use crate::command::HostCommand;
use crate::process::{Fault, HostProcess, cut, lock};
use crate::protocol::{Answer, Call, Hello, HostedSpec};
use crate::vector::{HostedVector, Part};
use crate::watch;

/// Limits on the processes of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most processes of one host.
    pub processes: usize,
    /// Most time from the start of a process to its hello.
    pub start: Duration,
    /// Most time for the answer to a call.
    pub step: Duration,
    /// Most resident memory of one process, in bytes.
    pub memory_bytes: u64,
    /// Time without a vector after which a process ends.
    pub idle: Duration,
    /// Names of variables that processes get in addition to the usual ones.
    pub variables: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            processes: 1,
            start: Duration::from_secs(60),
            step: Duration::from_secs(20),
            memory_bytes: 4 << 30,
            idle: Duration::from_secs(60),
            variables: Vec::new(),
        }
    }
}

/// A command that plays environments, and its processes.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    name: Arc<str>,
    command: HostCommand,
    pub(crate) limits: Limits,
    /// Known once the first process has said hello.
    specs: OnceLock<Vec<Arc<HostedSpec>>>,
    pub(crate) slots: Vec<Mutex<Slot>>,
    /// All processes that may have a call, also while they start.
    pub(crate) watched: Mutex<Vec<Weak<HostProcess>>>,
}

/// The place of one process.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) process: Option<Arc<HostProcess>>,
    pub(crate) idle_since: Option<Instant>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.0.name).finish()
    }
}

/// The reason why a host cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

/// The reason why a vector cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The host does not accept an argument.
    #[error("{reason}")]
    Refused {
        /// The argument, if it is known.
        name: Option<String>,
        /// The reason.
        reason: String,
    },
    /// The host failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

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
        let slots = (0..limits.processes.max(1)).map(|_| Mutex::default());
        let inner = Arc::new(Inner {
            name: name.into(),
            command,
            slots: slots.collect(),
            limits,
            specs: OnceLock::new(),
            watched: Mutex::default(),
        });
        // A mute process is ended by the watch.
        watch::start(Arc::downgrade(&inner)).map_err(|error| failed(error.to_string()))?;
        let (process, hello) = inner.start().map_err(|Fault(reason)| OpenError(reason))?;
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
        let _ = inner
            .specs
            .set(hello.specs.into_iter().map(Arc::new).collect());
        lock(&inner.slots[0]).process = Some(process);
        Ok(Host(inner))
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
        let mut making = HostedVector::making(self.clone(), Arc::clone(spec), kwargs.clone());
        for (i, slot) in slots.into_iter().enumerate() {
            let size = (i + 1) * num_envs / count - i * num_envs / count;
            making.add(self.0.part(slot, spec, kwargs, size, autoreset_mode)?)?;
        }
        Ok(making.made(autoreset_mode, seed))
    }

    /// Most time for the answer to a call.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.limits.step
    }
}

impl Inner {
    fn specs(&self) -> &[Arc<HostedSpec>] {
        self.specs.get().map_or(&[], Vec::as_slice)
    }

    /// Starts a process, watched from the beginning.
    fn start(&self) -> Result<(Arc<HostProcess>, Hello), Fault> {
        let watch = |process: &Arc<HostProcess>| {
            lock(&self.watched).push(Arc::downgrade(process));
        };
        HostProcess::start(&self.name, &self.command, self.limits.start, watch)
    }

    /// Returns the slots with the fewest vectors, at most `count`, in ascending order.
    ///
    /// An operation of a vector holds its processes all at once. It needs each of them once, and in
    /// the order of all other vectors, or two operations could wait for each other.
    fn least_loaded(&self, count: usize) -> Vec<usize> {
        let load = |slot: &Mutex<Slot>| {
            let slot = lock(slot);
            let process = slot.process.as_ref().filter(|process| process.lives());
            process.map_or(0, Arc::strong_count)
        };
        let mut slots: Vec<(usize, usize)> = self.slots.iter().map(load).zip(0..).collect();
        slots.sort_unstable();
        slots.truncate(count);
        let mut slots: Vec<usize> = slots.into_iter().map(|(_, slot)| slot).collect();
        slots.sort_unstable();
        slots
    }

    /// Makes a part of a vector in the process of a slot.
    fn part(
        &self,
        slot: usize,
        spec: &Arc<HostedSpec>,
        kwargs: &Kwargs,
        num_envs: usize,
        autoreset_mode: AutoresetMode,
    ) -> Result<Part, CreateError> {
        let process = self.process(slot)?;
        let env = process.draw_env();
        let call = Call::Create {
            env,
            spec: spec.id.clone(),
            kwargs: kwargs.clone(),
            num_envs: num_envs as u64,
            autoreset_mode,
        };
        let mut turn = process.turn(self.limits.step);
        let spaces = match turn.call(&call, 32 << 20)? {
            Answer::Created {
                observation_space,
                action_space,
            } => (observation_space, action_space),
            Answer::Refused { name, reason } => {
                let reason = cut(&reason);
                return Err(CreateError::Refused { name, reason });
            }
            other => {
                let reason = format!("the answer is {:?}, not \"created\"", other.name());
                return Err(turn.refuse("create", &reason).into());
            }
        };
        if let Err(reason) = check_spaces(&spaces.0, &spaces.1) {
            return Err(turn.refuse("create", &reason).into());
        }
        drop(turn);
        Ok(Part::new(slot, process, env, num_envs, spaces))
    }

    /// Returns the process of a slot, started if it does not run.
    fn process(&self, slot: usize) -> Result<Arc<HostProcess>, Fault> {
        let mut slot = lock(&self.slots[slot]);
        if let Some(process) = slot.process.as_ref().filter(|process| process.lives()) {
            return Ok(Arc::clone(process));
        }
        slot.process = None;
        let (process, hello) = self.start()?;
        let same = |(ours, theirs): (&Arc<HostedSpec>, &HostedSpec)| **ours == *theirs;
        let is_same = hello.specs.len() == self.specs().len()
            && self.specs().iter().zip(&hello.specs).all(same);
        if !is_same {
            let reason = "its specs have changed since the server started";
            return Err(process.give_up("hello", reason));
        }
        slot.process = Some(Arc::clone(&process));
        slot.idle_since = None;
        Ok(process)
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

fn check_spaces(observations: &Space, actions: &Space) -> Result<(), String> {
    check_observations(observations).map_err(|reason| format!("observation_space: {reason}"))?;
    check_actions(actions).map_err(|reason| format!("action_space: {reason}"))
}

/// Largest number of numbers in an observation of one lane.
const MAX_NUMBERS: usize = 1 << 24;

fn check_observations(space: &Space) -> Result<(), String> {
    let inner = |name: &dyn fmt::Display, space: &Space| {
        check_observations(space).map_err(|reason| format!("{name}: {reason}"))
    };
    match space {
        Space::Dict { spaces } => {
            if spaces.contains_key("dtype") {
                return Err("an entry cannot be called dtype".to_owned());
            }
            spaces
                .iter()
                .try_for_each(|(name, space)| inner(name, space))
        }
        Space::Tuple { spaces } => {
            let mut spaces = spaces.iter().enumerate();
            spaces.try_for_each(|(i, space)| inner(&i, space))
        }
        Space::Discrete { n, start } if *n < 1 || start.checked_add(*n).is_none() => {
            Err(format!("{n} values from {start}"))
        }
        Space::MultiDiscrete { nvec } if nvec.iter().any(|&n| n < 1) => {
            Err("a position without values".to_owned())
        }
        Space::Box {
            shape, low, high, ..
        } => {
            // A batch has one dimension more.
            if shape.len() >= env_protocol::MAX_DIMS {
                return Err(format!("{} dimensions", shape.len()));
            }
            let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let count = count
                .filter(|&n| n <= MAX_NUMBERS)
                .ok_or("it is too large")?;
            let fits = |bound: &env_protocol::Bound| match bound {
                env_protocol::Bound::All(_) => true,
                env_protocol::Bound::Each(each) => each.len() == count,
            };
            match fits(low) && fits(high) {
                true => Ok(()),
                false => Err("its bounds do not have its shape".to_owned()),
            }
        }
        _ => Ok(()),
    }
}
