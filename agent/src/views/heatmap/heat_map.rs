//! The drawing of an episode before it is laid out.

use super::error::HeatMapError;
use super::panels::{self, Panel};
use super::view::EpisodeView;

/// A drawing of an episode: panels aligned over its steps, and what they show in words.
#[derive(Clone, Debug)]
pub struct HeatMap {
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    pub(super) num_steps: usize,
    pub(super) cue_steps: Vec<u32>,
    pub(super) panels: Vec<Panel>,
}

impl HeatMap {
    /// Prepares the drawing of an episode.
    ///
    /// # Errors
    /// When the view is empty or contradicts itself.
    pub fn new(view: &EpisodeView) -> Result<Self, HeatMapError> {
        view.check()?;
        Ok(Self {
            title: view.title.clone(),
            notes: view.notes(),
            num_steps: view.num_steps(),
            cue_steps: view.cue_steps.clone(),
            panels: panels::panels(view),
        })
    }
}
