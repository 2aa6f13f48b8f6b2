//! Linear recurrences over a sequence with resets inside it. The state is a linear function of the one before, so all
//! products with weights are taken beforehand, for the whole sequence at once.

use crate::graph::Graph;
use crate::kernels::scan::{
    EigenvalueGradients, Eigenvalues, Sequence, complex_scan, complex_scan_gradient, gated_scan,
    gated_scan_gradient,
};
use crate::ops::sequence::Sizes;
use crate::params::ParamId;
use crate::tensor::{Tensor, shape, values};

/// The parameters of a linear recurrent unit: `λ = exp(−exp ν + iθ)` and ln γ, `[1, units]` each.
#[derive(Clone, Copy, Debug)]
pub struct LruParams {
    /// ν: the radius of λ is exp(−exp ν), below 1 for every ν.
    pub nu: ParamId,
    /// θ: the phase of λ.
    pub theta: ParamId,
    /// ln γ: the factor of inputs.
    pub log_gamma: ParamId,
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
}

fn sequence<'a>(sizes: Sizes, starts: &'a [bool], initial: &'a [f32]) -> Sequence<'a> {
    sizes.check(starts, initial);
    Sequence {
        starts,
        initial,
        batch: sizes.batch,
        width: sizes.hidden,
    }
}

impl Graph<'_> {
    /// Runs a gated linear recurrence (minGRU: Feng et al. 2024, arXiv 2410.01201, without the logarithms):
    /// `h' = (1 − z) ⊙ h + z ⊙ c` with `z = σ(a)`, where `x` `[T * batch, 2 * units]` holds a, then c.
    ///
    /// Returns h after every step, `[T * batch, units]`. Where `starts[t * batch + b]` is set, the state of sequence `b`
    /// is zeroed before step `t`. The initial state `h0` `[batch, units]` gets no gradient.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn gated_scan(&mut self, x: &Tensor, starts: &[bool], h0: &[f32], batch: usize) -> Tensor {
        let (rows, columns) = shape(x);
        let sizes = Sizes {
            rows,
            batch,
            inputs: columns,
            hidden: columns / 2,
        };
        let [mut h, mut z] = std::array::from_fn(|_| vec![0.0; rows * sizes.hidden]);
        gated_scan(&mut h, &mut z, values(x), sequence(sizes, starts, h0));
        let h = self.constant(h, (rows, sizes.hidden));
        let key = self.key(x);
        if key.wanted() {
            let (x, h_again) = (x.clone(), h.clone());
            let (starts, h0) = (starts.to_vec(), h0.to_vec());
            self.record(&h, move |mut dh, grads| {
                let mut dx = vec![0.0; rows * columns];
                let saved = (values(&x), values(&h_again), &z[..]);
                gated_scan_gradient(&mut dx, &mut dh, saved, sequence(sizes, &starts, &h0));
                grads.give(&key, dx);
            });
        }
        h
    }

    /// Runs the recurrence of a linear recurrent unit (Orvieto et al. 2023, arXiv 2303.06349, eq. 7): `x' = λ x + γ u`.
    /// `u` and the result are `[T * batch, 2 * units]`, real parts first, then imaginary ones.
    ///
    /// Starts and the initial state `x0` `[batch, 2 * units]` are as in [`Graph::gated_scan`].
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn lru(
        &mut self,
        u: &Tensor,
        unit: &LruParams,
        starts: &[bool],
        x0: &[f32],
        batch: usize,
    ) -> Tensor {
        let (rows, columns) = shape(u);
        let ids = [unit.nu, unit.theta, unit.log_gamma];
        let [nu, theta, log_gamma] = ids.map(|id| self.params().data(id));
        let units = columns / 2;
        assert!(
            [nu, theta, log_gamma].iter().all(|x| x.len() == units) && columns == 2 * units,
            "an LRU over {columns} columns has {units} eigenvalues"
        );
        let sizes = Sizes {
            rows,
            batch,
            inputs: columns,
            hidden: columns,
        };
        let spectrum = Spectrum::new(nu, theta, log_gamma);
        let mut x = vec![0.0; rows * columns];
        let over = sequence(sizes, starts, x0);
        complex_scan(&mut x, values(u), spectrum.eigenvalues(), over);
        let x = self.constant(x, (rows, columns));
        let u_key = self.key(u);
        let keys = ids.map(|id| self.param_key(id));
        if keys[0].wanted() {
            let (u, x_again) = (u.clone(), x.clone());
            let [nu, theta, _] = ids.map(|id| self.param(id));
            let (starts, x0) = (starts.to_vec(), x0.to_vec());
            self.record(&x, move |mut dx, grads| {
                let mut du = vec![0.0; rows * columns];
                let [mut re, mut im, mut gamma] = std::array::from_fn(|_| vec![0.0; units]);
                let d_by = EigenvalueGradients {
                    re: &mut re,
                    im: &mut im,
                    gamma: &mut gamma,
                };
                let saved = (values(&u), values(&x_again));
                let over = sequence(sizes, &starts, &x0);
                let by = spectrum.eigenvalues();
                complex_scan_gradient((&mut du, d_by), &mut dx, saved, by, over);
                let (nu, theta) = (values(&nu), values(&theta));
                let (mut d_nu, mut d_theta) = (vec![0.0; units], vec![0.0; units]);
                for j in 0..units {
                    let d_radius = re[j] * theta[j].cos() + im[j] * theta[j].sin();
                    d_nu[j] = -d_radius * spectrum.radius[j] * nu[j].exp();
                    d_theta[j] = im[j] * spectrum.re[j] - re[j] * spectrum.im[j];
                    gamma[j] *= spectrum.gamma[j];
                }
                grads.give(&u_key, du);
                for (key, d) in keys.iter().zip([d_nu, d_theta, gamma]) {
                    grads.give(key, d);
                }
            });
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Params};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// Two sequences of three steps; the second starts anew at step 1. σ(0) = ½, σ(ln 3) = ¾.
    #[test]
    fn a_gated_scan_by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let three = 3.0f32.ln();
        let x = vec![
            0.0, 4.0, three, 8.0, //
            0.0, 0.0, 0.0, 1.0, //
            three, 4.0, 0.0, 0.0,
        ];
        let x = graph.constant(x, (6, 2));
        let starts = [false, false, false, true, false, false];
        let h = graph.gated_scan(&x, &starts, &[2.0, 4.0], 2);
        let expected = [3.0, 7.0, 1.5, 0.5, 3.375, 0.25];
        for (h, expected) in values(&h).iter().zip(expected) {
            assert!((h - expected).abs() < 1e-5, "{h} {expected}");
        }
    }

    /// An impulse decays by |λ| a step and turns by θ.
    #[test]
    fn the_impulse_response_of_an_lru() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let (radius, theta, gamma) = (0.9f32, 0.3f32, 0.5f32);
        let mut add = |name: &str, x: f32| params.add(name, (1, 1), Init::Constant(x), &mut rng);
        let unit = LruParams {
            nu: add("nu", (-radius.ln()).ln()),
            theta: add("theta", theta),
            log_gamma: add("log_gamma", gamma.ln()),
        };
        let mut graph = Graph::inference(&params);
        let mut impulse = vec![0.0; 8];
        impulse[0] = 1.0;
        let u = graph.constant(impulse, (4, 2));
        let x = graph.lru(&u, &unit, &[false; 4], &[0.0, 0.0], 1);
        for (t, x) in values(&x).chunks(2).enumerate() {
            let size = gamma * radius.powi(t as i32);
            let phase = theta * t as f32;
            assert!((x[0] - size * phase.cos()).abs() < 1e-5);
            assert!((x[1] - size * phase.sin()).abs() < 1e-5);
        }
    }

    #[test]
    fn scans_equal_their_steps() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut params = Params::new();
        let mut add = |name: &str| params.add(name, (1, 2), Init::Normal { std: 0.5 }, &mut rng);
        let unit = LruParams {
            nu: add("nu"),
            theta: add("theta"),
            log_gamma: add("log_gamma"),
        };
        let wave = |len: usize| -> Vec<f32> { (0..len).map(|i| (i as f32 * 0.7).sin()).collect() };
        let (rows, batch) = (10, 2);
        let starts: Vec<bool> = (0..rows).map(|row| row % 5 == 3).collect();
        type Run = fn(&mut Graph<'_>, &Tensor, &LruParams, &[bool], &[f32]) -> Tensor;
        let runs: [(Run, usize); 2] = [
            (
                |graph, x, _, starts, h| graph.gated_scan(x, starts, h, 2),
                2,
            ),
            (
                |graph, x, unit, starts, h| graph.lru(x, unit, starts, h, 2),
                4,
            ),
        ];
        for (run, width) in runs {
            let mut graph = Graph::inference(&params);
            let x = wave(rows * 4);
            let initial = wave(batch * width);
            let whole = graph.constant(x.clone(), (rows, 4));
            let whole = run(&mut graph, &whole, &unit, &starts, &initial);
            let (mut state, mut all) = (initial, Vec::new());
            for (x, starts) in x.chunks(batch * 4).zip(starts.chunks(batch)) {
                let x = graph.constant(x.to_vec(), (batch, 4));
                state = values(&run(&mut graph, &x, &unit, starts, &state)).to_vec();
                all.extend_from_slice(&state);
            }
            assert_eq!(values(&whole), all);
        }
    }
}
