//! Diagonal Gaussians as outputs of a network: samples and divergences. A row of `2 * size` numbers holds the means μ,
//! then the logarithms s of the standard deviations.

use crate::graph::Graph;
use crate::kernels::gaussian::{divergence, sample, sample_gradient};
use crate::tensor::{Tensor, shape, values};

impl Graph<'_> {
    /// Samples with given noise (Kingma and Welling 2014, arXiv:1312.6114): `z = μ + e^s ε`. `x` `[M, 2 * size]`, `noise`
    /// `[M, size]` → `[M, size]`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn gaussian_sample(&mut self, x: &Tensor, noise: &[f32]) -> Tensor {
        let (rows, columns) = shape(x);
        let size = columns / 2;
        assert_eq!(noise.len(), rows * size, "a number of noise for each mean");
        let mut z = vec![0.0; rows * size];
        sample(&mut z, values(x), noise, size);
        let z = self.constant(z, (rows, size));
        let key = self.key(x);
        if key.wanted() {
            let (x, noise) = (x.clone(), noise.to_vec());
            self.record(&z, move |dz, grads| {
                let mut dx = vec![0.0; rows * columns];
                sample_gradient(&mut dx, &dz, values(&x), &noise, size);
                grads.give(&key, dx);
            });
        }
        z
    }

    /// Mean over rows of `KL(q ‖ p)`, a `(1, 1)` tensor:
    /// `Σ_j s_p − s_q + ½ (e^{2 (s_q − s_p)} + (μ_q − μ_p)² e^{−2 s_p} − 1)`. `q` and `p` are `[M, 2 * size]`.
    ///
    /// # Panics
    /// When shapes do not match.
    pub fn gaussian_divergence(&mut self, q: &Tensor, p: &Tensor) -> Tensor {
        let (rows, columns) = shape(q);
        assert_eq!(shape(p), (rows, columns), "two Gaussians of equal size");
        let [mut dq, mut dp] = std::array::from_fn(|_| vec![0.0; rows * columns]);
        let factor = 1.0 / rows.max(1) as f32;
        let both = (values(q), values(p));
        let loss = divergence((&mut dq, &mut dp), both, columns / 2, factor);
        let loss = self.constant(vec![loss as f32], (1, 1));
        let keys = [self.key(q), self.key(p)];
        if keys.iter().any(|key| key.wanted()) {
            self.record(&loss, move |d_loss, grads| {
                for (key, mut gradient) in keys.iter().zip([dq, dp]) {
                    gradient.iter_mut().for_each(|g| *g *= d_loss[0]);
                    grads.give(key, gradient);
                }
            });
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_distr::StandardNormal;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::Params;

    fn divergence_of(q: [f32; 4], p: [f32; 4]) -> f32 {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let [q, p] = [q, p].map(|x| graph.constant(x.to_vec(), (1, 4)));
        values(&graph.gaussian_divergence(&q, &p))[0]
    }

    #[test]
    fn by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let x = graph.constant(vec![1.0, -1.0, 0.0, 2.0f32.ln()], (1, 4));
        let z = graph.gaussian_sample(&x, &[0.5, -1.0]);
        assert!((values(&z)[0] - 1.5).abs() < 1e-6 && (values(&z)[1] + 3.0).abs() < 1e-6);
        assert_eq!(
            divergence_of([1.0, 2.0, 0.3, -0.2], [1.0, 2.0, 0.3, -0.2]),
            0.0
        );
        // One mean apart by two deviations: 2² / 2. One deviation doubled: (4 − 1) / 2 − ln 2.
        let expected = 2.0 + 1.5 - 2.0f32.ln();
        let found = divergence_of([2.0, 0.0, 0.0, 2.0f32.ln()], [0.0; 4]);
        assert!((found - expected).abs() < 1e-5, "{found}");
    }

    /// The mean of ln q(z) − ln p(z) over samples of q.
    #[test]
    fn the_divergence_is_the_mean_of_the_difference_of_log_densities() {
        let (q, p) = ([0.7f32, -0.4, -0.5, 0.2], [0.0f32, 0.3, 0.1, -0.3]);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let log_density = |z: f32, mean: f32, log: f32| {
            let apart = (z - mean) * (-log).exp();
            f64::from(-log - 0.5 * apart * apart)
        };
        let draws = 400_000;
        let mut sum = 0.0;
        for _ in 0..draws {
            for j in 0..2 {
                let z = q[j] + q[2 + j].exp() * rng.sample::<f32, _>(StandardNormal);
                sum += log_density(z, q[j], q[2 + j]) - log_density(z, p[j], p[2 + j]);
            }
        }
        let (found, exact) = (sum / f64::from(draws), f64::from(divergence_of(q, p)));
        assert!((found - exact).abs() < 0.02 * exact, "{found} and {exact}");
    }

    #[test]
    fn the_divergence_is_never_negative() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        for _ in 0..1_000 {
            let mut draw = || std::array::from_fn(|_| rng.random_range(-2.0..2.0));
            let (q, p) = (draw(), draw());
            assert!(divergence_of(q, p) >= 0.0, "{q:?} {p:?}");
        }
    }
}
