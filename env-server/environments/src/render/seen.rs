//! The trait of tasks with pictures.

use super::picture::{Grid, Picture};
use super::played::Played;
use crate::element::Element;
use crate::environment::Environment;

/// A task that can be drawn.
pub trait Pictured: Environment {
    /// Draws the present state for a spectator, who may see what the agent does not. The caller
    /// adds title, step count and rewards.
    ///
    /// Only called after a reset. It must cost little and build a bounded number of cells, whatever
    /// the arguments: [`window`](crate::render::window) chooses the part of a long thing to show.
    fn picture(&self, seen: &Seen<'_, Self::Element, Self::Action>) -> Picture;
}

/// Facts of an episode that a lane knows and the state of its environment does not hold. `T` and `A`
/// are the types of the numbers in observations and actions.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a, T, A = i64> {
    /// The last observation: a row of the observation space.
    pub observation: &'a [T],
    /// The action that led to it: a row of the action space. `None` after a reset, and before the
    /// first step of a restored lane.
    pub action: Option<&'a [A]>,
    /// Steps and rewards so far. `None` in an episode that was running when its lane was restored,
    /// because snapshots do not hold them.
    pub played: Option<Played>,
}

impl<T: Element, A> Seen<'_, T, A> {
    /// Returns the observation as a grid.
    pub fn grid(&self) -> Grid {
        Grid::observation(self.observation.iter().map(|x| x.to_f64()))
    }
}
