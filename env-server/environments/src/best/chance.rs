//! Players of boards and bandits.

use super::battleship::Density;
use super::minesweeper::Careful;
use super::{Claim, Player, Task, Who, cell, levels, one};
use crate::Draws;
use crate::tasks::popgym::battleship::Battleship;
use crate::tasks::popgym::minesweeper::MineSweeper;
use crate::tasks::popgym::multiarmed_bandit::MultiarmedBandit;

/// Shoots where most boards have a ship.
fn density(task: &Task) -> Player {
    let side = task.choices();
    let mut player = Density::new(side, &[2, 3, 3, 4]);
    Box::new(move |seen, _| cell(player.shoot(seen[0] == 1.0), side))
}

/// Opens the cell that is least likely to be a mine.
fn careful(task: &Task) -> Player {
    let side = task.choices();
    let mut player = Careful::new(side, [2, 6, 10][task.level]);
    Box::new(move |seen, _| cell(player.open(seen[0] as usize), side))
}

/// Pulls the arm with the highest index: its mean under a uniform prior, plus a multiple of its
/// standard deviation. The multiple grows with the ratio of pulls left to pulls of the arm (after
/// Brezzi and Lai 2002, who approximate the Gittins index).
fn index(task: &Task) -> Player {
    let arms = task.choices();
    let mut left = [200.0, 400.0, 600.0][task.level];
    let mut counts = vec![[1.0, 1.0]; arms];
    let mut last = None;
    Box::new(move |seen, _| {
        if let Some(last) = last {
            let counts: &mut [f64; 2] = &mut counts[last];
            counts[seen[0] as usize] += 1.0;
        }
        let index = |&[missed, paid]: &[f64; 2]| {
            let n = missed + paid;
            let deviation = (missed * paid / (n * n * (n + 1.0))).sqrt();
            paid / n + deviation * (0.5 * f64::ln_1p(left / (2.0 * n))).sqrt()
        };
        let best = (0..arms).max_by(|&a, &b| index(&counts[a]).total_cmp(&index(&counts[b])));
        left -= 1.0;
        last = best;
        one(best.unwrap_or(0))
    })
}

/// Pulls the same arm after a pull that paid, else any other: it stays with an arm while it pays.
fn returning(task: &Task) -> Player {
    let others = task.choices() as u64 - 1;
    Box::new(move |seen, rng| match seen[0] == 1.0 {
        true => one(0),
        false => one(1 + rng.below(others) as usize),
    })
}

pub(super) fn claims() -> Vec<Claim> {
    use Who::{Best, Memoryless};
    [
        levels::<Battleship>(Best, 0.002, [[100, 4000], [60, 3000], [40, 3000]], density),
        levels::<MineSweeper>(
            Best,
            0.0045,
            [[1000, 60_000], [300, 40_000], [150, 20_000]],
            careful,
        ),
        levels::<MultiarmedBandit>(
            Best,
            0.0017,
            [[300, 20_000], [100, 6000], [60, 4000]],
            index,
        ),
        levels::<MultiarmedBandit>(Memoryless, 0.0006, [[1000, 50_000]; 3], returning),
    ]
    .into_iter()
    .flatten()
    .collect()
}
