//! Draws what a memory kept in an episode, and what it attended to.
//!
//! An [`EpisodeView`] is what was recorded; [`HeatMap`] turns it into panels over the episode's
//! steps and draws them as SVG, as PNG and in the terminal. Images are drawn in two steps:
//! `layout` says where everything is, `svg` and `raster` put that on paper.

mod drawing;
mod grid;
mod layout;
mod palette;
mod panels;
mod raster;
mod svg;
mod terminal;
mod view;

pub use terminal::TerminalStyle;
pub use view::{Entries, EpisodeView, MemoryView, SlotsView, UnitsView};

use panels::Panel;

/// Why a heat map could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum HeatMapError {
    /// There is nothing to draw.
    #[error("the episode has no steps; play at least one before drawing it")]
    NoSteps,
    /// A recorded sequence does not cover the episode.
    #[error("`{what}` has {found} values where {expected} are expected")]
    WrongLength {
        /// The sequence's name.
        what: &'static str,
        /// How many values it has.
        found: usize,
        /// How many the episode's steps and the memory's size demand.
        expected: usize,
    },
    /// A value that no colour stands for.
    #[error("`{what}` has a value at index {index} that is not finite")]
    NotFinite {
        /// The sequence's name.
        what: &'static str,
        /// Where in it.
        index: usize,
    },
    /// A step that has not happened at the time it is named.
    #[error("`{what}` names step {named} where the latest possible is {latest}")]
    LaterStep {
        /// The sequence's name.
        what: &'static str,
        /// The step it names.
        named: u32,
        /// The latest step it may name there.
        latest: usize,
    },
    /// The image could not be encoded.
    #[error("cannot encode the image as PNG: {0}")]
    Png(#[from] png::EncodingError),
}

/// A drawing of an episode: panels aligned over its steps, and what they show in words.
#[derive(Clone, Debug)]
pub struct HeatMap {
    title: String,
    notes: Vec<String>,
    num_steps: usize,
    cue_steps: Vec<u32>,
    panels: Vec<Panel>,
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

    /// The drawing as an SVG document.
    #[must_use]
    pub fn svg(&self) -> String {
        svg::render(&layout::layout(self))
    }

    /// The drawing as a PNG file.
    ///
    /// # Errors
    /// When the image is too large for PNG.
    pub fn png(&self) -> Result<Vec<u8>, HeatMapError> {
        raster::render(&layout::layout(self))
    }

    /// The drawing as text for a terminal; every line ends with a line end.
    #[must_use]
    pub fn terminal(&self, style: TerminalStyle) -> String {
        terminal::render(self, style)
    }
}
