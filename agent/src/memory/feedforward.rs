//! No memory: two hidden layers over what is on screen. The control of every memory, and PPO as
//! published (Schulman et al. 2017, arXiv:1707.06347).

use super::{CoreContext, CoreStep, MemoryCore, Network, Segment, State, Unrolled};
use crate::nn::{Activation, Graph, Init, ParamId, Params, Tensor};
use crate::onnx::{self, StepGraph};
use crate::seeds::LaneGenerators;

/// `tanh(W₂ tanh(W₁ x + b₁) + b₂)`.
pub struct Feedforward {
    layers: [(ParamId, ParamId); 2],
    hidden_size: usize,
    input_size: usize,
}

impl Feedforward {
    /// Adds its parameters to the context's.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let hidden_size = context.hyper.get::<Network>().hidden_size;
        let input_size = context.input_size;
        let mut layer = |name: &str, inputs: usize| {
            let gain = std::f32::consts::SQRT_2;
            let w = format!("core.{name}.weight");
            (
                context.params.add(
                    &w,
                    (inputs, hidden_size),
                    Init::Orthogonal { gain },
                    context.rng,
                ),
                context.params.add(
                    &format!("core.{name}.bias"),
                    (1, hidden_size),
                    Init::Zeros,
                    context.rng,
                ),
            )
        };
        Self {
            layers: [layer("hidden1", input_size), layer("hidden2", hidden_size)],
            hidden_size,
            input_size,
        }
    }

    fn forward(&self, graph: &mut Graph<'_>, inputs: &[f32]) -> Tensor {
        let rows = inputs.len() / self.input_size;
        let x = graph.constant(inputs.to_vec(), (rows, self.input_size));
        self.layers.iter().fold(x, |x, &(w, b)| {
            graph.linear(&x, w, Some(b), Activation::Tanh)
        })
    }
}

impl MemoryCore for Feedforward {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn initial_state(&self, batch: usize) -> State {
        State::new(batch, Vec::new())
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        _starts: &[bool],
        _state: &mut State,
        _rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        CoreStep {
            features: self.forward(&mut Graph::inference(params), inputs),
            critic_features: None,
            decisions: Vec::new(),
        }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        Unrolled {
            features: self.forward(graph, segment.inputs),
            critic_features: None,
            losses: Vec::new(),
        }
    }

    fn onnx(
        &self,
        step: &mut StepGraph<'_>,
        inputs: &onnx::Value,
    ) -> Result<onnx::Value, &'static str> {
        Ok(self.layers.iter().fold(inputs.clone(), |x, &layer| {
            let y = step.linear(&x, layer);
            step.graph.op("Tanh", &[&y])
        }))
    }
}
