//! A block of a GPT (Radford et al. 2019; Chen et al. 2021, arXiv:2106.01345, section 3): causal attention and a
//! feed-forward layer, each normalised at its input and added to the stream. The feed-forward layer is four times as wide
//! and rectified, as in the paper's code for Gym.

use crate::memory::CoreContext;
use crate::nn::{Activation, Graph, Init, ParamId, ScoreTerms, Tensor};

/// Weight and bias of a linear layer, or gain and bias of a normalisation.
pub type Pair = (ParamId, ParamId);

/// The parameters of a block.
pub struct Block {
    heads: usize,
    norm1: Pair,
    query: Pair,
    /// Without a bias, which would add the same to all scores of a query.
    key: ParamId,
    value: Pair,
    output: Pair,
    norm2: Pair,
    feed1: Pair,
    feed2: Pair,
}

/// Adds gains of 1 and biases of 0.
pub fn norm(context: &mut CoreContext<'_>, name: &str, width: usize) -> Pair {
    let CoreContext { params, rng, .. } = context;
    let mut add = |part: &str, init| params.add(&format!("{name}.{part}"), (1, width), init, rng);
    (add("gain", Init::Constant(1.0)), add("bias", Init::Zeros))
}

/// The result of a block.
pub struct Passed {
    /// `[rows asked for, width]`.
    pub stream: Tensor,
    /// Attention of the rows asked for: `[rows, heads, S]`.
    pub attention: Vec<f32>,
}

impl Block {
    /// Adds its parameters under `name` to the context's. `heads` divides `width`.
    pub fn new(name: &str, width: usize, heads: usize, context: &mut CoreContext<'_>) -> Self {
        let part = |part: &str| format!("{name}.{part}");
        let norm1 = norm(context, &part("norm1"), width);
        let [query, value, output] = ["query", "value", "output"]
            .map(|name| context.layer(&part(name), (width, width), 1.0));
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let CoreContext { params, rng, .. } = &mut *context;
        let key = params.add(&part("key.weight"), (width, width), orthogonal, *rng);
        let norm2 = norm(context, &part("norm2"), width);
        Self {
            heads,
            norm1,
            query,
            key,
            value,
            output,
            norm2,
            feed1: context.layer(&part("feed1"), (width, 4 * width), 1.0),
            feed2: context.layer(&part("feed2"), (4 * width, width), 1.0),
        }
    }

    /// Passes on the stream `[N, width]`: all of its rows, or those of `asked`. `index` `[rows, S]` says which rows of the
    /// stream each of them attends to, with -1 for none.
    pub fn pass(
        &self,
        graph: &mut Graph<'_>,
        stream: &Tensor,
        asked: Option<&[u32]>,
        index: &[i32],
    ) -> Passed {
        let linear = |graph: &mut Graph<'_>, x: &Tensor, (weight, bias): Pair, activation| {
            graph.linear(x, weight, Some(bias), activation)
        };
        let normalised = graph.layer_norm(stream, self.norm1.0, self.norm1.1);
        let keys = graph.linear(&normalised, self.key, None, Activation::Identity);
        let values = linear(graph, &normalised, self.value, Activation::Identity);
        let (stream, normalised) = match asked {
            None => (stream.clone(), normalised),
            Some(rows) => (
                graph.gather_rows(stream, rows),
                graph.gather_rows(&normalised, rows),
            ),
        };
        let queries = linear(graph, &normalised, self.query, Activation::Identity);
        let none = ScoreTerms::NONE;
        let read = graph.attention_read(&queries, &keys, &values, none, index, self.heads);
        let attended = linear(graph, &read.readout, self.output, Activation::Identity);
        let stream = graph.add(&stream, &attended);
        let normalised = graph.layer_norm(&stream, self.norm2.0, self.norm2.1);
        let fed = linear(graph, &normalised, self.feed1, Activation::Relu);
        let fed = linear(graph, &fed, self.feed2, Activation::Identity);
        Passed {
            stream: graph.add(&stream, &fed),
            attention: read.weights,
        }
    }
}
