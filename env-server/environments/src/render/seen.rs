//! What a picture is drawn from, beside the state.

use super::picture::Grid;
use super::played::Played;
use crate::element::Element;

/// What a lane knows of the episode it is in, beside its environment's own state.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a, T> {
    /// The last observation: a row of the observation space.
    pub observation: &'a [T],
    /// The action that led to it: a row of the action space. None after a reset, nor before the
    /// first step of a restored lane.
    pub action: Option<&'a [i64]>,
    /// What was played. None in an episode that was under way when its lane was restored:
    /// snapshots do not hold it.
    pub played: Option<Played>,
}

impl<T: Element> Seen<'_, T> {
    /// The observation as a grid.
    pub fn grid(&self) -> Grid {
        Grid::observation(self.observation.iter().map(|x| x.to_f64()))
    }
}
