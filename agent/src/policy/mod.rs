//! The network that acts: a memory core, and outputs on its features. Players that do not learn have no outputs: their
//! logits and values are 0.

pub mod actor;
pub mod decider;
pub mod greediness;
pub mod inputs;
pub mod lanes;
pub mod outputs;
pub mod tables;

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::hyper::Hyperparameters;
use crate::memory::{CoreContext, CoreStep, MemoryContents, MemoryCore, Segment, State};
use crate::nn::{self, Graph, Params, Tensor};
use crate::policy::decider::Decider;
use crate::policy::greediness::{Greediness, epsilon_greedy};
use crate::policy::inputs::InputEncoder;
use crate::policy::outputs::{OutputLayers, Outputs};
use crate::policy::tables::Tables;
use crate::seeds::LaneGenerators;
use crate::spaces::actions::{ActionHeads, Choice};

/// The parts that a policy is built from.
#[derive(Clone, Copy)]
pub struct PolicyParts {
    /// Builds the memory, adding its parameters to the context's.
    pub core: fn(&mut CoreContext<'_>) -> Box<dyn MemoryCore>,
    /// Chooser of actions.
    pub decider: Decider,
    /// Layers on the memory's features.
    pub outputs: Outputs,
}

/// Parameters and structure of an agent.
pub struct Policy {
    /// All weights: of the memory, of the outputs, then those of the learner's own.
    pub params: Params,
    /// The memory.
    pub core: Box<dyn MemoryCore>,
    heads: ActionHeads,
    decider: Decider,
    outputs: OutputLayers,
    /// ε of a greedy policy.
    epsilon: f32,
}

/// One step of every lane.
pub struct Acted {
    /// `[batch, num_logits]`, not normalised; behind the logits and means the log deviations of numbers.
    pub logits: Tensor,
    /// `[batch]`.
    pub values: Vec<f32>,
    /// `[batch, decision_width]`.
    pub decisions: Vec<i32>,
    /// `[batch, feature_size]`, of the memory.
    pub features: Tensor,
}

/// A segment, computed with a gradient.
pub struct Evaluated {
    /// `[T*B, num_logits]`.
    pub logits: Tensor,
    /// `[T*B, 1]`.
    pub values: Tensor,
    /// `[T*B, feature_size]`.
    pub features: Tensor,
    /// The core's own losses: name for the log, weight, `(1, 1)` tensor.
    pub losses: Vec<(&'static str, f32, Tensor)>,
}

impl Policy {
    /// Builds a policy with fresh weights. The core's parameters come first, then those of the outputs.
    pub fn new(
        parts: PolicyParts,
        hyper: &Hyperparameters,
        encoder: &InputEncoder,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let heads = encoder.heads();
        let mut params = Params::new();
        let core = (parts.core)(&mut CoreContext {
            input_size: encoder.input_size(),
            columns: encoder.columns(),
            previous: encoder.previous(),
            heads,
            hyper,
            params: &mut params,
            rng,
        });
        let sizes = (core.feature_size(), heads);
        let outputs = OutputLayers::new(parts.outputs, sizes, hyper, &mut params, rng);
        Self {
            params,
            core,
            heads: heads.clone(),
            decider: parts.decider,
            outputs,
            epsilon: match hyper.has::<Greediness>() {
                true => hyper.get::<Greediness>().epsilon,
                false => 0.0,
            },
        }
    }

    /// Returns the chooser of the actions.
    pub fn decider(&self) -> Decider {
        self.decider
    }

    /// Returns the components of actions.
    pub fn heads(&self) -> &ActionHeads {
        &self.heads
    }

    /// Returns the layers on the memory's features.
    pub fn outputs(&self) -> &OutputLayers {
        &self.outputs
    }

    /// Returns the tables, where the outputs are tables.
    pub fn tables(&self) -> Option<&Tables> {
        match &self.outputs {
            OutputLayers::Tables(tables) => Some(tables),
            _ => None,
        }
    }

    /// Returns the tables, and the parameters that hold their rows, where the outputs are tables.
    pub fn tables_mut(&mut self) -> Option<(&Tables, &mut Params)> {
        match &self.outputs {
            OutputLayers::Tables(tables) => Some((tables, &mut self.params)),
            _ => None,
        }
    }

    /// Appends an action drawn from the policy to `actions`, given a row of logits; returns its log-probability. Where
    /// logits are action values the policy is ε-greedy, with the ε of the end of training. Chance is not asked for the
    /// log-probability of numbers, and has none.
    pub fn draw(
        &self,
        logits: &[f32],
        rng: &mut Xoshiro256PlusPlus,
        actions: &mut Vec<Choice>,
    ) -> f32 {
        if self.decider == Decider::Chance && !self.heads.are_choices() {
            self.heads.random(rng, actions);
            0.0
        } else if self.outputs.is_stochastic() {
            self.heads.sample(logits, rng, actions)
        } else {
            epsilon_greedy(&self.heads, self.epsilon, logits, rng, actions)
        }
    }

    /// Acts on one input row of every lane: with `rng` as while learning, without as in evaluation.
    pub fn act(
        &self,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> Acted {
        let step = self.core.step(&self.params, inputs, starts, state, rng);
        self.acted(step, starts.len())
    }

    /// Acts on a step of the core's, of so many lanes.
    pub fn acted(&self, step: CoreStep, lanes: usize) -> Acted {
        let mut graph = Graph::inference(&self.params);
        let features = (&step.features, step.critic_features.as_ref());
        let (logits, values) = self.layers(&mut graph, features, lanes);
        Acted {
            logits,
            values: nn::values(&values).to_vec(),
            decisions: step.decisions,
            features: step.features,
        }
    }

    /// Returns what lane `lane` has in memory after a step with these features: what its core shows, or the neighbours of
    /// its key where the outputs are tables.
    pub fn inspect(&self, state: &State, features: &Tensor, lane: usize) -> MemoryContents {
        match &self.outputs {
            OutputLayers::Tables(tables) => {
                let size = self.core.feature_size();
                let key = &nn::values(features)[lane * size..][..size];
                tables.inspect(&self.params, key)
            }
            _ => self.core.inspect(state, lane),
        }
    }

    /// A step in which the network was not asked: logits and values are 0.
    pub fn nothing_acted(&self, batch: usize, decisions: Vec<i32>) -> Acted {
        let graph = Graph::inference(&self.params);
        let zeros = |width: usize| graph.constant(vec![0.0; batch * width], (batch, width));
        Acted {
            logits: zeros(self.heads.num_logits()),
            values: vec![0.0; batch],
            decisions,
            features: zeros(self.core.feature_size()),
        }
    }

    /// Computes a segment again, on the graph's tape.
    pub fn evaluate(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Evaluated {
        let unrolled = self.core.unroll(graph, segment);
        let features = (&unrolled.features, unrolled.critic_features.as_ref());
        let (logits, values) = self.layers(graph, features, segment.starts.len());
        Evaluated {
            logits,
            values,
            features: unrolled.features,
            losses: unrolled.losses,
        }
    }

    fn layers(
        &self,
        graph: &mut Graph<'_>,
        (features, of_critic): (&Tensor, Option<&Tensor>),
        rows: usize,
    ) -> (Tensor, Tensor) {
        let features = (features, of_critic.unwrap_or(features));
        self.outputs.forward(graph, features, rows, &self.heads)
    }
}
