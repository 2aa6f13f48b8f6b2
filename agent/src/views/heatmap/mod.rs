//! Draws what a memory kept in an episode, and what it attended to.
//!
//! An [`EpisodeView`] is what was recorded; [`HeatMap`] turns it into panels over the episode's
//! steps and draws them as SVG, as PNG and in the terminal. Images are drawn in two steps:
//! `layout` says where everything is, `svg` and `raster` put that on paper.

mod drawing;
mod error;
mod grid;
mod layout;
mod map;
mod palette;
mod panels;
mod raster;
mod svg;
mod terminal;
mod view;

pub use error::HeatMapError;
pub use map::HeatMap;
pub use terminal::TerminalStyle;
pub use view::{Entries, EpisodeView, MemoryView, SlotsView, UnitsView, VectorView};

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
