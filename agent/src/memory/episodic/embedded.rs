//! A learned embedding of a history as a key (Pritzel et al. 2017, arXiv:1703.01988, section 3.1, on histories in place of
//! frames).

use super::history::History;
use crate::hyper::section::section;
use crate::memory::{
    CoreContext, CoreStep, MemoryContents, MemoryCore, Network, Segment, State, Unrolled,
};
use crate::nn::{Activation, Graph, ParamId, Params, Tensor};
use crate::seeds::LaneGenerators;

section! {
    /// Learned keys.
    pub struct Embedding, overridden by EmbeddingOverrides {
        /// Numbers of a learned key.
        key_size: usize = 16, |&v| (1..=1_024).contains(&v), "1 to 1024";
    }
}

/// Two layers on a [`History`]. A key is the history's weighted time, which keeps steps apart, then the embedding.
pub struct Embedded {
    history: History,
    hidden: (ParamId, ParamId),
    output: (ParamId, ParamId),
    key_size: usize,
}

impl Embedded {
    /// Adds its layers to the context's parameters.
    pub fn new(context: &mut CoreContext<'_>) -> Self {
        let history = History::new(context);
        let width = context.hyper.get::<Network>().hidden_size;
        let key_size = context.hyper.get::<Embedding>().key_size;
        let inputs = history.feature_size() - 1;
        let gain = std::f32::consts::SQRT_2;
        Self {
            history,
            hidden: context.layer("core.hidden", (inputs, width), gain),
            output: context.layer("core.output", (width, key_size), 1.0),
            key_size,
        }
    }

    /// Returns keys `[rows, 1 + key_size]` of histories `[rows, 1 + inputs]`.
    fn embed(&self, graph: &mut Graph<'_>, histories: &Tensor) -> Tensor {
        let width = self.history.feature_size();
        let time = graph.columns(histories, 0..1);
        let x = graph.columns(histories, 1..width);
        let (weight, bias) = self.hidden;
        let hidden = graph.linear(&x, weight, Some(bias), Activation::Tanh);
        let (weight, bias) = self.output;
        let key = graph.linear(&hidden, weight, Some(bias), Activation::Identity);
        graph.concat_cols(&[&time, &key])
    }
}

impl MemoryCore for Embedded {
    fn feature_size(&self) -> usize {
        1 + self.key_size
    }

    fn initial_state(&self, batch: usize) -> State {
        self.history.initial_state(batch)
    }

    fn step(
        &self,
        params: &Params,
        inputs: &[f32],
        starts: &[bool],
        state: &mut State,
        rng: Option<&mut LaneGenerators>,
    ) -> CoreStep {
        let step = self.history.step(params, inputs, starts, state, rng);
        let features = self.embed(&mut Graph::inference(params), &step.features);
        CoreStep { features, ..step }
    }

    fn unroll(&self, graph: &mut Graph<'_>, segment: &Segment<'_>) -> Unrolled {
        let unrolled = self.history.unroll(graph, segment);
        let features = self.embed(graph, &unrolled.features);
        Unrolled {
            features,
            ..unrolled
        }
    }

    fn inspect(&self, state: &State, lane: usize) -> MemoryContents {
        self.history.inspect(state, lane)
    }
}
