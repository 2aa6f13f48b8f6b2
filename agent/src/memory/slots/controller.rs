//! A recurrent network next to the slots. It counts and adds up, which needs no entries, and its state takes part in the
//! question to the slots.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::memory::recurrent::cell::Recurrent;
use crate::memory::recurrent::gru::GruCell;
use crate::memory::{Array, CoreContext, MemoryCore, Network, Segment, State};
use crate::nn::{self, Graph, Tensor};
use crate::onnx::{self, StepGraph};

/// The network next to the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryController {
    /// There is none.
    None,
    /// A gated recurrent unit (Cho et al. 2014, arXiv:1406.1078).
    Gru,
}

/// A recurrent network. Its state is one array of the memory's.
pub struct Controller {
    core: Recurrent<GruCell>,
    size: usize,
}

impl Controller {
    /// Adds its parameters to the context's, if there is to be one.
    pub fn new(kind: MemoryController, context: &mut CoreContext<'_>) -> Option<Self> {
        match kind {
            MemoryController::None => None,
            MemoryController::Gru => Some(Self {
                core: Recurrent::new(GruCell::new, context),
                size: context.hyper.get::<Network>().hidden_size,
            }),
        }
    }

    /// Numbers that it holds.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The state of lanes that have seen nothing.
    pub fn initial_state(&self, batch: usize) -> State {
        self.core.initial_state(batch)
    }

    /// Takes a step of every lane: moves `array` on, and returns what it holds then, `[batch, size]`.
    pub fn step(
        &self,
        graph: &mut Graph<'_>,
        inputs: &[f32],
        starts: &[bool],
        array: &mut Array,
    ) -> Tensor {
        let run = self.core.run(graph, inputs, starts, &alone(array));
        array.data.copy_from_slice(nn::values(&run.features));
        run.features
    }

    /// Returns what it holds at every row of a segment, `[T*B, size]`, from `array` before the first.
    pub fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>, array: &Array) -> Tensor {
        let (inputs, starts) = (segment.inputs, segment.starts);
        self.core.run(graph, inputs, starts, &alone(array)).features
    }

    /// Adds a step to an ONNX graph and returns what it holds.
    ///
    /// # Errors
    /// The reason why it has no such form.
    pub fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        self.core.onnx(step, inputs)
    }
}

/// A state of this array only.
fn alone(array: &Array) -> State {
    State::new(array.data.len() / array.width, vec![array.clone()])
}
