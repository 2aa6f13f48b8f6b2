//! Initial values of parameters.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// The distribution of a parameter's initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// One value everywhere.
    Constant(f32),
    /// A random matrix with orthogonal rows or columns (whichever are fewer), times `gain`
    /// (Saxe et al. 2014, arXiv 1312.6120). PPO's usual start: gain √2 before tanh or ReLU, 0.01
    /// for a policy head, 1 for a value head.
    Orthogonal {
        /// Length of each of the orthogonal vectors.
        gain: f32,
    },
    /// Independent normal values with mean 0.
    Normal {
        /// Standard deviation.
        std: f32,
    },
}

impl Init {
    /// Draws the values of a matrix `[rows, columns]`, row-major.
    pub(crate) fn sample(self, (rows, columns): (usize, usize), rng: &mut impl Rng) -> Vec<f32> {
        let count = rows * columns;
        match self {
            Self::Zeros => vec![0.0; count],
            Self::Constant(value) => vec![value; count],
            Self::Normal { std } => (0..count)
                .map(|_| std * rng.sample::<f32, _>(StandardNormal))
                .collect(),
            Self::Orthogonal { gain } => orthogonal(rows, columns, gain, rng),
        }
    }
}

/// Orthonormalises the rows or columns of a Gaussian matrix by Gram-Schmidt in `f64`, which is the
/// QR decomposition with a positive diagonal and therefore uniform over orthogonal matrices
/// (Mezzadri 2007, arXiv math-ph/0609050).
fn orthogonal(rows: usize, columns: usize, gain: f32, rng: &mut impl Rng) -> Vec<f32> {
    let (num_vectors, length) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(num_vectors);
    while basis.len() < num_vectors {
        let mut vector: Vec<f64> = (0..length).map(|_| rng.sample(StandardNormal)).collect();
        // The second pass removes the parts of earlier vectors that rounding left behind.
        for _ in 0..2 {
            for earlier in &basis {
                let overlap = dot(earlier, &vector);
                for (v, e) in vector.iter_mut().zip(earlier) {
                    *v -= overlap * e;
                }
            }
        }
        let norm = dot(&vector, &vector).sqrt();
        for v in &mut vector {
            *v /= norm;
        }
        basis.push(vector);
    }
    let at = |row: usize, column: usize| {
        if rows <= columns {
            basis[row][column]
        } else {
            basis[column][row]
        }
    };
    (0..rows * columns)
        .map(|i| (f64::from(gain) * at(i / columns, i % columns)) as f32)
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// The largest deviation of M·Mᵀ (or Mᵀ·M where there are more rows) from gain² · identity.
    fn orthogonality_error(shape: (usize, usize), gain: f32) -> f64 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let m = Init::Orthogonal { gain }.sample(shape, &mut rng);
        let (rows, columns) = shape;
        let vector = |i: usize| -> Vec<f64> {
            if rows <= columns {
                m[i * columns..(i + 1) * columns]
                    .iter()
                    .map(|&x| x.into())
                    .collect()
            } else {
                (0..rows).map(|row| m[row * columns + i].into()).collect()
            }
        };
        let mut worst: f64 = 0.0;
        for i in 0..rows.min(columns) {
            for j in 0..rows.min(columns) {
                let expected = if i == j { f64::from(gain).powi(2) } else { 0.0 };
                worst = worst.max((dot(&vector(i), &vector(j)) - expected).abs());
            }
        }
        worst
    }

    #[test]
    fn orthogonal_for_wide_tall_and_square() {
        for shape in [(3, 64), (64, 3), (64, 64), (1, 1)] {
            assert!(orthogonality_error(shape, 1.5) < 1e-6, "{shape:?}");
        }
    }

    #[test]
    fn normal_has_its_standard_deviation() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let sample = Init::Normal { std: 0.5 }.sample((200, 100), &mut rng);
        let variance = sample.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!((variance.sqrt() - 0.5).abs() < 0.01, "{variance}");
    }

    #[test]
    fn same_seed_same_values() {
        let draw = || {
            Init::Orthogonal { gain: 1.0 }.sample((8, 5), &mut Xoshiro256PlusPlus::seed_from_u64(3))
        };
        assert_eq!(draw(), draw());
    }
}
