//! Draws what a memory kept in an episode, and what it attended to.
//!
//! An [`EpisodeView`] is what was recorded; [`HeatMap`] turns it into panels over the episode's
//! steps and draws them as SVG, as PNG and in the terminal. Images are drawn in two steps:
//! `layout` says where everything is, `svg` and `raster` put that on paper.

mod drawing;
mod error;
mod grid;
mod heat_map;
mod layout;
mod palette;
mod panels;
mod raster;
mod svg;
mod terminal;
mod view;

pub use error::HeatMapError;
pub use heat_map::HeatMap;
pub use terminal::TerminalStyle;
pub use view::{Entries, EpisodeView, MemoryView, SlotsView, UnitsView};

impl HeatMap {
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
