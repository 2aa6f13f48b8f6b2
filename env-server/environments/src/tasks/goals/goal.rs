//! Parts that tasks with goals share: the observation, the rewards and the end of an episode, as Gymnasium's goal environments
//! have them.

use std::collections::BTreeMap;

use env_protocol::{Bound, Dtype, Space};

use crate::Transition;
use crate::render::{Picture, Tone};

/// Rewards of a step that misses the goal, and of the one that reaches it.
pub(super) const REWARDS: [f64; 2] = [-1.0, 0.0];

/// Returns the space of observations whose parts have so many numbers, of 0 to 1.
pub(super) fn space(numbers: usize) -> Space {
    let part = Space::Box {
        shape: vec![numbers],
        dtype: Dtype::Float32,
        low: Bound::All(0.0),
        high: Bound::All(1.0),
    };
    let names = ["achieved_goal", "desired_goal", "observation"];
    Space::Dict {
        spaces: BTreeMap::from(names.map(|name| (name.to_owned(), part.clone()))),
    }
}

/// Returns the parts of an observation in their order, that of their names, from what is achieved, which is also all that is
/// observed, and from the goal.
pub(super) fn parts<T: Copy>(achieved: T, goal: T) -> [T; 3] {
    [achieved, goal, achieved]
}

/// Counts an action, and ends the episode at the goal or with the last of them.
pub(super) fn transition(remaining: &mut u32, is_reached: bool) -> Transition {
    if is_reached {
        *remaining = 0;
        return Transition::terminal(REWARDS[1]);
    }
    *remaining -= 1;
    Transition::new(REWARDS[0], false, *remaining == 0)
}

/// Adds how an episode has ended, if an action has ended it.
pub(super) fn with_end(
    picture: Picture,
    has_acted: bool,
    is_reached: bool,
    remaining: u32,
) -> Picture {
    match (has_acted, is_reached) {
        (true, true) => picture.note(Tone::Good, "reached the goal"),
        (true, false) if remaining == 0 => picture.note(Tone::Bad, "out of time"),
        _ => picture,
    }
}
