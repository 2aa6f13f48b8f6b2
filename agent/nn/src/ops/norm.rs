//! Layer normalisation.

use crate::graph::Graph;
use crate::kernels::elementwise::add_sum_rows;
use crate::kernels::norm::{layer_norm, layer_norm_gradient};
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Each row of `x` `[M, N]` shifted and scaled to mean 0 and variance 1, then `· gain + bias`
    /// (both `[1, N]`). Ba et al. 2016, arXiv 1607.06450; 1e-5 is added to the variance.
    pub fn layer_norm(&mut self, x: &Tensor, gain: ParamId, bias: ParamId) -> Tensor {
        let (rows, columns) = shape(x);
        let (gain_values, bias_values) = (self.params().data(gain), self.params().data(bias));
        assert!(
            gain_values.len() == columns && bias_values.len() == columns,
            "layer norm over {columns} columns got {} gains and {} biases",
            gain_values.len(),
            bias_values.len()
        );
        let mut y = vec![0.0; rows * columns];
        let mut normalised = vec![0.0; rows * columns];
        let mut scale = vec![0.0; rows];
        layer_norm(
            &mut y,
            &mut normalised,
            &mut scale,
            values(x),
            gain_values,
            bias_values,
        );
        let y = self.constant(y, (rows, columns));

        let (x_key, gain_key, bias_key) = (self.key(x), self.param_key(gain), self.param_key(bias));
        if gain_key.wanted() {
            let gain = self.param(gain);
            self.record(&y, move |mut dy, grads| {
                grads.update(&bias_key, |d_bias| add_sum_rows(d_bias, &dy, columns));
                grads.update(&gain_key, |d_gain| {
                    d_gain.resize(columns, 0.0);
                    layer_norm_gradient(&mut dy, d_gain, &normalised, &scale, values(&gain));
                });
                grads.give(&x_key, dy);
            });
        }
        y
    }
}
