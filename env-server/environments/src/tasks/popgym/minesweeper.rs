//! POPGym's MineSweeper: open the clear cells of a hidden field.
//!
//! `difficulty` easy, medium, hard: 4 by 4 with 2 mines, 6 by 6 with 6, 8 by 8 with 10. The action
//! is `[row, col]`; the observation is the number of mines in the 3 by 3 block around the cell,
//! including the cell itself, and 0 at the reset, which looks like a count. Let M be the number of
//! clear cells. A clear cell opened for the first time pays 1/M, one opened before −0.5/(M − 2),
//! and a mine −0.5 − 1/M and terminates. Terminated when all clear cells are open; truncated at
//! step M otherwise, so that one repeated cell makes a win impossible. No flood fill; the first
//! cell can be a mine.
//!
//! Returns: random is computed, oracle 1. Best is measured, for a player that always opens the cell
//! that is least likely to be a mine, given all counts; it is not proven to be the best. Memoryless
//! is not known. To remember: the opened cells and their counts, over the whole episode.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/minesweeper.py`.

use env_protocol::{Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::arguments::required;
use crate::kit::recording::{ensure, parse};
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Difficulties.
const NAMES: [&str; 3] = ["easy", "medium", "hard"];

/// Content of a cell.
const CLEAR: u8 = 0;
const OPEN: u8 = 1;
const MINE: u8 = 2;

/// `MineSweeper-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MineSweeper {
    /// Side of the field.
    side: u32,
    num_mines: u32,
    /// Row by row.
    field: Vec<u8>,
    num_open: u32,
    /// Actions until the time limit.
    remaining: u32,
}

impl MineSweeper {
    /// Makes the field of a difficulty, with the mines in order.
    fn of(difficulty: &str) -> Option<Self> {
        let (side, num_mines) = match difficulty {
            "easy" => (4, 2),
            "medium" => (6, 6),
            "hard" => (8, 10),
            _ => return None,
        };
        let cells = 0..side * side;
        let field = cells.map(|cell| if cell < num_mines { MINE } else { CLEAR });
        Some(MineSweeper {
            side,
            num_mines,
            field: field.collect(),
            num_open: 0,
            remaining: 0,
        })
    }

    /// Number of clear cells.
    fn num_clear(&self) -> u32 {
        self.side * self.side - self.num_mines
    }

    fn repeated(&self) -> f64 {
        -0.5 / f64::from(self.num_clear() - 2)
    }

    fn exploded(&self) -> f64 {
        -0.5 - 1.0 / f64::from(self.num_clear())
    }

    /// Counts the mines in the block around a cell.
    fn count(&self, row: usize, col: usize) -> i64 {
        let side = self.side as usize;
        let around = |x: usize| x.saturating_sub(1)..(x + 2).min(side);
        let rows = around(row).map(|row| &self.field[row * side..][around(col)]);
        let mines = rows.flatten().filter(|&&cell| cell == MINE);
        mines.count() as i64
    }

    /// Computes the expected return of uniformly random choices from the probability of each number
    /// of open cells.
    fn random_return(&self) -> f64 {
        let clear = self.num_clear() as usize;
        let cells = f64::from(self.side * self.side);
        let mut likely = vec![0.0; clear + 1];
        likely[0] = 1.0;
        let mut total = 0.0;
        for _ in 0..clear {
            for open in (0..clear).rev() {
                let here = likely[open];
                let mine = here * f64::from(self.num_mines) / cells;
                let new = here * (clear - open) as f64 / cells;
                let old = here * open as f64 / cells;
                total += mine * self.exploded() + new / clear as f64 + old * self.repeated();
                likely[open] = old;
                likely[open + 1] += new;
            }
        }
        total
    }
}

impl Catalogued for MineSweeper {
    fn profile() -> Profile {
        Profile {
            id: "MineSweeper-v0",
            description: "Open the clear cells of a hidden field. The observation counts the mines \
                          around the cell just opened.",
            parameters: vec![
                levels::parameter(),
                Parameter::choice(
                    "difficulty",
                    "4 by 4 cells with 2 mines, 6 by 6 with 6, or 8 by 8 with 10.",
                    &NAMES,
                    None,
                ),
            ],
            remember: "the opened cells and their counts, over the whole episode",
            source: "POPGym 1.0.7, MineSweeper (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [self.exploded(), 1.0 / f64::from(self.num_clear())]
    }

    fn returns(&self) -> Returns {
        Returns {
            random: Some(self.random_return()),
            memoryless: None,
            best: at_level(&self.side, &[4, 6, 8], [0.769, 0.581, 0.578]),
            oracle: Some(1.0),
            note: "Random is exact. Best, the best known, is measured: it opens the cell that is \
                   least likely to be a mine."
                .to_owned(),
        }
    }
}

impl Environment for MineSweeper {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let difficulty = Levels::from_arguments(arguments).choice("difficulty", NAMES)?;
        required("difficulty", MineSweeper::of(&difficulty))
    }

    fn observation_space(&self) -> Space {
        Space::Discrete {
            n: i64::from(self.num_mines.min(9)) + 1,
            start: 0,
        }
    }

    fn action_space(&self) -> Space {
        Space::MultiDiscrete {
            nvec: vec![i64::from(self.side); 2],
        }
    }

    /// Draws the places of the mines by shuffling the cells.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        for cell in &mut self.field {
            *cell = if *cell == MINE { MINE } else { CLEAR };
        }
        draws.shuffle(&mut self.field);
        self.num_open = 0;
        self.remaining = self.num_clear();
        observation[0] = 0;
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        let (row, col) = (action[0] as usize, action[1] as usize);
        observation[0] = self.count(row, col);
        self.remaining -= 1;
        let cell = row * self.side as usize + col;
        let (reward, terminated) = match self.field[cell] {
            MINE => (self.exploded(), true),
            OPEN => (self.repeated(), false),
            _ => {
                self.field[cell] = OPEN;
                self.num_open += 1;
                let is_won = self.num_open == self.num_clear();
                (1.0 / f64::from(self.num_clear()), is_won)
            }
        };
        let truncated = self.remaining == 0 && !terminated;
        if terminated {
            self.remaining = 0;
        }
        Transition::new(reward, terminated, truncated)
    }

    fn oracle(&self) -> Vec<i64> {
        let cell = self.field.iter().position(|&cell| cell == CLEAR);
        let (cell, side) = (cell.unwrap_or(0), self.side as usize);
        vec![(cell / side) as i64, (cell % side) as i64]
    }

    fn validate(&self) -> Result<(), String> {
        let mut known = NAMES.iter().filter_map(|name| MineSweeper::of(name));
        let is_known = known.any(|one| one.side == self.side && one.num_mines == self.num_mines);
        let count = |kind: u8| self.field.iter().filter(|&&cell| cell == kind).count() as u32;
        let is_whole = is_known
            && self.field.len() == (self.side * self.side) as usize
            && count(MINE) == self.num_mines
            && count(OPEN) == self.num_open
            && count(CLEAR) + self.num_open == self.num_clear();
        if !is_whole {
            return Err("the field is none of a known difficulty".to_owned());
        }
        let steps = self.num_clear().checked_sub(self.remaining);
        let is_good = match self.remaining {
            0 => true,
            _ => {
                self.num_open < self.num_clear()
                    && steps.is_some_and(|steps| self.num_open <= steps)
            }
        };
        match is_good {
            true => Ok(()),
            false => Err(format!("{} actions cannot remain", self.remaining)),
        }
    }

    fn heap_bytes(&self) -> usize {
        vec_bytes(&self.field)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for MineSweeper {
    /// Shows the field with the counts of the open cells.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let side = self.side as usize;
        let chosen = match seen.action {
            Some(&[row, col]) => Some(row as usize * side + col as usize),
            _ => None,
        };
        let cells = self.field.iter().enumerate().map(|(i, &kind)| {
            let is_chosen = chosen == Some(i);
            let cell = match kind {
                MINE if is_chosen => Cell::new("*").tone(Tone::Bad),
                MINE => Cell::new("*").tone(Tone::Hidden),
                OPEN => Cell::number(self.count(i / side, i % side) as f64).seen(is_chosen),
                _ => Cell::default().tone(Tone::Hidden),
            };
            cell.chosen(is_chosen)
        });
        let field = Grid::new(side, cells)
            .column_labels(0..side)
            .row_labels(0..side);
        let (open, clear) = (self.num_open, self.num_clear());
        let (remaining, all) = (u64::from(self.remaining), u64::from(clear));
        let bars = [
            Bar::new("opened", f64::from(open) / f64::from(clear))
                .note(&format!("{open} of {clear}"))
                .tone(Tone::Good),
            Bar::remaining("actions left", remaining, all),
        ];
        let picture = Picture::new()
            .grid("", field)
            .grid("observation", seen.grid())
            .bars("", bars)
            .key(Cell::new("*").tone(Tone::Hidden), "mine")
            .key(Cell::default().tone(Tone::Hidden), "not opened");
        match chosen.map(|cell| self.field.get(cell)) {
            Some(Some(&MINE)) => picture.note(Tone::Bad, "a mine"),
            _ if open == clear => picture.note(Tone::Good, "all clear cells are open"),
            _ if remaining == 0 => picture.note(Tone::Bad, "out of time"),
            _ => picture,
        }
    }
}

impl Recorded for MineSweeper {
    const REFERENCE_NAME: &'static str = "popgym/MineSweeper";

    /// `{"dims": [rows, columns], "mines": [cells], "neighbor_grid": [rows of counts]}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            dims: [u32; 2],
            mines: Vec<[u32; 2]>,
            neighbor_grid: Vec<Vec<i64>>,
        }
        let latent: Latent = parse(latent)?;
        let side = self.side;
        ensure(latent.dims == [side, side], || {
            format!("{:?} as the field's sides", latent.dims)
        })?;
        let mut mined = self.clone();
        mined.field.fill(CLEAR);
        for [row, col] in &latent.mines {
            ensure(*row < side && *col < side, || {
                format!("a mine at {row}, {col}")
            })?;
            mined.field[(row * side + col) as usize] = MINE;
        }
        let counts: Vec<Vec<i64>> = (0..side as usize)
            .map(|row| {
                (0..side as usize)
                    .map(|col| mined.count(row, col))
                    .collect()
            })
            .collect();
        let is_whole = latent.mines.len() == self.num_mines as usize;
        ensure(is_whole && counts == latent.neighbor_grid, || {
            "the counts are not those of the mines".to_owned()
        })?;
        Ok(vec![Draw::Order(mined.field)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Script;
    use crate::check::{arguments, check_environment};
    use serde_json::json;

    fn task(kwargs: Value) -> MineSweeper {
        MineSweeper::new(&arguments::<MineSweeper>(kwargs)).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({}),
            json!({"level": "hard"}),
            json!({"level": "custom", "difficulty": "medium"}),
        ] {
            check_environment::<MineSweeper>(kwargs);
        }
    }

    /// Mines at (0, 0) and (1, 1).
    fn mined() -> (MineSweeper, Script) {
        let task = task(json!({}));
        let counts = [[2, 2, 1, 0], [2, 2, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]];
        let latent = json!({"dims": [4, 4], "mines": [[0, 0], [1, 1]], "neighbor_grid": counts});
        let draws = Script::new(task.script(&latent).unwrap());
        (task, draws)
    }

    #[test]
    fn counts_include_the_cell_and_repeats_cost() {
        let (mut task, mut draws) = mined();
        let mut observation = [9];
        task.reset(&mut draws, &mut observation);
        assert_eq!(observation, [0]);
        let (new, old) = (1.0 / 14.0, -0.5 / 12.0);
        for (action, seen, transition) in [
            ([0, 1], 2, Transition::running(new)),
            ([0, 1], 2, Transition::running(old)),
            ([3, 3], 0, Transition::running(new)),
            ([1, 1], 2, Transition::terminal(-0.5 - new)),
        ] {
            assert_eq!(task.step(&action, &mut draws, &mut observation), transition);
            assert_eq!(observation, [seen]);
        }
        assert!(!task.is_running());
        draws.finish().unwrap();
    }

    #[test]
    fn all_clear_cells_win_and_a_repeat_runs_out_of_time() {
        for repeats in [false, true] {
            let (mut task, mut draws) = mined();
            task.reset(&mut draws, &mut [0]);
            let cells = (0..16).map(|cell| [cell / 4, cell % 4]);
            let clear = cells.filter(|cell| ![[0, 0], [1, 1]].contains(cell));
            let mut actions: Vec<[i64; 2]> = clear.collect();
            if repeats {
                actions[13] = actions[0];
            }
            let transitions: Vec<Transition> = actions
                .iter()
                .map(|action| task.step(action, &mut draws, &mut [0]))
                .collect();
            let last = transitions[13];
            assert_eq!((last.terminated, last.truncated), (!repeats, repeats));
            assert!(transitions[..13].iter().all(|t| !t.is_end()));
        }
    }

    #[test]
    #[expect(
        clippy::approx_constant,
        reason = "a mean that happens to be near log10(e)"
    )]
    fn random_returns_are_those_measured_on_the_original() {
        // Means and standard errors of recorded random episodes of the original.
        for (level, mean, error) in [
            ("easy", -0.2292, 0.0074),
            ("medium", -0.3989, 0.0030),
            ("hard", -0.4342, 0.0018),
        ] {
            let random = task(json!({"level": level})).random_return();
            assert!((random - mean).abs() < 4.0 * error, "{level}: {random}");
        }
    }
}
