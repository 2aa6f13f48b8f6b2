//! One layer of a transformer encoder (Vaswani et al. 2017, arXiv:1706.03762, section 3.1), with tanh in place of the
//! rectifier.
//!
//! With a single layer the keys and values of a token depend on that token only. So attending to a growing prefix gives
//! each last token what encoding its prefix anew would give it, and keys and values can be kept from step to step.

use crate::memory::{CoreContext, Network, Slots};
use crate::nn::{Activation, Graph, Init, ParamId, ScoreTerms, Tensor};

/// Attention and a feed-forward layer, each added to its input and normalised.
pub struct TransformerLayer {
    heads: usize,
    query: ParamId,
    key: ParamId,
    value: ParamId,
    output: (ParamId, ParamId),
    norm1: (ParamId, ParamId),
    feed1: (ParamId, ParamId),
    feed2: (ParamId, ParamId),
    norm2: (ParamId, ParamId),
}

impl TransformerLayer {
    /// Adds its parameters under `name` to the context's. Tokens have `mem_dim` numbers, which `heads` divides.
    pub fn new(name: &str, heads: usize, context: &mut CoreContext<'_>) -> Self {
        let dim = context.hyper.get::<Slots>().mem_dim;
        let hidden = context.hyper.get::<Network>().hidden_size;
        let CoreContext { params, rng, .. } = context;
        let mut add =
            |part: &str, shape, init| params.add(&format!("{name}.{part}"), shape, init, rng);
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        // A bias on keys would add the same to all scores of a query, one on values is the output's.
        let [query, key, value] = ["query", "key", "value"]
            .map(|part| add(&format!("{part}.weight"), (dim, dim), orthogonal));
        let mut layer = |part: &str, shape: (usize, usize)| {
            (
                add(&format!("{part}.weight"), shape, orthogonal),
                add(&format!("{part}.bias"), (1, shape.1), Init::Zeros),
            )
        };
        let output = layer("output", (dim, dim));
        let feed1 = layer("feed1", (dim, hidden));
        let feed2 = layer("feed2", (hidden, dim));
        let mut norm = |part: &str| {
            (
                add(&format!("{part}.gain"), (1, dim), Init::Constant(1.0)),
                add(&format!("{part}.bias"), (1, dim), Init::Zeros),
            )
        };
        let (norm1, norm2) = (norm("norm1"), norm("norm2"));
        Self {
            heads,
            query,
            key,
            value,
            output,
            norm1,
            feed1,
            feed2,
            norm2,
        }
    }

    /// Keys and values of tokens `[E, mem_dim]`, for others to attend to.
    pub fn keys_and_values(&self, graph: &mut Graph<'_>, tokens: &Tensor) -> (Tensor, Tensor) {
        let [keys, values] = [self.key, self.value]
            .map(|weight| graph.linear(tokens, weight, None, Activation::Identity));
        (keys, values)
    }

    /// Encodes tokens `[M, mem_dim]`, each attending to the rows of `keys_and_values` that its row of `index` (`[M, S]`,
    /// -1 for none) names.
    pub fn encode(
        &self,
        graph: &mut Graph<'_>,
        tokens: &Tensor,
        (keys, values): (&Tensor, &Tensor),
        index: &[i32],
    ) -> Tensor {
        let query = graph.linear(tokens, self.query, None, Activation::Identity);
        let read = graph.attention_read(&query, keys, values, ScoreTerms::NONE, index, self.heads);
        let (weight, bias) = self.output;
        let attended = graph.linear(&read.readout, weight, Some(bias), Activation::Identity);
        let sum = graph.add(tokens, &attended);
        let x = graph.layer_norm(&sum, self.norm1.0, self.norm1.1);
        let hidden = graph.linear(&x, self.feed1.0, Some(self.feed1.1), Activation::Tanh);
        let fed = graph.linear(
            &hidden,
            self.feed2.0,
            Some(self.feed2.1),
            Activation::Identity,
        );
        let sum = graph.add(&x, &fed);
        graph.layer_norm(&sum, self.norm2.0, self.norm2.1)
    }
}

/// Lists of different lengths as the rows of a matrix, filled up with -1.
pub fn padded(lists: &[Vec<i32>]) -> Vec<i32> {
    let width = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut index = vec![-1; lists.len() * width];
    for (row, list) in lists.iter().enumerate() {
        index[row * width..][..list.len()].copy_from_slice(list);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lists_are_filled_up() {
        assert_eq!(
            padded(&[vec![3], vec![], vec![1, 2]]),
            [3, -1, -1, -1, 1, 2]
        );
        assert!(padded(&[]).is_empty());
    }
}
