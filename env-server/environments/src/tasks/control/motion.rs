//! Motion and cost of Gymnasium's pendulum.
//!
//! With gravity 10, mass and length 1, a step of 0.05 s with the torque u is θ̇' = θ̇ + (15 sin θ + 3u) ·
//! 0.05, clipped to ±8, and then θ' = θ + θ̇' · 0.05. It costs norm(θ)² + 0.1 θ̇² + 0.001 u², of the state
//! before it, with norm(θ) in [−π, π).
//!
//! 3u, u² and 0.001 u² are computed in float32, and all else in f64: so does numpy 2 with actions of
//! float32. The sine is that of the `libm` crate, which computes the same bits on every machine.

use std::f64::consts::{PI, TAU};

/// Greatest torque.
pub(crate) const MAX_TORQUE: f32 = 2.0;
/// Greatest speed, in radians per second.
pub(crate) const MAX_SPEED: f64 = 8.0;
/// Seconds in a step.
pub(crate) const DT: f64 = 0.05;
/// Angular acceleration by gravity, 3g / 2l, of a pendulum that is level.
const PULL: f64 = 15.0;
/// Angular acceleration by a torque of 1, 3 / ml².
const TWIST: f32 = 3.0;

/// θ, θ̇.
pub(crate) type State = [f64; 2];

/// Returns the angle in [−π, π).
fn normalised(theta: f64) -> f64 {
    (theta + PI).rem_euclid(TAU) - PI
}

/// Returns the cost of a torque in this state.
#[inline]
pub(crate) fn cost([theta, speed]: State, torque: f32) -> f64 {
    let angle = normalised(theta);
    angle * angle + 0.1 * (speed * speed) + f64::from(0.001 * (torque * torque))
}

/// Returns the state after a step.
#[inline]
pub(crate) fn advance([theta, speed]: State, torque: f32) -> State {
    let acceleration = PULL * libm::sin(theta) + f64::from(TWIST * torque);
    let speed = (speed + acceleration * DT).clamp(-MAX_SPEED, MAX_SPEED);
    [theta + speed * DT, speed]
}
