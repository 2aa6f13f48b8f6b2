//! The processes of a host: their command, their limits, and the places where they run.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::command::HostCommand;
use crate::process::{Fault, HostProcess, lock};
use crate::protocol::{Hello, HostedSpec};

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

/// A command, its specs, and the processes that run.
pub(crate) struct Processes {
    pub(crate) name: Arc<str>,
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

impl Processes {
    /// No process yet.
    pub(crate) fn new(name: &str, command: HostCommand, limits: Limits) -> Self {
        let slots = (0..limits.processes.max(1)).map(|_| Mutex::default());
        Processes {
            name: name.into(),
            command,
            slots: slots.collect(),
            limits,
            specs: OnceLock::new(),
            watched: Mutex::default(),
        }
    }

    /// Keeps the first process and its specs.
    pub(crate) fn begin(&self, process: Arc<HostProcess>, specs: Vec<HostedSpec>) {
        let _ = self.specs.set(specs.into_iter().map(Arc::new).collect());
        lock(&self.slots[0]).process = Some(process);
    }

    /// Returns the specs of the first hello.
    pub(crate) fn specs(&self) -> &[Arc<HostedSpec>] {
        self.specs.get().map_or(&[], Vec::as_slice)
    }

    /// Starts a process, watched from the beginning.
    pub(crate) fn start(&self) -> Result<(Arc<HostProcess>, Hello), Fault> {
        let watch = |process: &Arc<HostProcess>| {
            lock(&self.watched).push(Arc::downgrade(process));
        };
        HostProcess::start(&self.name, &self.command, self.limits.start, watch)
    }

    /// Returns the slots with the fewest vectors, at most `count`, in ascending order.
    ///
    /// An operation of a vector holds its processes all at once. It needs each of them once, and in
    /// the order of all other vectors, or two operations could wait for each other.
    pub(crate) fn least_loaded(&self, count: usize) -> Vec<usize> {
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

    /// Returns the process of a slot, started if it does not run.
    pub(crate) fn process(&self, slot: usize) -> Result<Arc<HostProcess>, Fault> {
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
