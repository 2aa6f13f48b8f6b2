//! Memories: the state of an agent from step to step. One file per architecture.
//!
//! A core turns the agent's inputs into features for the policy. It does so twice: [`MemoryCore::step`] while acting,
//! one step of all lanes at a time, and [`MemoryCore::unroll`] while learning, over a whole rollout with a gradient.
//! Both must say the same: before the first optimiser step of an update, log-probabilities recomputed by `unroll`
//! equal those stored by `step` (the ratio test).

use std::ops::Range;

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::hyper::Hyperparameters;
use crate::hyper::section::section;
use crate::nn::{Graph, GruGateParams, Init, ParamId, Params, Tensor};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;
use crate::spaces::actions::{ActionHeads, Choice};
use crate::spaces::encoder::InputColumn;

pub mod addressed;
pub mod attention;
pub mod episodes;
pub mod episodic;
pub mod feedforward;
pub mod linear;
pub mod none;
pub mod predictive;
pub mod recurrent;
pub mod sequence;
pub mod slots;
pub mod spatial;

pub use probed::{Entry, Handed, Probed, Shown};
pub use state::{Array, State};
mod probed;
mod state;

section! {
    /// Width of hidden layers.
    pub struct Network, overridden by NetworkOverrides {
        /// Width of the hidden layers; of the LSTM, its number of units.
        hidden_size: usize = 64, |&v| (1..=4_096).contains(&v), "1 to 4096";
    }
}

section! {
    /// Layers of a memory.
    pub struct Layers, overridden by LayersOverrides {
        /// Layers of the memory, one upon another.
        memory_layers: usize = 2, |&v| (1..=8).contains(&v), "1 to 8";
    }
}

section! {
    /// Writes into a memory that is written by a gate.
    pub struct Writes, overridden by WritesOverrides {
        /// Write into the memory. Off, it stays empty: the control that shows what it is good for.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        memory_writes: bool = true, |_| true, "true or false";
    }
}

section! {
    /// Memory entries with learned retention.
    pub struct Slots, overridden by SlotsOverrides {
        /// Width of an embedded entry of the memory.
        mem_dim: usize = 32, |&v| (1..=1_024).contains(&v), "1 to 1024";
        /// Slots of the memory.
        max_entries: usize = 16, |&v| (1..=1_024).contains(&v), "1 to 1024";
        /// Learn what to keep: the retention score gates attention. Off, steps are kept at random and episodes by age.
        #[arg(num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
        memory_learn_retention: bool = true, |_| true, "true or false";
        /// Weight of the usefulness regression `(u − attention·return)²`.
        memory_retention_coef: f32 = 0.01, |&v| (0.0..=100.0).contains(&v), "0 to 100";
    }
}

/// Columns of an input row that show the step before.
#[derive(Clone, Debug, Default)]
pub struct Previous {
    /// Those of the action, one-hot; empty where it is not shown.
    pub action: Range<usize>,
    /// That of the reward; empty where it is not shown.
    pub reward: Range<usize>,
}

/// The inputs from which a core is built. Parameters that it adds belong to the agent and are
/// trained with it.
pub struct CoreContext<'a> {
    /// Numbers in an input row.
    pub input_size: usize,
    /// The meaning of the numbers that an input row begins with: those of the observation.
    pub columns: &'a [InputColumn],
    /// Where an input row shows what happened before, after the observation.
    pub previous: Previous,
    /// Components of actions.
    pub heads: &'a ActionHeads,
    /// All hyper-parameters; a core reads those of its parts.
    pub hyper: &'a Hyperparameters,
    /// Where the core's parameters go.
    pub params: &'a mut Params,
    /// Source of initial weights.
    pub rng: &'a mut Xoshiro256PlusPlus,
}

impl CoreContext<'_> {
    /// Adds a linear layer under a name: an orthogonal weight of shape `[inputs, outputs]` and a bias of zeros.
    pub fn layer(&mut self, name: &str, shape: (usize, usize), gain: f32) -> (ParamId, ParamId) {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let orthogonal = Init::Orthogonal { gain };
        (
            self.params.add(&weight, shape, orthogonal, self.rng),
            self.params.add(&bias, (1, shape.1), Init::Zeros, self.rng),
        )
    }

    /// Adds a gate of `width` numbers under a name, nearly closed.
    pub fn gru_gate(&mut self, name: &str, width: usize) -> GruGateParams {
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let mut add = |part: &str, shape, init| {
            let name = format!("{name}.{part}");
            self.params.add(&name, shape, init, self.rng)
        };
        GruGateParams {
            gates: add("gates", (2 * width, 2 * width), orthogonal),
            candidate: add("candidate", (2 * width, width), orthogonal),
            bias: add("bias", (1, width), Init::Constant(GATE_BIAS)),
        }
    }
}

/// b_g of fresh gates: 88 % of the stream passes them unchanged (Parisotto et al. 2020, arXiv:1910.06764, section 3.2).
const GATE_BIAS: f32 = 2.0;

/// The reason why a memory has no ONNX graph, where it does not say another.
const NO_ONNX: &str = "its memory has no form there";

/// One step of every lane while acting.
pub struct CoreStep {
    /// `[batch, feature_size]`.
    pub features: Tensor,
    /// `[batch, feature_size]`: features for the value alone; `None` where it has the same as the actions.
    pub critic_features: Option<Tensor>,
    /// Choices that learning must repeat rather than make again: `[batch, decision_width]`.
    pub decisions: Vec<i32>,
}

/// A rollout, or some lanes of one, as a core sees it. Rows are time-major: `row = t * batch + lane`.
pub struct Segment<'a> {
    /// Steps T.
    pub steps: usize,
    /// Lanes B.
    pub batch: usize,
    /// `[T*B, input_size]`.
    pub inputs: &'a [f32],
    /// `[T*B]`: whether the row is the first of an episode; the state is reset before it.
    pub starts: &'a [bool],
    /// `[T*B]`: whether the row's action ended its episode.
    pub ends: &'a [bool],
    /// `[T*B, components]`: the action that was taken.
    pub actions: &'a [u32],
    /// `[T*B]`: the task's own reward for it.
    pub rewards: &'a [f32],
    /// `[T*B]`: the return that is asked for from the row on, for a memory that is asked for one; `None` as acting keeps it.
    pub goals: Option<&'a [f32]>,
    /// The lanes' state before the first row. No gradient flows into it.
    pub initial_state: &'a State,
    /// `[T*B, decision_width]`, as [`MemoryCore::step`] returned and [`MemoryCore::settle`] completed them.
    pub decisions: &'a [i32],
    /// `[T*B]`: return targets, for losses of the core's own.
    pub returns: &'a [f32],
    /// `[T*B]`: values as acting estimated them, for losses of the core's own.
    pub values: &'a [f32],
}

/// The result of unrolling a core.
pub struct Unrolled {
    /// `[T*B, feature_size]`.
    pub features: Tensor,
    /// `[T*B, feature_size]`: features for the value alone, as in [`CoreStep`].
    pub critic_features: Option<Tensor>,
    /// Losses of the core's own: name for the log, weight, `(1, 1)` tensor.
    pub losses: Vec<(&'static str, f32, Tensor)>,
}

/// A memory architecture.
pub trait MemoryCore: Send + Sync {
    /// Width of the features.
    fn feature_size(&self) -> usize;

    /// Whole numbers that a step records for learning to repeat.
    fn decision_width(&self) -> usize {
        0
    }

    /// The state of `batch` lanes that have seen nothing.
    fn initial_state(&self, batch: usize) -> State;

    /// The state of lanes that come into the middle of an episode, at these of its steps, and have seen nothing of it: for
    /// a memory with a clock.
    fn state_at(&self, steps: &[usize]) -> State {
        self.initial_state(steps.len())
    }

    /// Acts: takes one input row of every lane and moves the state on.
    ///
    /// `inputs`: `[batch, input_size]`. `starts`: rows whose state is reset before the step. `rng`: noise that helps
    /// to learn, each lane's from its own generator; without it the step is deterministic, as in evaluation.
    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> CoreStep;

    /// Moves the state on like [`MemoryCore::step`], where no features are wanted. Returns the decisions.
    fn observe(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> Vec<i32> {
        self.step(params, inputs, starts, state, rng).decisions
    }

    /// Completes the decisions of a rollout of `batch` lanes, once and in place, with what learning needs and only the end
    /// of an episode tells. `starts`, `ends`: `[T*B]`, as in [`Segment`]; `decisions`: `[T*B, decision_width]`, as
    /// [`MemoryCore::step`] returned them. No lane's may depend on another lane, and features may not change.
    fn settle(&self, _batch: usize, _starts: &[bool], _ends: &[bool], _decisions: &mut [i32]) {}

    /// Learns: the features of every row of a segment, on the graph's tape.
    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled;

    /// A rollout begins, perhaps with new weights: bring whatever the state holds of the old ones up to date.
    fn refresh(&self, _params: &Params, _state: &mut State) {}

    /// Returns what [`MemoryCore::unroll`] needs of the state before a rollout: all of it, unless a core knows better.
    /// `starts`: lanes whose first row begins an episode. The arrays are as many as the state's, and some may be empty.
    fn before(&self, state: &State, _starts: &[bool]) -> State {
        state.clone()
    }

    /// Empties the memory and leaves no trace of observations; a clock may continue. For the
    /// control that shows that a score came from memory.
    fn forget(&self, state: &mut State) {
        *state = self.initial_state(state.rows());
    }

    /// Tells the memory what came of the step just taken, one action (`[batch, components]`), reward and end for each
    /// lane: for memories that outlive episodes. None of it may reach the features of the same episode.
    fn outcome(
        &self,
        _params: &Params,
        _state: &mut State,
        _actions: &[Choice],
        _rewards: &[f64],
        _ends: &[bool],
    ) {
    }

    /// Returns whether the memory depends on [`MemoryCore::outcome`], which must then be called.
    fn needs_outcomes(&self) -> bool {
        false
    }

    /// The state of `batch` lanes that an agent begins an evaluation with, given its state at the end of training:
    /// nothing, unless the memory outlives episodes.
    fn evaluation_state(&self, _trained: &State, batch: usize) -> State {
        self.initial_state(batch)
    }

    /// Adds a step to a graph, as [`MemoryCore::step`] does it without noise: the features `[batch, feature_size]` of
    /// inputs `[batch, input_size]`.
    ///
    /// # Errors
    /// Why a step is no graph of tensors of fixed size.
    fn onnx(
        &self,
        _step: &mut StepGraph<'_>,
        _inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        Err(NO_ONNX)
    }

    /// Returns whether the same parameters play rasters of any size: then an agent may be evaluated in larger ones than it
    /// was trained on.
    fn plays_any_size(&self) -> bool {
        false
    }

    /// Returns whether a parameter may rightly get no gradient from a segment: of a part that a choice leaves out.
    fn may_be_idle(&self, _parameter: &str) -> bool {
        false
    }

    /// Returns the entries of lane `lane` and their attention in the last step.
    fn inspect(&self, _state: &State, _lane: usize) -> MemoryContents {
        MemoryContents::Nothing
    }

    /// Returns the memory for a probe, which keeps and hands out entries by force.
    ///
    /// # Errors
    /// Why there is nothing to keep or to hand out.
    fn probed(&self) -> Result<&dyn Probed, &'static str> {
        Err("only tracerl has slots whose entries can be kept and handed out by force")
    }
}

/// A look into one lane's memory after a step.
#[derive(Clone, Debug, PartialEq)]
pub enum MemoryContents {
    /// There is no memory.
    Nothing,
    /// Slots with entries written at known steps.
    Slots(Vec<Option<SlotContents>>),
    /// Slots with entries that are whole episodes, kept from one to the next.
    Episodes(Vec<Option<SlotContents>>),
    /// Hidden units with their activations.
    Units(Vec<f32>),
    /// Vectors with their names, such as the usage of slots or the activity of modules.
    Vectors(Vec<(&'static str, Vec<f32>)>),
}

/// An entry of a memory of slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlotContents {
    /// Step of the episode at which it was written; of an entry that is an episode, the episode's number.
    pub written_at: u32,
    /// Its retention score u.
    pub usefulness: f32,
    /// The share of attention that it got in the last read.
    pub attention: f32,
}
