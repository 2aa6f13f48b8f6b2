//! Choosers of actions.

/// The chooser of an agent's actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// The network, which learns to.
    Network,
    /// Chance: every action is equally likely.
    Chance,
    /// The environment, which knows its hidden draws. The server must allow it.
    Oracle,
}
