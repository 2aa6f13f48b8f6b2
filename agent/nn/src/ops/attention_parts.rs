//! Reads by soft attention whose weights are on the tape.

use crate::graph::{GradKey, Graph};
use crate::kernels::attention::{Operands, Slots, Weighting};
use crate::kernels::attention_parts::{
    WeightGradients, attention_weights, attention_weights_gradient, weighted_read,
    weighted_read_gradient,
};
use crate::ops::attention::ScoreTerms;
use crate::tensor::{Tensor, shape, values};

/// Checks an index of `rows` rows into `entries` entries, and returns the number of slots of a row.
fn slots_of(index: &[i32], rows: usize, entries: usize) -> usize {
    assert!(
        rows == 0 || index.len().is_multiple_of(rows),
        "{} slots cannot be divided evenly among {rows} rows",
        index.len()
    );
    assert!(
        index.iter().all(|&entry| entry < entries as i32),
        "an index points beyond the {entries} entries"
    );
    index.len().checked_div(rows).unwrap_or(0)
}

fn zeros(wanted: bool, len: usize) -> Vec<f32> {
    vec![0.0; if wanted { len } else { 0 }]
}

#[derive(Clone, Copy)]
struct Sizes {
    slots: usize,
    heads: usize,
    scale: f32,
}

impl Sizes {
    fn over(self, index: &[i32]) -> Slots<'_> {
        Slots {
            index,
            slots: self.slots,
            heads: self.heads,
            scale: self.scale,
            weighting: Weighting::Softmax,
        }
    }
}

impl Graph<'_> {
    /// Attention of each row to its own slots: softmax over the filled slots of `scale · q·k + entry's term + slot's
    /// term`, 0 in empty slots. Unlike the weights of [`Graph::attention_read`] these carry a gradient, so that something
    /// else than the entries can be weighed, such as a row for each slot (Sukhbaatar et al. 2015, arXiv 1503.08895,
    /// section 4.1). [`Graph::weighted_read`] reads entries with them.
    ///
    /// Shapes: `q` `[M, heads * d]`, `k` `[E, heads * d]`, `index` `[M, S]` with entries `0..E`, or -1 for an empty slot.
    /// Returns `[M, heads * S]`.
    ///
    /// # Panics
    /// When shapes do not match, or an index lies beyond the table.
    pub fn attention_weights(
        &mut self,
        q: &Tensor,
        k: &Tensor,
        terms: ScoreTerms<&Tensor>,
        index: &[i32],
        heads: usize,
        scale: f32,
    ) -> Tensor {
        let ((rows, columns), (entries, k_columns)) = (shape(q), shape(k));
        assert!(
            heads > 0 && columns == k_columns && columns % heads == 0,
            "{heads} heads cannot compare queries of {columns} with keys of {k_columns} columns"
        );
        let slots = slots_of(index, rows, entries);
        assert!(
            terms.entry.is_none_or(|term| shape(term) == (entries, 1))
                && terms
                    .slot
                    .is_none_or(|term| shape(term) == (rows, heads * slots)),
            "terms need one number for each of {entries} entries, or of {rows} x {heads} x {slots} slots"
        );
        let sizes = Sizes {
            slots,
            heads,
            scale,
        };
        let d = columns / heads;
        let mut weights = vec![0.0; rows * heads * slots];
        if slots > 0 {
            attention_weights(&mut weights, operands(q, k, terms, d), sizes.over(index));
        }
        let weights = self.constant(weights, (rows, heads * slots));
        let (q_key, k_key) = (self.key(q), self.key(k));
        let [bias_key, offsets_key] =
            [terms.entry, terms.slot].map(|term| term.map(|term| self.key(term)));
        let wanted = [
            Some(&q_key),
            Some(&k_key),
            bias_key.as_ref(),
            offsets_key.as_ref(),
        ]
        .map(|key| key.is_some_and(GradKey::wanted));
        if slots > 0 && wanted.contains(&true) {
            let (q, k, weights_again) = (q.clone(), k.clone(), weights.clone());
            let (entry, slot) = (terms.entry.cloned(), terms.slot.cloned());
            let index = index.to_vec();
            self.record(&weights, move |mut d_weights, grads| {
                let mut dq = zeros(wanted[0], rows * columns);
                let mut dk = zeros(wanted[1], entries * columns);
                let mut d_bias = zeros(wanted[2], entries);
                let mut d_offsets = zeros(wanted[3], d_weights.len());
                let gradients = WeightGradients {
                    q: &mut dq,
                    k: &mut dk,
                    bias: &mut d_bias,
                    offsets: &mut d_offsets,
                };
                let terms = ScoreTerms {
                    entry: entry.as_ref(),
                    slot: slot.as_ref(),
                };
                attention_weights_gradient(
                    gradients,
                    &mut d_weights,
                    values(&weights_again),
                    operands(&q, &k, terms, d),
                    sizes.over(&index),
                );
                grads.give(&q_key, dq);
                grads.give(&k_key, dk);
                for (key, d) in [(bias_key, d_bias), (offsets_key, d_offsets)] {
                    if let Some(key) = &key {
                        grads.give(key, d);
                    }
                }
            });
        }
        weights
    }

    /// Reads entries with weights: row `m` of the result is `Σ weights[m, s] · v[index[m, s]]`, for each head by itself.
    ///
    /// Shapes: `weights` `[M, heads * S]`, `v` `[E, heads * dv]`, `index` `[M, S]` with entries `0..E`, or -1 for an
    /// empty slot. Returns `[M, heads * dv]`.
    ///
    /// # Panics
    /// When shapes do not match, or an index lies beyond the table.
    pub fn weighted_read(
        &mut self,
        weights: &Tensor,
        v: &Tensor,
        index: &[i32],
        heads: usize,
    ) -> Tensor {
        let (rows, weight_columns) = shape(weights);
        let (entries, columns) = shape(v);
        let slots = slots_of(index, rows, entries);
        assert!(
            heads > 0 && weight_columns == heads * slots && columns % heads == 0,
            "{heads} heads cannot read values of {columns} columns from {slots} slots with {weight_columns} weights"
        );
        let sizes = Sizes {
            slots,
            heads,
            scale: 1.0,
        };
        let dv = columns / heads;
        let mut readout = vec![0.0; rows * columns];
        if slots > 0 {
            weighted_read(
                &mut readout,
                values(weights),
                values(v),
                sizes.over(index),
                dv,
            );
        }
        let readout = self.constant(readout, (rows, columns));
        let (weights_key, v_key) = (self.key(weights), self.key(v));
        if slots > 0 && (weights_key.wanted() || v_key.wanted()) {
            let (weights, v, index) = (weights.clone(), v.clone(), index.to_vec());
            self.record(&readout, move |d_readout, grads| {
                let mut d_weights = zeros(weights_key.wanted(), rows * weight_columns);
                let mut d_v = zeros(v_key.wanted(), entries * columns);
                let buffers = (&mut d_weights[..], &mut d_v[..]);
                let (weights, v) = (values(&weights), values(&v));
                weighted_read_gradient(buffers, &d_readout, weights, v, sizes.over(&index), dv);
                grads.give(&weights_key, d_weights);
                grads.give(&v_key, d_v);
            });
        }
        readout
    }
}

fn operands<'a>(
    q: &'a Tensor,
    k: &'a Tensor,
    terms: ScoreTerms<&'a Tensor>,
    d: usize,
) -> Operands<'a> {
    let of = |term: Option<&'a Tensor>| term.map_or(&[][..], values);
    Operands {
        q: values(q),
        k: values(k),
        v: &[],
        bias: of(terms.entry),
        offsets: of(terms.slot),
        d,
        dv: d,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    fn wave(graph: &Graph<'_>, (rows, columns): (usize, usize), phase: f32) -> Tensor {
        let numbers = (0..rows * columns).map(|i| (i as f32 * 0.7 + phase).sin());
        graph.constant(numbers.collect(), (rows, columns))
    }

    #[test]
    fn weights_and_a_weighted_read_equal_a_whole_read() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let (q, k) = (wave(&graph, (3, 12), 0.0), wave(&graph, (5, 12), 1.0));
        for heads in [1, 2] {
            let v = wave(&graph, (5, 14), 2.0);
            let terms = ScoreTerms {
                entry: Some(&wave(&graph, (5, 1), 3.0)),
                slot: Some(&wave(&graph, (3, heads * 3), 4.0)),
            };
            let index = [0, 4, -1, -1, 2, 2, -1, -1, -1];
            let whole = graph.attention_read(&q, &k, &v, terms, &index, heads);
            let scale = 1.0 / (12.0 / heads as f32).sqrt();
            let weights = graph.attention_weights(&q, &k, terms, &index, heads, scale);
            let read = graph.weighted_read(&weights, &v, &index, heads);
            let pairs = [
                (values(&weights), &whole.weights[..]),
                (values(&read), values(&whole.readout)),
            ];
            for (found, expected) in pairs {
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn nothing_to_read() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let q = graph.constant(vec![1.0; 4], (2, 2));
        let empty = graph.constant(vec![], (0, 2));
        for index in [&[-1, -1][..], &[]] {
            let weights = graph.attention_weights(&q, &empty, ScoreTerms::NONE, index, 1, 1.0);
            assert!(values(&weights).iter().all(|&weight| weight == 0.0));
            let read = graph.weighted_read(&weights, &empty, index, 1);
            assert_eq!(values(&read), [0.0; 4]);
        }
    }
}
