//! Help for an agent that is probed.

/// The help that the agent gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intervention {
    /// Nothing.
    AsItIs,
    /// Entries that may be needed are never dropped, as far as there are slots.
    Keep,
    /// A needed entry, if it is in the slots, is handed to the policy: each head attends to it as it does on average where a head
    /// finds such an entry, or to it alone where none ever does.
    Read,
    /// Both; needed entries are handed to the policy even if there are too few slots.
    KeepAndRead,
}

impl Intervention {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::AsItIs, Self::Keep, Self::Read, Self::KeepAndRead];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsItIs => "as it is",
            Self::Keep => "keep",
            Self::Read => "read",
            Self::KeepAndRead => "keep and read",
        }
    }

    /// Whether needed entries are kept by force.
    pub fn keeps(self) -> bool {
        matches!(self, Self::Keep | Self::KeepAndRead)
    }

    /// Whether they are handed to the policy.
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::KeepAndRead)
    }
}
