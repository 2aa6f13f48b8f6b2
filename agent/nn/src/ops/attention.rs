//! Reads from a memory by soft attention.

use crate::graph::{GradKey, Graph};
use crate::kernels::attention::{
    OperandGradients, Operands, Slots, Weighting, attention_read, attention_read_gradient,
    gather_dot, gather_dot_gradient,
};
use crate::kernels::pool::{pool_read, pool_read_gradient};
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
    let entries = keys.len() / shape(q).1;
    let [keys, contents] = [keys, contents].map(|table| Matrix::of_rows(table, entries));
    Reading::apart(heads.into()).read([Matrix::of(q), keys, contents], terms, index)
}

/// Reads from a pool of entries outside of a graph, for acting: nothing is copied or recorded.
///
/// Shapes: `q` `[M, heads * d]`, `pool` `[E, d]`, `index` `[M, S]` as in [`Graph::pool_read`]. Returns the readout
/// `[M, heads * d]` and the weights `[M, heads, S]`, equal to the results of [`Graph::pool_read`].
///
/// # Panics
/// When shapes do not match, or an index lies beyond the pool.
pub fn attend_to_pool(
    q: &Tensor,
    pool: &[f32],
    terms: ScoreTerms<&[f32]>,
    index: &[i32],
    ways: &[Weighting],
) -> (Vec<f32>, Vec<f32>) {
    let pool = Matrix::of_rows(pool, pool.len() * ways.len() / shape(q).1);
    Reading::of_pool(ways).read([Matrix::of(q), pool, pool], terms, index)
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
        self.read(Reading::apart(heads.into()), (q, k, v, terms), index)
    }

    /// The same for heads that all read the whole of each entry, of which the keys are the values (Shazeer 2019,
    /// arXiv:1911.02150, section 3), each weighing in its own way: as many reads with one head each and their readouts side
    /// by side, in one pass over the entries.
    ///
    /// Shapes: `q` `[M, heads * d]`, `pool` `[E, d]`, `index` `[M, S]`, `ways` `[heads]`.
    ///
    /// # Panics
    /// When shapes do not match, or an index lies beyond the pool.
    pub fn pool_read(
        &mut self,
        q: &Tensor,
        pool: &Tensor,
        terms: ScoreTerms<&Tensor>,
        index: &[i32],
        ways: &[Weighting],
    ) -> AttentionRead {
        self.read(Reading::of_pool(ways), (q, pool, pool, terms), index)
    }

    /// Products of the vectors of each row with the rows of a constant table that its slots point to:
    /// `out[m, h, s] = rows[m, h]·table[index[m, s]]`, 0 for an index of -1.
    ///
    /// Shapes: `rows` `[M, heads * L]`, `table` `[K, L]`, `index` `[M, S]`; returns `[M, heads * S]`.
    ///
    /// # Panics
    /// When shapes do not match, or an index lies beyond the table.
    pub fn gather_dot(
        &mut self,
        rows: &Tensor,
        table: &'static [f32],
        index: &[i32],
        heads: usize,
    ) -> Tensor {
        let (count, columns) = shape(rows);
        let (slots, width) = (index.len() / count.max(1), columns / heads);
        let mut out = vec![0.0; heads * index.len()];
        if slots > 0 {
            gather_dot(&mut out, values(rows), table, (index, slots), width);
        }
        let out = self.constant(out, (count, heads * slots));
        let key = self.key(rows);
        if key.wanted() && slots > 0 {
            let index = index.to_vec();
            self.record(&out, move |d_out, grads| {
                let mut d_rows = vec![0.0; count * columns];
                gather_dot_gradient(&mut d_rows, &d_out, table, (&index, slots), width);
                grads.give(&key, d_rows);
            });
        }
        out
    }

    fn read(
        &mut self,
        reading: Reading,
        (q, k, v, terms): (&Tensor, &Tensor, &Tensor, ScoreTerms<&Tensor>),
        index: &[i32],
    ) -> AttentionRead {
        let (rows, _) = shape(q);
        let matrices = [q, k, v].map(Matrix::of);
        let (readout, weights) = reading.read(matrices, terms.values(), index);
        let columns = reading.ways.len() * reading.width(matrices[2]);
        let readout = self.constant(readout, (rows, columns));
        let tensors = (q, k, v, terms);
        self.record_read(&readout, reading, tensors, index, &weights);
        AttentionRead { readout, weights }
    }

    fn record_read(
        &mut self,
        readout: &Tensor,
        reading: Reading,
        (q, k, v, terms): (&Tensor, &Tensor, &Tensor, ScoreTerms<&Tensor>),
        index: &[i32],
        weights: &[f32],
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
        if index.is_empty() || !wanted.contains(&true) {
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
            let matrices = [&q, &k, &v].map(Matrix::of);
            let (operands, slots) = reading.operands(matrices, terms.values(), &index);
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
            let read = (&d_readout[..], &weights[..]);
            match reading.layout {
                Layout::Apart => attention_read_gradient(gradients, read, operands, slots),
                Layout::Whole => {
                    pool_read_gradient(gradients, read, operands, slots, &reading.ways);
                }
            }
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

impl<'a> ScoreTerms<&'a Tensor> {
    fn values(self) -> ScoreTerms<&'a [f32]> {
        ScoreTerms {
            entry: self.entry.map(values),
            slot: self.slot.map(values),
        }
    }
}

/// Numbers with their shape.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> Matrix<'a> {
    fn of(tensor: &'a Tensor) -> Self {
        let (rows, columns) = shape(tensor);
        Self {
            numbers: values(tensor),
            rows,
            columns,
        }
    }

    fn of_rows(numbers: &'a [f32], rows: usize) -> Self {
        Self {
            numbers,
            rows,
            columns: numbers.len() / rows.max(1),
        }
    }
}

/// How heads stand to the tables.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    /// Each has columns of its own.
    Apart,
    /// Each reads the whole of every entry.
    Whole,
}

/// Heads, each with its way of weighing.
struct Reading {
    ways: Vec<Weighting>,
    layout: Layout,
}

impl Reading {
    fn apart(heads: Heads) -> Self {
        Self {
            ways: vec![heads.weighting; heads.count],
            layout: Layout::Apart,
        }
    }

    fn of_pool(ways: &[Weighting]) -> Self {
        Self {
            ways: ways.to_vec(),
            layout: Layout::Whole,
        }
    }

    /// Reads; returns the readout and the weights.
    fn read(
        &self,
        matrices: [Matrix<'_>; 3],
        terms: ScoreTerms<&[f32]>,
        index: &[i32],
    ) -> (Vec<f32>, Vec<f32>) {
        self.check(matrices, terms, index);
        let (operands, slots) = self.operands(matrices, terms, index);
        let heads = self.ways.len();
        let mut readout = vec![0.0; matrices[0].rows * heads * operands.dv];
        let mut weights = vec![0.0; heads * index.len()];
        let (to, of) = (&mut readout, &mut weights);
        match self.layout {
            _ if slots.slots == 0 => {}
            Layout::Apart => attention_read(to, of, operands, slots),
            Layout::Whole => pool_read(to, of, operands, slots, &self.ways),
        }
        (readout, weights)
    }

    /// Columns of a table that a head reads.
    fn width(&self, table: Matrix<'_>) -> usize {
        match self.layout {
            Layout::Apart => table.columns / self.ways.len(),
            Layout::Whole => table.columns,
        }
    }

    fn check(&self, [q, k, v]: [Matrix<'_>; 3], terms: ScoreTerms<&[f32]>, index: &[i32]) {
        let (heads, entries) = (self.ways.len(), k.rows);
        assert!(
            heads > 0
                && q.columns == heads * self.width(k)
                && (self.layout == Layout::Whole || v.columns.is_multiple_of(heads)),
            "{heads} heads cannot read keys of {} and values of {} columns with queries of {}",
            k.columns,
            v.columns,
            q.columns
        );
        assert!(
            v.rows == entries && terms.entry.is_none_or(|bias| bias.len() == entries),
            "keys, values and terms need one row for each of {entries} entries"
        );
        assert!(
            q.rows == 0 || index.len().is_multiple_of(q.rows),
            "{} slots cannot be divided evenly among {} rows",
            index.len(),
            q.rows
        );
        assert!(
            index.iter().all(|&entry| entry < entries as i32),
            "an index points beyond the {entries} entries"
        );
        assert!(
            (terms.slot).is_none_or(|offsets| offsets.len() == heads * index.len()),
            "terms of slots need one number for each of {heads} heads of {} slots",
            index.len()
        );
    }

    /// The arguments of a kernel.
    fn operands<'a>(
        &self,
        [q, k, v]: [Matrix<'a>; 3],
        terms: ScoreTerms<&'a [f32]>,
        index: &'a [i32],
    ) -> (Operands<'a>, Slots<'a>) {
        let [d, dv] = [k, v].map(|table| self.width(table));
        let operands = Operands {
            q: q.numbers,
            k: k.numbers,
            v: v.numbers,
            bias: terms.entry.unwrap_or_default(),
            offsets: terms.slot.unwrap_or_default(),
            d,
            dv,
        };
        let slots = Slots {
            index,
            slots: index.len().checked_div(q.rows).unwrap_or(0),
            heads: self.ways.len(),
            scale: 1.0 / (d as f32).sqrt(),
            weighting: self.ways[0],
        };
        (operands, slots)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::{Init, Params};

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

    /// The readout, the weights, and the gradients of `q` and of the entries, of a read by heads of 40 columns: all at once,
    /// or each by itself.
    fn read_by(ways: &[Weighting], at_once: bool) -> [Vec<f32>; 4] {
        let (rows, slots, entries, d, heads) = (6, 21, 30, 40, ways.len());
        let mut params = Params::new();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let mut add =
            |name: &str, shape| params.add(name, shape, Init::Normal { std: 1.0 }, &mut rng);
        let (q, pool) = (add("q", (rows, heads * d)), add("pool", (entries, d)));
        let (q_id, pool_id) = (q, pool);
        let (gates, ages) = (
            add("gates", (entries, 1)),
            add("ages", (rows, heads * slots)),
        );
        // Rows with gaps, with an empty first slot, with empty slots at the end, and with nothing.
        let index: Vec<i32> = (0..rows * slots)
            .map(|at| match (at / slots, at % slots) {
                (5, _) | (1, 0) => -1,
                (row, slot) if slot > 4 * row + 3 => -1,
                _ => (at * 7 % 31) as i32 - 1,
            })
            .collect();
        let mut graph = Graph::training(&params);
        let [q, pool, gates, ages] = [q, pool, gates, ages].map(|id| graph.param(id));
        let (readout, weights) = if at_once {
            let terms = ScoreTerms {
                entry: Some(&gates),
                slot: Some(&ages),
            };
            let read = graph.pool_read(&q, &pool, terms, &index, ways);
            (read.readout, read.weights)
        } else {
            let reads: Vec<AttentionRead> = (0..heads)
                .map(|head| {
                    let q = graph.columns(&q, head * d..(head + 1) * d);
                    let ages = graph.columns(&ages, head * slots..(head + 1) * slots);
                    let one = Heads {
                        count: 1,
                        weighting: ways[head],
                    };
                    let terms = ScoreTerms {
                        entry: Some(&gates),
                        slot: Some(&ages),
                    };
                    graph.attention_read(&q, &pool, &pool, terms, &index, one)
                })
                .collect();
            let readouts: Vec<&Tensor> = reads.iter().map(|read| &read.readout).collect();
            let rows = (0..rows).flat_map(|row| {
                let of_head = move |read: &AttentionRead| {
                    read.weights[row * slots..(row + 1) * slots].to_vec()
                };
                reads.iter().flat_map(of_head)
            });
            (graph.concat_cols(&readouts), rows.collect())
        };
        let numbers = values(&readout).to_vec();
        let target: Vec<f32> = (0..numbers.len()).map(|i| (i as f32).sin()).collect();
        let loss = graph.mse(&readout, &target, &vec![1.0; rows]);
        let gradients = graph.backward(&loss);
        let gradient = |id| gradients.of(id).expect("the loss depends on it").to_vec();
        [numbers, weights, gradient(q_id), gradient(pool_id)]
    }

    #[test]
    fn heads_read_a_pool_as_each_would_alone() {
        let newest = Weighting::StickBreaking { margin: 3.0 };
        for way in [Weighting::Softmax, newest] {
            assert_eq!(read_by(&[way], true), read_by(&[way], false));
        }
        let ways = [Weighting::Softmax, newest, newest];
        for (at_once, apart) in read_by(&ways, true).iter().zip(read_by(&ways, false)) {
            assert_eq!(at_once.len(), apart.len());
            for (a, b) in at_once.iter().zip(&apart) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
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
        let nobody = graph.constant(vec![], (0, 2));
        let ways = [Weighting::Softmax; 2];
        let entry = graph.constant(vec![1.0], (1, 1));
        let read = graph.pool_read(&nobody, &entry, ScoreTerms::NONE, &[], &ways);
        assert_eq!(shape(&read.readout), (0, 2));
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
