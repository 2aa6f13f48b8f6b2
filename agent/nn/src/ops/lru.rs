//! A layer of linear recurrent units over a sequence with resets inside it.

use std::rc::Rc;

use super::scan::{BLOCK_ROWS, blocks, numbers, sequence};
use crate::graph::{GradKey, GradStore, Graph};
use crate::kernels::activation::{Activation, activate, activation_gradient};
use crate::kernels::elementwise::{add_sum_rows, add_to};
use crate::kernels::matmul::{add_matmul, add_matmul_transposed, append_matmul_bias};
use crate::kernels::scan::{
    EigenvalueGradients, Eigenvalues, Sequence, complex_scan, complex_scan_gradient,
};
use crate::ops::sequence::Sizes;
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

/// The parameters of a layer of linear recurrent units.
#[derive(Clone, Copy, Debug)]
pub struct LruParams {
    /// B, `[width, 2 * units]`: to real parts, then to imaginary ones.
    pub input: ParamId,
    /// ν, `[1, units]`: the radius of λ is exp(−exp ν), below 1 for every ν.
    pub nu: ParamId,
    /// θ, `[1, units]`: the phase of λ.
    pub theta: ParamId,
    /// ln γ, `[1, units]`: the factor of inputs.
    pub log_gamma: ParamId,
    /// C, `[2 * units, width]`.
    pub output: ParamId,
    /// b, `[1, width]`.
    pub bias: ParamId,
}

/// λ, γ and what their gradients need.
struct Spectrum {
    radius: Vec<f32>,
    re: Vec<f32>,
    im: Vec<f32>,
    gamma: Vec<f32>,
}

impl Spectrum {
    fn new(nu: &[f32], theta: &[f32], log_gamma: &[f32]) -> Self {
        let radius: Vec<f32> = nu.iter().map(|nu| (-nu.exp()).exp()).collect();
        let polar = || radius.iter().zip(theta);
        Self {
            re: polar().map(|(a, theta)| a * theta.cos()).collect(),
            im: polar().map(|(a, theta)| a * theta.sin()).collect(),
            gamma: log_gamma.iter().map(|gamma| gamma.exp()).collect(),
            radius,
        }
    }

    fn eigenvalues(&self) -> Eigenvalues<'_> {
        Eigenvalues {
            re: &self.re,
            im: &self.im,
            gamma: &self.gamma,
        }
    }

    /// Turns gradients of the real and imaginary parts of λ into those of ν and θ.
    fn to_polar(&self, re: &mut [f32], im: &mut [f32], (nu, theta): (&[f32], &[f32])) {
        for (j, (re, im)) in re.iter_mut().zip(im).enumerate() {
            let d_radius = *re * theta[j].cos() + *im * theta[j].sin();
            let d_theta = *im * self.re[j] - *re * self.im[j];
            (*re, *im) = (-d_radius * self.radius[j] * nu[j].exp(), d_theta);
        }
    }
}

impl Graph<'_> {
    /// Runs a layer of linear recurrent units (Orvieto et al. 2023, arXiv 2303.06349, eq. 7): `h' = λ h + γ B x` with complex
    /// `λ = exp(−exp ν + iθ)`, h and B; `C h' + b` is read. States are `[batch, 2 * units]`, real parts first, then imaginary
    /// ones.
    ///
    /// The result is `tanh(x + read)`; it, starts and the initial state are as in [`Graph::min_gru`].
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn lru(
        &mut self,
        x: &Tensor,
        layer: &LruParams,
        starts: &[bool],
        h0: &[f32],
        batch: usize,
    ) -> (Tensor, Vec<f32>) {
        let (rows, width) = shape(x);
        let sizes = Sizes {
            rows,
            batch,
            inputs: width,
            hidden: self.params().shape(layer.output).0,
        };
        self.check_lru(layer, sizes);
        sizes.check(starts, h0);
        let spectrum = self.spectrum(layer);
        let run = self.run_lru(x, layer, &spectrum, sequence(sizes, starts, h0));
        let last = sizes.last(&run.h, h0);
        let y = self.constant(run.y, (rows, width));
        let x_key = self.key(x);
        let ids = [
            layer.input,
            layer.nu,
            layer.theta,
            layer.log_gamma,
            layer.output,
            layer.bias,
        ];
        let keys = ids.map(|id| self.param_key(id));
        if keys[0].wanted() {
            let saved = LruSaved {
                sizes,
                x_key,
                keys,
                spectrum,
                polar: [layer.nu, layer.theta].map(|id| self.param(id)),
                transposed: [layer.input, layer.output].map(|id| self.transposed(id, 1)),
                starts: starts.to_vec(),
                h0: h0.to_vec(),
                x: x.clone(),
                y: y.clone(),
                u: run.u,
                h: run.h,
            };
            self.record(&y, move |dy, grads| saved.backward(dy, grads));
        }
        (y, last)
    }

    fn check_lru(&self, layer: &LruParams, sizes: Sizes) {
        let Sizes { inputs, hidden, .. } = sizes;
        let units = hidden / 2;
        let shape = |id| self.params().shape(id);
        let spectrum = [layer.nu, layer.theta, layer.log_gamma].map(shape);
        assert!(
            hidden == 2 * units
                && spectrum == [(1, units); 3]
                && shape(layer.input) == (inputs, hidden)
                && shape(layer.output) == (hidden, inputs)
                && shape(layer.bias) == (1, inputs),
            "the parameters do not match an LRU of {units} units over {inputs} columns"
        );
    }

    fn spectrum(&self, layer: &LruParams) -> Spectrum {
        let ids = [layer.nu, layer.theta, layer.log_gamma];
        let [nu, theta, log_gamma] = ids.map(|id| self.params().data(id));
        Spectrum::new(nu, theta, log_gamma)
    }

    fn run_lru(
        &self,
        x: &Tensor,
        layer: &LruParams,
        spectrum: &Spectrum,
        over: Sequence<'_>,
    ) -> LruRun {
        let ((rows, width), hidden) = (shape(x), over.width);
        let ids = [layer.input, layer.output, layer.bias];
        let [input, output, bias] = ids.map(|id| self.params().data(id));
        let [mut u, mut h] = [(); 2].map(|()| Vec::with_capacity(rows * hidden));
        let mut y = Vec::with_capacity(rows * width);
        for block in blocks(rows) {
            let x = &values(x)[numbers(&block, width)];
            let states = numbers(&block, hidden);
            append_matmul_bias(&mut u, x, input, &[], (block.len(), width, hidden));
            h.resize(states.end, 0.0);
            let by = spectrum.eigenvalues();
            complex_scan(&mut h, &u[states.clone()], by, block.clone(), over);
            let h = &h[states];
            append_matmul_bias(&mut y, h, output, bias, (block.len(), hidden, width));
            let y = &mut y[numbers(&block, width)];
            add_to(y, x);
            activate(y, Activation::Tanh);
        }
        LruRun { u, h, y }
    }
}

/// Results of all rows of an LRU: inputs and states of the units, and the layer's result.
struct LruRun {
    u: Vec<f32>,
    h: Vec<f32>,
    y: Vec<f32>,
}

/// The values of an LRU's forward pass that its backward pass needs.
struct LruSaved {
    sizes: Sizes,
    x_key: GradKey,
    /// Of the input's weight, ν, θ, ln γ, the output's weight and its bias.
    keys: [GradKey; 6],
    spectrum: Spectrum,
    /// ν and θ.
    polar: [Tensor; 2],
    /// The weights of the input and of the output, transposed.
    transposed: [Rc<[f32]>; 2],
    starts: Vec<bool>,
    h0: Vec<f32>,
    x: Tensor,
    y: Tensor,
    u: Vec<f32>,
    h: Vec<f32>,
}

impl LruSaved {
    /// `d` begins as the gradient of the result, and becomes that of `x`.
    fn backward(self, mut d: Vec<f32>, grads: &mut GradStore<'_>) {
        let Sizes {
            rows,
            batch,
            inputs: width,
            hidden,
        } = self.sizes;
        let over = sequence(self.sizes, &self.starts, &self.h0);
        let [input, nu, theta, log_gamma, output, bias] = &self.keys;
        let [input_transposed, output_transposed] = &self.transposed;
        let [mut re, mut im, mut gamma] = [(); 3].map(|()| vec![0.0; hidden / 2]);
        let mut carried = vec![0.0; batch * hidden];
        let mut d_states = Vec::with_capacity(BLOCK_ROWS * hidden);
        for block in blocks(rows).rev() {
            let (of_rows, of_states) = (numbers(&block, width), numbers(&block, hidden));
            let (x, h) = (
                &values(&self.x)[of_rows.clone()],
                &self.h[of_states.clone()],
            );
            let d = &mut d[of_rows.clone()];
            activation_gradient(d, &values(&self.y)[of_rows], Activation::Tanh);
            grads.update(bias, |sums| add_sum_rows(sums, d, width));
            grads.update(output, |sums| {
                add_matmul_transposed(sums, h, d, (hidden, block.len(), width));
            });
            d_states.clear();
            let sizes = (block.len(), width, hidden);
            append_matmul_bias(&mut d_states, d, output_transposed, &[], sizes);
            let d_by = EigenvalueGradients {
                re: &mut re,
                im: &mut im,
                gamma: &mut gamma,
            };
            let saved = (&self.u[of_states], &self.h[..]);
            let by = self.spectrum.eigenvalues();
            let gradients = (&mut d_states[..], &mut carried[..]);
            complex_scan_gradient(gradients, d_by, saved, by, block.clone(), over);
            grads.update(input, |sums| {
                add_matmul_transposed(sums, x, &d_states, (width, block.len(), hidden));
            });
            add_matmul(d, &d_states, input_transposed, (block.len(), hidden, width));
        }
        let [of_nu, of_theta] = self.polar.each_ref().map(values);
        self.spectrum.to_polar(&mut re, &mut im, (of_nu, of_theta));
        for (d, gamma) in gamma.iter_mut().zip(&self.spectrum.gamma) {
            *d *= gamma;
        }
        for (key, d) in [nu, theta, log_gamma].into_iter().zip([re, im, gamma]) {
            grads.give(key, d);
        }
        grads.give(&self.x_key, d);
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::testing::{
        ROWS, add, assert_close, equals_its_steps, equals_steps_written_out, normal,
    };
    use super::*;
    use crate::Params;
    use crate::kernels::scan::LANES;

    /// An impulse decays by |λ| a step and turns by θ.
    #[test]
    fn the_impulse_response_of_an_lru() {
        let mut params = Params::new();
        let (radius, theta, gamma) = (0.9f32, 0.3f32, 0.5f32);
        let identity = [1.0, 0.0, 0.0, 1.0];
        let layer = LruParams {
            input: add(&mut params, "input", (2, 2), &identity),
            nu: add(&mut params, "nu", (1, 1), &[(-radius.ln()).ln()]),
            theta: add(&mut params, "theta", (1, 1), &[theta]),
            log_gamma: add(&mut params, "log_gamma", (1, 1), &[gamma.ln()]),
            output: add(&mut params, "output", (2, 2), &identity),
            bias: add(&mut params, "bias", (1, 2), &[0.0; 2]),
        };
        let mut graph = Graph::inference(&params);
        let mut impulse = vec![0.0; 8];
        impulse[0] = 1.0;
        let x = graph.constant(impulse.clone(), (4, 2));
        let (y, _) = graph.lru(&x, &layer, &[false; 4], &[0.0, 0.0], 1);
        for (t, (y, x)) in values(&y).chunks(2).zip(impulse.chunks(2)).enumerate() {
            let (size, phase) = (gamma * radius.powi(t as i32), theta * t as f32);
            let read = [size * phase.cos(), size * phase.sin()];
            assert_close(y, &[f32::tanh(x[0] + read[0]), f32::tanh(x[1] + read[1])]);
        }
    }

    /// So many that some are computed in vectors, and some one by one.
    const UNITS: usize = LANES + 2;

    fn layer(params: &mut Params) -> LruParams {
        LruParams {
            input: normal(params, "input", (4, 2 * UNITS)),
            nu: normal(params, "nu", (1, UNITS)),
            theta: normal(params, "theta", (1, UNITS)),
            log_gamma: normal(params, "log_gamma", (1, UNITS)),
            output: normal(params, "output", (2 * UNITS, 4)),
            bias: normal(params, "bias", (1, 4)),
        }
    }

    #[test]
    fn an_lru_equals_its_steps() {
        let mut params = Params::new();
        let layer = layer(&mut params);
        equals_its_steps(&params, 2 * UNITS, |graph, x, starts, h| {
            graph.lru(x, &layer, starts, h, 2)
        });
    }

    /// The eigenvalues are constants of the steps; finite differences check their gradients.
    #[test]
    fn an_lru_equals_composed_steps() {
        let mut params = Params::new();
        let x = normal(&mut params, "x", (ROWS, 4));
        let layer = layer(&mut params);
        let numbers = [layer.nu, layer.theta, layer.log_gamma].map(|id| params.data(id));
        let spectrum = Spectrum::new(numbers[0], numbers[1], numbers[2]);
        equals_steps_written_out(
            (&params, &[x, layer.input, layer.output, layer.bias]),
            2 * UNITS,
            |graph, x, starts, h| graph.lru(x, &layer, starts, h, 2).0,
            |graph, x, h| {
                let u = graph.linear(x, layer.input, None, Activation::Identity);
                let factor = |graph: &Graph<'_>, numbers: &[f32], sign: f32| {
                    let both = numbers.iter().chain(numbers).map(|x| sign * x);
                    graph.constant(both.collect(), (2, UNITS))
                };
                let halves = [0..UNITS, UNITS..2 * UNITS];
                let [h_re, h_im] = halves.clone().map(|half| graph.columns(h, half));
                let [u_re, u_im] = halves.map(|half| graph.columns(&u, half));
                let terms = [
                    [(&h_re, &spectrum.re, 1.0), (&h_im, &spectrum.im, -1.0)],
                    [(&h_im, &spectrum.re, 1.0), (&h_re, &spectrum.im, 1.0)],
                ];
                let parts = [(terms[0], &u_re), (terms[1], &u_im)].map(|(terms, u)| {
                    let gamma = factor(graph, &spectrum.gamma, 1.0);
                    let mut sum = graph.mul(u, &gamma);
                    for (h, numbers, sign) in terms {
                        let by = factor(graph, numbers, sign);
                        let term = graph.mul(h, &by);
                        sum = graph.add(&sum, &term);
                    }
                    sum
                });
                let h = graph.concat_cols(&[&parts[0], &parts[1]]);
                let read = graph.linear(&h, layer.output, Some(layer.bias), Activation::Identity);
                let sum = graph.add(x, &read);
                (graph.activate(&sum, Activation::Tanh), h)
            },
        );
    }
}
