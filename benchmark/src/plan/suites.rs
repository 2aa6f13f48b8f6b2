//! Suites: the plans that are compiled in.

/// A plan that is compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// The five experiments of the reference notebook.
    Notebook,
    /// 20 environments: the memory tasks, bsuite's, the T-mazes, and ten of POPGym's.
    Classic,
    /// The memory sweeps of bsuite, scored as bsuite does.
    Bsuite,
    /// Every algorithm that learns, on tasks that tell memories apart (docs/comparison.md).
    Systems,
    /// All of POPGym under its own rules: 48 tasks, 15 million steps each (docs/popgym.md).
    Popgym,
    /// Pairs that are recalled by delays, from 8 to 1,048,576 steps, as one figure (docs/frontier.md).
    Frontier,
}

impl Suite {
    /// Returns the path of the plan's committed file, and its text.
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
            Self::Systems => (
                "experiments/systems.toml",
                include_str!("../../experiments/systems.toml"),
            ),
            Self::Popgym => (
                "experiments/popgym.toml",
                include_str!("../../experiments/popgym.toml"),
            ),
            Self::Frontier => (
                "experiments/frontier.toml",
                include_str!("../../experiments/frontier.toml"),
            ),
        }
    }
}
