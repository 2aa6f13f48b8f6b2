//! POPGym's Battleship: find the ships on a hidden board.
//!
//! B = `board_size`, S the number of ship cells. The action is `[row, col]`; observation 1 for a
//! new hit, else 0, also at the reset; the cell of the shot is not observed. The first hit on a
//! ship cell pays 1/S, every other shot, including a ship cell hit before, −1/(B² − S). Terminated
//! at S hits, truncated at step B²; both can be true.
//!
//! Ships are placed in order, each uniformly among the placements that are on the board and overlap
//! no earlier ship; ships may touch. The original repeats a uniform start cell, axis and direction
//! until they fit. Deviation: where a ship finds no place, the original would repeat for ever, and
//! ours starts over; ships that would not fit on the board row by row are refused.
//!
//! Returns: random is computed, oracle 1. Best is measured at the three levels, for a player that
//! shoots at the cell with a ship on most of the boards that agree with all shots; it is not proven
//! to be the best. With other arguments it is the return 1/(S + 1) of shooting at cells not yet
//! tried, in any order. Memoryless is not known (a player without memory cannot tell which cells it
//! has tried; random is a lower bound). To remember: which cells have been tried, and what they
//! were.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/battleship.py`.

use env_protocol::{Domain, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::recording::{Bit, ensure, parse};
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Longest side of a board.
const MAX_SIZE: u32 = 32;
/// Most ships.
const MAX_SHIPS: usize = 64;
/// Cells of each ship, unless they are given.
const SHIPS: [i64; 4] = [2, 3, 3, 4];
/// Sides of the board at the levels.
const SIZES: [u32; 3] = [8, 10, 12];
/// Number of uniform placements to try before the placements that fit are enumerated.
const TRIES: usize = 64;
/// Number of boards to try before the ships are put row by row.
const BOARDS: usize = 1000;

/// Content of a cell.
const WATER: u8 = 0;
const SHIP: u8 = 1;
const HIT: u8 = 2;

/// `Battleship-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Battleship {
    board_size: u32,
    ship_sizes: Vec<u32>,
    /// Row by row.
    board: Vec<u8>,
    hits: u32,
    /// Actions until the time limit.
    remaining: u32,
}

impl Battleship {
    fn num_ship_cells(&self) -> u32 {
        self.ship_sizes.iter().sum()
    }

    fn num_cells(&self) -> u32 {
        self.board_size * self.board_size
    }

    fn miss(&self) -> f64 {
        -1.0 / f64::from(self.num_cells() - self.num_ship_cells())
    }

    /// Returns the cells of a ship, if they are on the board and free.
    fn cells(&self, start: u32, size: u32, is_vertical: bool, is_back: bool) -> Option<[u32; 2]> {
        let side = self.board_size;
        let along = if is_vertical {
            start / side
        } else {
            start % side
        };
        let stride = if is_vertical { side } else { 1 };
        let first = match is_back {
            true if along + 1 >= size => start - (size - 1) * stride,
            false if along + size <= side => start,
            _ => return None,
        };
        let mut cells = (0..size).map(|i| first + i * stride);
        let is_free = cells.all(|cell| self.board[cell as usize] == WATER);
        is_free.then_some([first, stride])
    }

    fn put(&mut self, [first, stride]: [u32; 2], size: u32) {
        for i in 0..size {
            self.board[(first + i * stride) as usize] = SHIP;
        }
    }

    /// Draws a uniform placement from all that fit; `None` if no placement fits.
    fn place(&self, size: u32, draws: &mut impl Draws) -> Option<[u32; 2]> {
        for _ in 0..TRIES {
            let start = draws.below(u64::from(self.num_cells())) as u32;
            let (is_vertical, is_back) = (draws.bit(), draws.bit());
            let found = self.cells(start, size, is_vertical, is_back);
            if found.is_some() {
                return found;
            }
        }
        let starts = (0..self.num_cells()).flat_map(|start| [(start, false), (start, true)]);
        let fitting = starts.filter_map(|(start, axis)| self.cells(start, size, axis, false));
        let fitting: Vec<[u32; 2]> = fitting.collect();
        match fitting.len() as u64 {
            0 => None,
            n => Some(fitting[draws.below(n) as usize]),
        }
    }

    /// Places all ships. Returns `false` if a ship does not fit.
    fn place_all(&mut self, draws: &mut impl Draws) -> bool {
        self.board.fill(WATER);
        for i in 0..self.ship_sizes.len() {
            let size = self.ship_sizes[i];
            match self.place(size, draws) {
                Some(cells) => self.put(cells, size),
                None => return false,
            }
        }
        true
    }

    /// Returns the cell, axis and size of each ship when the ships are placed by size, the longest
    /// first, each in the first row with room; `None` if there is no such row.
    fn rows(&self) -> Option<Vec<([u32; 2], u32)>> {
        let side = self.board_size;
        let mut sizes = self.ship_sizes.clone();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut taken = vec![0; side as usize];
        let mut placed = Vec::with_capacity(sizes.len());
        for size in sizes {
            let row = taken.iter().position(|taken| taken + size <= side)?;
            placed.push(([row as u32 * side + taken[row], 1], size));
            taken[row] += size;
        }
        Some(placed)
    }

    /// Computes the expected return of uniformly random shots from the probability of each number
    /// of hits.
    fn random_return(&self) -> f64 {
        let ship_cells = self.num_ship_cells() as usize;
        let cells = f64::from(self.num_cells());
        let mut likely = vec![0.0; ship_cells + 1];
        likely[0] = 1.0;
        let mut total = 0.0;
        for _ in 0..self.num_cells() {
            for hits in (0..ship_cells).rev() {
                let hit = likely[hits] * (ship_cells - hits) as f64 / cells;
                total += hit / ship_cells as f64 + (likely[hits] - hit) * self.miss();
                likely[hits] -= hit;
                likely[hits + 1] += hit;
            }
        }
        total
    }
}

impl Catalogued for Battleship {
    fn profile() -> Profile {
        let sizes = Domain::Integers {
            minimum: 1,
            maximum: i64::from(MAX_SIZE),
            min_items: 1,
            max_items: MAX_SHIPS,
            default: None,
        };
        Profile {
            id: "Battleship-v0",
            description: "Find the ships on a hidden board. The observation says whether the last \
                          shot was a new hit, not where it went.",
            parameters: vec![
                levels::parameter(),
                Parameter::integer(
                    "board_size",
                    "Side of the board; 8, 10, 12 at easy, medium, hard.",
                    1,
                    i64::from(MAX_SIZE),
                    None,
                ),
                Parameter::new(
                    "ship_sizes",
                    "Cells of each ship; 2, 3, 3, 4 at all levels.",
                    sizes,
                ),
            ],
            remember: "which cells have been tried and what they were, over the whole episode",
            source: "POPGym 1.0.7, Battleship (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [self.miss(), 1.0 / f64::from(self.num_ship_cells())]
    }

    fn returns(&self) -> Returns {
        let ships = self.ship_sizes.iter().map(|&size| i64::from(size));
        let measured = match ships.eq(SHIPS) {
            true => at_level(&self.board_size, &SIZES, [0.632, 0.649, 0.661]),
            false => None,
        };
        let in_any_order = 1.0 / (f64::from(self.num_ship_cells()) + 1.0);
        Returns {
            random: Some(self.random_return()),
            memoryless: None,
            best: measured.or(Some(in_any_order)),
            oracle: Some(1.0),
            note: "Random is exact. Best, the best known, is measured at the three levels: it \
                   shoots where most boards that agree with all shots have a ship. With other \
                   arguments it is that of shooting once at each cell, in any order."
                .to_owned(),
        }
    }
}

impl Environment for Battleship {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        let board_size = levels.natural("board_size", SIZES)?;
        let ship_sizes = levels.integers("ship_sizes", &SHIPS)?;
        let mut task = Battleship {
            board_size,
            ship_sizes: ship_sizes.iter().map(|&size| size as u32).collect(),
            board: Vec::new(),
            hits: 0,
            remaining: 0,
        };
        task.board = vec![WATER; task.num_cells() as usize];
        if task.rows().is_none() || task.num_ship_cells() == task.num_cells() {
            let detail = format!(
                "{ship_sizes:?} do not fit on a board of {board_size} by {board_size} and leave \
                 water"
            );
            return Err(KwargsError::new("ship_sizes", detail));
        }
        Ok(task)
    }

    fn observation_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    fn action_space(&self) -> Space {
        Space::MultiDiscrete {
            nvec: vec![i64::from(self.board_size); 2],
        }
    }

    /// Draws a start cell, an axis and a direction for each ship, and repeats while it does not
    /// fit.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        let is_placed = (0..BOARDS).any(|_| self.place_all(draws));
        if !is_placed {
            self.board.fill(WATER);
            for (cells, size) in self.rows().into_iter().flatten() {
                self.put(cells, size);
            }
        }
        self.hits = 0;
        self.remaining = self.num_cells();
        observation[0] = 0;
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        let cell = action[0] as usize * self.board_size as usize + action[1] as usize;
        let is_hit = self.board[cell] == SHIP;
        let reward = if is_hit {
            self.board[cell] = HIT;
            self.hits += 1;
            1.0 / f64::from(self.num_ship_cells())
        } else {
            self.miss()
        };
        observation[0] = i64::from(is_hit);
        self.remaining -= 1;
        let truncated = self.remaining == 0;
        let terminated = self.hits == self.num_ship_cells();
        if terminated {
            self.remaining = 0;
        }
        Transition::new(reward, terminated, truncated)
    }

    fn oracle(&self) -> Vec<i64> {
        let cell = self.board.iter().position(|&cell| cell == SHIP);
        let (cell, side) = (cell.unwrap_or(0), self.board_size as usize);
        vec![(cell / side) as i64, (cell % side) as i64]
    }

    fn validate(&self) -> Result<(), String> {
        let is_size = |&size: &u32| (1..=self.board_size).contains(&size);
        let sizes_fit = (1..=MAX_SIZE).contains(&self.board_size)
            && (1..=MAX_SHIPS).contains(&self.ship_sizes.len())
            && self.ship_sizes.iter().all(is_size)
            && self.rows().is_some()
            && self.num_ship_cells() < self.num_cells();
        if !sizes_fit || self.board.len() != self.num_cells() as usize {
            return Err("the ships do not fit on the board".to_owned());
        }
        let count = |kind: u8| self.board.iter().filter(|&&cell| cell == kind).count() as u32;
        let (water, hits) = (count(WATER), count(HIT));
        let ship_cells = hits + count(SHIP);
        let was_reset = ship_cells > 0;
        if water + ship_cells != self.num_cells()
            || hits != self.hits
            || (was_reset && ship_cells != self.num_ship_cells())
        {
            return Err("the board does not hold the ships".to_owned());
        }
        let is_won = hits == self.num_ship_cells();
        let shots = self.num_cells().checked_sub(self.remaining);
        let is_good = match self.remaining {
            0 => true,
            _ => was_reset && !is_won && shots.is_some_and(|shots| hits <= shots),
        };
        match is_good {
            true => Ok(()),
            false => Err(format!("{} actions cannot remain", self.remaining)),
        }
    }

    fn heap_bytes(&self) -> usize {
        vec_bytes(&self.ship_sizes) + vec_bytes(&self.board)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for Battleship {
    /// Shows the board. The state does not keep shots at water, so only the last one is shown.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let side = self.board_size as usize;
        let shot = match seen.action {
            Some(&[row, col]) => Some(row as usize * side + col as usize),
            _ => None,
        };
        let cells = self.board.iter().enumerate().map(|(i, &kind)| {
            let is_shot = shot == Some(i);
            let cell = match kind {
                SHIP => Cell::new("S").tone(Tone::Hidden),
                HIT => Cell::new("x").tone(Tone::Good),
                _ if is_shot => Cell::new("o").tone(Tone::Agent),
                _ => Cell::default(),
            };
            cell.chosen(is_shot)
        });
        let board = Grid::new(side, cells)
            .column_labels(0..side)
            .row_labels(0..side);
        let (hits, ships) = (self.hits, self.num_ship_cells());
        let (remaining, all) = (u64::from(self.remaining), u64::from(self.num_cells()));
        let bars = [
            Bar::new("hits", f64::from(hits) / f64::from(ships))
                .note(&format!("{hits} of {ships}"))
                .tone(Tone::Good),
            Bar::remaining("shots left", remaining, all),
        ];
        let picture = Picture::new()
            .grid("", board)
            .grid("observation", seen.grid())
            .bars("", bars)
            .key(Cell::new("S").tone(Tone::Hidden), "ship")
            .key(Cell::new("x").tone(Tone::Good), "hit")
            .key(Cell::new("o").tone(Tone::Agent), "miss");
        match shot.map(|cell| self.board.get(cell)) {
            Some(_) if seen.observation[0] == 1 => picture.note(Tone::Good, "hit"),
            Some(Some(&HIT)) => picture.note(Tone::Bad, "this cell had been hit before"),
            Some(_) => picture.note(Tone::Bad, "miss"),
            None => picture,
        }
    }
}

impl Recorded for Battleship {
    const REFERENCE_NAME: &'static str = "popgym/Battleship";

    /// `{"board": [rows of 0 and 1], "ships": [the cells of each, in order]}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            board: Vec<Vec<Bit>>,
            ships: Vec<Vec<[u32; 2]>>,
        }
        let Latent { board, ships } = parse(latent)?;
        let side = self.board_size;
        let sizes: Vec<u32> = ships.iter().map(|cells| cells.len() as u32).collect();
        ensure(sizes == self.ship_sizes, || {
            format!("ships of {sizes:?} cells")
        })?;
        let mut sailed = self.clone();
        sailed.board.fill(WATER);
        let mut draws = Vec::new();
        for mut cells in ships {
            let size = cells.len() as u32;
            ensure(cells.iter().flatten().all(|&x| x < side), || {
                format!("{cells:?} is not on the board")
            })?;
            cells.sort_unstable();
            let is_vertical = size > 1 && cells[0][1] == cells[1][1];
            let start = cells[0][0] * side + cells[0][1];
            let found = sailed.cells(start, size, is_vertical, false);
            let are_in_line = found.is_some_and(|[first, stride]| {
                let numbered = cells.iter().zip(0..);
                numbered
                    .map(|(cell, i)| (cell[0] * side + cell[1], first + i * stride))
                    .all(|(cell, expected)| cell == expected)
            });
            ensure(are_in_line, || format!("{cells:?} is no free ship"))?;
            sailed.put(found.unwrap_or_default(), size);
            draws.extend([
                Draw::Integer(u64::from(start)),
                Draw::Bit(is_vertical),
                Draw::Bit(false),
            ]);
        }
        let is_square =
            board.len() == side as usize && board.iter().all(|row| row.len() == side as usize);
        let cells = board.into_iter().flatten().map(|bit| u8::from(bit.0));
        ensure(is_square && cells.eq(sailed.board), || {
            "the board does not hold the ships".to_owned()
        })?;
        Ok(draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Rng, Script};
    use serde_json::json;

    fn task(kwargs: Value) -> Result<Battleship, KwargsError> {
        Battleship::new(&arguments::<Battleship>(kwargs))
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({}),
            json!({"level": "hard"}),
            json!({"board_size": 3, "ship_sizes": [1, 2]}),
        ] {
            check_environment::<Battleship>(kwargs);
        }
    }

    #[test]
    fn ships_are_hit_once() {
        let mut task = task(json!({"board_size": 3, "ship_sizes": [2]})).unwrap();
        let latent =
            json!({"board": [[0, 0, 0], [0, 1, 0], [0, 1, 0]], "ships": [[[1, 1], [2, 1]]]});
        let mut draws = Script::new(task.script(&latent).unwrap());
        let mut observation = [9];
        task.reset(&mut draws, &mut observation);
        draws.finish().unwrap();
        assert_eq!(observation, [0]);
        let miss = -1.0 / 7.0;
        let mut draws = Script::new(Vec::new());
        for (action, seen, transition) in [
            ([0, 0], 0, Transition::running(miss)),
            ([1, 1], 1, Transition::running(0.5)),
            ([1, 1], 0, Transition::running(miss)),
            ([2, 1], 1, Transition::terminal(0.5)),
        ] {
            assert_eq!(task.step(&action, &mut draws, &mut observation), transition);
            assert_eq!(observation, [seen]);
        }
    }

    #[test]
    fn recorded_boards_must_hold_their_ships() {
        let task = task(json!({"board_size": 3, "ship_sizes": [2, 1]})).unwrap();
        let board = json!([[1, 1, 0], [0, 0, 0], [0, 0, 1]]);
        let script =
            |board: &Value, ships: Value| task.script(&json!({"board": board, "ships": ships}));
        assert!(script(&board, json!([[[0, 1], [0, 0]], [[2, 2]]])).is_ok());
        for ships in [
            json!([[[2, 2]], [[0, 0], [0, 1]]]),
            json!([[[0, 0], [0, 2]], [[2, 2]]]),
            json!([[[0, 0], [1, 1]], [[2, 2]]]),
            json!([[[0, 0], [0, 1]], [[0, 1]]]),
            json!([[[0, 0], [0, 1]], [[3, 2]]]),
            json!([[[0, 0], [0, 1]], [[2, 1]]]),
        ] {
            assert!(script(&board, ships.clone()).is_err(), "{ships}");
        }
    }

    #[test]
    fn every_placement_is_equally_likely() {
        let mut task = task(json!({"board_size": 3, "ship_sizes": [2]})).unwrap();
        let mut rng = Rng::from_seed(1);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..12_000 {
            task.reset(&mut rng, &mut [0]);
            *counts.entry(task.board.clone()).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 12);
        // 1000 each; five standard deviations are 151.
        assert!(
            counts.values().all(|n| n.abs_diff(1000) < 151),
            "{counts:?}"
        );
    }

    #[test]
    fn crowded_boards_are_placed_and_impossible_ones_refused() {
        let mut rng = Rng::from_seed(1);
        // A first ship in the middle row or column leaves a place for the second only in parallel.
        for sizes in [json!([3, 3]), json!([1, 1, 3, 3]), json!([2, 3, 2])] {
            let mut task = task(json!({"board_size": 3, "ship_sizes": sizes})).unwrap();
            for _ in 0..200 {
                task.reset(&mut rng, &mut [0]);
                task.validate().unwrap();
            }
        }
        for sizes in [json!([3, 3, 3]), json!([4]), json!([2, 2, 2, 2])] {
            let error = task(json!({"board_size": 3, "ship_sizes": sizes})).unwrap_err();
            assert_eq!(error.name, "ship_sizes");
        }
    }

    #[test]
    fn random_returns_are_those_measured_on_the_original() {
        // Means and standard errors of recorded random episodes of the original.
        for (level, mean, error) in [
            ("easy", -0.4425, 0.0037),
            ("medium", -0.4103, 0.0034),
            ("hard", -0.4001, 0.0033),
        ] {
            let random = task(json!({"level": level})).unwrap().random_return();
            assert!((random - mean).abs() < 4.0 * error, "{level}: {random}");
        }
    }
}
