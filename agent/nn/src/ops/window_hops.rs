//! A memory network's hops over windows of entries, as one operation.

use crate::graph::{GradKey, GradStore, Graph};
use crate::kernels::matmul::{add_matmul, add_matmul_transposed, append_matmul_bias, matmul_bias};
use crate::kernels::transpose::transpose;
use crate::kernels::window_hops::{HopSizes, attend, attend_gradient, turn_round};
use crate::params::{ParamId, Params};
use crate::tensor::{Tensor, shape, values};

/// The parameters of a hop over windows of K entries of E numbers, with questions of Q.
#[derive(Clone, Copy, Debug)]
pub struct HopParams {
    /// Aᵀ, from questions to entries, `[Q, E]`.
    pub key: ParamId,
    /// C, from entries to answers, `[E, Q]`.
    pub value: ParamId,
    /// T_A `[Q, K]` and T_C `[K, Q]`, embeddings of distances; none for a window without an order.
    pub times: Option<(ParamId, ParamId)>,
    /// H, what is kept of a question, `[Q, Q]`.
    pub hop: ParamId,
}

/// The result of hops over windows.
pub struct HopsRead {
    /// The question after the last hop, `[M, Q]`.
    pub question: Tensor,
    /// The attention of each hop, `[M, K]`. Empty if the graph records.
    pub attention: Vec<Vec<f32>>,
}

/// Most rows of a block, which stays in cache from product to product.
const BLOCK_ROWS: usize = 96;
/// Fewest rows, so that products stay worthwhile.
const LEAST_ROWS: usize = 8;
/// Numbers of a block's windows, as far as its fewest rows allow.
const BLOCK_NUMBERS: usize = 64 * 1024;

impl Graph<'_> {
    /// Asks windows of constant entries again and again (Sukhbaatar et al. 2015, arXiv 1503.08895, sections 2 and 4.1, with
    /// layer-wise tying): with `p = softmax((Aᵀ u)·x + T_Aᵀ u)` over the filled slots, and 0 in empty ones, a hop turns
    /// the question u into `H u + C Σ p x + T_C p`.
    ///
    /// Shapes: `question` `[M, Q]`, `entries` `[X, E]`, `index` `[M, K]` with entries `0..X`, or -1 for an empty slot.
    ///
    /// # Panics
    /// When shapes do not match, an index lies beyond the entries, or the entries depend on a parameter.
    pub fn window_hops(
        &mut self,
        question: &Tensor,
        entries: &Tensor,
        index: &[i32],
        hop: &HopParams,
        hops: usize,
    ) -> HopsRead {
        let sizes = self.hop_sizes(question, entries, index, hop);
        let rows = shape(question).0;
        let weights = Weights::new(self.params(), hop, sizes);
        let mut passes: Vec<Pass> = (0..hops).map(|_| Pass::new(rows, sizes)).collect();
        let block_rows = block_rows(rows, sizes);
        let mut windows = vec![0.0; block_rows * sizes.window()];
        let mut asked = Vec::new();
        for first in (0..rows).step_by(block_rows) {
            let block = first..(first + block_rows).min(rows);
            let count = block.len();
            let windows = &mut windows[..count * sizes.window()];
            let index = &index[block.start * sizes.slots..block.end * sizes.slots];
            turn_round(windows, values(entries), index, sizes);
            let mut before = &values(question)[first * sizes.question..][..count * sizes.question];
            for pass in &mut passes {
                asked.clear();
                let shape = (count, sizes.question, sizes.asked());
                append_matmul_bias(&mut asked, before, &weights.ask, &[], shape);
                let found = &mut pass.found[first * sizes.found()..][..count * sizes.found()];
                attend(found, &asked, windows, sizes);
                let asked = asked.chunks_exact(sizes.asked());
                asked.for_each(|asked| {
                    pass.question.extend_from_slice(&asked[sizes.found()..]);
                });
                let next = &mut pass.question[first * sizes.question..];
                let shape = (count, sizes.found(), sizes.question);
                add_matmul(next, found, &weights.answer, shape);
                before = next;
            }
        }
        let Some(last) = passes.last_mut() else {
            return HopsRead {
                question: question.clone(),
                attention: Vec::new(),
            };
        };
        let last = std::mem::take(&mut last.question);
        let last = self.constant(last, shape(question));
        if !self.is_training() {
            return HopsRead {
                question: last,
                attention: passes.iter().map(|pass| pass.attention(sizes)).collect(),
            };
        }
        let saved = Saved {
            keys: Keys::new(self, question, hop),
            question: question.clone(),
            entries: entries.clone(),
            index: index.to_vec(),
            weights,
            passes,
            sizes,
        };
        self.record(&last, move |d, grads| saved.backward(&d, grads));
        HopsRead {
            question: last,
            attention: Vec::new(),
        }
    }

    fn hop_sizes(
        &mut self,
        question: &Tensor,
        entries: &Tensor,
        index: &[i32],
        hop: &HopParams,
    ) -> HopSizes {
        let ((rows, width), (count, entry)) = (shape(question), shape(entries));
        let slots = index.len().checked_div(rows).unwrap_or(0);
        let params = self.params();
        let is = |id, size| params.shape(id) == size;
        assert!(
            index.len() == rows * slots
                && (rows == 0 || slots > 0)
                && is(hop.key, (width, entry))
                && is(hop.value, (entry, width))
                && is(hop.hop, (width, width))
                && hop.times.is_none_or(|(key, value)| rows == 0
                    || is(key, (width, slots)) && is(value, (slots, width))),
            "the parameters do not match hops of {rows} questions of {width} numbers over {} places of {entry}",
            index.len()
        );
        assert!(
            index.iter().all(|&place| place < count as i32),
            "an index points beyond the {count} entries"
        );
        assert!(!self.key(entries).wanted(), "entries are constants");
        HopSizes {
            slots,
            entry,
            question: width,
        }
    }
}

/// Rows that are computed together.
fn block_rows(rows: usize, sizes: HopSizes) -> usize {
    let fitting = BLOCK_NUMBERS / sizes.window().max(1);
    fitting.clamp(LEAST_ROWS, BLOCK_ROWS).min(rows).max(1)
}

/// The parameters of a hop side by side, so that a hop takes two products.
struct Weights {
    /// T_A, Aᵀ and H, `[Q, asked]`.
    ask: Vec<f32>,
    /// T_C above C, `[found, Q]`.
    answer: Vec<f32>,
}

impl Weights {
    /// Distances without embeddings have embeddings of zeros.
    fn new(params: &Params, hop: &HopParams, sizes: HopSizes) -> Self {
        let HopSizes {
            slots,
            entry,
            question,
        } = sizes;
        let zeros = vec![0.0; slots * question];
        let of_times = |id: Option<ParamId>| id.map_or(&zeros[..], |id| params.data(id));
        let times = of_times(hop.times.map(|times| times.0));
        let (key, keep) = (params.data(hop.key), params.data(hop.hop));
        let mut ask = Vec::with_capacity(question * sizes.asked());
        for row in 0..question {
            ask.extend_from_slice(&times[row * slots..][..slots]);
            ask.extend_from_slice(&key[row * entry..][..entry]);
            ask.extend_from_slice(&keep[row * question..][..question]);
        }
        let times = of_times(hop.times.map(|times| times.1));
        let answer = [times, params.data(hop.value)].concat();
        Self { ask, answer }
    }
}

/// The result of one hop.
struct Pass {
    /// The attention, and the weighed sum of the entries, of every row: `[M, found]`.
    found: Vec<f32>,
    /// The question after it, `[M, Q]`; taken away from the last hop.
    question: Vec<f32>,
}

impl Pass {
    fn new(rows: usize, sizes: HopSizes) -> Self {
        Self {
            found: vec![0.0; rows * sizes.found()],
            question: Vec::with_capacity(rows * sizes.question),
        }
    }

    fn attention(&self, sizes: HopSizes) -> Vec<f32> {
        let rows = self.found.chunks_exact(sizes.found().max(1));
        rows.flat_map(|row| &row[..sizes.slots]).copied().collect()
    }
}

struct Keys {
    question: GradKey,
    key: GradKey,
    value: GradKey,
    times: Option<(GradKey, GradKey)>,
    hop: GradKey,
}

impl Keys {
    fn new(graph: &mut Graph<'_>, question: &Tensor, hop: &HopParams) -> Self {
        Self {
            question: graph.key(question),
            key: graph.param_key(hop.key),
            value: graph.param_key(hop.value),
            times: hop
                .times
                .map(|(key, value)| (graph.param_key(key), graph.param_key(value))),
            hop: graph.param_key(hop.hop),
        }
    }
}

/// The values of the forward pass that the backward pass needs.
struct Saved {
    keys: Keys,
    question: Tensor,
    entries: Tensor,
    index: Vec<i32>,
    weights: Weights,
    passes: Vec<Pass>,
    sizes: HopSizes,
}

impl Saved {
    fn backward(self, d_last: &[f32], grads: &mut GradStore<'_>) {
        let sizes = self.sizes;
        let (rows, width) = shape(&self.question);
        let ask = transpose(&self.weights.ask, width, sizes.asked());
        let answer = transpose(&self.weights.answer, sizes.found(), width);
        let (mut d_ask, mut d_answer) = (Vec::new(), Vec::new());
        let mut d_question = Vec::with_capacity(rows * width);
        let block_rows = block_rows(rows, sizes);
        let mut windows = vec![0.0; block_rows * sizes.window()];
        let mut d_asked = vec![0.0; block_rows * sizes.asked()];
        let (mut d_found, mut d) = (Vec::new(), Vec::new());
        for first in (0..rows).step_by(block_rows) {
            let count = block_rows.min(rows - first);
            let windows = &mut windows[..count * sizes.window()];
            let index = &self.index[first * sizes.slots..][..count * sizes.slots];
            turn_round(windows, values(&self.entries), index, sizes);
            let d_asked = &mut d_asked[..count * sizes.asked()];
            let of_questions = first * width..(first + count) * width;
            d.clear();
            d.extend_from_slice(&d_last[of_questions.clone()]);
            for (number, pass) in self.passes.iter().enumerate().rev() {
                let found = &pass.found[first * sizes.found()..][..count * sizes.found()];
                add_matmul_transposed(&mut d_answer, found, &d, (sizes.found(), count, width));
                d_found.clear();
                append_matmul_bias(
                    &mut d_found,
                    &d,
                    &answer,
                    &[],
                    (count, width, sizes.found()),
                );
                attend_gradient(d_asked, &d_found, found, windows, sizes);
                let kept = d_asked.chunks_exact_mut(sizes.asked());
                for (d_asked, d) in kept.zip(d.chunks_exact(width)) {
                    d_asked[sizes.found()..].copy_from_slice(d);
                }
                let before = match number.checked_sub(1) {
                    Some(before) => &self.passes[before].question[of_questions.clone()],
                    None => &values(&self.question)[of_questions.clone()],
                };
                add_matmul_transposed(&mut d_ask, before, d_asked, (width, count, sizes.asked()));
                d = matmul_bias(d_asked, &ask, &[], (count, sizes.asked(), width));
            }
            d_question.extend_from_slice(&d);
        }
        grads.give(&self.keys.question, d_question);
        self.keys.give_weights(grads, (&d_ask, &d_answer), sizes);
    }
}

impl Keys {
    /// Gives each parameter its part of the gradients of [`Weights`].
    fn give_weights(
        &self,
        grads: &mut GradStore<'_>,
        (d_ask, d_answer): (&[f32], &[f32]),
        sizes: HopSizes,
    ) {
        let columns = |columns: std::ops::Range<usize>| {
            let rows = d_ask.chunks_exact(sizes.asked());
            rows.flat_map(|row| &row[columns.clone()])
                .copied()
                .collect::<Vec<f32>>()
        };
        let (d_times, d_value) = d_answer.split_at(sizes.slots * sizes.question);
        if let Some((key, value)) = &self.times {
            grads.give(key, columns(0..sizes.slots));
            grads.give(value, d_times.to_vec());
        }
        grads.give(&self.key, columns(sizes.slots..sizes.found()));
        grads.give(&self.value, d_value.to_vec());
        grads.give(&self.hop, columns(sizes.found()..sizes.asked()));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::{Activation, Init, ScoreTerms};

    struct Case {
        params: Params,
        question: ParamId,
        hop: HopParams,
        entries: Vec<f32>,
        sizes: HopSizes,
        rows: usize,
    }

    impl Case {
        fn new(sizes: HopSizes, rows: usize, has_times: bool) -> Self {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
            let mut params = Params::new();
            let HopSizes {
                slots,
                entry,
                question: width,
            } = sizes;
            let mut add =
                |name: &str, shape| params.add(name, shape, Init::Normal { std: 0.5 }, &mut rng);
            let question = add("question", (rows, width));
            let hop = HopParams {
                key: add("key", (width, entry)),
                value: add("value", (entry, width)),
                times: has_times.then(|| {
                    (
                        add("times.key", (width, slots)),
                        add("times.value", (slots, width)),
                    )
                }),
                hop: add("hop", (width, width)),
            };
            let entries = (0..(rows + slots) * entry).map(|i| (i as f32 * 0.7).sin());
            Self {
                params,
                question,
                hop,
                entries: entries.collect(),
                sizes,
                rows,
            }
        }

        /// Windows of every length from nothing on, one with a hole.
        fn index(&self) -> Vec<i32> {
            let slots = self.sizes.slots;
            let place = |row: usize, slot: usize| match slot < row % (slots + 1) {
                true if (row, slot) != (3, 1) => (row + slot) as i32,
                _ => -1,
            };
            (0..self.rows)
                .flat_map(|row| (0..slots).map(move |slot| place(row, slot)))
                .collect()
        }

        /// The last question, and the gradients of a loss of it.
        fn run(&self, hops: impl Fn(&mut Graph<'_>, Tensor, Tensor) -> Tensor) -> Vec<Vec<f32>> {
            let mut graph = Graph::training(&self.params);
            let entry = self.sizes.entry;
            let entries = (self.entries.clone(), (self.entries.len() / entry, entry));
            let entries = graph.constant(entries.0, entries.1);
            let question = graph.param(self.question);
            let last = hops(&mut graph, question, entries);
            let targets: Vec<f32> = (0..values(&last).len()).map(|i| (i as f32).sin()).collect();
            let loss = graph.mse(&last, &targets, &vec![1.0; self.rows]);
            let gradients = graph.backward(&loss);
            let of = |id| gradients.of(id).expect("it counts").to_vec();
            let found = self.params.ids().map(of);
            [values(&last).to_vec()].into_iter().chain(found).collect()
        }

        fn composed(&self, graph: &mut Graph<'_>, mut u: Tensor, entries: &Tensor) -> Tensor {
            let linear = |graph: &mut Graph<'_>, x: &Tensor, weight| {
                graph.linear(x, weight, None, Activation::Identity)
            };
            for _ in 0..2 {
                let of_times = self.hop.times.map(|times| linear(graph, &u, times.0));
                let terms = ScoreTerms {
                    entry: None,
                    slot: of_times.as_ref(),
                };
                let q = linear(graph, &u, self.hop.key);
                let index = self.index();
                let p = graph.attention_weights(&q, entries, terms, &index, 1, 1.0);
                let read = graph.weighted_read(&p, entries, &index, 1);
                let mut o = linear(graph, &read, self.hop.value);
                if let Some(times) = self.hop.times {
                    let when = linear(graph, &p, times.1);
                    o = graph.add(&o, &when);
                }
                let kept = linear(graph, &u, self.hop.hop);
                u = graph.add(&kept, &o);
            }
            u
        }
    }

    fn sizes(slots: usize, entry: usize, question: usize) -> HopSizes {
        HopSizes {
            slots,
            entry,
            question,
        }
    }

    /// Windows of less than a vector, of a usual length, and of more than that; more rows than a block.
    #[test]
    fn it_equals_its_composition() {
        for (slots, entry, width) in [(3, 2, 4), (16, 3, 8), (19, 9, 5)] {
            for has_times in [true, false] {
                let case = Case::new(sizes(slots, entry, width), 2 * BLOCK_ROWS + 5, has_times);
                let fused = case.run(|graph, question, entries| {
                    graph
                        .window_hops(&question, &entries, &case.index(), &case.hop, 2)
                        .question
                });
                let composed =
                    case.run(|graph, question, entries| case.composed(graph, question, &entries));
                for (fused, composed) in fused.iter().zip(&composed) {
                    assert_eq!(fused.len(), composed.len());
                    for (fused, composed) in fused.iter().zip(composed) {
                        let error = (fused - composed).abs();
                        assert!(error < 2e-5 * (1.0 + composed.abs()), "{fused} {composed}");
                    }
                }
            }
        }
    }

    #[test]
    fn attention_is_shown_while_acting() {
        let case = Case::new(sizes(3, 2, 4), 5, true);
        let mut graph = Graph::inference(&case.params);
        let question = graph.param(case.question);
        let entries = graph.constant(case.entries.clone(), (case.entries.len() / 2, 2));
        let read = graph.window_hops(&question, &entries, &case.index(), &case.hop, 2);
        assert_eq!(read.attention.len(), 2);
        for weights in read.attention {
            let sums = weights.chunks_exact(3).map(|row| row.iter().sum::<f32>());
            for (sum, expected) in sums.zip([0.0, 1.0, 1.0, 1.0, 0.0]) {
                assert!((sum - expected).abs() < 1e-6);
            }
            assert_eq!(weights[3 * 3 + 1], 0.0);
        }
        let none = graph.window_hops(&question, &entries, &case.index(), &case.hop, 0);
        assert_eq!(values(&none.question), values(&question));
    }

    #[test]
    #[should_panic(expected = "entries are constants")]
    fn entries_with_a_gradient_panic() {
        let case = Case::new(sizes(3, 4, 4), 5, true);
        let mut graph = Graph::training(&case.params);
        let question = graph.param(case.question);
        graph.window_hops(&question, &question, &[0; 15], &case.hop, 1);
    }
}
