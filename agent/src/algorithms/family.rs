//! The families of algorithms, by which lists are grouped.

/// A group of algorithms whose memories work alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// No memory: controls, floors and ceilings.
    Control,
    /// A state that passes through gates from step to step.
    Recurrent,
    /// A state that is a linear function of the one before.
    Linear,
    /// The last inputs of the episode.
    Window,
    /// A matrix of slots, with learned addresses to write and read.
    Addressed,
    /// A map of places.
    Spatial,
    /// A memory that learns by prediction.
    Predictive,
    /// Tables of the returns that followed what was seen.
    Episodic,
    /// A sequence model of episodes, asked for a return.
    Sequence,
    /// Entries that are chosen to be kept.
    Retentive,
}

impl Family {
    /// All families, in the order in which lists show them.
    pub const ALL: [Self; 10] = [
        Self::Control,
        Self::Recurrent,
        Self::Linear,
        Self::Window,
        Self::Addressed,
        Self::Spatial,
        Self::Predictive,
        Self::Episodic,
        Self::Sequence,
        Self::Retentive,
    ];

    /// Returns the heading of the family in lists.
    pub fn title(self) -> &'static str {
        match self {
            Self::Control => "Without a memory",
            Self::Recurrent => "Recurrent networks",
            Self::Linear => "Linear recurrences",
            Self::Window => "Windows over the last steps",
            Self::Addressed => "Matrices with learned addresses",
            Self::Spatial => "Maps",
            Self::Predictive => "Predictive memories",
            Self::Episodic => "Episodic control",
            Self::Sequence => "Sequence models",
            Self::Retentive => "Learned retention",
        }
    }
}
