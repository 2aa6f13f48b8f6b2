//! What can go wrong when saved numbers are put back.

/// Saved arrays that do not fit the parameters they are meant for. Nothing has been changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NnError {
    /// The parameters have an array that the saved ones lack.
    #[error(
        "the saved arrays have no `{name}`; were they saved by another algorithm or with other settings?"
    )]
    Missing {
        /// Name of the array.
        name: String,
    },
    /// The saved arrays have one that the parameters do not know, or the same one twice.
    #[error(
        "the saved arrays have a surplus `{name}`; were they saved by another algorithm or with other settings?"
    )]
    Surplus {
        /// Name of the array.
        name: String,
    },
    /// Same name, another size.
    #[error(
        "`{name}` was saved with shape {found:?} and {expected:?} is needed; check the network sizes in the configuration"
    )]
    Shape {
        /// Name of the array.
        name: String,
        /// Rows and columns that are needed.
        expected: (usize, usize),
        /// Rows and columns that were saved.
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
