//! Normal distributions of single numbers, used for acting. A deviation is given by its logarithm s.

use rand::{Rng, RngExt};

/// `½ ln 2π`.
pub(crate) const HALF_LN_TAU: f32 = 0.918_938_5;

/// Draws a number with mean 0 and deviation 1 from two uniform draws (Box and Muller 1958). It is computed in double
/// precision and rounded once.
pub fn standard(rng: &mut impl Rng) -> f32 {
    let radius = (-2.0 * rng.random_range(f64::MIN_POSITIVE..1.0).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32
}

/// Draws a number. Returns it and the logarithm of its density.
pub fn sample(mean: f32, log_std: f32, rng: &mut impl Rng) -> (f32, f32) {
    let number = log_std.exp().mul_add(standard(rng), mean);
    (number, log_density(number, mean, log_std))
}

/// Returns `ln p(x) = −½ ((x − μ) e^{−s})² − s − ½ ln 2π`.
pub fn log_density(number: f32, mean: f32, log_std: f32) -> f32 {
    let apart = (number - mean) * (-log_std).exp();
    -0.5 * apart * apart - log_std - HALF_LN_TAU
}

/// Returns the entropy `s + ½ ln 2πe`, in nats. It is negative for small deviations.
pub fn entropy(log_std: f32) -> f32 {
    log_std + 0.5 + HALF_LN_TAU
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn by_hand() {
        let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
        assert_eq!(HALF_LN_TAU, half_ln_tau as f32);
        // Two deviations from the mean, of deviation ½.
        let expected = -2.0 + std::f32::consts::LN_2 - HALF_LN_TAU;
        assert!((log_density(2.0, 1.0, 0.5f32.ln()) - expected).abs() < 1e-6);
        assert_eq!(log_density(0.0, 0.0, 0.0), -HALF_LN_TAU);
        assert!((entropy(0.0) - 1.418_938_5).abs() < 1e-6);
        assert!((entropy(2.0f32.ln()) - entropy(0.0) - std::f32::consts::LN_2).abs() < 1e-6);
    }

    /// Also the shares within one and two deviations: 0.6827 and 0.9545.
    #[test]
    fn samples_have_the_mean_and_the_deviation() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let (mean, log_std) = (0.5, 2.0f32.ln());
        let draws = 40_000;
        let (mut sum, mut squares, mut densities) = (0.0, 0.0, 0.0);
        let mut within = [0; 2];
        for _ in 0..draws {
            let (x, log_density) = sample(mean, log_std, &mut rng);
            let apart = f64::from(x - mean) / 2.0;
            sum += apart;
            squares += apart * apart;
            densities += f64::from(log_density);
            for (i, count) in within.iter_mut().enumerate() {
                *count += u32::from(apart.abs() < 1.0 + i as f64);
            }
        }
        let n = f64::from(draws);
        // Five standard deviations of each mean.
        assert!((sum / n).abs() < 0.025, "{sum}");
        assert!((squares / n - 1.0).abs() < 0.036, "{squares}");
        assert!((densities / n + f64::from(entropy(log_std))).abs() < 0.018);
        for (count, share) in within.into_iter().zip([0.6827, 0.9545]) {
            assert!((f64::from(count) / n - share).abs() < 0.012, "{within:?}");
        }
    }
}
