//! The network that acts: memory core, then an actor and a critic on its features. Who does not learn has neither actor
//! nor critic: its logits and values are 0.

pub mod actor;
pub mod decider;
pub mod inputs;

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::algorithms::Algorithm;
use crate::hyper::Hyperparameters;
use crate::learner::auxiliary::Auxiliary;
use crate::memory::{CoreContext, MemoryCore, Segment, State};
use crate::nn::{self, Activation, Graph, Init, ParamId, Params, Tensor};
use crate::policy::decider::Decider;
use crate::policy::inputs::InputEncoder;
use crate::spaces::actions::ActionHeads;

/// Parameters and structure of an agent.
pub struct Policy {
    /// All weights.
    pub params: Params,
    /// The memory.
    pub core: Box<dyn MemoryCore>,
    /// Losses beside the learner's. Acting does not touch them.
    pub auxiliary: Auxiliary,
    heads: ActionHeads,
    decider: Decider,
    /// Of actor and critic, where there is anything to learn.
    outputs: Option<[(ParamId, ParamId); 2]>,
}

/// One step of every lane.
pub struct Acted {
    /// `[batch, num_logits]`, not normalised.
    pub logits: Tensor,
    /// `[batch]`.
    pub values: Vec<f32>,
    /// `[batch, decision_width]`.
    pub decisions: Vec<i32>,
}

/// A segment seen with a gradient.
pub struct Evaluated {
    /// `[T*B, num_logits]`.
    pub logits: Tensor,
    /// `[T*B, 1]`.
    pub values: Tensor,
    /// `[T*B, feature_size]`.
    pub features: Tensor,
    /// The core's own losses.
    pub losses: Vec<(&'static str, f32, Tensor)>,
}

impl Policy {
    /// A policy with fresh weights: orthogonal, gain 0.01 for the actor and 1 for the critic (Huang et al. 2022).
    pub fn new(
        algorithm: &Algorithm,
        hyper: &Hyperparameters,
        encoder: &InputEncoder,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let mut params = Params::new();
        let core = (algorithm.core)(&mut CoreContext {
            input_size: encoder.input_size(),
            heads: encoder.heads(),
            hyper,
            params: &mut params,
            rng,
        });
        let mut head = |name: &str, outputs: usize, gain: f32| {
            let shape = (core.feature_size(), outputs);
            (
                params.add(
                    &format!("{name}.weight"),
                    shape,
                    Init::Orthogonal { gain },
                    rng,
                ),
                params.add(&format!("{name}.bias"), (1, outputs), Init::Zeros, rng),
            )
        };
        let outputs = algorithm.learns().then(|| {
            [
                head("actor", encoder.heads().num_logits(), 0.01),
                head("critic", 1, 1.0),
            ]
        });
        // Last, so that the weights that act are the same with and without.
        let auxiliary = Auxiliary::new(hyper, encoder, core.feature_size(), &mut params, rng);
        Self {
            params,
            core,
            auxiliary,
            heads: encoder.heads().clone(),
            decider: algorithm.decider,
            outputs,
        }
    }

    /// Who chooses the actions.
    pub fn decider(&self) -> Decider {
        self.decider
    }

    /// What actions are made of.
    pub fn heads(&self) -> &ActionHeads {
        &self.heads
    }

    /// Weight and bias of the actor's layer and of the critic's, both on the features, where there is anything to learn.
    pub fn output_layers(&self) -> Option<[(ParamId, ParamId); 2]> {
        self.outputs
    }

    fn outputs(&self, graph: &mut Graph<'_>, features: &Tensor) -> (Tensor, Tensor) {
        let Some(outputs) = self.outputs else {
            let rows = nn::values(features).len() / self.core.feature_size();
            let [logits, values] = [self.heads.num_logits(), 1]
                .map(|width| graph.constant(vec![0.0; rows * width], (rows, width)));
            return (logits, values);
        };
        let [logits, values] =
            outputs.map(|(w, b)| graph.linear(features, w, Some(b), Activation::Identity));
        (logits, values)
    }

    /// Takes one input row of every lane; with `rng` as while learning, without as in evaluation.
    pub fn act(
        &self,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut Xoshiro256PlusPlus>,
    ) -> Acted {
        let step = self.core.step(&self.params, inputs, starts, state, rng);
        let (logits, values) = self.outputs(&mut Graph::inference(&self.params), &step.features);
        Acted {
            logits,
            values: nn::values(&values).to_vec(),
            decisions: step.decisions,
        }
    }

    /// Sees a segment again, on the graph's tape.
    pub fn evaluate(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Evaluated {
        let unrolled = self.core.unroll(graph, segment);
        let (logits, values) = self.outputs(graph, &unrolled.features);
        Evaluated {
            logits,
            values,
            features: unrolled.features,
            losses: unrolled.losses,
        }
    }
}
