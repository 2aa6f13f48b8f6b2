//! Pictures of environments, for people.
//!
//! A [`Picture`] is data: an environment's description of its present state. [`to_ansi`] and
//! [`to_png`] draw it, and the same picture always gives the same bytes.
//!
//! **A picture is not an observation.** As in Gymnasium, it shows what a spectator may see. That
//! includes things hidden from the agent: a card that lies face down, a bit to be remembered.
//! Things that the agent sees now are framed, the choice of its last action has a mark, and things
//! that it has not been shown should be [`Tone::Hidden`]. Agents should not learn from pictures.
//!
//! Text is plain by default. Colour codes are added only on request, so that `text/plain` is what
//! every reader gets.

mod ansi;
mod canvas;
mod decimal;
#[cfg(test)]
pub(crate) mod examples;
mod grid;
mod image;
mod palette;
mod picture;
mod played;
mod seen;
mod shapes;

pub use ansi::to_ansi;
pub use decimal::decimal;
#[cfg(test)]
pub(crate) use image::png_size;
pub use image::{tiles_to_png, to_png};
pub use picture::{
    Bar, Cell, Grid, MAX_BARS, MAX_COLUMNS, MAX_KEYS, MAX_PARTS, MAX_ROWS, MAX_SHAPES, Picture,
    Scene, Tone, window,
};
pub use played::Played;
pub use seen::{Pictured, Seen};
pub use shapes::{Point, Shape, Suit};

/// Greatest number of pictures in one rendering.
pub const MAX_PICTURES: usize = 16;

/// Format that pictures are drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of text in UTF-8, one picture below the other.
    Ansi {
        /// With escape codes for colours.
        has_colour: bool,
    },
    /// An image, the pictures side by side.
    Png,
}

impl Format {
    /// Returns the media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Ansi { .. } => "text/plain; charset=utf-8",
            Format::Png => "image/png",
        }
    }
}

/// Draws the first [`MAX_PICTURES`] pictures and leaves out the rest. Returns the media type and
/// the bytes.
pub fn render(pictures: &[Picture], format: Format) -> (&'static str, Vec<u8>) {
    let pictures = &pictures[..pictures.len().min(MAX_PICTURES)];
    let bytes = match format {
        Format::Ansi { has_colour } => {
            let texts: Vec<String> = pictures.iter().map(|p| to_ansi(p, has_colour)).collect();
            texts.join("\n\n").into_bytes()
        }
        Format::Png => tiles_to_png(pictures),
    };
    (format.content_type(), bytes)
}
