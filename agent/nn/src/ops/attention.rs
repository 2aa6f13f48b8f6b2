//! Reads from a memory by soft attention.

use crate::graph::{GradKey, Graph};
use crate::kernels::attention::{
    OperandGradients, Operands, Slots, Weighting, attention_read, attention_read_gradient,
    gather_dot, gather_dot_gradient,
};
use crate::tensor::{Tensor, shape, values};

/// The result of [`Graph::attention_read`].
pub struct AttentionRead {
    /// Weighted mean of the entries, `[M, heads * dv]`.
    pub readout: Tensor,
    /// Attention to each slot, `[M, heads, S]`; 0 in empty slots. The weights serve inspection and
    /// as targets: no gradient flows through them.
    pub weights: Vec<f32>,
}

/// The heads of a read, and how each weighs what it reads.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// How many there are.
    pub count: usize,
    /// How weights come from scores.
    pub weighting: Weighting,
}

impl From<usize> for Heads {
    /// So many heads with softmax.
    fn from(count: usize) -> Self {
        let weighting = Weighting::Softmax;
        Self { count, weighting }
    }
}

/// Terms added to the scores `q·k / √d`.
#[derive(Clone, Copy, Debug)]
pub struct ScoreTerms<T> {
    /// One term for each entry, the same for all readers: `[E, 1]`.
    pub entry: Option<T>,
    /// One term for each slot of each row: `[M, heads * S]`.
    pub slot: Option<T>,
}

impl<T> ScoreTerms<T> {
    /// No further terms.
    pub const NONE: Self = Self {
        entry: None,
        slot: None,
    };
}

/// Reads from tables of keys and values outside of a graph, for acting: nothing is copied or recorded.
///
/// Shapes: `q` `[M, heads * d]`, `keys` `[E, heads * d]`, `contents` `[E, heads * dv]`, `index` `[M, S]` as in
/// [`Graph::attention_read`]. Returns the readout `[M, heads * dv]` and the weights `[M, heads, S]`, equal to the results
/// of [`Graph::attention_read`].
///
/// # Panics
/// When shapes do not match, or an index lies beyond the tables.
pub fn attend(
    q: &Tensor,
    (keys, contents): (&[f32], &[f32]),
    terms: ScoreTerms<&[f32]>,
    index: &[i32],
    heads: impl Into<Heads>,
) -> (Vec<f32>, Vec<f32>) {
    let Heads {
        count: heads,
        weighting,
    } = heads.into();
    let (rows, q_columns) = shape(q);
    let entries = keys.len() / q_columns;
    let v_columns = contents.len() / entries.max(1);
    let (bias, offsets) = (
        terms.entry.unwrap_or_default(),
        terms.slot.unwrap_or_default(),
    );
    assert!(
        q_columns.is_multiple_of(heads) && v_columns.is_multiple_of(heads),
        "{heads} heads cannot read keys of {q_columns} and values of {v_columns} columns"
    );
    assert!(
        bias.is_empty() || bias.len() == entries,
        "{} biases for {entries} entries",
        bias.len()
    );
    assert!(
        offsets.is_empty() || offsets.len() == heads * index.len(),
        "{} offsets for {heads} heads of {} slots",
        offsets.len(),
        index.len()
    );
    assert!(
        index.len().is_multiple_of(rows) && index.iter().all(|&entry| entry < entries as i32),
        "an index points beyond the {entries} entries, or rows are of unequal length"
    );
    let sizes = Sizes {
        slots: index.len() / rows,
        heads,
        d: q_columns / heads,
        dv: v_columns / heads,
        weighting,
    };
    let mut readout = vec![0.0; rows * v_columns];
    let mut weights = vec![0.0; heads * index.len()];
    let operands = Operands {
        q: values(q),
        k: keys,
        v: contents,
        bias,
        offsets,
        d: sizes.d,
        dv: sizes.dv,
    };
    attention_read(&mut readout, &mut weights, operands, sizes.slots(index));
    (readout, weights)
}

impl Graph<'_> {
    /// Every row attends to its own slots, which point into one table of entries (Vaswani et al.
    /// 2017, arXiv 1706.03762, eq. 1, with further terms): `score = q·k / √d + entry's term +
    /// slot's term`, softmax over the row's filled slots (or another [`Weighting`]), readout `Σ weight · v`.
    ///
    /// Shapes: `q` `[M, heads * d]`, `k` `[E, heads * d]`, `v` `[E, heads * dv]` (may be the same
    /// tensor as `k`), `index` `[M, S]` with entries `0..E`, or -1 for an empty slot. A row without
    /// a filled slot reads zeros.
    ///
    /// # Panics
    /// When shapes do not match, or an index lies beyond the table.
    pub fn attention_read(
        &mut self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        terms: ScoreTerms<&Tensor>,
        index: &[i32],
        heads: impl Into<Heads>,
    ) -> AttentionRead {
        let Heads {
            count: heads,
            weighting,
        } = heads.into();
        let (rows, q_columns) = shape(q);
        let (entries, k_columns) = shape(k);
        let (v_entries, v_columns) = shape(v);
        assert!(
            heads > 0 && q_columns == k_columns && q_columns % heads == 0 && v_columns % heads == 0,
            "{heads} heads cannot read keys of {k_columns} and values of {v_columns} columns with queries of {q_columns}"
        );
        assert!(
            v_entries == entries && terms.entry.is_none_or(|bias| shape(bias) == (entries, 1)),
            "keys, values and terms need one row for each of {entries} entries"
        );
        assert!(
            rows == 0 || index.len().is_multiple_of(rows),
            "{} slots cannot be divided evenly among {rows} rows",
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
            weighting,
        };
        assert!(
            terms
                .slot
                .is_none_or(|offsets| shape(offsets) == (rows, heads * sizes.slots)),
            "terms of slots need one number for each of {rows} x {heads} x {} slots",
            sizes.slots
        );
        let mut readout = vec![0.0; rows * v_columns];
        let mut weights = vec![0.0; heads * index.len()];
        if sizes.slots > 0 {
            let operands = sizes.operands(q, k, v, terms);
            attention_read(&mut readout, &mut weights, operands, sizes.slots(index));
        }
        let readout = self.constant(readout, (rows, v_columns));
        self.record_attention(&readout, (q, k, v, terms), index, &weights, sizes);
        AttentionRead { readout, weights }
    }

    /// Products of each row with the rows of a constant table that its slots point to:
    /// `out[m, s] = row[m]·table[index[m, s]]`, 0 for an index of -1.
    ///
    /// Shapes: `rows` `[M, L]`, `table` `[K, L]`, `index` `[M, S]`; returns `[M, S]`.
    ///
    /// # Panics
    /// When shapes do not match, or an index lies beyond the table.
    pub fn gather_dot(&mut self, rows: &Tensor, table: &'static [f32], index: &[i32]) -> Tensor {
        let (count, width) = shape(rows);
        let slots = index.len() / count.max(1);
        let mut out = vec![0.0; index.len()];
        gather_dot(&mut out, values(rows), table, index, width);
        let out = self.constant(out, (count, slots));
        let key = self.key(rows);
        if key.wanted() {
            let index = index.to_vec();
            self.record(&out, move |d_out, grads| {
                let mut d_rows = vec![0.0; count * width];
                gather_dot_gradient(&mut d_rows, &d_out, table, &index, width);
                grads.give(&key, d_rows);
            });
        }
        out
    }

    fn record_attention(
        &mut self,
        readout: &Tensor,
        (q, k, v, terms): (&Tensor, &Tensor, &Tensor, ScoreTerms<&Tensor>),
        index: &[i32],
        weights: &[f32],
        sizes: Sizes,
    ) {
        let (q_key, k_key, v_key) = (self.key(q), self.key(k), self.key(v));
        let [bias_key, offsets_key] =
            [terms.entry, terms.slot].map(|term| term.map(|term| self.key(term)));
        let wanted = [
            Some(&q_key),
            Some(&k_key),
            Some(&v_key),
            bias_key.as_ref(),
            offsets_key.as_ref(),
        ]
        .map(|key| key.is_some_and(GradKey::wanted));
        if sizes.slots == 0 || !wanted.contains(&true) {
            return;
        }
        let (q, k, v) = (q.clone(), k.clone(), v.clone());
        let (entry, slot) = (terms.entry.cloned(), terms.slot.cloned());
        let (index, weights) = (index.to_vec(), weights.to_vec());
        self.record(readout, move |d_readout, grads| {
            let terms = ScoreTerms {
                entry: entry.as_ref(),
                slot: slot.as_ref(),
            };
            let operands = sizes.operands(&q, &k, &v, terms);
            let shared = !operands.k.is_empty() && operands.k.as_ptr() == operands.v.as_ptr();
            let zeros = |wanted: bool, len: usize| vec![0.0; if wanted { len } else { 0 }];
            let mut dq = zeros(wanted[0], operands.q.len());
            let mut dk = zeros(wanted[1], operands.k.len());
            let mut dv = zeros(wanted[2] && !shared, operands.v.len());
            let mut d_bias = zeros(wanted[3], operands.bias.len());
            let mut d_offsets = zeros(wanted[4], operands.offsets.len());
            let gradients = OperandGradients {
                q: &mut dq,
                k: &mut dk,
                v: &mut dv,
                bias: &mut d_bias,
                offsets: &mut d_offsets,
                shared,
            };
            attention_read_gradient(
                gradients,
                &d_readout,
                &weights,
                operands,
                sizes.slots(&index),
            );
            grads.give(&q_key, dq);
            grads.give(&k_key, dk);
            if !shared {
                grads.give(&v_key, dv);
            }
            if let Some(bias_key) = &bias_key {
                grads.give(bias_key, d_bias);
            }
            if let Some(offsets_key) = &offsets_key {
                grads.give(offsets_key, d_offsets);
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
    weighting: Weighting,
}

impl Sizes {
    fn operands<'a>(
        self,
        q: &'a Tensor,
        k: &'a Tensor,
        v: &'a Tensor,
        terms: ScoreTerms<&'a Tensor>,
    ) -> Operands<'a> {
        let of = |term: Option<&'a Tensor>| term.map_or(&[][..], values);
        Operands {
            q: values(q),
            k: values(k),
            v: values(v),
            bias: of(terms.entry),
            offsets: of(terms.slot),
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
            weighting: self.weighting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    #[test]
    fn by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let q = graph.constant(vec![2.0, 0.0, 2.0, 0.0, 5.0, 5.0], (3, 2));
        let k = graph.constant(vec![0.0, 9.0, 2.0f32.sqrt(), 0.0, 0.0, -9.0], (3, 2));
        let v = graph.constant(vec![1.0, 2.0, 10.0, 20.0, 100.0, 200.0], (3, 2));
        let bias = graph.constant(vec![0.0, -2.0, 3.0f32.ln()], (3, 1));
        // Scores of entries 0, 1, 2 for the first two queries: 0, 2 - 2, ln 3.
        let index = [0, 1, -1, 2, -1, 0, -1, -1, -1];
        let terms = ScoreTerms {
            entry: Some(&bias),
            slot: None,
        };
        let read = graph.attention_read(&q, &k, &v, terms, &index, 1);
        let expected_weights = [0.5, 0.5, 0.0, 0.75, 0.0, 0.25, 0.0, 0.0, 0.0];
        let expected_readout = [5.5, 11.0, 75.25, 150.5, 0.0, 0.0];
        for (weight, expected) in read.weights.iter().zip(expected_weights) {
            assert!((weight - expected).abs() < 1e-6, "{:?}", read.weights);
        }
        for (number, expected) in values(&read.readout).iter().zip(expected_readout) {
            assert!((number - expected).abs() < 1e-4, "{:?}", read.readout);
        }
        // The same terms, given for each slot of each row; the number of an empty slot is ignored.
        let offsets = vec![0.0, -2.0, 9.0, 3.0f32.ln(), 9.0, 0.0, 9.0, 9.0, 9.0];
        let terms = ScoreTerms {
            entry: None,
            slot: Some(&graph.constant(offsets, (3, 3))),
        };
        let told = graph.attention_read(&q, &k, &v, terms, &index, 1);
        for (weight, expected) in told.weights.iter().zip(expected_weights) {
            assert!((weight - expected).abs() < 1e-6, "{:?}", told.weights);
        }
        let offsets = ScoreTerms {
            entry: None,
            slot: terms.slot.map(values),
        };
        let (read, acted) = attend(&q, (values(&k), values(&v)), offsets, &index, 1);
        assert_eq!(acted, told.weights);
        assert_eq!(read, values(&told.readout));
    }

    #[test]
    fn a_stick_broken_by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let q = graph.constant(vec![1.0, 1.0], (2, 1));
        // The first slot scores 1, so that a score of 3 takes half, and one of 3 + ln 3 takes three quarters.
        let k = graph.constant(vec![1.0, 3.0, 3.0 + 3.0f32.ln(), -60.0], (4, 1));
        let v = graph.constant(vec![1.0, 10.0, 100.0, 1000.0], (4, 1));
        let heads = Heads {
            count: 1,
            weighting: Weighting::StickBreaking { margin: 2.0 },
        };
        let index = [0, 3, 1, -1, 2, 0, 2, -1, 1, -1];
        let read = graph.attention_read(&q, &k, &v, ScoreTerms::NONE, &index, heads);
        let expected = [0.125, 0.0, 0.5, 0.0, 0.375, 0.125, 0.75, 0.0, 0.125, 0.0];
        for (weight, expected) in read.weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-6, "{:?}", read.weights);
        }
        assert!((values(&read.readout)[0] - 42.625).abs() < 1e-4);
    }

    #[test]
    fn no_slots_read_zeros() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let q = graph.constant(vec![1.0; 4], (2, 2));
        let empty = graph.constant(vec![], (0, 2));
        let read = graph.attention_read(&q, &empty, &empty, ScoreTerms::NONE, &[-1, -1], 2);
        assert_eq!(values(&read.readout), [0.0; 4]);
        assert_eq!(read.weights, [0.0; 4]);
        let read = graph.attention_read(&q, &empty, &empty, ScoreTerms::NONE, &[], 1);
        assert_eq!(values(&read.readout), [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "an index points beyond the 1 entries")]
    fn an_index_beyond_the_table_panics() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let x = graph.constant(vec![1.0], (1, 1));
        graph.attention_read(&x, &x, &x, ScoreTerms::NONE, &[1], 1);
    }
}
