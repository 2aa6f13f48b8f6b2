//! Comparison of the aggregate statistics with those of the package `rliable`, by the authors who
//! proposed them.
//!
//! Needs the feature `python-tests` and a Python with the package `rliable`.

#[path = "../../tests/python/run.rs"]
mod python;

use benchmark::scores::aggregate::{
    Aggregate, aggregate_iqm, performance_profile, probability_of_improvement,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Value, json};

const RUNS: usize = 7;
const TASKS: usize = 6;

/// Largest distance between bounds of intervals, in interval widths. Both sides draw 2,000
/// resamples of their own: the standard error of a 2.5 % quantile of a normal distribution is then
/// 0.06 of its deviation, or 0.015 of the interval's width.
const BOOTSTRAP_NOISE: f64 = 0.08;

/// Difference from adding in another order.
const ROUNDING: f64 = 1e-9;

fn ask_rliable(question: &Value) -> Value {
    let input = question.to_string();
    let script = "rliable_statistics.py";
    let printed = python::run::<&str>(script, "rliable 'pandas<3'", &[], input.as_bytes());
    serde_json::from_slice(&printed).expect("the script prints JSON")
}

/// Draws scores of every kind that agents have: spread, all the same, in tenths so that there are
/// ties, and with a failed run.
fn scores(rng: &mut Xoshiro256PlusPlus) -> Vec<Vec<f64>> {
    let tenths = |rng: &mut Xoshiro256PlusPlus| f64::from(rng.random_range(0..=10)) / 10.0;
    let mut tasks: Vec<Vec<f64>> = (0..TASKS)
        .map(|_| (0..RUNS).map(|_| rng.random_range(-0.2..1.1)).collect())
        .collect();
    tasks[0] = vec![1.0; RUNS];
    tasks[1] = (0..RUNS).map(|_| tenths(rng)).collect();
    tasks[2][RUNS - 1] = -0.5;
    tasks
}

/// Transposes scores for rliable, which expects a row for each run.
fn by_run(scores: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..RUNS)
        .map(|run| scores.iter().map(|runs| runs[run]).collect())
        .collect()
}

fn compare(what: &str, ours: &[Aggregate], theirs: &Value) {
    let numbers = |key: &str| -> Vec<f64> { serde_json::from_value(theirs[key].clone()).unwrap() };
    let (values, low, high) = (numbers("values"), numbers("low"), numbers("high"));
    assert_eq!(ours.len(), values.len(), "{what}");
    for (index, our) in ours.iter().enumerate() {
        let (value, low, high) = (values[index], low[index], high[index]);
        assert!(
            (our.value - value).abs() < ROUNDING,
            "{what} {index}: {} is not {value}",
            our.value
        );
        let (our_low, our_high) = our.interval.expect("there are several runs");
        // A share of runs changes in steps of one run.
        let step = 1.0 / (RUNS * TASKS) as f64;
        let noise =
            BOOTSTRAP_NOISE * (high - low) + if what == "profile" { step } else { ROUNDING };
        assert!(
            (our_low - low).abs() <= noise && (our_high - high).abs() <= noise,
            "{what} {index}: [{our_low}, {our_high}] is not [{low}, {high}]"
        );
    }
}

#[test]
fn statistics_agree_with_rliable() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let (x, y) = (scores(&mut rng), scores(&mut rng));
    let thresholds: Vec<f64> = (0..=12).map(|index| f64::from(index) * 0.1 - 0.1).collect();
    let theirs = ask_rliable(&json!({"x": by_run(&x), "y": by_run(&y), "thresholds": thresholds}));
    compare("iqm", &[aggregate_iqm(&x).unwrap()], &theirs["iqm"]);
    compare(
        "improvement",
        &[probability_of_improvement(&x, &y).unwrap()],
        &theirs["improvement"],
    );
    compare(
        "profile",
        &performance_profile(&x, &thresholds),
        &theirs["profile"],
    );
}
