//! The torque of a player that knows a pendulum's state: dynamic programming on a grid.
//!
//! The table holds the least cost from each angle and speed of a grid until the pendulum stands, which
//! costs nothing; between its points it is interpolated. The time that is left is ignored: a pendulum
//! is up long before the usual ends.

use std::f64::consts::{PI, TAU};
use std::sync::LazyLock;

use super::motion::{MAX_SPEED, MAX_TORQUE, State, advance, cost};

/// Angles of the grid, all around.
const ANGLES: usize = 161;
/// Speeds of the grid, from the least to the greatest.
const SPEEDS: usize = 129;
/// Passes over the grid: as many steps are foreseen.
const PASSES: usize = 160;
/// Torques tried for the table, and for an answer.
const TRIED: [usize; 2] = [9, 41];

/// The cost from each state of the grid, angle by angle.
static COSTS: LazyLock<Vec<f64>> = LazyLock::new(costs);

/// A state between the points of the grid: the positions of the four points around it, and the weights
/// of the next angle and the next speed.
struct Between {
    corners: [usize; 4],
    weights: [f64; 2],
}

impl Between {
    fn of([theta, speed]: State) -> Self {
        let across = (theta + PI).rem_euclid(TAU) / TAU * ANGLES as f64;
        let up = (speed + MAX_SPEED) / (2.0 * MAX_SPEED) * (SPEEDS - 1) as f64;
        let angle = across as usize;
        let row = (up as usize).min(SPEEDS - 2);
        let columns = [angle % ANGLES, (angle + 1) % ANGLES];
        let [left, right] = columns.map(|column| column * SPEEDS + row);
        Between {
            corners: [left, left + 1, right, right + 1],
            weights: [across - angle as f64, up - row as f64],
        }
    }

    fn read(&self, costs: &[f64]) -> f64 {
        let [a, b, c, d] = self.corners.map(|corner| costs[corner]);
        let [across, up] = self.weights;
        (1.0 - across) * (a + up * (b - a)) + across * (c + up * (d - c))
    }
}

/// Torques with equal distances, from the least to the greatest.
fn torques(number: usize) -> impl Iterator<Item = f32> {
    let step = 2.0 * MAX_TORQUE / (number - 1) as f32;
    (0..number).map(move |i| step * i as f32 - MAX_TORQUE)
}

/// Computes the table by value iteration (Bellman 1957).
fn costs() -> Vec<f64> {
    let points = (0..ANGLES).flat_map(|i| (0..SPEEDS).map(move |j| (i, j)));
    let points = points.map(|(i, j)| {
        let part = |at: usize, of: usize| at as f64 / of as f64;
        [
            TAU * part(i, ANGLES) - PI,
            MAX_SPEED * (2.0 * part(j, SPEEDS - 1) - 1.0),
        ]
    });
    let moves = points.flat_map(|state| {
        torques(TRIED[0]).map(move |torque| {
            let next = Between::of(advance(state, torque));
            (cost(state, torque), next)
        })
    });
    let moves: Vec<(f64, Between)> = moves.collect();
    let mut costs = vec![0.0; ANGLES * SPEEDS];
    for _ in 0..PASSES {
        let least = moves.chunks(TRIED[0]).map(|moves| {
            let totals = moves.iter().map(|(cost, next)| cost + next.read(&costs));
            totals.fold(f64::INFINITY, f64::min)
        });
        costs = least.collect();
    }
    costs
}

/// Returns the torque with the least cost from this state.
pub(crate) fn torque(state: State) -> f32 {
    let total = |torque: f32| {
        let next = Between::of(advance(state, torque));
        cost(state, torque) + next.read(&COSTS)
    };
    let totals = torques(TRIED[1]).map(|torque| (total(torque), torque));
    let least = totals.min_by(|a, b| a.0.total_cmp(&b.0));
    least.map_or(0.0, |(_, torque)| torque)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_points_the_table_is_linear() {
        let point = |i: usize, j: usize| (i + 10 * j) as f64;
        let table: Vec<f64> = (0..ANGLES)
            .flat_map(|i| (0..SPEEDS).map(move |j| point(i, j)))
            .collect();
        let state = [TAU * 40.25 / ANGLES as f64 - PI, 16.0 * 30.5 / 128.0 - 8.0];
        let found = Between::of(state).read(&table);
        assert!((found - (40.25 + 305.0)).abs() < 1e-9, "{found}");
        // Angles go all around, and the greatest speed is in the table.
        let edge = Between::of([PI - 1e-12, 8.0]).read(&table);
        assert!((edge - 10.0 * 128.0).abs() < 1e-6, "{edge}");
    }

    #[test]
    fn it_stands_still_at_the_top_and_pushes_towards_it() {
        assert_eq!(torque([0.0, 0.0]), 0.0);
        assert!(torque([0.2, 0.0]) < -1.0 && torque([-0.2, 0.0]) > 1.0);
        // Below, it pushes the way that the pendulum swings.
        assert!(torque([PI, 2.0]) > 1.0 && torque([PI, -2.0]) < -1.0);
    }
}
