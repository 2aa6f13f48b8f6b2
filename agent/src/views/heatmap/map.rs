//! The panels of a heat map.

use super::panels::Panel;

/// A drawing of an episode: panels aligned over its steps, and what they show in words.
#[derive(Clone, Debug)]
pub struct HeatMap {
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    pub(super) num_steps: usize,
    pub(super) cue_steps: Vec<u32>,
    pub(super) panels: Vec<Panel>,
}
