//! Layers of linear recurrences over a sequence with resets inside it: `tanh(x + read)`, where the read is of a state that is
//! a linear function of the one before. Here is minGRU; `lru` has the other.
//!
//! A layer is one operation. It goes by blocks of rows, products with weights included, because what a block needs fits the
//! cache and what the whole sequence needs does not.

use std::ops::Range;
use std::rc::Rc;

use crate::graph::{GradKey, GradStore, Graph};
use crate::kernels::activation::{Activation, activate, activation_gradient};
use crate::kernels::elementwise::{add_sum_rows, add_to};
use crate::kernels::matmul::{add_matmul, add_matmul_transposed, append_matmul_bias};
use crate::kernels::scan::{Sequence, gated_scan, gated_scan_gradient};
use crate::ops::sequence::Sizes;
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

/// A sequence, as the kernels see it.
pub(super) fn sequence<'a>(sizes: Sizes, starts: &'a [bool], initial: &'a [f32]) -> Sequence<'a> {
    Sequence {
        starts,
        initial,
        batch: sizes.batch,
        width: sizes.hidden,
    }
}

/// Rows whose numbers are computed together.
pub(super) const BLOCK_ROWS: usize = 96;

/// The blocks of so many rows, in their order.
pub(super) fn blocks(rows: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    let firsts = (0..rows).step_by(BLOCK_ROWS);
    firsts.map(move |first| first..rows.min(first + BLOCK_ROWS))
}

/// The range of some rows in a matrix of so many columns.
pub(super) fn numbers(rows: &Range<usize>, columns: usize) -> Range<usize> {
    rows.start * columns..rows.end * columns
}

impl Graph<'_> {
    /// Runs a layer of minimal gated recurrent units (Feng et al. 2024, arXiv 2410.01201, without the logarithms):
    /// `h' = (1 − z) ⊙ h + z ⊙ c` with `z = σ(a)`, where a, then c are the columns of `x W + b`. `x` is `[T * batch, width]`,
    /// `layer` W `[width, 2 * width]` and b.
    ///
    /// Returns `tanh(x + h')` of every step, in the shape of `x`, and h after the last step, `[batch, width]`. Where
    /// `starts[t * batch + b]` is set, the state of sequence `b` is zeroed before step `t`. The initial state `h0`
    /// `[batch, width]` gets no gradient.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn min_gru(
        &mut self,
        x: &Tensor,
        layer: (ParamId, ParamId),
        starts: &[bool],
        h0: &[f32],
        batch: usize,
    ) -> (Tensor, Vec<f32>) {
        let (rows, width) = shape(x);
        let (weight, bias) = layer;
        let params = self.params();
        assert!(
            params.shape(weight) == (width, 2 * width) && params.shape(bias) == (1, 2 * width),
            "the parameters do not match a minGRU over {width} columns"
        );
        let sizes = Sizes {
            rows,
            batch,
            inputs: width,
            hidden: width,
        };
        sizes.check(starts, h0);
        let over = sequence(sizes, starts, h0);
        let (w, b) = (params.data(weight), params.data(bias));
        let mut sums = Vec::with_capacity(rows * 2 * width);
        let [mut h, mut y] = [(); 2].map(|()| Vec::with_capacity(rows * width));
        for block in blocks(rows) {
            let x = &values(x)[numbers(&block, width)];
            append_matmul_bias(&mut sums, x, w, b, (block.len(), width, 2 * width));
            h.resize(block.end * width, 0.0);
            let sums = &mut sums[numbers(&block, 2 * width)];
            gated_scan(&mut h, sums, block.clone(), over);
            y.extend_from_slice(x);
            let y = &mut y[numbers(&block, width)];
            add_to(y, &h[numbers(&block, width)]);
            activate(y, Activation::Tanh);
        }
        let last = sizes.last(&h, h0);
        let y = self.constant(y, (rows, width));
        let keys = [self.key(x), self.param_key(weight), self.param_key(bias)];
        if keys[1].wanted() {
            let saved = MinGruSaved {
                sizes,
                keys,
                transposed: self.transposed(weight, 1),
                starts: starts.to_vec(),
                h0: h0.to_vec(),
                x: x.clone(),
                y: y.clone(),
                sums,
                h,
            };
            self.record(&y, move |dy, grads| saved.backward(dy, grads));
        }
        (y, last)
    }
}

/// The values of a minGRU's forward pass that its backward pass needs.
struct MinGruSaved {
    sizes: Sizes,
    /// Of `x`, weight and bias.
    keys: [GradKey; 3],
    /// The weight, transposed.
    transposed: Rc<[f32]>,
    starts: Vec<bool>,
    h0: Vec<f32>,
    x: Tensor,
    y: Tensor,
    /// Gates after their activation, then candidates, `[rows, 2 * width]`.
    sums: Vec<f32>,
    h: Vec<f32>,
}

impl MinGruSaved {
    /// `d` begins as the gradient of the result, and becomes that of `x`.
    fn backward(self, mut d: Vec<f32>, grads: &mut GradStore<'_>) {
        let Sizes {
            rows,
            batch,
            hidden: width,
            ..
        } = self.sizes;
        let over = sequence(self.sizes, &self.starts, &self.h0);
        let [x_key, weight, bias] = &self.keys;
        let mut d_sums = vec![0.0; BLOCK_ROWS * 2 * width];
        let mut carried = vec![0.0; batch * width];
        for block in blocks(rows).rev() {
            let (of_rows, of_sums) = (numbers(&block, width), numbers(&block, 2 * width));
            let d = &mut d[of_rows.clone()];
            activation_gradient(d, &values(&self.y)[of_rows.clone()], Activation::Tanh);
            let d_sums = &mut d_sums[..of_sums.len()];
            let states = (&self.sums[of_sums], &self.h[..]);
            gated_scan_gradient(d_sums, &mut carried, d, states, block.clone(), over);
            grads.update(bias, |d| add_sum_rows(d, d_sums, 2 * width));
            let x = &values(&self.x)[of_rows];
            grads.update(weight, |d| {
                add_matmul_transposed(d, x, d_sums, (width, block.len(), 2 * width));
            });
            add_matmul(d, d_sums, &self.transposed, (block.len(), 2 * width, width));
        }
        grads.give(x_key, d);
    }
}

/// Helpers for tests of layers.
#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::{Init, Params};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    pub const BATCH: usize = 2;
    /// More than a block has.
    pub const ROWS: usize = BLOCK_ROWS + 10;

    /// Adds a parameter with these numbers.
    pub fn add(params: &mut Params, name: &str, shape: (usize, usize), numbers: &[f32]) -> ParamId {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let id = params.add(name, shape, Init::Zeros, &mut rng);
        params.data_mut(id).copy_from_slice(numbers);
        id
    }

    #[track_caller]
    pub fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-5, "{found:?} is not {expected:?}");
        }
    }

    /// Two sequences of three steps; the second starts anew at step 1. An input of 0 gives a gate of σ(0) = ½ and a
    /// candidate of 0.4, an input of 1 σ(ln 3) = ¾ and 0.8.
    /// Adds a parameter with normal values.
    pub fn normal(params: &mut Params, name: &str, shape: (usize, usize)) -> ParamId {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(params.ids().len() as u64);
        params.add(name, shape, Init::Normal { std: 0.5 }, &mut rng)
    }

    /// Over more rows than a block has, a run equals the steps one by one, bit for bit. Rows have four numbers.
    pub fn equals_its_steps(
        params: &Params,
        width: usize,
        run: impl Fn(&mut Graph<'_>, &Tensor, &[bool], &[f32]) -> (Tensor, Vec<f32>),
    ) {
        let wave = |len: usize| -> Vec<f32> { (0..len).map(|i| (i as f32 * 0.7).sin()).collect() };
        let starts: Vec<bool> = (0..ROWS).map(|row| row % 5 == 3).collect();
        let mut graph = Graph::inference(params);
        let (x, initial) = (wave(ROWS * 4), wave(BATCH * width));
        let whole = graph.constant(x.clone(), (ROWS, 4));
        let (whole, last) = run(&mut graph, &whole, &starts, &initial);
        let (mut state, mut all) = (initial, Vec::new());
        for (x, starts) in x.chunks(BATCH * 4).zip(starts.chunks(BATCH)) {
            let x = graph.constant(x.to_vec(), (BATCH, 4));
            let (y, after) = run(&mut graph, &x, starts, &state);
            state = after;
            all.extend_from_slice(values(&y));
        }
        assert_eq!(values(&whole), all);
        assert_eq!(last, state);
    }

    /// Values and gradients over more rows than a block has, with resets: as `written_out` computes a step from the inputs
    /// and the state before it.
    pub fn equals_steps_written_out(
        (params, ids): (&Params, &[ParamId]),
        width: usize,
        run: impl Fn(&mut Graph<'_>, &Tensor, &[bool], &[f32]) -> Tensor,
        written_out: impl Fn(&mut Graph<'_>, &Tensor, &Tensor) -> (Tensor, Tensor),
    ) {
        let (rows, batch) = (ROWS, BATCH);
        let wave = |len: usize| -> Vec<f32> { (0..len).map(|i| (i as f32 * 1.3).cos()).collect() };
        let starts: Vec<bool> = (0..rows).map(|row| row % 13 == 3).collect();
        let (h0, targets, ones) = (wave(batch * width), wave(rows * 4), vec![1.0; rows]);
        let x = |graph: &mut Graph<'_>| graph.param(ids[0]);

        let mut graph = Graph::training(params);
        let input = x(&mut graph);
        let fused = run(&mut graph, &input, &starts, &h0);
        let loss = graph.mse(&fused, &targets, &ones);
        let loss = graph.scale(&loss, rows as f32);
        let gradients = graph.backward(&loss);

        let mut graph = Graph::training(params);
        let input = x(&mut graph);
        let mut h = graph.constant(h0, (batch, width));
        let mut all = Vec::new();
        for (t, starts) in starts.chunks(batch).enumerate() {
            let kept = starts.iter().map(|starts| if *starts { 0.0 } else { 1.0 });
            let kept = graph.constant(kept.collect(), (batch, 1));
            h = graph.scale_rows(&h, &kept);
            let x = graph.rows(&input, t * batch..(t + 1) * batch);
            let (y, after) = written_out(&mut graph, &x, &h);
            all.push(y);
            h = after;
        }
        let all = graph.concat_rows(&all.iter().collect::<Vec<_>>());
        assert_close(values(&fused), values(&all));
        let loss = graph.mse(&all, &targets, &ones);
        let loss = graph.scale(&loss, rows as f32);
        let expected = graph.backward(&loss);
        for &id in ids {
            let [found, expected] = [&gradients, &expected].map(|of| of.of(id).expect("wanted"));
            let largest = expected.iter().fold(0.0f32, |most, d| most.max(d.abs()));
            let relative = |d: &[f32]| d.iter().map(|d| d / largest).collect::<Vec<_>>();
            assert_close(&relative(found), &relative(expected));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{
        ROWS, add, assert_close, equals_its_steps, equals_steps_written_out, normal,
    };
    use super::*;
    use crate::Params;

    #[test]
    fn a_min_gru_by_hand() {
        let mut params = Params::new();
        let weight = add(&mut params, "weight", (1, 2), &[3.0f32.ln(), 0.4]);
        let bias = add(&mut params, "bias", (1, 2), &[0.0, 0.4]);
        let mut graph = Graph::inference(&params);
        let x = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0];
        let input = graph.constant(x.to_vec(), (6, 1));
        let starts = [false, false, false, true, false, false];
        let (y, last) = graph.min_gru(&input, (weight, bias), &starts, &[0.2, 0.4], 2);
        let h = [0.3, 0.7, 0.675, 0.2, 0.5375, 0.65];
        let expected: Vec<f32> = x.iter().zip(h).map(|(x, h)| f32::tanh(x + h)).collect();
        assert_close(values(&y), &expected);
        assert_close(&last, &h[4..]);
    }

    /// An impulse decays by |λ| a step and turns by θ.
    #[test]
    fn a_min_gru_equals_composed_steps() {
        let mut params = Params::new();
        let x = normal(&mut params, "x", (ROWS, 4));
        let weight = normal(&mut params, "weight", (4, 8));
        let bias = normal(&mut params, "bias", (1, 8));
        equals_steps_written_out(
            (&params, &[x, weight, bias]),
            4,
            |graph, x, starts, h| graph.min_gru(x, (weight, bias), starts, h, 2).0,
            |graph, x, h| {
                let sums = graph.linear(x, weight, Some(bias), Activation::Identity);
                let [gate, candidate] = [0..4, 4..8].map(|part| graph.columns(&sums, part));
                let gate = graph.activate(&gate, Activation::Sigmoid);
                let minus = graph.scale(h, -1.0);
                let difference = graph.add(&candidate, &minus);
                let moved = graph.mul(&gate, &difference);
                let h = graph.add(h, &moved);
                let sum = graph.add(x, &h);
                (graph.activate(&sum, Activation::Tanh), h)
            },
        );
    }

    /// The eigenvalues are constants of the steps; finite differences check their gradients. There are so many units that

    #[test]
    fn a_min_gru_equals_its_steps() {
        let mut params = Params::new();
        let layer = (
            normal(&mut params, "weight", (4, 8)),
            normal(&mut params, "bias", (1, 8)),
        );
        equals_its_steps(&params, 4, |graph, x, starts, h| {
            graph.min_gru(x, layer, starts, h, 2)
        });
    }
}
