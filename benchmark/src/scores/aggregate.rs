//! Statistics over tasks and seeds together, on scores that are normalised so that tasks can be
//! compared.
//!
//! Interquartile mean, performance profile and probability of improvement follow Agarwal et al.
//! 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (arXiv:2108.13264).
//! Intervals are percentile bootstraps that resample the runs within each task: they show the
//! effect of other seeds on the same tasks. `tests/rliable.rs` compares the results with the
//! authors' package.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;

use crate::scores::statistics::{BOOTSTRAP_SEED, interquartile_mean, quantile, sorted};

/// Number of bootstrap resamples. Their percentiles vary by about a fiftieth of the interval's
/// width.
const RESAMPLES: usize = 2_000;

/// One agent's normalised scores: a list of runs for each task. Callers leave out tasks without
/// runs, and give agents that are compared the same tasks in the same order.
pub type Scores = [Vec<f64>];

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Aggregate {
    /// The value on the original scores.
    pub value: f64,
    /// Bounds of the interval. `None` when no task has two runs: a single run says nothing about
    /// others.
    pub interval: Option<(f64, f64)>,
}

/// Returns the interquartile mean over all runs of all tasks; `None` without scores.
pub fn aggregate_iqm(scores: &Scores) -> Option<Aggregate> {
    Some(Aggregate {
        value: interquartile_mean(&scores.concat())?,
        interval: interval(&[scores], |resampled| {
            interquartile_mean(&resampled[0].concat()).unwrap_or(f64::NAN)
        }),
    })
}

/// Returns, for each threshold, the share of runs over all tasks that score more. The curve never
/// rises, and is higher for a better agent. Each threshold has an interval of its own. Empty
/// without scores.
pub fn performance_profile(scores: &Scores, thresholds: &[f64]) -> Vec<Aggregate> {
    if scores.concat().is_empty() {
        return Vec::new();
    }
    let resamples = has_spread(&[scores]).then(|| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(BOOTSTRAP_SEED);
        let runs = |_| sorted(&resample(scores, &mut rng).concat());
        (0..RESAMPLES).map(runs).collect::<Vec<_>>()
    });
    let original = sorted(&scores.concat());
    let at = |&threshold: &f64| Aggregate {
        value: share_above(&original, threshold),
        interval: resamples.as_ref().map(|resamples| {
            let shares = resamples.iter().map(|runs| share_above(runs, threshold));
            percentiles(&shares.collect::<Vec<_>>())
        }),
    };
    thresholds.iter().map(at).collect()
}

/// Returns the probability that a run of `x` scores more than a run of `y` on a task drawn at
/// random, a tie counting one half: Mann and Whitney's U over the number of pairs, averaged over
/// tasks. `None` without tasks.
///
/// # Panics
/// When the two agents have different numbers of tasks.
pub fn probability_of_improvement(x: &Scores, y: &Scores) -> Option<Aggregate> {
    assert_eq!(x.len(), y.len(), "the same tasks in the same order");
    (!x.is_empty()).then(|| Aggregate {
        value: mean_superiority(x, y),
        interval: interval(&[x, y], |resampled| {
            mean_superiority(&resampled[0], &resampled[1])
        }),
    })
}

fn mean_superiority(x: &Scores, y: &Scores) -> f64 {
    let pairs = x.iter().zip(y).map(|(x, y)| superiority(x, y));
    pairs.sum::<f64>() / x.len() as f64
}

/// Returns the share of pairs whose first value is greater, a tie counting one half.
fn superiority(x: &[f64], y: &[f64]) -> f64 {
    let wins = x.iter().flat_map(|x| {
        y.iter().map(move |y| match x.total_cmp(y) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
    });
    wins.sum::<f64>() / (x.len() * y.len()) as f64
}

/// Returns the share of sorted values that are greater than a threshold.
fn share_above(sorted: &[f64], threshold: f64) -> f64 {
    let above = sorted.len() - sorted.partition_point(|value| *value <= threshold);
    above as f64 / sorted.len() as f64
}

/// Returns the 95 % interval of a statistic by a stratified percentile bootstrap, which resamples
/// each agent independently.
fn interval(agents: &[&Scores], statistic: impl Fn(&[Vec<Vec<f64>>]) -> f64) -> Option<(f64, f64)> {
    has_spread(agents).then(|| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(BOOTSTRAP_SEED);
        let once = |_| {
            let resampled = agents.iter().map(|scores| resample(scores, &mut rng));
            statistic(&resampled.collect::<Vec<_>>())
        };
        percentiles(&(0..RESAMPLES).map(once).collect::<Vec<_>>())
    })
}

/// Returns whether any task has at least two runs.
fn has_spread(agents: &[&Scores]) -> bool {
    agents
        .iter()
        .flat_map(|scores| scores.iter())
        .any(|runs| runs.len() > 1)
}

/// Draws as many runs of each task as it has, with replacement.
fn resample(scores: &Scores, rng: &mut Xoshiro256PlusPlus) -> Vec<Vec<f64>> {
    let mut draw = |runs: &Vec<f64>| -> Vec<f64> {
        (0..runs.len())
            .map(|_| runs[rng.random_range(0..runs.len())])
            .collect()
    };
    scores.iter().map(&mut draw).collect()
}

fn percentiles(values: &[f64]) -> (f64, f64) {
    let sorted = sorted(values);
    (quantile(&sorted, 0.025), quantile(&sorted, 0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iqm_is_over_all_runs_of_all_tasks() {
        // Eight runs: 0, 0.1 and 0.9, 1 are cut, which leaves (0.2 + 0.3 + 0.4 + 0.5) / 4.
        let scores = [vec![0.0, 0.2, 0.4, 1.0], vec![0.1, 0.3, 0.5, 0.9]];
        let iqm = aggregate_iqm(&scores).unwrap();
        assert!((iqm.value - 0.35).abs() < 1e-12, "{iqm:?}");
        let (low, high) = iqm.interval.unwrap();
        assert!(low < 0.35 && 0.35 < high);
        assert_eq!(aggregate_iqm(&[]), None);
    }

    #[test]
    fn runs_are_resampled_within_their_task() {
        // The runs of each task agree, so every resample is the same, though the tasks differ.
        let scores = [vec![0.0, 0.0, 0.0], vec![1.0, 1.0, 1.0]];
        let iqm = aggregate_iqm(&scores).unwrap();
        // Six runs: one is cut at either end, which leaves two of 0 and two of 1.
        assert_eq!((iqm.value, iqm.interval), (0.5, Some((0.5, 0.5))));
    }

    #[test]
    fn interval_of_one_task_with_two_runs() {
        // With two runs nothing is cut. A resample is (0,0), (0,1), (1,0) or (1,1): each extreme
        // has probability 1/4.
        let iqm = aggregate_iqm(&[vec![0.0, 1.0]]).unwrap();
        assert_eq!((iqm.value, iqm.interval), (0.5, Some((0.0, 1.0))));
    }

    #[test]
    fn single_runs_have_no_interval() {
        let scores = [vec![0.25], vec![0.75]];
        assert_eq!(aggregate_iqm(&scores).unwrap().interval, None);
        assert_eq!(performance_profile(&scores, &[0.5])[0].interval, None);
        let same = probability_of_improvement(&scores, &scores).unwrap();
        assert_eq!((same.value, same.interval), (0.5, None));
    }

    #[test]
    fn a_profile_counts_the_runs_above_each_threshold() {
        let scores = [vec![0.0, 0.5], vec![0.5, 1.0]];
        let profile = performance_profile(&scores, &[-1.0, 0.0, 0.5, 1.0]);
        let shares: Vec<f64> = profile.iter().map(|at| at.value).collect();
        assert_eq!(shares, [1.0, 0.75, 0.25, 0.0]);
        // The first task has 0, 1 or 2 runs above 0 with probabilities 1/4, 1/2, 1/4; the second
        // always has 2.
        assert_eq!(profile[1].interval, Some((0.5, 1.0)));
        assert_eq!(performance_profile(&[], &[0.0]), []);
    }

    #[test]
    fn improvement_is_the_share_of_pairs_won_averaged_over_tasks() {
        // Task 1: 1 beats 0, ties with 1; 3 beats both: 3.5 of 4. Task 2: a tie.
        let (x, y) = ([vec![1.0, 3.0], vec![2.0]], [vec![0.0, 1.0], vec![2.0]]);
        let improvement = probability_of_improvement(&x, &y).unwrap();
        assert_eq!(improvement.value, (3.5 / 4.0 + 0.5) / 2.0);
        let back = probability_of_improvement(&y, &x).unwrap();
        assert_eq!(improvement.value + back.value, 1.0);
        assert_eq!(probability_of_improvement(&[], &[]), None);
    }
}
