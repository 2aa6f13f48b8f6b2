//! Lanes of one environment, stepped together, with Gymnasium's three autoreset modes.
//!
//! [`VectorOf`] is one monomorphic loop for each kind of environment: it writes observations
//! straight into one contiguous buffer. [`VectorEnvironment`] erases the kind, so that a request
//! makes a single dynamic call. A single environment is a vector of one lane that never resets
//! itself.

mod head;
mod state;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use env_protocol::{
    Array, AutoresetMode, Encoding, Info, Kwargs, LanePhase, LaneSnapshot, Parameter, Seed, Space,
    Value,
};

use serde::{Deserialize, Serialize};

use crate::catalogue::{self, Catalogued};
use crate::kit::batch::Layout;
use crate::pieces::Pieces;
use crate::render::{Picture, Pictured, Played, Seen};
use crate::{Arguments, Element, Environment, KwargsError, Rng};

pub use crate::actions::{ActionRange, action_ranges};
pub use head::Head;

/// Options of a reset. The default resets all lanes and continues their random streams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reset {
    /// Lanes to reset, all when `None`.
    pub mask: Option<Vec<bool>>,
    /// New seeds, one a lane.
    pub seed: Option<Seed>,
    /// Arguments that differ from those at creation. They apply to the episodes that begin with
    /// this reset and with autoresets after it.
    pub kwargs: Kwargs,
}

/// Results of a step, lane by lane.
#[derive(Clone, Debug, PartialEq)]
pub struct StepBatch {
    /// A batch of the observation space: every array in it is `[num_envs, …]`.
    pub observations: Value,
    /// `[num_envs]`
    pub rewards: Vec<f64>,
    /// `[num_envs]`
    pub terminations: Vec<bool>,
    /// `[num_envs]`
    pub truncations: Vec<bool>,
    /// Gymnasium's vector infos.
    pub infos: Info,
}

/// State of all lanes, for a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Last observations, flat.
    pub observations: Vec<f64>,
    /// The lanes.
    pub lanes: Vec<LaneSnapshot>,
}

/// Refusal of an operation. A refused operation changes nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A lane has no running episode.
    #[error("lane {lane}: {}", match phase {
        LanePhase::New => "it has never been reset",
        _ => "its episode has ended",
    })]
    NeedsReset {
        /// The first such lane.
        lane: usize,
        /// Phase of the lane.
        phase: LanePhase,
    },
    /// An action is outside its range.
    #[error("{action} is not {range}")]
    Action {
        /// The first such lane.
        lane: usize,
        /// Position in the lane's row of the action.
        position: usize,
        /// The given number.
        action: f64,
        /// The range it must be in.
        range: ActionRange,
    },
    /// Reset options do not fit.
    #[error(transparent)]
    Options(#[from] KwargsError),
    /// Saved state does not fit.
    #[error("{detail}")]
    Snapshot {
        /// JSON pointer into the snapshot.
        pointer: String,
        /// Description of the error.
        detail: String,
    },
}

/// Lanes of some environment.
pub trait VectorEnvironment: Send {
    /// Number of lanes.
    fn num_envs(&self) -> usize;

    /// Number of lanes with a running episode. A step takes an action in these lanes.
    fn num_running(&self) -> usize;

    /// Space of an observation of one lane.
    fn observation_space(&self) -> &Space;

    /// Space of an action of one lane.
    fn action_space(&self) -> &Space;

    /// Checks that a reset would be accepted.
    ///
    /// # Errors
    /// [`Refusal::Options`].
    fn check_reset(&self, reset: &Reset) -> Result<(), Refusal>;

    /// Resets lanes and returns all observations, a batch of the observation space. Lanes outside
    /// the mask repeat their last observation. Mask and seeds have one entry a lane.
    ///
    /// # Errors
    /// The same as [`Self::check_reset`].
    fn reset(&mut self, reset: &Reset) -> Result<Value, Refusal>;

    /// Checks that actions would be accepted: rows of the action space, one after the other.
    /// Every integer of an action and every float32 is exact in f64; other numbers of a `Box` are
    /// rounded to float32.
    ///
    /// # Errors
    /// [`Refusal::NeedsReset`] or [`Refusal::Action`].
    fn check_step(&self, actions: &[f64]) -> Result<(), Refusal>;

    /// Takes one action a lane. [`Self::check_step`] must have accepted the actions.
    fn step_checked(&mut self, actions: &[f64]) -> StepBatch;

    /// Takes one action a lane.
    ///
    /// # Errors
    /// The same as [`Self::check_step`].
    fn step(&mut self, actions: &[f64]) -> Result<StepBatch, Refusal> {
        self.check_step(actions)?;
        Ok(self.step_checked(actions))
    }

    /// Returns the actions of players that know every hidden draw: rows of the action space. For a
    /// lane that the next step only resets, the [neutral](ActionRange::neutral) action.
    ///
    /// # Errors
    /// [`Refusal::NeedsReset`].
    fn oracle(&self) -> Result<Vec<f64>, Refusal>;

    /// Draws a lane; `None` if there is no such lane.
    fn picture(&self, lane: usize) -> Option<Picture>;

    /// Approximate count of numbers that a step reads and writes. The duration of a step grows with
    /// it.
    fn numbers(&self) -> usize;

    /// Approximate size in memory, in bytes.
    fn bytes(&self) -> usize;

    /// Returns the whole state as a document, for programs that inspect it. A server writes
    /// snapshots instead.
    fn save(&self) -> Saved;

    /// Writes the whole state as a snapshot.
    ///
    /// # Errors
    /// Errors of `out`.
    fn write_snapshot(
        &self,
        head: &Head<'_>,
        encoding: Encoding,
        out: &mut Pieces,
    ) -> io::Result<()>;

    /// Returns the whole state in the form that histories hold: a [`Saved`] in MessagePack.
    fn base(&self) -> Vec<u8>;

    /// Restores a state of a history.
    ///
    /// # Errors
    /// Says what does not fit.
    fn restore_base(&mut self, base: &[u8]) -> Result<(), String>;

    /// Checks that a state would be accepted.
    ///
    /// # Errors
    /// [`Refusal::Snapshot`].
    fn check_restore(&self, observations: &[f64], lanes: &[LaneSnapshot]) -> Result<(), Refusal>;

    /// Restores a state.
    ///
    /// # Errors
    /// The same as [`Self::check_restore`].
    fn restore(&mut self, observations: &[f64], lanes: &[LaneSnapshot]) -> Result<(), Refusal>;
}

/// Lanes of environment `E`.
pub struct VectorOf<E: Environment> {
    lanes: Vec<Lane<E>>,
    /// Last observations, a row a lane.
    observations: Vec<E::Element>,
    layout: Layout,
    action_space: Space,
    /// The range of each number in a lane's action.
    action_ranges: Vec<ActionRange>,
    /// Last actions, a row a lane; empty before the first.
    actions: Vec<E::Action>,
    autoreset_mode: AutoresetMode,
    parameters: Vec<Parameter>,
    kwargs: Kwargs,
}

/// Last observations and lanes.
type Parsed<E> = (Vec<<E as Environment>::Element>, Vec<Lane<E>>);

struct Lane<E> {
    environment: E,
    rng: Rng,
    phase: LanePhase,
    /// Used by pictures only and not stored in snapshots: unknown from a restore to the next reset.
    played: Option<Played>,
}

impl<E: Pictured> Lane<E> {
    fn reset(&mut self, observation: &mut [E::Element]) {
        let ended = self.played.filter(|_| self.phase == LanePhase::Ended);
        self.played = Some(Played::after(ended));
        self.environment.reset(&mut self.rng, observation);
        self.phase = LanePhase::Running;
    }

    /// Draws the picture that a reset would lead to. The lane does not change. `row` is the length
    /// of an observation.
    fn first_picture(&self, row: usize) -> Picture {
        let mut environment = self.environment.clone();
        let mut observation = vec![E::Element::default(); row];
        environment.reset(&mut self.rng.clone(), &mut observation);
        environment.picture(&Seen {
            observation: &observation,
            action: None,
            played: Some(Played::default()),
        })
    }
}

impl<E: Catalogued + Pictured> VectorOf<E> {
    /// Makes lanes that wait for their first reset. `seed` has a seed for every lane.
    ///
    /// # Errors
    /// When the arguments do not fit together.
    pub fn new(
        arguments: &Arguments,
        num_envs: usize,
        autoreset_mode: AutoresetMode,
        seed: &Seed,
    ) -> Result<Self, KwargsError> {
        let environment = E::new(arguments)?;
        let lane = |i| Lane {
            environment: environment.clone(),
            rng: Rng::from_seed(seed.lane(i).unwrap_or_default()),
            phase: LanePhase::New,
            played: None,
        };
        let layout = Layout::new::<E::Element>(environment.observation_space(), num_envs);
        let action_space = environment.action_space();
        Ok(VectorOf {
            lanes: (0..num_envs).map(lane).collect(),
            observations: vec![E::Element::default(); num_envs * layout.row()],
            layout,
            action_ranges: action_ranges(&action_space),
            action_space,
            actions: Vec::new(),
            autoreset_mode,
            parameters: catalogue::parameters::<E>(),
            kwargs: arguments.to_kwargs(),
        })
    }

    /// Returns all last observations, for the wire.
    fn observed(&self) -> Value {
        self.layout.value(Cow::Borrowed(&self.observations))
    }

    /// Makes an environment with the arguments of creation, changed by the options of a reset.
    fn with_options(&self, options: &Kwargs) -> Result<E, KwargsError> {
        for name in options.keys() {
            let parameter = self.parameters.iter().find(|p| p.name == *name);
            if parameter.is_some_and(|p| !p.resettable) {
                let detail = "cannot be changed by a reset; create another environment";
                return Err(KwargsError::new(name, detail));
            }
        }
        let mut kwargs = self.kwargs.clone();
        kwargs.extend(options.clone());
        E::new(&Arguments::resolve(&self.parameters, &kwargs)?)
    }

    /// Reads the state of a document.
    fn parse_documents(
        &self,
        observations: &[f64],
        lanes: &[LaneSnapshot],
    ) -> Result<Parsed<E>, Refusal> {
        let read = lanes.iter().map(|lane| {
            let state = serde::Deserialize::deserialize(&lane.state);
            let state = state.map_err(|e: serde_json::Error| e.to_string())?;
            Ok((lane.phase, lane.rng.as_str(), state))
        });
        self.parse(observations, lanes.len(), read)
    }

    /// Reads saved state. `lanes` has phase, random stream and state of each lane, or the reason
    /// why its state cannot be read.
    fn parse<R: AsRef<str>>(
        &self,
        observations: &[f64],
        num_lanes: usize,
        lanes: impl Iterator<Item = Result<(LanePhase, R, E), String>>,
    ) -> Result<Parsed<E>, Refusal> {
        let refuse = |pointer: String, detail: String| Refusal::Snapshot { pointer, detail };
        if num_lanes != self.lanes.len() {
            let expected = self.lanes.len();
            let detail = format!("{num_lanes} lanes, but this environment has {expected}");
            return Err(refuse("/lanes".to_owned(), detail));
        }
        if observations.len() != self.observations.len() {
            let (found, expected) = (observations.len(), self.observations.len());
            let detail = format!("{found} numbers, but {expected} are needed");
            return Err(refuse("/observations".to_owned(), detail));
        }
        let numbers = observations.iter().enumerate();
        let observations: Result<Vec<E::Element>, Refusal> = numbers
            .map(|(i, &x)| {
                E::Element::from_f64(x).ok_or_else(|| {
                    refuse(
                        format!("/observations/{i}"),
                        format!("{x} cannot be observed"),
                    )
                })
            })
            .collect();
        let mut parsed = Vec::with_capacity(num_lanes);
        for (i, lane) in lanes.enumerate() {
            let lane = lane
                .map_err(|detail| ("state", detail))
                .and_then(|(phase, rng, state)| self.restore_lane(phase, rng.as_ref(), state));
            parsed.push(
                lane.map_err(|(field, detail)| refuse(format!("/lanes/{i}/{field}"), detail))?,
            );
        }
        Ok((observations?, parsed))
    }

    /// Makes a lane from its snapshot.
    ///
    /// # Errors
    /// The wrong field, and a description.
    fn restore_lane(
        &self,
        phase: LanePhase,
        rng: &str,
        environment: E,
    ) -> Result<Lane<E>, (&'static str, String)> {
        let rng = Rng::from_hex(rng).ok_or_else(|| {
            let detail = "must be 64 hexadecimal digits, not all zero";
            ("rng", detail.to_owned())
        })?;
        environment.validate().map_err(|e| ("state", e))?;
        if environment.observation_space() != *self.layout.space()
            || environment.action_space() != self.action_space
        {
            let detail = "it has other spaces than this environment";
            return Err(("state", detail.to_owned()));
        }
        if environment.is_running() != (phase == LanePhase::Running) {
            return Err(("phase", "the state says otherwise".to_owned()));
        }
        Ok(Lane {
            environment,
            rng,
            phase,
            played: None,
        })
    }
}

impl<E: Catalogued + Pictured> VectorEnvironment for VectorOf<E> {
    fn num_envs(&self) -> usize {
        self.lanes.len()
    }

    fn num_running(&self) -> usize {
        let phases = self.lanes.iter().map(|lane| lane.phase);
        phases.filter(|&phase| phase == LanePhase::Running).count()
    }

    fn observation_space(&self) -> &Space {
        self.layout.space()
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn check_reset(&self, reset: &Reset) -> Result<(), Refusal> {
        self.with_options(&reset.kwargs)?;
        Ok(())
    }

    fn reset(&mut self, reset: &Reset) -> Result<Value, Refusal> {
        let environment = self.with_options(&reset.kwargs)?;
        let row = self.layout.row();
        let rows = self.observations.chunks_exact_mut(row);
        for (i, (lane, observation)) in self.lanes.iter_mut().zip(rows).enumerate() {
            if reset.mask.as_ref().is_some_and(|mask| !mask[i]) {
                continue;
            }
            let mut next = environment.clone();
            match reset.seed.as_ref().and_then(|seed| seed.lane(i)) {
                Some(seed) => lane.rng = Rng::from_seed(seed),
                None => next.inherit(&lane.environment),
            }
            lane.environment = next;
            lane.reset(observation);
        }
        Ok(self.observed())
    }

    fn check_step(&self, actions: &[f64]) -> Result<(), Refusal> {
        let width = self.action_ranges.len();
        for (lane, (state, row)) in self
            .lanes
            .iter()
            .zip(actions.chunks_exact(width))
            .enumerate()
        {
            let starts_over = self.autoreset_mode == AutoresetMode::NextStep;
            match state.phase {
                LanePhase::Running => {}
                LanePhase::Ended if starts_over => continue,
                phase => return Err(Refusal::NeedsReset { lane, phase }),
            }
            for (position, (&action, range)) in row.iter().zip(&self.action_ranges).enumerate() {
                if !range.contains(action) {
                    let range = range.clone();
                    return Err(Refusal::Action {
                        lane,
                        position,
                        action,
                        range,
                    });
                }
            }
        }
        Ok(())
    }

    fn step_checked(&mut self, actions: &[f64]) -> StepBatch {
        let num_envs = self.lanes.len();
        let row = self.layout.row();
        let mut rewards = Vec::with_capacity(num_envs);
        let mut terminations = Vec::with_capacity(num_envs);
        let mut truncations = Vec::with_capacity(num_envs);
        let mut finals = Finals::new(&self.layout);
        self.actions.clear();
        self.actions
            .extend(actions.iter().map(|&number| E::Action::nearest(number)));
        let actions = self.actions.chunks_exact(self.action_ranges.len());
        let rows = self.observations.chunks_exact_mut(row);
        for (i, ((lane, action), observation)) in
            self.lanes.iter_mut().zip(actions).zip(rows).enumerate()
        {
            if lane.phase == LanePhase::Ended {
                // Only in mode `NextStep`: the check refuses it in other modes.
                lane.reset(observation);
                rewards.push(0.0);
                terminations.push(false);
                truncations.push(false);
                continue;
            }
            let transition = lane.environment.step(action, &mut lane.rng, observation);
            lane.played
                .iter_mut()
                .for_each(|p| p.step(transition.reward));
            rewards.push(transition.reward);
            terminations.push(transition.terminated);
            truncations.push(transition.truncated);
            if transition.is_end() {
                lane.phase = LanePhase::Ended;
                if self.autoreset_mode == AutoresetMode::SameStep {
                    finals.record(i, observation);
                    lane.reset(observation);
                }
            }
        }
        StepBatch {
            observations: self.observed(),
            rewards,
            terminations,
            truncations,
            infos: finals.into_infos(&self.layout),
        }
    }

    fn oracle(&self) -> Result<Vec<f64>, Refusal> {
        let mut actions = Vec::with_capacity(self.lanes.len() * self.action_ranges.len());
        let starts_over = self.autoreset_mode == AutoresetMode::NextStep;
        for (lane, state) in self.lanes.iter().enumerate() {
            match state.phase {
                LanePhase::Running => {
                    let action = state.environment.oracle();
                    actions.extend(action.into_iter().map(E::Action::to_f64));
                }
                LanePhase::Ended if starts_over => {
                    actions.extend(self.action_ranges.iter().map(ActionRange::neutral));
                }
                phase => return Err(Refusal::NeedsReset { lane, phase }),
            }
        }
        Ok(actions)
    }

    fn picture(&self, lane: usize) -> Option<Picture> {
        let state = self.lanes.get(lane)?;
        let (row, width) = (self.layout.row(), self.action_ranges.len());
        let action = self.actions.get(lane * width..(lane + 1) * width);
        let has_stepped = state.played.is_none_or(|played| played.steps > 0);
        let seen = Seen {
            observation: &self.observations[lane * row..(lane + 1) * row],
            action: action.filter(|_| has_stepped),
            played: state.played,
        };
        let picture = match state.phase {
            LanePhase::New => Picture::new().raised_to(&state.first_picture(row)),
            LanePhase::Running | LanePhase::Ended => state.environment.picture(&seen),
        };
        let lane = (self.lanes.len() > 1).then_some(lane);
        Some(picture.of_lane(E::profile().id, lane, state.phase, state.played))
    }

    fn numbers(&self) -> usize {
        self.observations.len() + self.lanes.len() * self.action_ranges.len()
    }

    fn bytes(&self) -> usize {
        let heap = self.lanes.iter().map(|lane| lane.environment.heap_bytes());
        self.lanes.len() * size_of::<Lane<E>>()
            + heap.sum::<usize>()
            + size_of_val(&self.observations[..])
            + self.lanes.len() * self.action_ranges.len() * size_of::<E::Action>()
    }

    fn save(&self) -> Saved {
        let lanes = self.lanes.iter().map(|lane| LaneSnapshot {
            phase: lane.phase,
            rng: lane.rng.to_hex(),
            state: serde_json::to_value(&lane.environment).expect("plain data"),
        });
        Saved {
            observations: self.observations.iter().map(|x| x.to_f64()).collect(),
            lanes: lanes.collect(),
        }
    }

    fn write_snapshot(
        &self,
        head: &Head<'_>,
        encoding: Encoding,
        out: &mut Pieces,
    ) -> io::Result<()> {
        self.write_state(head, encoding, out)
    }

    fn base(&self) -> Vec<u8> {
        self.to_base()
    }

    fn restore_base(&mut self, base: &[u8]) -> Result<(), String> {
        self.read_base(base)
    }

    fn check_restore(&self, observations: &[f64], lanes: &[LaneSnapshot]) -> Result<(), Refusal> {
        self.parse_documents(observations, lanes).map(drop)
    }

    fn restore(&mut self, observations: &[f64], lanes: &[LaneSnapshot]) -> Result<(), Refusal> {
        (self.observations, self.lanes) = self.parse_documents(observations, lanes)?;
        self.actions.clear();
        Ok(())
    }
}

/// Last observations of episodes that ended and were followed by a new episode in the same step.
struct Finals<T> {
    num_envs: usize,
    row: usize,
    /// Empty until the first episode ends, because none ends in most steps.
    observations: Vec<T>,
    mask: Vec<bool>,
}

impl<T: Element> Finals<T> {
    fn new(layout: &Layout) -> Self {
        Finals {
            num_envs: layout.num_envs(),
            row: layout.row(),
            observations: Vec::new(),
            mask: Vec::new(),
        }
    }

    fn record(&mut self, lane: usize, observation: &[T]) {
        self.observations
            .resize(self.num_envs * self.row, T::default());
        self.mask.resize(self.num_envs, false);
        self.observations[lane * self.row..(lane + 1) * self.row].copy_from_slice(observation);
        self.mask[lane] = true;
    }

    /// Returns `final_obs` and `final_info` with their masks, or nothing if no episode ended.
    fn into_infos(self, layout: &Layout) -> Info {
        if self.mask.is_empty() {
            return Info::new();
        }
        let mask = Value::from(Array::mask(self.mask));
        let observations = layout.value(Cow::Owned(self.observations));
        Info::from([
            ("final_obs".to_owned(), observations),
            ("_final_obs".to_owned(), mask.clone()),
            ("final_info".to_owned(), Value::Dict(BTreeMap::new())),
            ("_final_info".to_owned(), mask),
        ])
    }
}

#[cfg(test)]
mod tests;
