//! Players of poles and pendulums.

use super::{Claim, Player, Task, Who, claim, levels, one};
use crate::Draws;
use crate::Rng;
use crate::tasks::control::full_cart_pole::FullCartPole;
use crate::tasks::control::full_pendulum::FullPendulum;
use crate::tasks::control::motion;
use crate::tasks::control::noise::SIGMAS;
use crate::tasks::control::swing_up;
use crate::tasks::popgym::noisy_cartpole::NoisyPositionOnlyCartPole;
use crate::tasks::popgym::noisy_pendulum::NoisyPositionOnlyPendulum;
use crate::tasks::popgym::position_only_pendulum::PositionOnlyPendulum;
use crate::tasks::popgym::stateless_cartpole::StatelessCartPole;
use crate::tasks::popgym::velocity_cartpole::VelocityOnlyCartPole;

/// Seconds in a step of the cart-pole, and of the pendulum.
const TAU: f64 = 0.02;
const DT: f64 = 0.05;

/// Pushes the cart under a pole that leans to this side.
fn push(lean: f64) -> Vec<f64> {
    one(usize::from(lean > 0.0))
}

/// How much a pole leans, or will lean.
fn lean([x, x_dot, theta, theta_dot]: [f64; 4]) -> f64 {
    theta + 0.3 * theta_dot + 0.02 * x + 0.05 * x_dot
}

/// Pushes the cart under the pole by its angle and speed. Speeds are differences of two
/// observations.
fn leaning(_: &Task) -> Player {
    let mut before: Option<[f64; 2]> = None;
    Box::new(move |seen, _| {
        let now = [seen[0], seen[1]];
        let [dx, dtheta] = match before.replace(now) {
            Some(before) => [0, 1].map(|i| (now[i] - before[i]) / TAU),
            None => [0.0; 2],
        };
        push(lean([now[0], dx, now[1], dtheta]))
    })
}

/// Pushes the cart under the pole at random, more often the more the pole leans.
fn swaying(_: &Task) -> Player {
    Box::new(|seen, rng| {
        let chance = 1.0 / (1.0 + f64::exp(-25.0 * seen[1]));
        one(usize::from(rng.uniform(0.0, 1.0) < chance))
    })
}

/// Pushes to the side to which the pole seems to lean.
fn seeming(_: &Task) -> Player {
    Box::new(|seen, _| push(seen[1]))
}

/// Pushes the cart under the pole by the whole state, which it sees.
fn seeing(_: &Task) -> Player {
    Box::new(|seen, _| push(lean([seen[0], seen[1], seen[2], seen[3]])))
}

/// Pushes to the side to which the pole falls, and which the cart is moving to.
fn falling(_: &Task) -> Player {
    Box::new(|seen, _| push(0.6 * seen[0] + 2.2 * seen[1]))
}

/// Adds up the velocities, from the positions that are shown first.
fn adding(_: &Task) -> Player {
    let mut place: Option<[f64; 2]> = None;
    let mut velocity = [0.0; 2];
    Box::new(move |seen, _| {
        let Some(place) = &mut place else {
            place = Some([seen[0], seen[1]]);
            return push(seen[1]);
        };
        for (place, velocity) in place.iter_mut().zip(velocity) {
            *place += TAU * velocity;
        }
        velocity = [seen[0], seen[1]];
        push(lean([place[0], velocity[0], place[1], velocity[1]]))
    })
}

type Matrix = [[f64; 4]; 4];

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let entry = |i: usize, j: usize| (0..4).map(|k| a[i][k] * b[k][j]).sum();
    std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j)))
}

fn transposed(a: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

/// Estimates the state with a Kalman filter (Kalman 1960) of the pole near the top, and pushes by it.
/// `weights` are those of θ̇, x and ẋ relative to θ.
fn filtering(task: &Task) -> Player {
    let weights = [
        [0.119, 0.033, 0.029],
        [0.167, 0.017, 0.016],
        [0.266, 0.025, 0.023],
    ][task.level];
    let variance = SIGMAS[task.level].powi(2);
    // Per second, of a pole that leans by 1: how fast its turn and the cart's velocity grow.
    let fall = 9.8 / (0.5 * (4.0 / 3.0 - 0.1 / 1.1));
    let slide = -0.05 * fall / 1.1;
    // Per second, by a push: 10 N on 1.1 kg, less what turns the pole.
    let turn = -(10.0 / 1.1) / (0.5 * (4.0 / 3.0 - 0.1 / 1.1));
    let pushed = [10.0 / 1.1 - 0.05 * turn / 1.1, turn];
    let motion = [
        [1.0, TAU, 0.0, 0.0],
        [0.0, 1.0, TAU * slide, 0.0],
        [0.0, 0.0, 1.0, TAU],
        [0.0, 0.0, TAU * fall, 1.0],
    ];
    let mut mean = [0.0; 4];
    // The state starts uniform in a range 0.1 wide.
    let mut spread: Matrix = [[0.0; 4]; 4];
    (0..4).for_each(|i| spread[i][i] = 0.01 / 12.0);
    Box::new(move |seen, _| {
        for (number, i) in seen.iter().zip([0, 2]) {
            let row = spread[i];
            let gain = spread.map(|row| row[i]).map(|x| x / (row[i] + variance));
            let surprise = number - mean[i];
            for j in 0..4 {
                mean[j] += gain[j] * surprise;
                (0..4).for_each(|k| spread[j][k] -= gain[j] * row[k]);
            }
        }
        let [x, x_dot, theta, theta_dot] = mean;
        let lean = theta + weights[0] * theta_dot + weights[1] * x + weights[2] * x_dot;
        let side = if lean > 0.0 { 1.0 } else { -1.0 };
        mean = motion.map(|row| (0..4).map(|i| row[i] * mean[i]).sum());
        mean[1] += TAU * side * pushed[0];
        mean[3] += TAU * side * pushed[1];
        spread = product(&product(&motion, &spread), &transposed(&motion));
        // The curvature that the linear model leaves out.
        (0..4).for_each(|i| spread[i][i] += 1e-6);
        push(lean)
    })
}

/// Turns the pendulum back to the top, whatever its speed.
fn turning_back(_: &Task) -> Player {
    Box::new(|seen, _| vec![(-10.0 * seen[1]).clamp(-2.0, 2.0)])
}

/// Swings up by the oracle's table. The speed is the difference of two angles.
fn differing(_: &Task) -> Player {
    let mut before: Option<f64> = None;
    Box::new(move |seen, _| {
        let angle = seen[1].atan2(seen[0]);
        let turned = before.replace(angle).map_or(0.0, |before| angle - before);
        let turned = turned.sin().atan2(turned.cos());
        vec![f64::from(swing_up::torque([
            angle,
            (turned / DT).clamp(-8.0, 8.0),
        ]))]
    })
}

/// Swings up by the oracle's table, of the state that it sees.
fn swinging(_: &Task) -> Player {
    Box::new(|seen, _| {
        let state = [seen[1].atan2(seen[0]), seen[2].clamp(-8.0, 8.0)];
        vec![f64::from(swing_up::torque(state))]
    })
}

/// Number of states that a particle filter follows.
const PARTICLES: usize = 400;

/// The logarithm of how likely a number is shown as `seen` with noise of this deviation, clipped to ±1.
fn likelihood(number: f64, seen: f64, sigma: f64) -> f64 {
    let z = (seen - number) / sigma;
    match seen.abs() < 1.0 {
        true => -0.5 * z * z,
        // All that is beyond the bound is shown as the bound.
        false => {
            let beyond = z * seen.signum() / std::f64::consts::SQRT_2;
            // √(2π): the other case leaves out the density's factor.
            (0.5 * libm::erfc(beyond) * 2.5066).max(1e-300).ln()
        }
    }
}

/// Follows many states with their weights (a particle filter: Gordon, Salmond and Smith 1993), and
/// swings up by the oracle's table from their mean.
fn following(task: &Task) -> Player {
    let sigma = SIGMAS[task.level];
    let mut states: Vec<motion::State> = Vec::new();
    let mut weights = vec![0.0f64; PARTICLES];
    Box::new(move |seen, rng| {
        if states.is_empty() {
            let draw = |rng: &mut Rng| [std::f64::consts::PI, 1.0].map(|m| rng.uniform(-m, m));
            states = (0..PARTICLES).map(|_| draw(rng)).collect();
        }
        for (weight, &[theta, _]) in weights.iter_mut().zip(&states) {
            *weight +=
                likelihood(theta.cos(), seen[0], sigma) + likelihood(theta.sin(), seen[1], sigma);
        }
        let most = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = weights.iter().map(|weight| (weight - most).exp()).collect();
        let total: f64 = shares.iter().sum();
        let mean = |of: &dyn Fn(&motion::State) -> f64| {
            let weighted = states
                .iter()
                .zip(&shares)
                .map(|(state, share)| share * of(state));
            weighted.sum::<f64>() / total
        };
        let angle = mean(&|state| state[0].sin()).atan2(mean(&|state| state[0].cos()));
        let speed = mean(&|state| state[1]);
        let torque = swing_up::torque([angle, speed]);
        let squares: f64 = shares.iter().map(|share| share * share).sum();
        if total * total / squares < PARTICLES as f64 / 2.0 {
            states = resampled(&states, &shares, total, rng);
            weights.fill(0.0);
        }
        for state in &mut states {
            *state = motion::advance(*state, torque);
        }
        vec![f64::from(torque)]
    })
}

/// Draws as many states by their shares, at equal distances, and moves each a little.
fn resampled(
    states: &[motion::State],
    shares: &[f64],
    total: f64,
    rng: &mut Rng,
) -> Vec<motion::State> {
    let distance = total / states.len() as f64;
    let mut at = rng.uniform(0.0, distance);
    let mut drawn = Vec::with_capacity(states.len());
    let mut sum = 0.0;
    for (state, share) in states.iter().zip(shares) {
        sum += share;
        while at < sum && drawn.len() < states.len() {
            let [by_angle, by_speed] = rng.normal_pair(1.0);
            let speed = (state[1] + 0.05 * by_speed).clamp(-8.0, 8.0);
            drawn.push([state[0] + 0.01 * by_angle, speed]);
            at += distance;
        }
    }
    while drawn.len() < states.len() {
        drawn.push(drawn[0]);
    }
    drawn
}

/// The claims about poles and pendulums.
pub(super) fn claims() -> Vec<Claim> {
    use Who::{Best, Memoryless};
    let usual = || serde_json::json!({});
    let mut claims = vec![
        claim::<FullPendulum>(Best, usual(), 0.5, [200, 40_000], swinging),
        claim::<FullPendulum>(Memoryless, usual(), 0.5, [200, 40_000], swinging),
    ];
    for who in [Best, Memoryless] {
        claims.push(claim::<FullCartPole>(who, usual(), 0.0, [50, 1000], seeing));
    }
    let more = [
        levels::<StatelessCartPole>(Best, 0.0, [[50, 1000]; 3], leaning),
        levels::<StatelessCartPole>(Memoryless, 0.001, [[1000, 40_000]; 3], swaying),
        levels::<VelocityOnlyCartPole>(Best, 0.0, [[50, 1000]; 3], adding),
        levels::<VelocityOnlyCartPole>(Memoryless, 0.001, [[200, 20_000]; 3], falling),
        levels::<NoisyPositionOnlyCartPole>(Best, 0.002, [[200, 20_000]; 3], filtering),
        levels::<NoisyPositionOnlyCartPole>(Memoryless, 0.001, [[500, 40_000]; 3], seeming),
        levels::<PositionOnlyPendulum>(Best, 0.001, [[200, 20_000]; 3], differing),
        levels::<PositionOnlyPendulum>(Memoryless, 0.001, [[500, 40_000]; 3], turning_back),
        levels::<NoisyPositionOnlyPendulum>(Best, 0.002, [[30, 2_000]; 3], following),
        levels::<NoisyPositionOnlyPendulum>(Memoryless, 0.001, [[500, 40_000]; 3], turning_back),
    ];
    claims.extend(more.into_iter().flatten());
    claims
}
