//! The controller: the network that sees inputs and words and moves the heads.

use super::settings::{Addressing, ControllerKind};
use crate::memory::{CoreContext, Network};
use crate::nn::{Activation, Graph, ParamId, Tensor};

/// An LSTM layer, or a dense one.
pub(super) struct Controller {
    kind: ControllerKind,
    /// Of inputs, words and, for an LSTM, its own output at the step before.
    layer: (ParamId, ParamId),
    hidden_size: usize,
}

const H: usize = 0;
const C: usize = 1;

impl Controller {
    /// Adds its parameters to the context's. `inputs` counts the numbers of inputs and words.
    pub fn new(inputs: usize, context: &mut CoreContext<'_>) -> Self {
        let kind = context.hyper.get::<Addressing>().controller;
        let hidden = context.hyper.get::<Network>().hidden_size;
        let shape = match kind {
            ControllerKind::Lstm => (inputs + hidden, 4 * hidden),
            ControllerKind::Dense => (inputs, hidden),
        };
        let layer = context.layer("core.controller", shape, 1.0);
        if kind == ControllerKind::Lstm {
            // Gates are i, f, g, o: a forget gate that begins open lets a gradient reach back.
            context.params.data_mut(layer.1)[hidden..2 * hidden].fill(1.0);
        }
        Self {
            kind,
            layer,
            hidden_size: hidden,
        }
    }

    /// Its weight and bias.
    pub fn layer(&self) -> (ParamId, ParamId) {
        self.layer
    }

    pub fn state_widths(&self) -> Vec<usize> {
        match self.kind {
            ControllerKind::Lstm => vec![self.hidden_size; 2],
            ControllerKind::Dense => Vec::new(),
        }
    }

    /// Computes its output `[batch, hidden_size]` and next state, from the inputs and words in `seen`.
    pub fn step(
        &self,
        graph: &mut Graph<'_>,
        seen: &[&Tensor],
        state: &[Tensor],
    ) -> (Tensor, Vec<Tensor>) {
        let (weight, bias) = self.layer;
        match self.kind {
            ControllerKind::Lstm => {
                let seen = graph.concat_cols(&[seen, &[&state[H]]].concat());
                let gates = graph.linear(&seen, weight, Some(bias), Activation::Identity);
                let (h, c) = graph.lstm_cell(&gates, &state[C]);
                (h.clone(), vec![h, c])
            }
            ControllerKind::Dense => {
                let seen = graph.concat_cols(seen);
                let output = graph.linear(&seen, weight, Some(bias), Activation::Tanh);
                (output, Vec::new())
            }
        }
    }
}
