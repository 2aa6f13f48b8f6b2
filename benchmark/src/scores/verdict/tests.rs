use std::collections::HashSet;

use super::*;

/// A task with one bit to remember: without memory nothing beats a guess.
const BIT: Reference = Reference {
    random: 0.0,
    memoryless: Some(0.0),
    best: 1.0,
    is_bound: false,
};
/// A maze whose end a player without memory has to guess.
const MAZE: Reference = Reference {
    random: -1.0,
    memoryless: Some(0.5),
    best: 1.0,
    is_bound: false,
};
/// A game whose best return without memory is unknown.
const GAME: Reference = Reference {
    random: -0.2,
    memoryless: None,
    best: 1.0,
    is_bound: false,
};

const ERROR: f64 = 0.03;

fn one(mean: Option<f64>, standard_error: f64) -> Vec<Measured> {
    let measured = |mean| Measured {
        mean,
        standard_error,
    };
    mean.map(measured).into_iter().collect()
}

fn evidence(
    greedy: f64,
    scrambled: Option<f64>,
    emptied: Option<f64>,
    standard_error: f64,
) -> Evidence {
    Evidence {
        greedy: one(Some(greedy), standard_error),
        scrambled: one(scrambled, standard_error),
        emptied: one(emptied, standard_error),
    }
}

/// A scale; greedy, scrambled and emptied returns; and the verdict.
type Case = (&'static Reference, f64, Option<f64>, Option<f64>, Verdict);

/// Standard errors are 0.03, so an interval is ± 0.0588, and that of a difference ± 0.0832.
#[test]
fn verdicts_by_hand() {
    use Verdict::*;
    let cases: [Case; 36] = [
        (&BIT, 1.00, Some(0.99), Some(0.02), Remembers),
        (&BIT, 1.00, None, Some(0.02), Remembers),
        // An emptied agent that is wrong has lost its knowledge just like a guessing one.
        (&BIT, 1.00, None, Some(-0.60), Remembers),
        (&BIT, 0.95, None, Some(0.00), Remembers),
        (&BIT, 0.94, None, Some(0.00), UsesMemory),
        (&BIT, 0.30, None, Some(0.00), UsesMemory),
        // 0.02 ± 0.08 shows nothing.
        (&BIT, 0.96, None, Some(0.94), AsGoodAsWithoutMemory),
        (&BIT, 1.00, Some(1.00), Some(1.00), AsGoodAsWithoutMemory),
        (&BIT, 0.07, None, Some(0.00), AsGoodAsWithoutMemory),
        (&BIT, 0.05, None, Some(-0.10), NoBetterThanRandom),
        (&BIT, -0.05, None, Some(-0.05), NoBetterThanRandom),
        (&BIT, -0.10, None, Some(-0.10), WorseThanRandom),
        (&BIT, -1.00, Some(-1.00), Some(0.00), WorseThanRandom),
        (&BIT, 1.00, Some(-0.04), Some(0.02), ActionTrail),
        (&BIT, 1.00, Some(-0.04), Some(1.00), ActionTrail),
        (&BIT, 1.00, Some(0.50), Some(0.02), UsesMemory),
        (&BIT, 1.00, Some(0.94), Some(0.00), UsesMemory),
        // Emptied, it is certainly above 0.1: 0.30 − 0.06. The next, 0.15 − 0.06, is not.
        (&BIT, 1.00, Some(1.00), Some(0.30), UsesMemory),
        (&BIT, 1.00, Some(1.00), Some(0.15), Remembers),
        (&BIT, 1.00, None, None, Untested),
        (&BIT, 0.50, None, None, Untested),
        (&BIT, 0.05, None, None, NoBetterThanRandom),
        // 95 % of the way from 0.5 to 1 is 0.975.
        (&MAZE, 1.00, None, Some(0.50), Remembers),
        (&MAZE, 1.00, None, Some(-0.98), Remembers),
        (&MAZE, 0.97, None, Some(-0.98), UsesMemory),
        (&MAZE, 0.91, None, Some(0.50), UsesMemory),
        // Playing badly when emptied does not help: the comparison is with the best without memory.
        (&MAZE, 0.54, None, Some(-0.98), AsGoodAsWithoutMemory),
        (&MAZE, 0.00, None, Some(-0.98), AsGoodAsWithoutMemory),
        (&MAZE, 0.50, None, Some(0.50), AsGoodAsWithoutMemory),
        (&MAZE, 0.50, None, None, AsGoodAsWithoutMemory),
        (&MAZE, -0.98, None, Some(-1.00), NoBetterThanRandom),
        (&MAZE, -1.20, None, Some(-1.00), WorseThanRandom),
        // 95 % of the way from −0.2 to 1 is 0.94.
        (&GAME, 0.94, None, Some(-0.20), Remembers),
        (&GAME, 0.50, None, Some(-0.20), UsesMemory),
        (&GAME, 0.50, None, Some(0.50), AsGoodAsWithoutMemory),
        (&GAME, -0.20, None, Some(-0.30), NoBetterThanRandom),
    ];
    for (known, greedy, scrambled, emptied, expected) in cases {
        let verdict = evidence(greedy, scrambled, emptied, ERROR).verdict(Some(known), true);
        assert_eq!(
            verdict, expected,
            "{known:?}: greedy {greedy}, scrambled {scrambled:?}, emptied {emptied:?}"
        );
    }
    assert_eq!(Evidence::default().verdict(Some(&BIT), true), Failed);
}

#[test]
fn a_task_with_nothing_to_remember_shows_no_memory() {
    let verdict = |greedy, known| evidence(greedy, None, Some(-0.5), ERROR).verdict(known, false);
    assert_eq!(verdict(1.0, Some(&BIT)), Verdict::NothingToRemember);
    assert_eq!(verdict(0.0, Some(&BIT)), Verdict::NoBetterThanRandom);
    assert_eq!(verdict(-0.5, Some(&BIT)), Verdict::WorseThanRandom);
    assert_eq!(verdict(1.0, None), Verdict::NothingToRemember);
}

#[test]
fn without_a_scale_an_agent_is_compared_with_itself() {
    let verdict = |scrambled, emptied| evidence(0.5, scrambled, emptied, ERROR).verdict(None, true);
    assert_eq!(verdict(None, Some(0.0)), Verdict::UsesMemory);
    assert_eq!(verdict(None, Some(0.5)), Verdict::AsGoodAsWithoutMemory);
    assert_eq!(verdict(Some(0.0), Some(0.0)), Verdict::ActionTrail);
    assert_eq!(verdict(Some(0.5), Some(0.0)), Verdict::UsesMemory);
    assert_eq!(verdict(None, None), Verdict::Untested);
}

#[test]
fn several_seeds_have_to_agree() {
    let seeds = |means: &[f64]| -> Vec<Measured> {
        means
            .iter()
            .flat_map(|&mean| one(Some(mean), ERROR))
            .collect()
    };
    let verdict = |greedy: &[f64]| {
        let evidence = Evidence {
            greedy: seeds(greedy),
            scrambled: Vec::new(),
            emptied: seeds(&vec![0.0; greedy.len()]),
        };
        evidence.verdict(Some(&BIT), true)
    };
    assert_eq!(verdict(&[1.0, 0.98, 1.0, 0.97, 1.0]), Verdict::Remembers);
    assert_eq!(verdict(&[1.0, 1.0, 1.0, 0.2, 1.0]), Verdict::UsesMemory);
    // One of five seeds: other seeds might all have failed.
    assert_eq!(
        verdict(&[1.0, 0.0, 0.0, 0.0, 0.0]),
        Verdict::NoBetterThanRandom
    );
}

/// Over a grid of numbers, each verdict's claim holds of the numbers it was given for.
#[test]
fn no_verdict_contradicts_its_numbers() {
    const Z: f64 = 1.959_963_984_540_054;
    // Off the bounds, so that no result depends on rounding.
    let greedy_means = (-13..=11).map(|i| f64::from(i) * 0.1003);
    let others = [
        None,
        Some(-1.101),
        Some(-0.2),
        Some(0.004),
        Some(0.18),
        Some(0.51),
        Some(0.97),
    ];
    let mut seen = HashSet::new();
    for (known, greedy, standard_error) in [BIT, MAZE, GAME].iter().flat_map(|known| {
        let errors = [0.0, 0.011, 0.033, 0.3];
        let of_greedy = move |greedy| errors.map(|error| (known, greedy, error));
        greedy_means.clone().flat_map(of_greedy)
    }) {
        let floor = known.memoryless.unwrap_or(known.random).max(known.random);
        let range = known.best - floor;
        let (single, double) = (Z * standard_error, Z * standard_error * 2f64.sqrt());
        let is_above_floor = greedy - single > floor;
        for (scrambled, emptied) in others.iter().flat_map(|&s| others.map(|e| (s, e))) {
            let evidence = evidence(greedy, scrambled, emptied, standard_error);
            let verdict = evidence.verdict(Some(known), true);
            seen.insert(verdict);
            let is_above_emptied = emptied.is_some_and(|e| greedy - e - double > 0.0);
            let is_lost = |x: f64| x - single <= floor + 0.1 * range;
            let is_at_bar = |x: f64| (x - floor) / range >= 0.95;
            let holds = match verdict {
                Verdict::WorseThanRandom => greedy + single < known.random,
                Verdict::NoBetterThanRandom => (greedy - known.random).abs() <= single,
                Verdict::AsGoodAsWithoutMemory => {
                    greedy - single > known.random
                        && (!is_above_floor || emptied.is_some() && !is_above_emptied)
                }
                Verdict::UsesMemory => is_above_floor && is_above_emptied,
                Verdict::Remembers => {
                    is_above_floor
                        && is_above_emptied
                        && is_at_bar(greedy)
                        && scrambled.is_none_or(is_at_bar)
                        && emptied.is_some_and(is_lost)
                }
                Verdict::ActionTrail => {
                    is_above_floor
                        && scrambled.is_some_and(|s| is_lost(s) && greedy - s - double > 0.0)
                }
                Verdict::Untested => is_above_floor && emptied.is_none(),
                Verdict::NothingToRemember | Verdict::Failed | Verdict::NotApplicable => false,
            };
            let numbers = format!(
                "greedy {greedy}, scrambled {scrambled:?}, emptied {emptied:?}, all ± {single} on {known:?}"
            );
            assert!(holds, "{}: {numbers}", verdict.name());
            // Playing badly when emptied never gives a better verdict than the return without
            // memory allows.
            if !is_above_floor {
                assert!(
                    !matches!(verdict, Verdict::Remembers | Verdict::UsesMemory),
                    "{numbers}"
                );
            }
        }
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
}

/// A higher return never has a worse verdict.
#[test]
fn verdicts_rise_with_the_return() {
    let ladder = [
        Verdict::WorseThanRandom,
        Verdict::NoBetterThanRandom,
        Verdict::AsGoodAsWithoutMemory,
        Verdict::UsesMemory,
        Verdict::Remembers,
    ];
    for known in [BIT, MAZE, GAME] {
        for emptied in [-1.0, 0.0, 0.5] {
            let rung = |i: i32| {
                let greedy = f64::from(i) * 0.013;
                let verdict =
                    evidence(greedy, None, Some(emptied), ERROR).verdict(Some(&known), true);
                ladder.iter().position(|rung| *rung == verdict).unwrap()
            };
            let rungs: Vec<usize> = (-100..=77).map(rung).collect();
            assert!(rungs.is_sorted(), "{known:?}, emptied {emptied}: {rungs:?}");
        }
    }
}
