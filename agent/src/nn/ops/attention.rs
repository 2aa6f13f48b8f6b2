//! Reading a memory by soft attention.

use crate::nn::graph::Graph;
use crate::nn::kernels::attention::{
    OperandGradients, Operands, Slots, attention_read, attention_read_gradient,
};
use crate::nn::tensor::{Tensor, shape, values};

/// What [`Graph::attention_read`] returns.
pub struct AttentionRead {
    /// Weighted mean of the entries, `[M, heads * dv]`.
    pub readout: Tensor,
    /// How much each slot was attended to, `[M, heads, S]`; 0 in empty slots. For inspection and
    /// as targets: no gradient flows through these numbers.
    pub weights: Vec<f32>,
}

impl Graph<'_> {
    /// Every row attends to its own slots, which point into one table of entries (Vaswani et al.
    /// 2017, arXiv 1706.03762, eq. 1, with a bias per entry):
    /// `score = q·k / √d + bias`, softmax over the row's filled slots, readout `Σ weight · v`.
    ///
    /// Shapes: `q` `[M, heads * d]`, `k` `[E, heads * d]`, `v` `[E, heads * dv]` (may be the same
    /// tensor as `k`), `bias` `[E, 1]`, `index` `[M, S]` with entries `0..E`, or -1 for an empty
    /// slot. A row without a filled slot reads zeros.
    ///
    /// # Panics
    /// On shapes that do not fit and on an index beyond the table.
    pub fn attention_read(
        &mut self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        bias: Option<&Tensor>,
        index: &[i32],
        heads: usize,
    ) -> AttentionRead {
        let (rows, q_columns) = shape(q);
        let (entries, k_columns) = shape(k);
        let (v_entries, v_columns) = shape(v);
        assert!(
            heads > 0 && q_columns == k_columns && q_columns % heads == 0 && v_columns % heads == 0,
            "{heads} heads cannot read keys of {k_columns} and values of {v_columns} columns with queries of {q_columns}"
        );
        assert!(
            v_entries == entries && bias.is_none_or(|bias| shape(bias) == (entries, 1)),
            "keys, values and bias need one row for each of {entries} entries"
        );
        assert!(
            rows == 0 || index.len() % rows == 0,
            "{} slots cannot be shared out evenly to {rows} rows",
            index.len()
        );
        assert!(
            index.iter().all(|&entry| entry < entries as i32),
            "an index points beyond the {entries} entries"
        );
        let sizes = Sizes {
            slots: index.len().checked_div(rows).unwrap_or(0),
            heads,
            d: q_columns / heads,
            dv: v_columns / heads,
        };
        let mut readout = vec![0.0; rows * v_columns];
        let mut weights = vec![0.0; heads * index.len()];
        if sizes.slots > 0 {
            let operands = sizes.operands(q, k, v, bias);
            attention_read(&mut readout, &mut weights, operands, sizes.slots(index));
        }
        let readout = self.constant(readout, (rows, v_columns));
        self.record_attention(&readout, (q, k, v, bias), index, &weights, sizes);
        AttentionRead { readout, weights }
    }

    fn record_attention(
        &mut self,
        readout: &Tensor,
        (q, k, v, bias): (&Tensor, &Tensor, &Tensor, Option<&Tensor>),
        index: &[i32],
        weights: &[f32],
        sizes: Sizes,
    ) {
        let keys = [Some(q), Some(k), Some(v), bias].map(|t| t.map(|t| self.key(t)));
        let wanted = keys
            .each_ref()
            .map(|key| key.as_ref().is_some_and(|key| key.wanted()));
        if sizes.slots == 0 || !wanted.contains(&true) {
            return;
        }
        let (q, k, v, bias) = (q.clone(), k.clone(), v.clone(), bias.cloned());
        let (index, weights) = (index.to_vec(), weights.to_vec());
        self.record(readout, move |d_readout, grads| {
            let operands = sizes.operands(&q, &k, &v, bias.as_ref());
            let lens = [operands.q, operands.k, operands.v, operands.bias].map(<[f32]>::len);
            let mut d: [Vec<f32>; 4] =
                std::array::from_fn(|i| vec![0.0; if wanted[i] { lens[i] } else { 0 }]);
            let [dq, dk, dv, d_bias] = &mut d;
            let gradients = OperandGradients {
                q: dq,
                k: dk,
                v: dv,
                bias: d_bias,
            };
            attention_read_gradient(
                gradients,
                &d_readout,
                &weights,
                operands,
                sizes.slots(&index),
            );
            for (key, d) in keys.iter().zip(d) {
                if let Some(key) = key {
                    grads.give(key, d);
                }
            }
        });
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    slots: usize,
    heads: usize,
    d: usize,
    dv: usize,
}

impl Sizes {
    fn operands<'a>(
        self,
        q: &'a Tensor,
        k: &'a Tensor,
        v: &'a Tensor,
        bias: Option<&'a Tensor>,
    ) -> Operands<'a> {
        let bias = bias.map_or(&[][..], values);
        Operands {
            q: values(q),
            k: values(k),
            v: values(v),
            bias,
            d: self.d,
            dv: self.dv,
        }
    }

    fn slots(self, index: &[i32]) -> Slots<'_> {
        let scale = 1.0 / (self.d as f32).sqrt();
        Slots {
            index,
            slots: self.slots,
            heads: self.heads,
            scale,
        }
    }
}
