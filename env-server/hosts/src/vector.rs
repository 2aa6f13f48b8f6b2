//! Lanes that hosts play, divided among their processes.

use std::sync::Arc;

use env_protocol::{Array, AutoresetMode, Dtype, Info, Kwargs, LanePhase, Seed, Space, Value};
use environments::actions::{ActionRange, action_ranges, to_array};
use environments::vector::{Refusal, Reset, StepBatch};
use environments::{Arguments, KwargsError};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use xxhash_rust::xxh3::Xxh3Default;

use crate::answers::{check_batch, check_infos, feed, flags, joined, joined_infos, rewards, zeros};
use crate::process::{Fault, HostProcess, Turn, cut};
use crate::processes::Processes;
use crate::protocol::{Answer, Call, HostedSpec, Stepped};
use crate::spaces::check_spaces;

/// Digest of the answer to an operation: of observations, rewards and flags, not of infos, which
/// may hold times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub u64);

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

/// Lanes of one environment that a host plays.
pub struct HostedVector {
    processes: Arc<Processes>,
    spec: Arc<HostedSpec>,
    kwargs: Kwargs,
    parts: Vec<Part>,
    lanes: Vec<Lane>,
    autoreset_mode: AutoresetMode,
    seed: Seed,
    /// The range of each number in a lane's action.
    action_ranges: Vec<ActionRange>,
    /// Longest answer, in bytes.
    limit: u32,
    last: Digest,
}

/// The server's view of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Lane {
    phase: LanePhase,
}

/// Longest answer with a state, in bytes.
const MAX_STATE_BYTES: u32 = 256 << 20;

/// Consecutive lanes in one process.
pub(crate) struct Part {
    /// Place of the process. Vectors use their processes in this order, and so never wait for each
    /// other.
    slot: usize,
    process: Arc<HostProcess>,
    env: u64,
    num_envs: usize,
    spaces: (Space, Space),
}

impl Part {
    /// Makes lanes in the process of a slot.
    fn create(
        processes: &Processes,
        slot: usize,
        spec: &HostedSpec,
        kwargs: &Kwargs,
        num_envs: usize,
        autoreset_mode: AutoresetMode,
    ) -> Result<Self, CreateError> {
        let process = processes.process(slot)?;
        let env = process.draw_env();
        let call = Call::Create {
            env,
            spec: spec.id.clone(),
            kwargs: kwargs.clone(),
            num_envs: num_envs as u64,
            autoreset_mode,
        };
        let mut turn = process.turn(processes.limits.step);
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
        Ok(Part {
            slot,
            process,
            env,
            num_envs,
            spaces,
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.process.close_later(self.env);
    }
}

/// The whole state, for a history.
#[derive(Serialize, Deserialize)]
struct Base {
    lanes: Vec<Lane>,
    /// Number of lanes and state of each part.
    parts: Vec<(usize, ByteBuf)>,
}

/// A vector whose parts are being made.
pub(crate) struct Making {
    processes: Arc<Processes>,
    spec: Arc<HostedSpec>,
    kwargs: Kwargs,
    parts: Vec<Part>,
}

impl Making {
    pub(crate) fn new(processes: Arc<Processes>, spec: Arc<HostedSpec>, kwargs: Kwargs) -> Self {
        Making {
            processes,
            spec,
            kwargs,
            parts: Vec::new(),
        }
    }

    /// Adds lanes in the process of a slot, which must have the spaces of the others.
    pub(crate) fn add(
        &mut self,
        slot: usize,
        num_envs: usize,
        autoreset_mode: AutoresetMode,
    ) -> Result<(), CreateError> {
        let part = Part::create(
            &self.processes,
            slot,
            &self.spec,
            &self.kwargs,
            num_envs,
            autoreset_mode,
        )?;
        if let Some(first) = self.parts.first()
            && first.spaces != part.spaces
        {
            let turn = part.process.turn(self.processes.limits.step);
            let reason = "two vectors with the same arguments have different spaces";
            return Err(turn.refuse("create", reason).into());
        }
        self.parts.push(part);
        Ok(())
    }

    pub(crate) fn made(mut self, autoreset_mode: AutoresetMode, seed: &Seed) -> HostedVector {
        self.parts.sort_by_key(|part| part.slot);
        let num_envs = self.parts.iter().map(|part| part.num_envs).sum();
        let (observations, actions) = &self.parts[0].spaces;
        // Final observations are a second batch, and infos come on top.
        let bytes = 2 * (8 * observations.flat_size() + 64) * num_envs + (16 << 20);
        HostedVector {
            action_ranges: action_ranges(actions),
            lanes: vec![
                Lane {
                    phase: LanePhase::New
                };
                num_envs
            ],
            limit: u32::try_from(bytes).unwrap_or(u32::MAX),
            processes: self.processes,
            spec: self.spec,
            kwargs: self.kwargs,
            parts: self.parts,
            autoreset_mode,
            seed: seed.clone(),
            last: Digest(0),
        }
    }
}

impl HostedVector {
    /// Number of lanes with a running episode.
    pub fn num_running(&self) -> usize {
        let running = |lane: &&Lane| lane.phase == LanePhase::Running;
        self.lanes.iter().filter(running).count()
    }

    /// Space of an observation of one lane.
    pub fn observation_space(&self) -> &Space {
        &self.parts[0].spaces.0
    }

    /// Space of an action of one lane.
    pub fn action_space(&self) -> &Space {
        &self.parts[0].spaces.1
    }

    /// Approximate count of numbers that a step reads and writes.
    pub fn numbers(&self) -> usize {
        self.lanes.len() * (self.observation_space().flat_size() + self.action_ranges.len())
    }

    /// Approximate size in this process's memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.lanes.len() * (size_of::<Lane>() + 8 * self.action_ranges.len()) + 1_024
    }

    /// Whether it can be made again after its process is gone.
    pub fn is_durable(&self) -> bool {
        self.spec.can_save || self.spec.is_deterministic
    }

    /// Returns the digest of the last answer.
    pub fn digest(&self) -> Digest {
        self.last
    }

    /// Checks that a reset would be accepted.
    ///
    /// # Errors
    /// [`Refusal::Options`].
    pub fn check_reset(&self, reset: &Reset) -> Result<(), Refusal> {
        let parameters = &self.spec.parameters;
        for name in reset.kwargs.keys() {
            let parameter = parameters.iter().find(|p| p.name == *name);
            if parameter.is_some_and(|p| !p.resettable) {
                let detail = "cannot be changed by a reset; create another environment";
                return Err(KwargsError::new(name, detail).into());
            }
        }
        let mut kwargs = self.kwargs.clone();
        kwargs.extend(reset.kwargs.clone());
        Arguments::resolve(parameters, &kwargs)?;
        Ok(())
    }

    /// Resets lanes and returns all observations. [`Self::check_reset`] must have accepted it.
    ///
    /// # Errors
    /// When the host fails. The vector is of no use then.
    pub fn reset(&mut self, reset: &Reset) -> Result<(Value, Info), Fault> {
        let is_chosen = |lane: usize| reset.mask.as_ref().is_none_or(|mask| mask[lane]);
        let seed_of = |lane: usize| {
            let given = reset.seed.as_ref().and_then(|seed| seed.lane(lane));
            let is_first = self.lanes[lane].phase == LanePhase::New;
            let first = || self.seed.lane(lane).filter(|_| is_first);
            is_chosen(lane).then(|| given.or_else(first)).flatten()
        };
        let calls = self.offsets().map(|(part, from)| {
            let lanes = from..from + part.num_envs;
            let mask = reset.mask.as_ref().map(|mask| mask[lanes.clone()].to_vec());
            // A part without a lane to reset says what it says, all the same.
            Call::Reset {
                env: part.env,
                mask,
                seeds: lanes.map(seed_of).collect(),
                options: reset.kwargs.clone(),
            }
        });
        let calls: Vec<Call> = calls.collect();
        // Lanes that have never been reset show nothing yet.
        let shown: Vec<bool> = (0..self.lanes.len())
            .map(|lane| is_chosen(lane) || self.lanes[lane].phase != LanePhase::New)
            .collect();
        let mut from = 0;
        let parts = self.exchange(&calls, |part, answer| {
            let rows = &shown[from..from + part.num_envs];
            from += part.num_envs;
            let Answer::Observed {
                observations,
                infos,
            } = answer
            else {
                return Err(format!(
                    "the answer is {:?}, not \"observed\"",
                    answer.name()
                ));
            };
            check_batch(&part.spaces.0, &observations, part.num_envs, Some(rows))
                .map_err(|reason| format!("observations{reason}"))?;
            let infos = infos.unwrap_or_default();
            check_infos(&infos, part.num_envs)?;
            Ok((observations, (part.num_envs, infos)))
        })?;
        let (observations, infos): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        for lane in 0..self.lanes.len() {
            if is_chosen(lane) {
                self.lanes[lane].phase = LanePhase::Running;
            }
        }
        let observations = joined(observations);
        self.last = digest(&observations, &[], &[], &[]);
        Ok((observations, joined_infos(infos)))
    }

    /// Checks that actions would be accepted: rows of the action space, one after the other.
    ///
    /// # Errors
    /// [`Refusal::NeedsReset`] or [`Refusal::Action`].
    pub fn check_step(&self, actions: &[f64]) -> Result<(), Refusal> {
        let width = self.action_ranges.len();
        for (lane, state) in self.lanes.iter().enumerate() {
            match state.phase {
                LanePhase::Running => {}
                LanePhase::Ended if self.starts_over() => continue,
                phase => return Err(Refusal::NeedsReset { lane, phase }),
            }
            let row = &actions[lane * width..(lane + 1) * width];
            for (position, (&action, range)) in row.iter().zip(&self.action_ranges).enumerate() {
                if !range.contains(action) {
                    return Err(Refusal::Action {
                        lane,
                        position,
                        action,
                        range: range.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn starts_over(&self) -> bool {
        self.autoreset_mode == AutoresetMode::NextStep
    }

    /// Takes one action a lane. [`Self::check_step`] must have accepted the actions.
    ///
    /// # Errors
    /// When the host fails. The vector is of no use then.
    pub fn step(&mut self, actions: &[f64]) -> Result<StepBatch, Fault> {
        let width = self.action_ranges.len();
        let calls = self.offsets().map(|(part, from)| Call::Step {
            env: part.env,
            actions: self.actions(
                part,
                &actions[from * width..(from + part.num_envs) * width],
                from,
            ),
        });
        let calls: Vec<Call> = calls.collect();
        let mode = self.autoreset_mode;
        let parts = self.exchange(&calls, |part, answer| match answer {
            Answer::Stepped(stepped) => PartStep::check(part, stepped, mode),
            other => Err(format!("the answer is {:?}, not \"stepped\"", other.name())),
        })?;
        let mut batch = StepBatch {
            observations: Value::Tuple(Vec::new()),
            rewards: Vec::with_capacity(self.lanes.len()),
            terminations: Vec::with_capacity(self.lanes.len()),
            truncations: Vec::with_capacity(self.lanes.len()),
            infos: Info::new(),
        };
        let (mut observations, mut infos) = (Vec::new(), Vec::new());
        let (mut finals, mut final_infos) = (Vec::new(), Vec::new());
        for part in parts {
            let num_envs = part.rewards.len();
            batch.rewards.extend(part.rewards);
            batch.terminations.extend(part.terminations);
            batch.truncations.extend(part.truncations);
            observations.push(part.observations);
            infos.push((num_envs, part.infos));
            finals.push((num_envs, part.final_observations));
            final_infos.push((num_envs, part.final_infos));
        }
        batch.observations = joined(observations);
        batch.infos = joined_infos(infos);
        self.last = digest(
            &batch.observations,
            &batch.rewards,
            &batch.terminations,
            &batch.truncations,
        );
        self.end_episodes(&mut batch, finals, final_infos);
        Ok(batch)
    }

    /// Notes which lanes' episodes have ended, and adds their last observations to the infos.
    fn end_episodes(
        &mut self,
        batch: &mut StepBatch,
        finals: Vec<(usize, Option<Value>)>,
        final_infos: Vec<(usize, Info)>,
    ) {
        let ends = batch.terminations.iter().zip(&batch.truncations);
        let ends: Vec<bool> = ends
            .map(|(terminated, truncated)| *terminated || *truncated)
            .collect();
        for (lane, has_ended) in self.lanes.iter_mut().zip(&ends) {
            lane.phase = match *has_ended && self.autoreset_mode != AutoresetMode::SameStep {
                true => LanePhase::Ended,
                false => LanePhase::Running,
            };
        }
        if self.autoreset_mode != AutoresetMode::SameStep || !ends.contains(&true) {
            return;
        }
        let space = self.observation_space();
        let rows = finals
            .into_iter()
            .map(|(num_envs, value)| value.unwrap_or_else(|| zeros(space, num_envs)));
        let observations = joined(rows.collect());
        let mask = Value::from(Array::mask(ends));
        let infos = joined_infos(final_infos).into_iter().collect();
        batch.infos.extend([
            ("final_obs".to_owned(), observations),
            ("_final_obs".to_owned(), mask.clone()),
            ("final_info".to_owned(), Value::Dict(infos)),
            ("_final_info".to_owned(), mask),
        ]);
    }

    /// Returns the actions of a part as its space has them. A lane that is only reset gets neutral
    /// ones, whatever the client sent.
    fn actions(&self, part: &Part, numbers: &[f64], from: usize) -> Array {
        let width = self.action_ranges.len();
        let mut numbers = numbers.to_vec();
        for (lane, row) in numbers.chunks_exact_mut(width.max(1)).enumerate() {
            if self.lanes[from + lane].phase == LanePhase::Ended {
                let neutral = self.action_ranges.iter().map(ActionRange::neutral);
                row.iter_mut()
                    .zip(neutral)
                    .for_each(|(to, number)| *to = number);
            }
        }
        let space = &part.spaces.1;
        let mut shape = space.shape().unwrap_or_default();
        shape.insert(0, part.num_envs);
        to_array(space, shape, &numbers).expect("a row a lane")
    }

    /// Draws a lane; `None` where the host draws nothing. `[height, width, 3]` of uint8.
    ///
    /// # Errors
    /// When the host fails. The vector is of no use then.
    pub fn render(&mut self, lane: usize) -> Result<Option<Array>, Fault> {
        let found = self
            .offsets()
            .find(|(part, from)| lane < from + part.num_envs);
        let Some((part, from)) = found else {
            return Ok(None);
        };
        let call = Call::Render {
            env: part.env,
            lane: (lane - from) as u64,
        };
        let mut turn = part.process.turn(self.processes.limits.step);
        match turn.call(&call, 64 << 20)? {
            Answer::Rendered { frame: None } => Ok(None),
            Answer::Rendered { frame: Some(frame) } if is_picture(&frame) => Ok(Some(frame)),
            Answer::Rendered { frame: Some(frame) } => {
                let (dtype, shape) = (frame.dtype(), frame.shape());
                let reason =
                    format!("the frame is {shape:?} of {dtype}, not [height, width, 3] of uint8");
                Err(turn.refuse("render", &reason))
            }
            other => {
                let reason = format!("the answer is {:?}, not \"rendered\"", other.name());
                Err(turn.refuse("render", &reason))
            }
        }
    }

    /// Returns the whole state in the form that histories hold; `None` if it cannot be saved.
    ///
    /// # Errors
    /// When the host fails. The vector is of no use then.
    pub fn base(&self) -> Result<Option<Vec<u8>>, Fault> {
        if !self.spec.can_save {
            return Ok(None);
        }
        let calls: Vec<Call> = self
            .parts
            .iter()
            .map(|part| Call::Save { env: part.env })
            .collect();
        let parts = self.exchange(&calls, |part, answer| match answer {
            Answer::Saved { state } => Ok((part.num_envs, ByteBuf::from(state))),
            other => Err(format!("the answer is {:?}, not \"saved\"", other.name())),
        })?;
        let base = Base {
            lanes: self.lanes.clone(),
            parts,
        };
        Ok(Some(
            rmp_serde::to_vec_named(&base).expect("plain data into memory"),
        ))
    }

    /// Restores a state of a history.
    ///
    /// # Errors
    /// Says what does not fit, or how the host failed.
    pub fn restore_base(&mut self, base: &[u8]) -> Result<(), String> {
        let base: Base = rmp_serde::from_slice(base).map_err(|e| e.to_string())?;
        if base.lanes.len() != self.lanes.len() {
            return Err(format!(
                "{} lanes, not {}",
                base.lanes.len(),
                self.lanes.len()
            ));
        }
        let sizes = || self.parts.iter().map(|part| part.num_envs);
        if !base.parts.iter().map(|(size, _)| *size).eq(sizes()) {
            return Err("it was saved with another number of --host-processes".to_owned());
        }
        let states = self.parts.iter().zip(base.parts);
        let calls: Vec<Call> = states
            .map(|(part, (_, state))| Call::Restore {
                env: part.env,
                state: state.into_vec(),
            })
            .collect();
        let restored = self.exchange(&calls, |_, answer| match answer {
            Answer::Restored {} => Ok(()),
            other => Err(format!(
                "the answer is {:?}, not \"restored\"",
                other.name()
            )),
        });
        restored.map_err(|Fault(reason)| reason)?;
        self.lanes = base.lanes;
        Ok(())
    }

    /// Makes a call in each part, all at once, and returns what `check` makes of the answers.
    fn exchange<T>(
        &self,
        calls: &[Call],
        mut check: impl FnMut(&Part, Answer) -> Result<T, String>,
    ) -> Result<Vec<T>, Fault> {
        let timeout = self.processes.limits.step;
        let sent = self.parts.iter().zip(calls).map(|(part, call)| {
            let mut turn = part.process.turn(timeout);
            turn.send(call).map(|()| turn)
        });
        let sent: Vec<Result<Turn<'_>, Fault>> = sent.collect();
        // All are received, also after a fault: an answer must not be left in a pipe.
        let received = self.parts.iter().zip(calls).zip(sent);
        let received = received.map(|((part, call), turn)| {
            let mut turn = turn?;
            let limit = match call {
                Call::Save { .. } => MAX_STATE_BYTES,
                _ => self.limit,
            };
            let answer = turn.receive(call.name(), limit)?;
            check(part, answer).map_err(|reason| turn.refuse(call.name(), &reason))
        });
        let received: Vec<Result<T, Fault>> = received.collect();
        received.into_iter().collect()
    }

    /// Returns the parts, each with its first lane.
    fn offsets(&self) -> impl Iterator<Item = (&Part, usize)> {
        self.parts.iter().scan(0, |from, part| {
            let first = *from;
            *from += part.num_envs;
            Some((part, first))
        })
    }
}

/// The checked answer of a part to a step.
struct PartStep {
    observations: Value,
    rewards: Vec<f64>,
    terminations: Vec<bool>,
    truncations: Vec<bool>,
    infos: Info,
    final_observations: Option<Value>,
    final_infos: Info,
}

impl PartStep {
    fn check(part: &Part, stepped: Stepped, mode: AutoresetMode) -> Result<Self, String> {
        let num_envs = part.num_envs;
        let space = &part.spaces.0;
        check_batch(space, &stepped.observations, num_envs, None)
            .map_err(|reason| format!("observations{reason}"))?;
        let terminations = flags("terminations", stepped.terminations, num_envs)?;
        let truncations = flags("truncations", stepped.truncations, num_envs)?;
        let infos = stepped.infos.unwrap_or_default();
        let final_infos = stepped.final_infos.unwrap_or_default();
        check_infos(&infos, num_envs)?;
        check_infos(&final_infos, num_envs)?;
        let ends = terminations.iter().zip(&truncations).map(|(a, b)| *a || *b);
        let ends: Vec<bool> = ends.collect();
        match &stepped.final_observations {
            Some(value) => check_batch(space, value, num_envs, Some(&ends))
                .map_err(|reason| format!("final_observations{reason}"))?,
            None if mode == AutoresetMode::SameStep && ends.contains(&true) => {
                return Err(
                    "final_observations: they are missing, and an episode has ended".to_owned(),
                );
            }
            None => {}
        }
        Ok(PartStep {
            observations: stepped.observations,
            rewards: rewards(stepped.rewards, num_envs)?,
            terminations,
            truncations,
            infos,
            final_observations: stepped.final_observations,
            final_infos,
        })
    }
}

/// Whether it is `[height, width, 3]` of uint8, and not empty.
fn is_picture(frame: &Array) -> bool {
    let is_full = |&size: &usize| size > 0;
    frame.dtype() == Dtype::Uint8
        && frame.shape().len() == 3
        && frame.shape()[2] == 3
        && frame.shape().iter().all(is_full)
}

fn digest(
    observations: &Value,
    rewards: &[f64],
    terminations: &[bool],
    truncations: &[bool],
) -> Digest {
    let mut hash = Xxh3Default::new();
    feed(observations, &mut |bytes| hash.update(bytes));
    rewards
        .iter()
        .for_each(|reward| hash.update(&reward.to_le_bytes()));
    let flags = terminations.iter().chain(truncations);
    flags.for_each(|&flag| hash.update(&[u8::from(flag)]));
    Digest(hash.digest())
}
