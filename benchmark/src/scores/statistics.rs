//! Statistics over seeds. Seeds are few, so every number has an interval.
//!
//! Each evaluation is itself uncertain: a mean over episodes with a standard error. With several
//! seeds, intervals cover seeds and episodes; with one seed, only episodes.
//!
//! Interquartile mean and bootstrap intervals follow Agarwal et al. 2021, "Deep Reinforcement
//! Learning at the Edge of the Statistical Precipice" (arXiv:2108.13264).

use std::fmt::{self, Display, Formatter};

use agent::evaluate::standard_error;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;

use crate::format::fixed;
use crate::records::outcome::EvaluationRecord;

/// Seed of the bootstrap, so that the same records always have the same intervals.
pub(crate) const BOOTSTRAP_SEED: u64 = 0x5EED;

/// Number of bootstrap resamples. Their percentiles vary by about a fiftieth of the interval's
/// width.
const RESAMPLES: usize = 2_000;

/// The standard normal distribution's 97.5 % quantile.
const Z_95: f64 = 1.959_963_984_540_054;

/// One seed's evaluation: a mean over episodes and its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Mean over the episodes.
    pub mean: f64,
    /// Standard error of the mean.
    pub standard_error: f64,
}

impl Measured {
    /// Reads the mean of an evaluation and derives its standard error.
    pub fn from_record(record: &EvaluationRecord) -> Self {
        Self {
            mean: record.mean_return,
            standard_error: standard_error(record.std_return, record.episodes),
        }
    }

    /// Subtracts an exact number.
    #[must_use]
    pub fn less(self, level: f64) -> Self {
        Self {
            mean: self.mean - level,
            ..self
        }
    }

    /// Subtracts another evaluation, over independent episodes.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            mean: self.mean - other.mean,
            standard_error: self.standard_error.hypot(other.standard_error),
        }
    }

    /// Maps the evaluation to another scale, which must be linear.
    #[must_use]
    pub fn on(self, scale: impl Fn(f64) -> f64) -> Self {
        let mean = scale(self.mean);
        Self {
            mean,
            standard_error: (scale(self.mean + self.standard_error) - mean).abs(),
        }
    }
}

/// Summary of an agent's evaluations, one for each seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Number of seeds.
    pub count: usize,
    /// Mean over seeds.
    pub mean: f64,
    /// Interquartile mean over seeds.
    pub interquartile_mean: f64,
    /// Bounds of the 95 % [`interval`] of the mean.
    pub interval: (f64, f64),
}

impl Estimate {
    /// Summarises evaluations, one for each seed; `None` without any.
    pub fn from_seeds(judged: &[Measured]) -> Option<Self> {
        let means: Vec<f64> = judged.iter().map(|one| one.mean).collect();
        Some(Self {
            count: judged.len(),
            mean: mean(&means)?,
            interquartile_mean: interquartile_mean(&means)?,
            interval: interval(judged)?,
        })
    }
}

impl Display for Estimate {
    /// Writes the mean with its interval: `0.98 [0.95, 1.00]`.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval;
        let [mean, low, high] = [self.mean, low, high].map(|value| fixed(value, 2));
        write!(formatter, "{mean} [{low}, {high}]")
    }
}

/// Returns the mean over seeds; `None` without any.
pub fn mean_of(judged: &[Measured]) -> Option<f64> {
    mean(&judged.iter().map(|one| one.mean).collect::<Vec<_>>())
}

/// Returns the bounds of the mean's 95 % interval; `None` without values.
///
/// For a single seed this is the normal interval over its episodes. For several it is a percentile
/// bootstrap that resamples seeds and adds to each the noise of its own episodes, so that seeds
/// that agree by chance do not look certain. With fewer than five seeds such an interval is too
/// narrow rather than too wide.
pub fn interval(judged: &[Measured]) -> Option<(f64, f64)> {
    match judged {
        [] => None,
        [one] => {
            let margin = Z_95 * one.standard_error;
            Some((one.mean - margin, one.mean + margin))
        }
        [first, rest @ ..]
            if rest
                .iter()
                .all(|one| one == first && one.standard_error == 0.0) =>
        {
            Some((first.mean, first.mean))
        }
        _ => {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(BOOTSTRAP_SEED);
            let means: Vec<f64> = (0..RESAMPLES)
                .map(|_| resampled_mean(judged, &mut rng))
                .collect();
            let means = sorted(&means);
            Some((quantile(&means, 0.025), quantile(&means, 0.975)))
        }
    }
}

/// The difference in return of two groups of seeds that are not paired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Mean of the first group minus the mean of the second.
    pub mean: f64,
    /// Bounds of the difference's 95 % interval.
    pub interval: (f64, f64),
}

impl Difference {
    /// Compares two groups of evaluations, one for each seed; `None` when a group is empty. The
    /// interval is that of [`interval`], with each group resampled independently.
    pub fn between(one: &[Measured], other: &[Measured]) -> Option<Self> {
        let mean = mean_of(one)? - mean_of(other)?;
        if let ([one], [other]) = (one, other) {
            let interval = interval(&[one.minus(other)])?;
            return Some(Self { mean, interval });
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(BOOTSTRAP_SEED);
        let differences: Vec<f64> = (0..RESAMPLES)
            .map(|_| resampled_mean(one, &mut rng) - resampled_mean(other, &mut rng))
            .collect();
        let differences = sorted(&differences);
        let interval = (quantile(&differences, 0.025), quantile(&differences, 0.975));
        Some(Self { mean, interval })
    }
}

/// Returns the mean of as many resampled seeds, each with the noise of its own episodes.
fn resampled_mean(judged: &[Measured], rng: &mut Xoshiro256PlusPlus) -> f64 {
    let drawn = (0..judged.len()).map(|_| {
        let one = judged[rng.random_range(0..judged.len())];
        one.mean + one.standard_error * standard_normal(rng)
    });
    drawn.sum::<f64>() / judged.len() as f64
}

/// Draws from the standard normal distribution (Box and Muller 1958).
fn standard_normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Returns the arithmetic mean; `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the sample standard deviation, `sqrt(Σ(x-mean)² / (n-1))`; `None` with fewer than two
/// values.
pub fn sample_std(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// Returns the mean of the values without the lowest and highest `⌊n/4⌋`; `None` without values.
pub fn interquartile_mean(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let cut = sorted.len() / 4;
    mean(&sorted[cut..sorted.len() - cut])
}

/// Returns the median over seeds of the steps to solve a task. A seed that did not solve it counts
/// as infinite; `None` when the median is infinite.
pub fn median_steps_to_solve(solved_at: &[Option<u64>]) -> Option<f64> {
    let steps: Vec<f64> = solved_at
        .iter()
        .map(|at| at.map_or(f64::INFINITY, |steps| steps as f64))
        .collect();
    let steps = sorted(&steps);
    let upper = *steps.get(steps.len() / 2)?;
    let lower = steps[(steps.len() - 1) / 2];
    let median = f64::midpoint(lower, upper);
    median.is_finite().then_some(median)
}

/// Returns the quantile `q` in 0..=1 of sorted, non-empty values, linearly interpolated.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

/// Returns the values in ascending order.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_std_by_hand() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        // Squares 4 + 1 + 9 = 14, over n-1 = 2.
        assert_eq!(sample_std(&[1.0, 2.0, 6.0]), Some(7.0_f64.sqrt()));
        assert_eq!(sample_std(&[1.0]), None);
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn interquartile_mean_cuts_a_quarter_at_either_end() {
        // Eight values: two are cut at either end, which leaves (2 + 3 + 4 + 5) / 4.
        assert_eq!(
            interquartile_mean(&[100.0, 3.0, 1.0, 2.0, 5.0, 4.0, -50.0, 9.0]),
            Some(3.5)
        );
        // Three values: ⌊3/4⌋ = 0 are cut.
        assert_eq!(interquartile_mean(&[0.0, 0.0, 3.0]), Some(1.0));
        assert_eq!(interquartile_mean(&[]), None);
    }

    #[test]
    fn interval_of_ten_seeds_one_of_which_failed() {
        // The number of failed seeds in a resample is binomial(10, 0.1): P(0) = 0.349, P(≥4) =
        // 0.013 and P(≥3) = 0.070, so the 2.5 % quantile of the mean is 1 - 3/10 and the 97.5 %
        // quantile is 1.
        let values = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let judged = values.map(|value| measured(value, 0.0));
        let (low, high) = interval(&judged).unwrap();
        assert!(
            (low - 0.7).abs() < 1e-12 && (high - 1.0).abs() < 1e-12,
            "{low} {high}"
        );
        assert_eq!(
            interval(&judged),
            Some((low, high)),
            "the same values give the same interval"
        );
    }

    #[test]
    fn median_counts_unsolved_as_infinite() {
        assert_eq!(
            median_steps_to_solve(&[Some(30), Some(10), None]),
            Some(30.0)
        );
        assert_eq!(median_steps_to_solve(&[Some(30), Some(10)]), Some(20.0));
        assert_eq!(median_steps_to_solve(&[Some(30), None]), None);
        assert_eq!(median_steps_to_solve(&[]), None);
    }

    fn measured(mean: f64, standard_error: f64) -> Measured {
        Measured {
            mean,
            standard_error,
        }
    }

    #[test]
    fn the_interval_of_one_seed_comes_from_its_episodes() {
        let estimate = Estimate::from_seeds(&[measured(0.25, 0.1)]).unwrap();
        assert_eq!((estimate.count, estimate.mean), (1, 0.25));
        let (low, high) = estimate.interval;
        // 0.25 ± 1.96 · 0.1
        assert!(
            (low - 0.054).abs() < 1e-4 && (high - 0.446).abs() < 1e-4,
            "{low} {high}"
        );
        assert_eq!(Estimate::from_seeds(&[]), None);
    }

    #[test]
    fn seeds_that_agree_by_chance_keep_the_noise_of_their_episodes() {
        // The mean of two, each with a standard error of 0.1: 0.1/√2 = 0.0707, and 1.96 · 0.0707 =
        // 0.139.
        let (low, high) = interval(&[measured(0.5, 0.1); 2]).unwrap();
        assert!(
            (low - 0.361).abs() < 0.02 && (high - 0.639).abs() < 0.02,
            "{low} {high}"
        );
        // Without noise of episodes this is the bootstrap over seeds: a resample is (0,0), (0,1),
        // (1,0) or (1,1), and each extreme has probability 1/4.
        let certain = [measured(0.0, 0.0), measured(1.0, 0.0)];
        assert_eq!(interval(&certain), Some((0.0, 1.0)));
        assert_eq!(interval(&[measured(0.5, 0.0); 3]), Some((0.5, 0.5)));
        assert_eq!(interval(&[]), None);
    }

    #[test]
    fn difference_of_unpaired_groups() {
        // One seed each: 1.96 · √(0.3² + 0.4²) = 0.98.
        let found = Difference::between(&[measured(1.0, 0.3)], &[measured(0.2, 0.4)]).unwrap();
        assert!((found.mean - 0.8).abs() < 1e-12);
        assert!((found.interval.0 + 0.18).abs() < 1e-3 && (found.interval.1 - 1.78).abs() < 1e-3);
        // Without noise: the difference of two bootstraps of {0, 1} has -1 and 1 in its tails, each
        // with probability 1/16.
        let coin = [measured(0.0, 0.0), measured(1.0, 0.0)];
        assert_eq!(
            Difference::between(&coin, &coin).map(|found| found.interval),
            Some((-1.0, 1.0))
        );
        assert_eq!(Difference::between(&coin, &[]), None);
    }

    #[test]
    fn differences_and_scales_by_hand() {
        // √(0.3² + 0.4²)
        let difference = measured(1.0, 0.3).minus(&measured(0.2, 0.4));
        assert!((difference.mean - 0.8).abs() < 1e-12);
        assert!((difference.standard_error - 0.5).abs() < 1e-12);
        assert_eq!(measured(1.0, 0.25).less(0.5), measured(0.5, 0.25));
        assert_eq!(
            measured(1.0, 0.25).on(|x| (x - 0.5) * 2.0),
            measured(1.0, 0.5)
        );
    }
}
