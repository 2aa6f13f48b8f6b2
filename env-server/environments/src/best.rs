//! The best players known, and the best memoryless players known, which see the last observation
//! only. `returns()` states their scores; here they play.
//!
//! A player sees what an agent sees: the spaces, the level, its observations and its own actions.
//! `cargo test --release -p environments --lib best -- --ignored --nocapture` measures them all,
//! over the numbers of games in docs/environments.md; the tests that always run play fewer.

mod battleship;
mod cards;
mod chance;
mod control;
mod goals;
mod grid;
mod labyrinth;
mod minesweeper;
mod recall;

use env_protocol::Space;
use serde_json::{Value, json};

use crate::players::{Mean, exactly, make, measured};
use crate::{Catalogued, Element, Rng};

/// Facts that a player knows before an episode.
struct Task {
    /// 0, 1, 2 for easy, medium, hard.
    level: usize,
    observations: Space,
    actions: Space,
}

impl Task {
    /// Choices of the first component of an action.
    fn choices(&self) -> usize {
        match &self.actions {
            Space::Discrete { n, .. } => *n as usize,
            Space::MultiDiscrete { nvec } => nvec[0] as usize,
            other => panic!("actions of {other:?}"),
        }
    }
}

/// Plays one episode: from an observation to an action.
type Player = Box<dyn FnMut(&[f64], &mut Rng) -> Vec<f64>>;

/// The player whose return is claimed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Memoryless,
    Best,
}

/// A return that the catalogue states, and the player that earns it.
struct Claim {
    name: String,
    stated: f64,
    /// Standard error of the stated return: 0 where it is exact.
    error: f64,
    /// Games of the quick test and of the measurement.
    games: [usize; 2],
    play: Box<dyn Fn(usize, u64) -> Mean>,
}

/// Makes a claim about a player that is created again for each episode.
fn claim<E: Catalogued>(
    who: Who,
    kwargs: Value,
    error: f64,
    games: [usize; 2],
    player: impl Fn(&Task) -> Player + 'static,
) -> Claim {
    let environment: E = make(&kwargs);
    let returns = environment.returns();
    let stated = match who {
        Who::Memoryless => returns.memoryless,
        Who::Best => returns.best,
    };
    let names = ["easy", "medium", "hard"];
    let level = names.iter().position(|&name| kwargs["level"] == name);
    let task = Task {
        level: level.unwrap_or(0),
        observations: environment.observation_space(),
        actions: environment.action_space(),
    };
    Claim {
        name: format!("{} {kwargs} {who:?}", E::profile().id),
        stated: stated.expect("the registry states it"),
        error,
        games,
        play: Box::new(move |games, seed| {
            let mut environment = environment.clone();
            let mut row = vec![E::Element::default(); task.observations.flat_size()];
            let [mut draws, mut own] = [seed, seed + 1].map(Rng::from_seed);
            let returns: Vec<f64> = (0..games)
                .map(|_| {
                    let mut player = player(&task);
                    let mut total = 0.0;
                    environment.reset(&mut draws, &mut row);
                    while environment.is_running() {
                        let seen: Vec<f64> = row.iter().map(|x| x.to_f64()).collect();
                        let action = player(&seen, &mut own).into_iter();
                        let action: Vec<E::Action> = action.map(E::Action::nearest).collect();
                        total += environment.step(&action, &mut draws, &mut row).reward;
                    }
                    total
                })
                .collect();
            Mean::from_returns(&returns)
        }),
    }
}

/// Makes one claim for each level.
fn levels<E: Catalogued>(
    who: Who,
    error: f64,
    games: [[usize; 2]; 3],
    player: impl Fn(&Task) -> Player + Copy + 'static,
) -> Vec<Claim> {
    let levels = ["easy", "medium", "hard"].into_iter().zip(games);
    levels
        .map(|(level, games)| claim::<E>(who, json!({"level": level}), error, games, player))
        .collect()
}

fn claims() -> Vec<Claim> {
    [
        cards::claims(),
        chance::claims(),
        control::claims(),
        goals::claims(),
        grid::claims(),
        labyrinth::claims(),
        recall::claims(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every player scores its stated return, within four standard errors.
#[test]
fn players_score_what_the_registry_says() {
    let wrong = claims().into_iter().filter_map(|claim| {
        let found = (claim.play)(claim.games[0], 1);
        let stated = match claim.error {
            0.0 => exactly(claim.stated),
            error => measured(claim.stated, error),
        };
        let is_right = found.agrees(stated);
        (!is_right).then(|| format!("{}: {found:?} {stated:?}", claim.name))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "a measurement, of some minutes"]
fn measure() {
    println!("| player | games | stated | measured |");
    println!("|---|---|---|---|");
    for claim in claims() {
        let games = claim.games[1];
        let Mean { mean, error } = (claim.play)(games, 1_000_000);
        println!(
            "| {} | {games} | {:.4} | {mean:.4} ± {error:.4} |",
            claim.name, claim.stated
        );
    }
}

/// An action of one component.
fn one(action: usize) -> Vec<f64> {
    vec![action as f64]
}

/// A cell of a square as an action.
fn cell(cell: usize, side: usize) -> Vec<f64> {
    vec![(cell / side) as f64, (cell % side) as f64]
}
