//! Errors of restoring saved numbers.

/// A mismatch between saved arrays and the parameters to restore. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NnError {
    /// A parameter has no array among the saved ones.
    #[error(
        "the saved arrays have no `{name}`; were they saved by another algorithm or with other settings?"
    )]
    Missing {
        /// Name of the array.
        name: String,
    },
    /// A saved array belongs to no parameter, or occurs twice.
    #[error(
        "the saved arrays have an unexpected `{name}`; were they saved by another algorithm or with other settings?"
    )]
    Surplus {
        /// Name of the array.
        name: String,
    },
    /// A saved array has the right name but another size.
    #[error(
        "`{name}` was saved with shape {found:?} and {expected:?} is needed; check the network sizes in the configuration"
    )]
    Shape {
        /// Name of the array.
        name: String,
        /// Rows and columns of the parameter.
        expected: (usize, usize),
        /// Rows and columns of the saved array.
        found: (usize, usize),
    },
    /// The number of values is not rows times columns.
    #[error("`{name}` holds {found} values where its shape {shape:?} needs {}; the file is damaged", shape.0 * shape.1)]
    Length {
        /// Name of the array.
        name: String,
        /// The stated shape.
        shape: (usize, usize),
        /// Number of values found.
        found: usize,
    },
}
