//! Attention to windows of sequences, with scores of contents and of distances.

use std::rc::Rc;

use crate::graph::{GradKey, Graph};
use crate::kernels::attention::{self, attention_read};
use crate::kernels::elementwise::{add_sum_rows, add_to};
use crate::kernels::relative_attention::{
    Gradients, Operands, Windows, relative_read, relative_read_gradient,
};
use crate::tensor::{Tensor, shape, values};

/// Parameters in the scores of [`Graph::relative_attention`], in addition to queries and keys.
#[derive(Clone, Copy, Debug)]
pub struct RelativeTerms<'a> {
    /// The query u that all rows share for contents, `[1, heads * d]`.
    pub content_bias: &'a Tensor,
    /// The query v that all rows share for distances, `[1, heads * d]`.
    pub distance_bias: &'a Tensor,
    /// Keys of distances from 0 on, r, `[longest, heads * d]`.
    pub distances: &'a Tensor,
}

impl<'a> RelativeTerms<'a> {
    fn tensors(self) -> [&'a Tensor; 3] {
        [self.content_bias, self.distance_bias, self.distances]
    }
}

/// Reads from tables of keys and values outside of a graph, for acting: the tables are not copied, and nothing is recorded.
/// Shapes are those of [`Graph::relative_attention`]. Returns the readout, and the attention of each head of each row to
/// the entries of its window, the latest first, then zeros: `[M, heads, longest]`.
///
/// # Panics
/// When shapes do not match, or an entry lies beyond the tables.
pub fn attend_relatively(
    q: &Tensor,
    tables: (&[f32], &[f32]),
    terms: RelativeTerms<'_>,
    windows: &Windows,
    heads: usize,
) -> (Vec<f32>, Vec<f32>) {
    let operands = operands(q, tables, terms.tensors(), heads);
    check(operands, windows);
    let index = windows.index();
    let [mut readout, mut weights] =
        [operands.q.len(), heads * index.len()].map(|len| vec![0.0; len]);
    let whole = attention::Operands {
        q: &operands.content_queries(),
        k: operands.k,
        v: operands.v,
        bias: &[],
        offsets: &operands.distance_scores(windows.longest()),
        d: operands.d,
        dv: operands.d,
    };
    let slots = attention::Slots {
        index: &index,
        slots: windows.longest(),
        heads,
        scale: operands.scale,
        weighting: attention::Weighting::Softmax,
    };
    attention_read(&mut readout, &mut weights, whole, slots);
    (readout, weights)
}

impl Graph<'_> {
    /// Every row attends to a window of the sequence that it stands in (Dai et al. 2019, arXiv 1901.02860, section 3.3):
    /// the score of an entry at distance s is `((q + u)·k + (q + v)·r[s]) / √d`, then softmax over the window, and readout
    /// `Σ weight · v`, for each head by itself.
    ///
    /// Shapes: `q` `[M, heads * d]`, `k` and `v` `[E, heads * d]`. Returns `[M, heads * d]`.
    ///
    /// # Panics
    /// When shapes do not match, or an entry lies beyond the tables.
    pub fn relative_attention(
        &mut self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        terms: RelativeTerms<'_>,
        windows: &Rc<Windows>,
        heads: usize,
    ) -> Tensor {
        let of_read = operands(q, (values(k), values(v)), terms.tensors(), heads);
        check(of_read, windows);
        let mut readout = vec![0.0; of_read.q.len()];
        let weights = relative_read(&mut readout, of_read, windows);
        let readout = self.constant(readout, shape(q));
        let [content_bias, distance_bias, distances] = terms.tensors();
        let tensors = [q, k, v, content_bias, distance_bias, distances];
        let keys = tensors.map(|tensor| self.key(tensor));
        if keys.iter().any(GradKey::wanted) {
            let tensors = tensors.map(Tensor::clone);
            let windows = Rc::clone(windows);
            self.record(&readout, move |d_readout, grads| {
                let [q, k, v, terms @ ..] = &tensors;
                let operands = operands(q, (values(k), values(v)), terms.each_ref(), heads);
                let zeros = |wanted: bool, len: usize| vec![0.0; if wanted { len } else { 0 }];
                let [mut content_queries, mut distance_queries] =
                    [0, 1].map(|_| zeros(true, d_readout.len()));
                let mut dk = zeros(keys[1].wanted(), operands.k.len());
                let mut dv = zeros(keys[2].wanted(), operands.v.len());
                let mut dr = zeros(true, operands.distances.len());
                let gradients = Gradients {
                    content_queries: &mut content_queries,
                    distance_queries: &mut distance_queries,
                    k: &mut dk,
                    v: &mut dv,
                    distances: &mut dr,
                };
                relative_read_gradient(gradients, &d_readout, &weights, operands, &windows);
                let [du, d_places] = [&content_queries, &distance_queries].map(|queries| {
                    let mut sums = Vec::new();
                    add_sum_rows(&mut sums, queries, heads * operands.d);
                    sums
                });
                add_to(&mut content_queries, &distance_queries);
                let gradients = [content_queries, dk, dv, du, d_places, dr];
                for (key, d) in keys.iter().zip(gradients) {
                    grads.give(key, d);
                }
            });
        }
        readout
    }
}

fn operands<'a>(
    q: &'a Tensor,
    (k, v): (&'a [f32], &'a [f32]),
    [content_bias, distance_bias, distances]: [&'a Tensor; 3],
    heads: usize,
) -> Operands<'a> {
    let columns = shape(q).1;
    assert!(
        heads > 0 && columns.is_multiple_of(heads),
        "{heads} heads cannot share queries of {columns} columns"
    );
    let d = columns / heads;
    Operands {
        q: values(q),
        k,
        v,
        content_bias: values(content_bias),
        distance_bias: values(distance_bias),
        distances: values(distances),
        heads,
        d,
        scale: 1.0 / (d as f32).sqrt(),
    }
}

fn check(operands: Operands<'_>, windows: &Windows) {
    let columns = operands.heads * operands.d;
    let (rows, sequences) = (windows.lengths.len(), windows.counts.len());
    assert!(
        operands.q.len() == rows * columns
            && operands.k.len() == operands.v.len()
            && [operands.content_bias, operands.distance_bias]
                .iter()
                .all(|bias| bias.len() == columns)
            && operands.distances.len() >= windows.longest() * columns,
        "queries, tables and terms do not match windows of {rows} rows with {columns} columns"
    );
    let entries = operands.k.len() / columns.max(1);
    assert!(
        windows
            .entries
            .iter()
            .max()
            .is_none_or(|&last| (last as usize) < entries),
        "a sequence has entries beyond the {entries} of the tables"
    );
    assert!(
        windows.counts.iter().sum::<usize>() == windows.entries.len()
            && (rows == 0 || rows.is_multiple_of(sequences)),
        "{rows} rows and {} entries do not form {sequences} sequences",
        windows.entries.len()
    );
    let steps = rows.checked_div(sequences).unwrap_or(0);
    let fits = |(row, &length): (usize, &u32)| {
        let (t, count) = (row / sequences, windows.counts[row % sequences]);
        let before = count.checked_sub(steps - t - 1);
        before.is_some_and(|before| (1..=before).contains(&(length as usize)))
    };
    assert!(
        windows.lengths.iter().enumerate().all(fits),
        "a window has its row's entry and begins within the sequence"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Init, ParamId, Params, ScoreTerms};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// Two sequences of 20 steps, of which the first goes on from 3 entries and the second begins anew at its step 18, in
    /// windows of at most `longest`: more than a vector of entries.
    fn windows(longest: u32) -> Windows {
        let steps = 20;
        let lane = |lane: u32| (0..steps).map(move |t| 4 + 2 * t + lane);
        let row = |t: u32| [(t + 4).min(longest), (t % 18 + 1).min(longest)];
        Windows {
            entries: [2, 0, 1]
                .into_iter()
                .chain(lane(0))
                .chain(lane(1))
                .collect(),
            counts: vec![23, 20],
            lengths: (0..steps).flat_map(row).collect(),
        }
    }

    /// The same entries as [`windows`], slot by slot.
    fn index(windows: &Windows) -> Vec<i32> {
        let ends = [3, 23];
        let slots = windows.longest() as u32;
        let rows = windows.lengths.iter().enumerate();
        rows.flat_map(|(row, &length)| {
            let end = ends[row % 2] + row / 2;
            (0..slots).map(move |back| match back < length {
                true => windows.entries[end - back as usize] as i32,
                false => -1,
            })
        })
        .collect()
    }

    struct Case {
        params: Params,
        ids: [ParamId; 6],
        /// A weight that changes nothing, to add biases by.
        identity: ParamId,
        heads: usize,
    }

    impl Case {
        fn new(heads: usize, d: usize, longest: usize) -> Self {
            let mut params = Params::new();
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
            let columns = heads * d;
            let shapes = [40, 44, 44, 1, 1, longest].map(|rows| (rows, columns));
            let ids = shapes.map(|shape| {
                let name = format!("{}", params.ids().len());
                params.add(&name, shape, Init::Normal { std: 0.7 }, &mut rng)
            });
            let identity = params.add("identity", (columns, columns), Init::Zeros, &mut rng);
            let diagonal = params.data_mut(identity).iter_mut().step_by(columns + 1);
            diagonal.for_each(|weight| *weight = 1.0);
            Self {
                params,
                ids,
                identity,
                heads,
            }
        }

        /// The readout, and the gradients of a loss of it.
        fn run(&self, read: impl FnOnce(&mut Graph<'_>, [Tensor; 6]) -> Tensor) -> Vec<Vec<f32>> {
            let mut graph = Graph::training(&self.params);
            let tensors = self.ids.map(|id| graph.param(id));
            let readout = read(&mut graph, tensors);
            let (rows, columns) = shape(&readout);
            let targets: Vec<f32> = (0..rows * columns).map(|i| (i as f32).sin()).collect();
            let loss = graph.mse(&readout, &targets, &vec![1.0; rows]);
            let gradients = graph.backward(&loss);
            let gradients = self.ids.map(|id| gradients.of(id).unwrap().to_vec());
            [&[values(&readout).to_vec()], &gradients[..]].concat()
        }

        fn fused(&self, windows: &Rc<Windows>) -> Vec<Vec<f32>> {
            self.run(|graph, [q, k, v, content_bias, distance_bias, distances]| {
                let terms = RelativeTerms {
                    content_bias: &content_bias,
                    distance_bias: &distance_bias,
                    distances: &distances,
                };
                graph.relative_attention(&q, &k, &v, terms, windows, self.heads)
            })
        }

        /// The same out of other operations: the scores of distances are slots' terms of attention.
        fn composed(&self, windows: &Windows) -> Vec<Vec<f32>> {
            let [.., content_bias, distance_bias, _] = self.ids;
            let d = self.params.shape(content_bias).1 / self.heads;
            self.run(|graph, [q, k, v, _, _, r]| {
                let [contents, places] = [content_bias, distance_bias]
                    .map(|bias| graph.linear(&q, self.identity, Some(bias), Activation::Identity));
                let rows = windows.lengths.len();
                let scores: Vec<Tensor> = (0..self.heads)
                    .flat_map(|head| (0..windows.longest()).map(move |slot| (head, slot)))
                    .map(|(head, slot)| {
                        let of_head = head * d..(head + 1) * d;
                        let key = graph.gather_rows(&r, &vec![slot as u32; rows]);
                        let [key, place] =
                            [&key, &places].map(|x| graph.columns(x, of_head.clone()));
                        let score = graph.row_dot(&place, &key);
                        graph.scale(&score, 1.0 / (d as f32).sqrt())
                    })
                    .collect();
                let scores = graph.concat_cols(&scores.iter().collect::<Vec<_>>());
                let terms = ScoreTerms {
                    entry: None,
                    slot: Some(&scores),
                };
                let index = index(windows);
                graph
                    .attention_read(&contents, &k, &v, terms, &index, self.heads)
                    .readout
            })
        }
    }

    #[test]
    fn it_equals_attention_with_terms_of_distances() {
        for (heads, d) in [(1, 3), (2, 8), (1, 27), (2, 16)] {
            for longest in [5, 18] {
                let windows = Rc::new(windows(longest));
                let case = Case::new(heads, d, windows.longest());
                for (fused, composed) in case.fused(&windows).iter().zip(case.composed(&windows)) {
                    assert_eq!(fused.len(), composed.len());
                    for (fused, composed) in fused.iter().zip(&composed) {
                        assert!((fused - composed).abs() < 1e-5, "{fused} {composed}");
                    }
                }
            }
        }
    }

    #[test]
    fn weights_stand_with_the_latest_entry_first() {
        let params = Params::new();
        let graph = Graph::inference(&params);
        let tensor = |numbers: &[f32]| graph.constant(numbers.to_vec(), (numbers.len(), 1));
        let windows = Windows {
            entries: vec![1, 0],
            counts: vec![2],
            lengths: vec![2],
        };
        let [zero, distances] = [&[0.0][..], &[0.0, 3.0f32.ln()]].map(tensor);
        let terms = RelativeTerms {
            content_bias: &zero,
            distance_bias: &tensor(&[1.0]),
            distances: &distances,
        };
        let q = tensor(&[0.0]);
        let tables = (&[0.0, 0.0][..], &[10.0, 20.0][..]);
        let (read, weights) = attend_relatively(&q, tables, terms, &windows, 1);
        assert!((weights[0] - 0.25).abs() < 1e-6 && (weights[1] - 0.75).abs() < 1e-6);
        assert!((read[0] - 17.5).abs() < 1e-5);
    }

    #[test]
    #[should_panic(expected = "begins within the sequence")]
    fn a_window_beyond_its_sequence_panics() {
        let mut windows = windows(5);
        windows.lengths[1] = 2;
        Case::new(1, 2, 5).fused(&Rc::new(windows));
    }
}
