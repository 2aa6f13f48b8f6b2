//! Errors of drawing.

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
