//! Linear maps with an activation, and activations alone.

use std::ops::Range;

use crate::graph::Graph;
use crate::kernels::activation::{
    Activation, activate, activation_gradient, rectify, rectify_gradient,
};
use crate::kernels::elementwise::add_sum_rows;
use crate::kernels::matmul::{
    Sizes, add_matmul, add_matmul_transposed, append_matmul_bias, matmul_bias,
};
use crate::kernels::transpose::transpose;
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// `activation(x · W + b)`: `x` `[M, K]`, `weight` `[K, N]`, `bias` `[1, N]` → `[M, N]`.
    pub fn linear(
        &mut self,
        x: &Tensor,
        weight: ParamId,
        bias: Option<ParamId>,
        activation: Activation,
    ) -> Tensor {
        let (rows, inputs) = shape(x);
        let (weight_rows, outputs) = self.params().shape(weight);
        assert_eq!(
            inputs,
            weight_rows,
            "`{}` takes {weight_rows} inputs and got {inputs}",
            self.params().name(weight)
        );
        let bias_values = bias.map_or(&[][..], |bias| self.params().data(bias));
        assert!(
            bias_values.is_empty() || bias_values.len() == outputs,
            "a bias has one value per output"
        );
        let weight_values = self.params().data(weight);
        let sizes = (rows, inputs, outputs);
        let y = linear_forward(values(x), weight_values, bias_values, activation, sizes);
        let y = self.constant(y, (rows, outputs));

        let x_key = self.key(x);
        let weight_key = self.param_key(weight);
        if weight_key.wanted() {
            let bias_key = bias.map(|bias| self.param_key(bias));
            let transposed = x_key.wanted().then(|| self.transposed(weight, 1));
            let (x, y_again) = (x.clone(), y.clone());
            self.record(&y, move |mut dy, grads| {
                activation_gradient(&mut dy, values(&y_again), activation);
                if let Some(bias_key) = &bias_key {
                    grads.update(bias_key, |d| add_sum_rows(d, &dy, outputs));
                }
                grads.update(&weight_key, |d| {
                    add_matmul_transposed(d, values(&x), &dy, (inputs, rows, outputs));
                });
                let Some(transposed) = transposed else { return };
                grads.update(&x_key, |d| {
                    let sizes = (rows, outputs, inputs);
                    if d.is_empty() {
                        *d = matmul_bias(&dy, &transposed, &[], sizes);
                    } else {
                        add_matmul(d, &dy, &transposed, sizes);
                    }
                });
            });
        }
        y
    }

    /// Products of `x` with several weights, side by side: `x` `[M, K]`, weights `[K, N₁]`, `[K, N₂]`, … → `[M, ΣN]`. So many
    /// narrow products take longer than one wide one.
    ///
    /// # Panics
    /// When a weight has other than K rows.
    pub fn products(&mut self, x: &Tensor, weights: &[ParamId]) -> Tensor {
        if let [weight] = weights {
            return self.linear(x, *weight, None, Activation::Identity);
        }
        let (rows, inputs) = shape(x);
        let shapes = weights.iter().map(|&weight| self.params().shape(weight));
        let (heights, widths): (Vec<usize>, Vec<usize>) = shapes.unzip();
        assert!(
            heights.iter().all(|&height| height == inputs),
            "weights of {heights:?} rows cannot take {inputs} inputs"
        );
        let all: usize = widths.iter().sum();
        let parts = weights.iter().map(|&weight| self.params().data(weight));
        let parts: Vec<&[f32]> = parts.collect();
        let joined = side_by_side(&parts, &widths, inputs);
        let sizes = (rows, inputs, all);
        let y = linear_forward(values(x), &joined, &[], Activation::Identity, sizes);
        let y = self.constant(y, (rows, all));
        let keys: Vec<_> = weights
            .iter()
            .map(|&weight| self.param_key(weight))
            .collect();
        let x_key = self.key(x);
        if keys.iter().any(|key| key.wanted()) {
            let x = x.clone();
            self.record(&y, move |dy, grads| {
                let mut d_joined = Vec::new();
                add_matmul_transposed(&mut d_joined, values(&x), &dy, (inputs, rows, all));
                let mut first = 0;
                for (key, &width) in keys.iter().zip(&widths) {
                    let rows = d_joined.chunks_exact(all);
                    let part = rows.flat_map(|row| &row[first..first + width]);
                    grads.give(key, part.copied().collect());
                    first += width;
                }
                if x_key.wanted() {
                    let transposed = transpose(&joined, inputs, all);
                    grads.give(
                        &x_key,
                        matmul_bias(&dy, &transposed, &[], (rows, all, inputs)),
                    );
                }
            });
        }
        y
    }

    /// `activation(x)`.
    pub fn activate(&mut self, x: &Tensor, activation: Activation) -> Tensor {
        let mut y = values(x).to_vec();
        activate(&mut y, activation);
        let y = self.constant(y, shape(x));
        let x_key = self.key(x);
        if x_key.wanted() {
            let y_again = y.clone();
            self.record(&y, move |mut dy, grads| {
                activation_gradient(&mut dy, values(&y_again), activation);
                grads.give(&x_key, dy);
            });
        }
        y
    }

    /// `x` `[M, N]` with max(x, 0) in some of its columns, with derivative 0 at 0.
    ///
    /// # Panics
    /// When the range ends beyond the last column.
    pub fn rectify_columns(&mut self, x: &Tensor, columns: Range<usize>) -> Tensor {
        let (rows, width) = shape(x);
        assert!(
            columns.end <= width,
            "{columns:?} of a matrix with {width} columns"
        );
        let mut y = values(x).to_vec();
        rectify(&mut y, width, columns.clone());
        let y = self.constant(y, (rows, width));
        let x_key = self.key(x);
        if x_key.wanted() {
            let y_again = y.clone();
            self.record(&y, move |mut dy, grads| {
                rectify_gradient(&mut dy, values(&y_again), width, columns);
                grads.give(&x_key, dy);
            });
        }
        y
    }
}

/// `activation(x · weight + bias)`, in blocks of rows, so that each block is activated while it is
/// in cache.
fn linear_forward(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    (rows, inputs, outputs): Sizes,
) -> Vec<f32> {
    const BLOCK_ROWS: usize = 48;
    let mut y = Vec::with_capacity(rows * outputs);
    for first in (0..rows).step_by(BLOCK_ROWS) {
        let block_rows = BLOCK_ROWS.min(rows - first);
        let x = &x[first * inputs..(first + block_rows) * inputs];
        append_matmul_bias(&mut y, x, weight, bias, (block_rows, inputs, outputs));
        activate(&mut y[first * outputs..], activation);
    }
    y
}

/// Matrices of so many rows as one: `[K, N₁]`, `[K, N₂]`, … → `[K, ΣN]`.
fn side_by_side(parts: &[&[f32]], widths: &[usize], rows: usize) -> Vec<f32> {
    let mut joined = Vec::with_capacity(rows * widths.iter().sum::<usize>());
    for row in 0..rows {
        for (part, &width) in parts.iter().zip(widths) {
            joined.extend_from_slice(&part[row * width..][..width]);
        }
    }
    joined
}
