//! Memories that a controller addresses: a network that reads and writes the rows of a matrix through differentiable heads.
//!
//! The controller sees the inputs and the words that the heads read at the step before. Its output, by a linear map, is the
//! interface that moves the heads; features are a layer on its output and the words of this step.

use self::controller::Controller;
use super::recurrent::cell::{Cell, CellRun};
use super::{CoreContext, MemoryContents, Network, State, Writes};
use crate::nn::{
    Activation, ControlledOutput, ControllerParams, Graph, MemorySizes, ParamId, Tensor,
};
use crate::onnx::{self, StepGraph};

pub use self::settings::{Addressing, AddressingOverrides};

mod controller;
pub mod dnc;
pub mod ntm;
#[cfg(test)]
mod parity;
mod settings;

/// The matrix of a [`Controlled`] cell, with its heads.
pub trait Addressed: Send + Sync {
    /// Returns its sizes.
    fn sizes(&self) -> MemorySizes;

    /// Returns the numbers of a lane's state. The words that were read come first; zeros are the state before the first
    /// step.
    fn state_width(&self) -> usize;

    /// Returns the numbers of a lane's interface.
    fn interface_width(&self) -> usize;

    /// Computes the next state `[batch, state_width]` from an interface `[batch, interface_width]`.
    fn step(&self, graph: &mut Graph<'_>, state: &Tensor, interface: &Tensor) -> Tensor;

    /// Runs a controller with this memory over a sequence, as [`Graph::controlled_ntm`] does. `None`, the default, repeats
    /// [`Addressed::step`].
    fn run(
        &self,
        _graph: &mut Graph<'_>,
        _x: &Tensor,
        _starts: &[bool],
        _state: &[&[f32]],
        _controller: &ControllerParams,
    ) -> Option<ControlledOutput> {
        None
    }

    /// Returns what a lane's state shows.
    fn vectors(&self, state: &[f32]) -> Vec<(&'static str, Vec<f32>)>;
}

/// Returns the sizes that the hyper-parameters ask for.
fn sizes(context: &CoreContext<'_>) -> MemorySizes {
    let Addressing {
        memory_slots,
        memory_width,
        read_heads,
        ..
    } = context.hyper.get();
    let Writes { memory_writes } = context.hyper.get();
    MemorySizes {
        slots: memory_slots,
        width: memory_width,
        heads: read_heads,
        writes: memory_writes,
    }
}

/// Copies the consecutive parts of a state.
fn split<const N: usize>(mut rest: &[f32], lengths: [usize; N]) -> [Vec<f32>; N] {
    lengths.map(|length| {
        let (part, after) = rest.split_at(length);
        rest = after;
        part.to_vec()
    })
}

/// A cell of a controller and a matrix. State: the matrix with its heads, then the controller's.
pub struct Controlled<M> {
    memory: M,
    controller: Controller,
    interface: (ParamId, ParamId),
    output: (ParamId, ParamId),
    hidden_size: usize,
}

impl<M: Addressed> Controlled<M> {
    /// Adds the parameters of controller, interface and output to the context's.
    fn new(memory: M, context: &mut CoreContext<'_>) -> Self {
        let hidden_size = context.hyper.get::<Network>().hidden_size;
        let words = words_width(&memory);
        let controller = Controller::new(context.input_size + words, context);
        Self {
            controller,
            interface: context.layer(
                "core.interface",
                (hidden_size, memory.interface_width()),
                1.0,
            ),
            output: context.layer("core.output", (hidden_size + words, hidden_size), 1.0),
            memory,
            hidden_size,
        }
    }
}

/// Returns the numbers of a lane's words.
fn words_width(memory: &impl Addressed) -> usize {
    let MemorySizes { width, heads, .. } = memory.sizes();
    heads * width
}

impl<M: Addressed> Cell for Controlled<M> {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn state_widths(&self) -> Vec<usize> {
        let mut widths = vec![self.memory.state_width()];
        widths.extend(self.controller.state_widths());
        widths
    }

    fn step(&self, graph: &mut Graph<'_>, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
        let (before, of_controller) = (&state[0], &state[1..]);
        let width = words_width(&self.memory);
        let words = graph.columns(before, 0..width);
        let (output, next) = self.controller.step(graph, &[x, &words], of_controller);
        let (weight, bias) = self.interface;
        let interface = graph.linear(&output, weight, Some(bias), Activation::Identity);
        let after = self.memory.step(graph, before, &interface);
        let words = graph.columns(&after, 0..width);
        let both = graph.concat_cols(&[&output, &words]);
        let (weight, bias) = self.output;
        let features = graph.linear(&both, weight, Some(bias), Activation::Tanh);
        let mut states = vec![after];
        states.extend(next);
        (features, states)
    }

    fn fused(
        &self,
        graph: &mut Graph<'_>,
        x: &Tensor,
        starts: &[bool],
        state: &State,
    ) -> Option<CellRun> {
        let parts = state.arrays.iter().map(|array| array.data.as_slice());
        let parts: Vec<&[f32]> = parts.collect();
        let controller = ControllerParams {
            layer: self.controller.layer(),
            interface: self.interface,
        };
        let run = self.memory.run(graph, x, starts, &parts, &controller)?;
        let (weight, bias) = self.output;
        Some(CellRun {
            features: graph.linear(&run.seen, weight, Some(bias), Activation::Tanh),
            state: run.state,
        })
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        MemoryContents::Vectors(self.memory.vectors(state.arrays[0].row(lane)))
    }

    /// An interface to a matrix that stays empty moves nothing.
    fn may_be_idle(&self, parameter: &str) -> bool {
        !self.memory.sizes().writes && parameter.starts_with("core.interface")
    }

    fn onnx(
        &self,
        _step: &mut StepGraph<'_>,
        _inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        Err("its memory, a matrix with heads, is not exported")
    }
}

#[cfg(test)]
mod testing {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::hyper::Hyperparameters;
    use crate::memory::recurrent::cell::Recurrent;
    use crate::nn::Params;
    use crate::spaces::actions::ActionHeads;

    /// Settings of two slots of one number.
    pub fn addressing() -> Hyperparameters {
        let slots = Addressing {
            memory_slots: 2,
            memory_width: 1,
            ..Addressing::default()
        };
        Hyperparameters::new().with(slots).with(Writes::default())
    }

    /// A cell with two slots of one number, and the memory that repeats such a cell.
    pub fn cell_of<C: Cell>(build: fn(&mut CoreContext<'_>) -> C) -> (C, Recurrent<C>) {
        let hyper = addressing().with(Network { hidden_size: 4 });
        let (mut params, mut others) = (Params::new(), Params::new());
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut context = CoreContext {
            input_size: 3,
            columns: &[],
            previous: crate::memory::Previous::default(),
            heads: &ActionHeads::of(&[2]),
            hyper: &hyper,
            params: &mut params,
            rng: &mut rng,
        };
        let cell = build(&mut context);
        context.params = &mut others;
        (cell, Recurrent::new(build, &mut context))
    }
}
