use serde_json::{Value, json};

use super::*;
use crate::check::{arguments, check_environment};
use crate::{Draw, Rng, Script};

fn maze(kwargs: Value) -> GridMaze {
    GridMaze::new(&arguments::<GridMaze>(kwargs)).unwrap()
}

/// Resets with these draws, all of them, and returns the first observation.
fn begin(maze: &mut GridMaze, draws: Vec<Draw>) -> Vec<f32> {
    let mut draws = Script::new(draws);
    let mut observation = vec![9.0; maze.observation_space().flat_size()];
    maze.reset(&mut draws, &mut observation);
    draws.finish().unwrap();
    observation
}

fn step(maze: &mut GridMaze, action: i64) -> (Vec<f32>, Transition) {
    let mut observation = vec![9.0; maze.observation_space().flat_size()];
    let transition = maze.step(&[action], &mut Script::new(Vec::new()), &mut observation);
    (observation, transition)
}

/// A channel as rows of text, `1` for one.
fn channel(maze: &GridMaze, observation: &[f32], channel: usize) -> Vec<String> {
    let numbers = &observation[channel * maze.cells()..][..maze.cells()];
    let rows = numbers.chunks(maze.width());
    rows.map(|row| {
        row.iter()
            .map(|&x| if x == 1.0 { '1' } else { '.' })
            .collect()
    })
    .collect()
}

#[test]
fn keeps_the_contract() {
    for layout in ["walls", "tmaze", "labyrinth"] {
        for view in ["full", "start", "partial"] {
            // Small enough for the junction to be met, from where alone a partial view shows the goal.
            check_environment::<GridMaze>(json!({"size": 3, "layout": layout, "view": view}));
        }
        for size in [4, 7, 21] {
            check_environment::<GridMaze>(json!({"size": size, "layout": layout}));
        }
    }
}

/// A T-maze with two steps of corridor, whose goal is below.
#[test]
fn a_walk_through_the_t_maze() {
    let mut maze = maze(json!({"size": 3, "layout": "tmaze"}));
    let seen = begin(&mut maze, vec![Draw::Bit(false)]);
    assert_eq!(channel(&maze, &seen, FREE), ["...1", "1111", "...1"]);
    assert_eq!(channel(&maze, &seen, WALL), ["111.", "....", "111."]);
    assert_eq!(channel(&maze, &seen, AGENT), ["....", "1...", "...."]);
    assert_eq!(channel(&maze, &seen, GOAL), ["....", "....", "...1"]);
    let mut way = vec![maze.oracle()[0]];
    let (seen, transition) = step(&mut maze, 1);
    assert_eq!(transition, Transition::running(0.0));
    assert_eq!(channel(&maze, &seen, AGENT), ["....", ".1..", "...."]);
    assert_eq!(channel(&maze, &seen, GOAL), ["....", "....", "...."]);
    // Into the wall, and on.
    assert_eq!(step(&mut maze, 0).0, seen);
    for _ in 0..2 {
        way.push(maze.oracle()[0]);
        step(&mut maze, 1);
    }
    way.push(maze.oracle()[0]);
    assert_eq!(way, [1, 1, 1, 2]);
    let mut wrong = maze.clone();
    assert_eq!(step(&mut maze, 2).1, Transition::terminal(1.0));
    assert_eq!(step(&mut wrong, 0).1, Transition::terminal(0.0));
    assert!(!maze.is_running() && !wrong.is_running());
}

#[test]
fn a_partial_view_shows_what_is_near() {
    let mut maze = maze(json!({"size": 3, "layout": "tmaze", "view": "partial"}));
    let seen = begin(&mut maze, vec![Draw::Bit(true)]);
    assert_eq!(channel(&maze, &seen, FREE), ["....", "11..", "...."]);
    assert_eq!(channel(&maze, &seen, WALL), ["11..", "....", "11.."]);
    assert_eq!(channel(&maze, &seen, GOAL), ["....", "....", "...."]);
    step(&mut maze, 1);
    let (seen, _) = step(&mut maze, 1);
    assert_eq!(channel(&maze, &seen, FREE), ["...1", ".111", "...1"]);
    assert_eq!(channel(&maze, &seen, GOAL), ["...1", "....", "...."]);
}

/// Walls in the first row's middle and last cell; the agent begins in the corner behind them.
#[test]
fn walls_are_drawn_cell_by_cell_and_time_runs_out() {
    let mut maze = maze(json!({"size": 3, "view": "full"}));
    let walls = [9, 0, 2, 3, 3, 3, 3, 3, 3].map(Draw::Integer);
    let places = [Draw::Integer(0), Draw::Integer(5)];
    let seen = begin(&mut maze, walls.into_iter().chain(places).collect());
    assert_eq!(channel(&maze, &seen, WALL), [".11", "...", "..."]);
    assert_eq!(channel(&maze, &seen, AGENT), ["1..", "...", "..."]);
    assert_eq!(channel(&maze, &seen, GOAL), ["...", "...", "..1"]);
    for left in (0..18).rev() {
        let (seen, transition) = step(&mut maze, 1);
        assert_eq!(transition, Transition::new(0.0, false, left == 0));
        assert_eq!(channel(&maze, &seen, GOAL), ["...", "...", "..1"]);
    }
    assert!(!maze.is_running());
}

#[test]
fn without_room_all_walls_are_taken_away() {
    let mut maze = maze(json!({"size": 3}));
    let walls = [3, 0, 3, 0, 0, 0, 0, 0, 0].map(Draw::Integer);
    let places = [Draw::Integer(0), Draw::Integer(0)];
    begin(&mut maze, walls.into_iter().chain(places).collect());
    assert!(!maze.walls.contains(&true));
    assert_eq!((maze.agent, maze.goal), (0, 1));
}

/// A tree: every free cell is reached from the first, and the passages are one fewer than the rooms.
#[test]
fn a_labyrinth_has_one_way_from_each_cell_to_each() {
    for size in [3, 6, 7, 21] {
        let mut maze = maze(json!({"size": size, "layout": "labyrinth"}));
        let mut seen = vec![0.0; maze.observation_space().flat_size()];
        maze.reset(&mut Rng::from_seed(1), &mut seen);
        let rooms = maze.width().div_ceil(2).pow(2);
        let free = maze.walls.iter().filter(|&&wall| !wall).count();
        assert_eq!(free, 2 * rooms - 1);
        let reached = maze.distances(0).into_iter().flatten().count();
        assert_eq!(reached, free);
    }
}

/// Of a T-maze computed, of the others measured by another program, with a standard error of 0.001.
#[test]
fn random_returns_are_those_of_random_play() {
    for (kwargs, error) in [
        (json!({"size": 8, "layout": "tmaze"}), 0.0),
        (json!({"layout": "walls"}), 0.001),
        (json!({"layout": "labyrinth"}), 0.001),
    ] {
        let mut played = maze(kwargs.clone());
        let random = played.returns().random.unwrap();
        let mut rng = Rng::from_seed(3);
        let mut seen = vec![0.0; played.observation_space().flat_size()];
        let games = 20_000;
        let mut total = 0.0;
        for _ in 0..games {
            played.reset(&mut rng, &mut seen);
            while played.is_running() {
                let action = rng.below(4) as i64;
                total += played.step(&[action], &mut rng, &mut seen).reward;
            }
        }
        let mean = total / f64::from(games);
        let own = (random * (1.0 - random) / f64::from(games)).sqrt();
        let allowed = 4.0 * own.hypot(error);
        assert!((mean - random).abs() < allowed, "{kwargs}: {mean} {random}");
    }
}
