//! Small memories from one step of a cell and from one read of a window. They show that the helpers which derive acting and
//! learning from it keep the contract of memories.

use super::super::algorithm::Algorithm;
use super::super::family::Family;
use crate::learner::ppo::Ppo;
use crate::memory::attention::window::{Read, Reader, Rows, Window};
use crate::memory::recurrent::cell::{Cell, Recurrent};
use crate::memory::{CoreContext, Network};
use crate::nn::{Activation, Graph, Init, ParamId, ScoreTerms, Tensor};
use crate::policy::decider::Decider;
use crate::policy::outputs::Outputs;

const ELMAN: Algorithm = Algorithm {
    id: "proof-elman",
    title: "Elman network",
    family: Family::Recurrent,
    summary: "A recurrent layer without gates.",
    source: "Elman 1990, Finding structure in time",
    decider: Decider::Network,
    defaults: || super::short_rollouts(1e-3),
    check: super::defaults::no_check,
    plays: |_| Ok(()),
    core: |context| Box::new(Recurrent::new(Elman::new, context)),
    outputs: Outputs::ActorCritic,
    learner: |context| Box::new(Ppo::new(context)),
};

const ATTENTION: Algorithm = Algorithm {
    id: "proof-window-attention",
    title: "Attention over a window",
    family: Family::Recurrent,
    summary: "One read of the last three inputs.",
    source: "Vaswani et al. 2017, arXiv:1706.03762, eq. 1",
    core: |context| Box::new(Window::new(Attention::new, context)),
    ..ELMAN
};

static MEMORIES: [Algorithm; 2] = [ELMAN, ATTENTION];

/// Returns the rows.
pub fn memories() -> impl Iterator<Item = &'static Algorithm> {
    super::added(&MEMORIES)
}

/// h' = tanh(W x + U h + b).
struct Elman {
    from_inputs: (ParamId, ParamId),
    from_before: ParamId,
    hidden_size: usize,
}

impl Elman {
    fn new(context: &mut CoreContext<'_>) -> Self {
        let inputs = context.input_size;
        let hidden_size = context.hyper.get::<Network>().hidden_size;
        let CoreContext { params, rng, .. } = context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        Self {
            from_inputs: (
                params.add("core.weight_ih", (inputs, hidden_size), orthogonal, rng),
                params.add("core.bias", (1, hidden_size), Init::Zeros, rng),
            ),
            from_before: params.add(
                "core.weight_hh",
                (hidden_size, hidden_size),
                orthogonal,
                rng,
            ),
            hidden_size,
        }
    }
}

impl Cell for Elman {
    fn feature_size(&self) -> usize {
        self.hidden_size
    }

    fn state_widths(&self) -> Vec<usize> {
        vec![self.hidden_size]
    }

    fn step(&self, graph: &mut Graph<'_>, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
        let (weight, bias) = self.from_inputs;
        let from_inputs = graph.linear(x, weight, Some(bias), Activation::Identity);
        let from_before = graph.linear(&state[0], self.from_before, None, Activation::Identity);
        let sum = graph.add(&from_inputs, &from_before);
        let h = graph.activate(&sum, Activation::Tanh);
        (h.clone(), vec![h])
    }
}

/// One read of the embedded inputs of a window by the embedded current input.
struct Attention {
    embed: (ParamId, ParamId),
    query: ParamId,
    hidden_size: usize,
}

impl Attention {
    fn new(context: &mut CoreContext<'_>) -> Self {
        let inputs = context.input_size;
        let hidden_size = context.hyper.get::<Network>().hidden_size;
        let CoreContext { params, rng, .. } = context;
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        Self {
            embed: (
                params.add("core.embed.weight", (inputs, hidden_size), orthogonal, rng),
                params.add("core.embed.bias", (1, hidden_size), Init::Zeros, rng),
            ),
            query: params.add("core.query", (hidden_size, hidden_size), orthogonal, rng),
            hidden_size,
        }
    }
}

impl Reader for Attention {
    fn feature_size(&self) -> usize {
        2 * self.hidden_size
    }

    fn length(&self) -> usize {
        3
    }

    fn attention(&self) -> &[&'static str] {
        &["attention by steps ago"]
    }

    fn read(&self, graph: &mut Graph<'_>, rows: &Rows<'_>) -> Read {
        let Rows {
            x, entries, index, ..
        } = *rows;
        let (weight, bias) = self.embed;
        let [x, entries] =
            [x, entries].map(|x| graph.linear(x, weight, Some(bias), Activation::Tanh));
        let query = graph.linear(&x, self.query, None, Activation::Identity);
        let read = graph.attention_read(&query, &entries, &entries, ScoreTerms::NONE, index, 1);
        Read {
            features: graph.concat_cols(&[&read.readout, &x]),
            attention: vec![read.weights],
            carried: Vec::new(),
        }
    }
}
