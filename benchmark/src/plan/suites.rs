//! The plans that are compiled in.

/// A plan that is compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// The five experiments of the reference notebook.
    Notebook,
    /// Every environment the server has.
    Classic,
    /// The memory sweeps of bsuite, for bsuite's own scores.
    Bsuite,
}

impl Suite {
    /// The plan's file, as committed, and its text.
    pub(super) const fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::Notebook => (
                "experiments/notebook.toml",
                include_str!("../../experiments/notebook.toml"),
            ),
            Self::Classic => (
                "experiments/classic.toml",
                include_str!("../../experiments/classic.toml"),
            ),
            Self::Bsuite => (
                "experiments/bsuite.toml",
                include_str!("../../experiments/bsuite.toml"),
            ),
        }
    }
}
