//! Linear maps with their activation, and activations alone.

use crate::nn::graph::Graph;
use crate::nn::kernels::activation::{Activation, activation_gradient, bias_activate};
use crate::nn::kernels::elementwise::sum_rows;
use crate::nn::kernels::matmul::{matmul_nn, matmul_nt, matmul_tn};
use crate::nn::params::ParamId;
use crate::nn::tensor::{Tensor, shape, values};

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
        let mut y = vec![0.0; rows * outputs];
        matmul_nn(
            &mut y,
            values(x),
            self.params().data(weight),
            (rows, inputs, outputs),
            false,
        );
        bias_activate(&mut y, bias_values, activation);
        let y = self.constant(y, (rows, outputs));

        let x_key = self.key(x);
        let weight_key = self.param_key(weight);
        if weight_key.wanted() {
            let bias_key = bias.map(|bias| self.param_key(bias));
            let (x, weight, y_again) = (x.clone(), self.param(weight), y.clone());
            self.record(&y, move |mut dy, grads| {
                activation_gradient(&mut dy, values(&y_again), activation);
                if let Some(bias_key) = &bias_key {
                    grads.write(bias_key, outputs, |d, accumulate| {
                        sum_rows(d, &dy, accumulate)
                    });
                }
                grads.write(&weight_key, inputs * outputs, |d, accumulate| {
                    matmul_tn(d, values(&x), &dy, (inputs, rows, outputs), accumulate);
                });
                grads.write(&x_key, rows * inputs, |d, accumulate| {
                    matmul_nt(d, &dy, values(&weight), (rows, outputs, inputs), accumulate);
                });
            });
        }
        y
    }

    /// `activation(x)`.
    pub fn activate(&mut self, x: &Tensor, activation: Activation) -> Tensor {
        let mut y = values(x).to_vec();
        bias_activate(&mut y, &[], activation);
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
}
