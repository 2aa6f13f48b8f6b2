//! Random and clairvoyant players: they score as measured on the originals, or as known exactly.

use std::fmt::Debug;

use env_protocol::Kwargs;
use serde_json::{Value, json};

use crate::actions::{ActionRange, action_ranges};
use crate::tasks::associative_recall::AssociativeRecall;
use crate::tasks::bsuite::discounting_chain::BsuiteDiscountingChain;
use crate::tasks::bsuite::memory::{BsuiteMemoryLen, BsuiteMemorySize};
use crate::tasks::bsuite::umbrella_chain::BsuiteUmbrellaChain;
use crate::tasks::control::full_cart_pole::FullCartPole;
use crate::tasks::control::full_pendulum::FullPendulum;
use crate::tasks::memory_task::MemoryTask;
use crate::tasks::persistent_recall::PersistentRecall;
use crate::tasks::popgym::autoencode::Autoencode;
use crate::tasks::popgym::battleship::Battleship;
use crate::tasks::popgym::concentration::Concentration;
use crate::tasks::popgym::count_recall::CountRecall;
use crate::tasks::popgym::higher_lower::HigherLower;
use crate::tasks::popgym::labyrinth_escape::LabyrinthEscape;
use crate::tasks::popgym::labyrinth_explore::LabyrinthExplore;
use crate::tasks::popgym::minesweeper::MineSweeper;
use crate::tasks::popgym::multiarmed_bandit::MultiarmedBandit;
use crate::tasks::popgym::noisy_cartpole::NoisyPositionOnlyCartPole;
use crate::tasks::popgym::noisy_pendulum::NoisyPositionOnlyPendulum;
use crate::tasks::popgym::position_only_pendulum::PositionOnlyPendulum;
use crate::tasks::popgym::repeat_first::RepeatFirst;
use crate::tasks::popgym::repeat_previous::RepeatPrevious;
use crate::tasks::popgym::stateless_cartpole::StatelessCartPole;
use crate::tasks::popgym::velocity_cartpole::VelocityOnlyCartPole;
use crate::tasks::tmaze::corridor::{TMazeActive, TMazePassive};
use crate::tasks::tmaze::distractors::TMazeDistractors;
use crate::tasks::tmaze::endless::EndlessTMaze;
use crate::{Arguments, Catalogued, Draws, Element, Rng};

/// Fewest episodes of a measurement.
const EPISODES: usize = 2000;

/// A mean and its standard error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    pub(super) mean: f64,
    pub(super) error: f64,
}

/// A number known exactly.
pub(super) fn exactly(mean: f64) -> Mean {
    Mean { mean, error: 0.0 }
}

pub(super) fn measured(mean: f64, error: f64) -> Mean {
    Mean { mean, error }
}

impl Mean {
    pub(super) fn from_returns(returns: &[f64]) -> Self {
        let n = returns.len() as f64;
        let mean = returns.iter().sum::<f64>() / n;
        let squares: f64 = returns.iter().map(|x| (x - mean).powi(2)).sum();
        let error = (squares / (n - 1.0) / n).sqrt();
        Mean { mean, error }
    }

    /// Whether two means agree within four combined standard errors.
    pub(super) fn agrees(self, other: Mean) -> bool {
        let error = self.error.hypot(other.error);
        (self.mean - other.mean).abs() <= 4.0 * error + 1e-9
    }
}

pub(super) fn make<E: Catalogued>(kwargs: &Value) -> E {
    let kwargs: Kwargs = serde_json::from_value(kwargs.clone()).unwrap();
    let arguments = Arguments::resolve(&E::profile().parameters, &kwargs).unwrap();
    E::new(&arguments).unwrap()
}

/// Plays episodes one after the other and returns the sum of rewards of each.
fn returns<E: Catalogued>(
    environment: &mut E,
    episodes: usize,
    mut act: impl FnMut(&E, &mut Rng) -> Vec<E::Action>,
) -> Vec<f64> {
    let mut rng = Rng::from_seed(1);
    let mut actions = Rng::from_seed(2);
    let mut row = vec![E::Element::default(); environment.observation_space().flat_size()];
    let mut episode = |_| {
        environment.reset(&mut rng, &mut row);
        let mut total = 0.0;
        while environment.is_running() {
            let action = act(environment, &mut actions);
            total += environment.step(&action, &mut rng, &mut row).reward;
            assert!(row.iter().all(|x| x.to_f64().is_finite()));
        }
        total
    };
    (0..episodes).map(&mut episode).collect()
}

/// Checks that random play scores `random`, and the return that `returns()` states, if it states
/// one; and that the oracle scores `oracle`.
fn plays<E: Catalogued + Debug>(kwargs: Value, random: Mean, oracle: Mean) {
    let mut environment: E = make(&kwargs);
    let ranges = action_ranges(&environment.action_space());
    let uniform = |_: &E, rng: &mut Rng| -> Vec<E::Action> {
        let numbers = ranges.iter().map(|range| match range {
            ActionRange::Integers(range) => {
                let n = range.end - range.start;
                (range.start + rng.below(n as u64) as i64) as f64
            }
            ActionRange::Reals { low, high } => rng.uniform(*low, *high),
        });
        numbers.map(E::Action::nearest).collect()
    };
    let found = Mean::from_returns(&returns(&mut environment, EPISODES, uniform));
    let name = E::profile().id;
    assert!(
        found.agrees(random),
        "{name} {kwargs}: random {found:?} {random:?}"
    );
    let stated = environment.returns();
    if let Some(stated) = stated.random {
        // A stated mean may itself be measured, to about the error of the table.
        let stated = measured(stated, random.error);
        assert!(
            found.agrees(stated),
            "{name} {kwargs}: random {found:?} {stated:?}"
        );
    }
    let found = Mean::from_returns(&returns(&mut environment, EPISODES, |e, _| e.oracle()));
    assert!(
        found.agrees(oracle),
        "{name} {kwargs}: oracle {found:?} {oracle:?}"
    );
    let stated = exactly(stated.oracle.expect("it is known for all"));
    assert!(
        found.agrees(stated),
        "{name} {kwargs}: oracle {found:?} {stated:?}"
    );
}

const ZERO: Mean = Mean {
    mean: 0.0,
    error: 0.0,
};
const ONE: Mean = Mean {
    mean: 1.0,
    error: 0.0,
};

#[test]
fn memory_tasks() {
    for delay in [1, 4, 16] {
        plays::<MemoryTask>(json!({"delay": delay, "difficulty": 1}), ZERO, ONE);
        let kwargs = json!({"delay": delay, "cue_time": "random", "num_bits": 3});
        plays::<MemoryTask>(kwargs, ZERO, ONE);
        let kwargs = json!({"delay": delay, "cue_time": "random", "cue_changes": 2});
        plays::<MemoryTask>(kwargs, ZERO, ONE);
    }
    for length in [1, 3, 40] {
        plays::<BsuiteMemoryLen>(json!({"memory_length": length}), ZERO, ONE);
    }
    plays::<BsuiteMemorySize>(json!({"num_bits": 10}), ZERO, ONE);
    plays::<EndlessTMaze>(json!({}), ZERO, ONE);
    plays::<PersistentRecall>(json!({"episodes_per_lifetime": 4}), ZERO, exactly(0.75));
    plays::<AssociativeRecall>(json!({}), exactly(-0.5), ONE);
    let kwargs = json!({"num_values": 10, "rewrites": 4, "spread": 9, "num_queries": 10});
    plays::<AssociativeRecall>(kwargs, exactly(-0.8), ONE);
}

#[test]
fn chains() {
    for length in [1, 3, 20] {
        // Random rewards make an oracle's returns spread; they are unbiased.
        let kwargs = json!({"chain_length": length, "n_distractor": 1});
        plays::<BsuiteUmbrellaChain>(kwargs, ZERO, ONE);
    }
    for seed in [0, 4] {
        let kwargs = json!({"mapping_seed": seed});
        plays::<BsuiteDiscountingChain>(kwargs, exactly(1.02), exactly(1.1));
    }
}

#[test]
fn mazes() {
    for (length, passive, active) in [
        (2, measured(-0.8286, 0.0025), measured(-0.8711, 0.0044)),
        (5, measured(-0.9335, 0.0010), measured(-0.9469, 0.0018)),
        (20, measured(-0.9835, 0.0005), measured(-0.9868, 0.0010)),
    ] {
        plays::<TMazePassive>(json!({"corridor_length": length}), passive, ONE);
        plays::<TMazeActive>(json!({"corridor_length": length}), active, ONE);
    }
    let free = json!({"corridor_length": 5, "penalty": 0});
    let random = make::<TMazeActive>(&free).returns().random.unwrap();
    plays::<TMazeActive>(free, exactly(random), ONE);
    let kwargs = json!({"corridor_length": 3});
    let random = make::<TMazeDistractors>(&kwargs).returns().random.unwrap();
    plays::<TMazeDistractors>(kwargs, exactly(random), exactly(4.0));
}

#[test]
fn card_games() {
    let level = |level: &str| json!({"level": level});
    for (name, first, previous, autoencode, count) in [
        (
            "easy",
            measured(-0.5015, 0.0027),
            measured(-0.4987, 0.0028),
            measured(-0.4990, 0.0027),
            measured(-0.9262, 0.0012),
        ),
        (
            "medium",
            measured(-0.4978, 0.0010),
            measured(-0.5019, 0.0023),
            measured(-0.5012, 0.0019),
            measured(-0.9253, 0.0008),
        ),
        (
            "hard",
            measured(-0.4999, 0.0007),
            measured(-0.4970, 0.0020),
            measured(-0.5013, 0.0015),
            measured(-0.8823, 0.0007),
        ),
    ] {
        plays::<RepeatFirst>(level(name), first, ONE);
        plays::<RepeatPrevious>(level(name), previous, ONE);
        plays::<Autoencode>(level(name), autoencode, ONE);
        plays::<CountRecall>(level(name), count, ONE);
    }
    for (name, concentration, higher, oracle) in [
        (
            "easy",
            measured(-0.1897, 0.0023),
            measured(-0.0015, 0.0030),
            measured(0.922, 0.002),
        ),
        (
            "medium",
            measured(-0.1879, 0.0016),
            measured(0.0033, 0.0021),
            measured(0.922, 0.001),
        ),
        (
            "hard",
            measured(-0.8349, 0.0020),
            measured(-0.0008, 0.0017),
            measured(0.921, 0.001),
        ),
    ] {
        plays::<Concentration>(level(name), concentration, ONE);
        plays::<HigherLower>(level(name), higher, oracle);
    }
}

#[test]
#[expect(
    clippy::approx_constant,
    reason = "a mean that happens to be near log10(e)"
)]
fn boards_bandits_and_the_pole() {
    for (name, battleship, minesweeper, bandit, oracle, pole) in [
        (
            "easy",
            measured(-0.4425, 0.0037),
            measured(-0.2292, 0.0074),
            measured(0.0034, 0.0044),
            measured(0.825, 0.009),
            measured(0.1118, 0.0013),
        ),
        (
            "medium",
            measured(-0.4103, 0.0034),
            measured(-0.3989, 0.0030),
            measured(0.0007, 0.0031),
            measured(0.903, 0.005),
            measured(0.0559, 0.0007),
        ),
        (
            "hard",
            measured(-0.4001, 0.0033),
            measured(-0.4342, 0.0018),
            measured(0.0002, 0.0025),
            measured(0.940, 0.003),
            measured(0.0373, 0.0004),
        ),
    ] {
        let level = json!({"level": name});
        plays::<Battleship>(level.clone(), battleship, ONE);
        plays::<MineSweeper>(level.clone(), minesweeper, ONE);
        plays::<MultiarmedBandit>(level.clone(), bandit, oracle);
        plays::<StatelessCartPole>(level, pole, ONE);
    }
}

#[test]
fn labyrinths() {
    for (name, escape, out, explore, all) in [
        (
            "easy",
            measured(-0.4014, 0.0167),
            measured(0.979, 0.0005),
            measured(-0.3520, 0.0042),
            measured(0.982, 0.0005),
        ),
        (
            "medium",
            measured(-0.8447, 0.0100),
            measured(0.965, 0.001),
            measured(-0.6144, 0.0029),
            measured(0.957, 0.001),
        ),
        (
            "hard",
            measured(-0.9561, 0.0052),
            measured(0.948, 0.001),
            measured(-0.7464, 0.0019),
            measured(0.919, 0.001),
        ),
    ] {
        plays::<LabyrinthEscape>(json!({"level": name}), escape, out);
        plays::<LabyrinthExplore>(json!({"level": name}), explore, all);
    }
}

/// Of the pendulums of POPGym, the second numbers are of dynamic programming by another program, over
/// 300 episodes.
#[test]
fn other_poles_and_pendulums() {
    for (name, swing, top, velocity) in [
        (
            "easy",
            measured(0.2467, 0.0039),
            measured(0.920, 0.003),
            measured(0.1118, 0.0013),
        ),
        (
            "medium",
            measured(0.2453, 0.0040),
            measured(0.893, 0.003),
            measured(0.0559, 0.0007),
        ),
        (
            "hard",
            measured(0.2437, 0.0042),
            measured(0.840, 0.005),
            measured(0.0373, 0.0004),
        ),
    ] {
        let level = json!({"level": name});
        plays::<PositionOnlyPendulum>(level.clone(), swing, top);
        let swing = measured(0.2367, 0.0040);
        plays::<NoisyPositionOnlyPendulum>(level.clone(), swing, measured(0.912, 0.003));
        plays::<VelocityOnlyCartPole>(level.clone(), velocity, ONE);
        plays::<NoisyPositionOnlyCartPole>(level, measured(0.1128, 0.0014), ONE);
    }
    plays::<FullCartPole>(json!({}), measured(22.26, 0.08), exactly(500.0));
    plays::<FullPendulum>(json!({}), measured(-1225.4, 2.0), measured(-138.8, 0.4));
}

/// Memoryless returns that are stated exactly, compared with what memoryless players score.
#[test]
fn memoryless_players() {
    fn scores<E: Catalogued<Element = i64, Action = i64>>(
        kwargs: Value,
        act: impl Fn(&[i64]) -> i64,
    ) {
        let mut environment: E = make(&kwargs);
        let mut rng = Rng::from_seed(5);
        let mut row = vec![0; environment.observation_space().flat_size()];
        let mut totals = Vec::new();
        for _ in 0..EPISODES {
            environment.reset(&mut rng, &mut row);
            let mut total = 0.0;
            while environment.is_running() {
                total += environment.step(&[act(&row)], &mut rng, &mut row).reward;
            }
            totals.push(total);
        }
        let found = Mean::from_returns(&totals);
        let stated = exactly(environment.returns().memoryless.unwrap());
        let name = E::profile().id;
        assert!(found.agrees(stated), "{name}: {found:?} {stated:?}");
    }
    scores::<RepeatFirst>(json!({}), |row| row[0]);
    scores::<RepeatPrevious>(json!({}), |row| (row[0] + 1) % 4);
    scores::<Autoencode>(json!({}), |row| row[1]);
    scores::<HigherLower>(json!({}), |row| i64::from(row[0] > 6));
}
