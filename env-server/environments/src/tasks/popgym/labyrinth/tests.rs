use serde_json::json;

use super::*;
use crate::Script;
use crate::check::{arguments, check_environment};
use crate::tasks::popgym::labyrinth_escape::LabyrinthEscape;
use crate::tasks::popgym::labyrinth_explore::LabyrinthExplore;
use crate::{Catalogued, Environment, Rng, Transition};

fn walk(kwargs: serde_json::Value) -> Walk {
    Walk::new(&arguments::<LabyrinthEscape>(kwargs)).unwrap()
}

/// A maze from rows of text: `#` a wall, `S` the start, `E` the exit, `A` the agent on a free square.
fn maze(rows: &[&str]) -> Walk {
    let dims = [rows.len() - 1, rows[0].len() - 1];
    let mut walk = walk(json!({"maze_dims": dims, "episode_length": 9}));
    let codes = rows.concat();
    walk.squares = codes
        .bytes()
        .map(|letter| match letter {
            b'#' => WALL,
            b'S' => START,
            b'E' => EXIT,
            _ => FREE,
        })
        .collect();
    let agent = codes.find('A').or(codes.find('S'));
    walk.agent = agent.unwrap();
    walk.is_running = true;
    walk
}

fn view(walk: &Walk) -> Vec<i64> {
    let mut seen = vec![9; VIEW + 1];
    walk.observe(&mut seen);
    seen
}

/// Three by three cells. The hunt begins in the middle, carves up, right, down, down, left, left, up, up
/// and has no way on; all hunts that follow do nothing. The start is in the upper wall above the first
/// cell, the exit in the lower wall below the last.
fn draws(side: u64) -> Vec<Draw> {
    let squares = 7 * 7;
    let mut numbers = vec![1, 1];
    // Ways on, in the order left, right, up, down.
    numbers.extend([2, 1, 0, 0, 0, 0, 0, 0]);
    numbers.extend(std::iter::repeat_n([1, 1], squares).flatten());
    numbers.extend([side, 0, 2]);
    numbers.into_iter().map(Draw::Integer).collect()
}

fn task<E: Catalogued>(kwargs: serde_json::Value) -> E {
    E::new(&arguments::<E>(kwargs)).unwrap()
}

fn small() -> serde_json::Value {
    json!({"maze_dims": [6, 6], "episode_length": 20})
}

#[test]
fn keep_the_contract() {
    for kwargs in [
        json!({"maze_dims": [6, 6], "episode_length": 2}),
        json!({"maze_dims": [10, 6], "episode_length": 30}),
        json!({"maze_dims": [6, 100], "episode_length": 30}),
    ] {
        check_environment::<LabyrinthEscape>(kwargs.clone());
        check_environment::<LabyrinthExplore>(kwargs);
    }
}

#[test]
fn a_maze_is_carved_draw_by_draw() {
    let mut walk = walk(small());
    let mut script = Script::new(draws(0));
    walk.begin(true, &mut script);
    script.finish().unwrap();
    let rows = walk.squares.chunks(7).map(|row| {
        let letters = row.iter().map(|&code| [' ', '#', 'S', 'E'][code as usize]);
        letters.collect::<String>()
    });
    let expected = [
        "#S#####", "# #   #", "# # # #", "# # # #", "# ### #", "#     #", "#####E#",
    ];
    assert_eq!(rows.collect::<Vec<String>>(), expected);
}

/// A tree: as many passages as cells, less one, and every free square is reached.
#[test]
fn mazes_are_trees() {
    let mut walk = walk(json!({"maze_dims": [18, 12]}));
    let mut rng = Rng::from_seed(1);
    for _ in 0..200 {
        walk.begin(true, &mut rng);
        assert_eq!(walk.validate(true), Ok(()));
        let is_cell = |square: usize| walk.place(square).iter().all(|at| at % 2 == 1);
        let free = (0..walk.squares()).filter(|&square| walk.squares[square] == FREE);
        let (cells, passages): (Vec<_>, Vec<_>) = free.partition(|&square| is_cell(square));
        assert_eq!(passages.len() + 1, cells.len());
        // Both doors are reached too, unless a cell before them was left out.
        let reached = walk.ways().into_iter().flatten().count();
        if cells.len() == 9 * 6 {
            assert_eq!(reached, cells.len() + passages.len() + 1);
        }
    }
}

/// Every odd coordinate of every side is a door.
#[test]
fn doors_are_on_opposite_sides() {
    let mut walk = walk(json!({"maze_dims": [6, 8]}));
    let mut rng = Rng::from_seed(2);
    let mut doors = std::collections::BTreeSet::new();
    for _ in 0..500 {
        walk.begin(true, &mut rng);
        let [[row, column], exit] = [walk.start(), walk.exit().unwrap()].map(|s| walk.place(s));
        let is_opposite = |at: usize, other: usize, most| at.abs_diff(other) == most;
        assert!(is_opposite(row, exit[0], 6) || is_opposite(column, exit[1], 8));
        doors.insert([row, column]);
        doors.insert(exit);
    }
    assert_eq!(doors.len(), 2 * (3 + 4));
}

#[test]
fn the_view_is_cut_at_the_border_and_padded_on_the_right_and_below() {
    let rows = [
        "#S#####", "# #   #", "#   # #", "### # E", "# ### #", "#     #", "#######",
    ];
    let mut maze = maze(&rows);
    // In the upper wall the agent is in the upper row.
    assert_eq!(view(&maze), [1, 2, 1, 1, 0, 1, 1, 1, 1, 4]);
    assert!(!maze.step(3));
    assert_eq!(view(&maze), [1, 2, 1, 1, 0, 1, 1, 0, 0, 3]);
    // Off the grid is nowhere, and a wall stops.
    maze.agent = 1;
    maze.step(2);
    assert_eq!(maze.agent, 1);
    maze.step(1);
    assert_eq!((maze.agent, view(&maze)[9]), (1, 1));
    // At the right wall the missing column is padded.
    maze.agent = maze.square([3, 6]);
    assert_eq!(view(&maze), [0, 1, 1, 0, 3, 1, 0, 1, 1, 1]);
    // In the left wall the agent is in the left column.
    maze.agent = maze.square([1, 0]);
    assert_eq!(view(&maze)[..9], [1, 2, 1, 1, 0, 1, 1, 0, 1]);
}

/// Height and width are exchanged in the cut: in a maze of 7 rows and 11 columns, column 7 is the last
/// that is shown.
#[test]
fn a_maze_that_is_not_square_has_a_wrong_view() {
    let mut wide = maze(&[
        "###########",
        "#         #",
        "#         #",
        "S         #",
        "#         #",
        "#         #",
        "###########",
    ]);
    for (column, expected) in [
        (6, [0, 0, 0]),
        (7, [0, 0, 1]),
        (8, [0, 1, 1]),
        (9, [1, 1, 1]),
    ] {
        wide.agent = wide.square([3, column]);
        let seen = view(&wide);
        assert_eq!(seen[3..6], expected, "column {column}");
        assert_eq!(seen[..3], expected, "column {column}");
    }
}

#[test]
fn escaping_pays_once_and_time_is_a_step_short() {
    let mut task = task::<LabyrinthEscape>(small());
    let mut script = Script::new(draws(0));
    let mut seen = [9; 10];
    task.reset(&mut script, &mut seen);
    assert_eq!(seen, [1, 2, 1, 1, 0, 1, 1, 1, 1, 4]);
    let mut way = Vec::new();
    let mut last = Transition::running(0.0);
    while task.is_running() {
        way.push(task.oracle()[0]);
        last = task.step(&task.oracle(), &mut script, &mut seen);
    }
    assert_eq!(way, [3, 3, 3, 3, 3, 1, 1, 1, 1, 3]);
    assert_eq!(last, Transition::terminal(-1.0 / 20.0 + 1.0));
    script.finish().unwrap();
    task.reset(&mut Script::new(draws(0)), &mut seen);
    let mut steps = 0;
    while task.is_running() {
        last = task.step(&[0], &mut Script::new(Vec::new()), &mut seen);
        steps += 1;
    }
    assert_eq!((steps, last), (19, Transition::new(-0.05, false, true)));
}

/// 17 free squares: from the start down, along the lower wall, and up on the right and back.
#[test]
fn exploring_pays_for_new_squares() {
    let mut task = task::<LabyrinthExplore>(small());
    let mut script = Script::new(draws(0));
    let mut seen = [9; 10];
    task.reset(&mut script, &mut seen);
    script.finish().unwrap();
    let mut draws = Script::new(Vec::new());
    let first = task.step(&[3], &mut draws, &mut seen);
    assert_eq!(first, Transition::running(1.0 / 17.0));
    // Against the wall, and back to the start, which was visited.
    for action in [0, 2] {
        let transition = task.step(&[action], &mut draws, &mut seen);
        assert_eq!(transition, Transition::running(-0.05));
    }
    assert_eq!(seen, [1, 2, 1, 1, 0, 1, 1, 1, 1, 2]);
    let mut task = self::task::<LabyrinthExplore>(small());
    task.reset(&mut Script::new(self::draws(0)), &mut seen);
    let mut total = 0.0;
    let mut steps = 0;
    while task.is_running() {
        let transition = task.step(&task.oracle(), &mut draws, &mut seen);
        total += transition.reward;
        steps += 1;
        assert_eq!(transition.terminated, steps == 17);
    }
    assert!((total - 1.0f64).abs() < 1e-12);
}

#[test]
fn odd_sides_are_refused() {
    let refused = |dims: [i64; 2]| -> KwargsError {
        let kwargs = json!({"maze_dims": dims});
        Walk::new(&arguments::<LabyrinthEscape>(kwargs)).unwrap_err()
    };
    let message = "maze_dims: must be even, not [7, 6]";
    assert_eq!(refused([7, 6]).to_string(), message);
    assert_eq!(refused([6, 99]).name, "maze_dims");
}
